"""config.yaml: read once at the door, checked whole, and from then on frozen objects."""

from onepipe.config.load import load, schema
from onepipe.config.notation import Address, Schedule, duration, is_loopback
from onepipe.config.parts import WHOLE, Config, Connection, Daemon, Limits, Policy, Publish, Reporting, Write

__all__ = [
    "WHOLE",
    "Address",
    "Config",
    "Connection",
    "Daemon",
    "Limits",
    "Policy",
    "Publish",
    "Reporting",
    "Schedule",
    "Write",
    "duration",
    "is_loopback",
    "load",
    "schema",
]
