"""config.yaml: read once at the door, checked whole, and from then on frozen objects."""

from onepipe.config.load import load, names, places, schema
from onepipe.config.notation import Address, Schedule, duration, is_loopback
from onepipe.config.parts import WHOLE, Config, Connection, Fleet, Limits, Policy, Publish, Reporting, Write
from onepipe.config.service import Daemon, Happening, Tell

__all__ = [
    "WHOLE",
    "Address",
    "Config",
    "Connection",
    "Daemon",
    "Fleet",
    "Happening",
    "Limits",
    "Policy",
    "Publish",
    "Reporting",
    "Schedule",
    "Tell",
    "Write",
    "duration",
    "is_loopback",
    "load",
    "names",
    "places",
    "schema",
]
