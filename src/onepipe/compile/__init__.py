"""Turns a mapping into SQL that is meant to be read (`onepipe mapping show`), and edits into what a CRM is sent."""

from onepipe.compile.examples import check_examples
from onepipe.compile.invert import invert
from onepipe.compile.query import select, show, stages

__all__ = ["check_examples", "invert", "select", "show", "stages"]
