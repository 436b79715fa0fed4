"""Turns a mapping into SQL that is meant to be read (`onepipe mapping show`), and edits into what a CRM is sent."""

from onepipe.compile.examples import check_examples
from onepipe.compile.invert import column_of, invert
from onepipe.compile.query import select, show, stages
from onepipe.compile.whole import compiled

__all__ = ["check_examples", "column_of", "compiled", "invert", "select", "show", "stages"]
