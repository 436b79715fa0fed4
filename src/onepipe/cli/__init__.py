"""The command line. `app` frames it, `exits` ends it, `screen` draws; each other module holds a few commands."""

from onepipe.cli import (  # noqa: F401 - they register themselves
    alerts,
    calls,
    conflicts,
    connections,
    connectors,
    demo,
    docs,
    drift,
    edits,
    erase,
    explain,
    export,
    fleet,
    freeze,
    keeping,
    maintaining,
    mappings,
    pausing,
    problems,
    pushes,
    query,
    quota,
    reference,
    reports,
    runs,
    schema,
    standing,
    start,
    suggest,
    sweeps,
)
from onepipe.cli.app import app, main

__all__ = ["app", "main"]
