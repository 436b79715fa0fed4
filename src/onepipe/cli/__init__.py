"""The command line. `app` frames it, `exits` ends it, `screen` draws; each other module holds a few commands."""

from onepipe.cli import runs, standing, query, mappings, connectors, start  # noqa: F401, I001 - in the order of the help
from onepipe.cli.app import app, main

__all__ = ["app", "main"]
