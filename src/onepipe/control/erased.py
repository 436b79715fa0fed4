"""Whom a person's right to be forgotten was used for: markers that later reads are held against, without the data."""

ERASED: tuple[str, ...] = ()
