"""config.yaml: read once at the door, checked whole, and from then on frozen objects."""

from onepipe.config.load import load, schema
from onepipe.config.notation import Address, Schedule, duration, is_loopback
from onepipe.config.parts import Config, Connection, Daemon, Limits, Policy, Reporting, Write

__all__ = [
    "Address",
    "Config",
    "Connection",
    "Daemon",
    "Limits",
    "Policy",
    "Reporting",
    "Schedule",
    "Write",
    "duration",
    "is_loopback",
    "load",
    "schema",
]
