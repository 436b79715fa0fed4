"""The command line. `app` frames it, `exits` ends it, `screen` draws; each other module holds a few commands."""

from onepipe.cli import (  # noqa: F401 - they register themselves
    calls,
    conflicts,
    connectors,
    demo,
    drift,
    edits,
    explain,
    mappings,
    pushes,
    query,
    quota,
    runs,
    schema,
    standing,
    start,
    sweeps,
)
from onepipe.cli.app import app, main

__all__ = ["app", "main"]
