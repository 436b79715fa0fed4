"""onepipe: the opportunities of many CRMs in one DuckDB warehouse."""

__version__ = "0.1.0"
