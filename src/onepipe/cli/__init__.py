"""The command line. `app` frames it, `exits` ends it, `screen` draws; each other module holds a few commands."""

from onepipe.cli import connectors, demo, mappings, query, runs, schema, standing, start  # noqa: F401 - they register themselves
from onepipe.cli.app import app, main

__all__ = ["app", "main"]
