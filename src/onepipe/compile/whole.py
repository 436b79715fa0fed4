"""A mapping compiled whole: once for all connections that read with it, of which there may be thousands."""

from onepipe.compile.query import select, stages
from onepipe.mapping import Mapping
from onepipe.transform import macros

Compiled = tuple[str, dict[str, str], tuple[str, ...]]

_made: dict[tuple[str, str, tuple[str, ...]], Compiled] = {}


def compiled(mapping: Mapping, resources: tuple[str, ...]) -> Compiled:
    """The SELECT of a mapping, those of the resources it reads stages from, and the macros that all of them use."""
    key = (mapping.name, mapping.text, resources)
    if key not in _made:
        whole = select(mapping)
        staged = {name: sql for name in resources if (sql := stages(mapping, name))}
        _made[key] = whole, staged, tuple(macros(" ".join([whole, *staged.values()])))
    return _made[key]
