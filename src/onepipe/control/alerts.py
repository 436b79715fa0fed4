"""Who was told of what: an event that lasts is told once."""

ALERTS: tuple[str, ...] = ()
