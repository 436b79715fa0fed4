"""What the daemon is told and remembers: runs asked for, pauses, its breaker, and the runs it did not make."""

SERVICE: tuple[str, ...] = ()
