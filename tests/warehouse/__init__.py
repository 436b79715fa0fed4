"""Views and macros against independent computations."""
