"""Decoders made to measure: they read a few named paths of a JSON object and step over everything else."""

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

Tree = dict[str, Any]
Reader = tuple[msgspec.json.Decoder[Any], dict[str, Callable[[Any], Any]]]

Id = int | str
"""What an id may be in JSON; as an int it keeps every digit, as a float it would not."""


@lru_cache(maxsize=256)
def reader(leaves: tuple[tuple[str, Any, bool], ...]) -> Reader:
    """Return a decoder and, for each path, the getter of its value. A leaf is (path, type, required)."""
    tree: Tree = {}
    for path, kind, required in leaves:
        *above, last = path.split(".")
        node = tree
        for name in above:
            node = node.setdefault(name, {})
        node[last] = (kind, required)
    getters: dict[str, Callable[[Any], Any]] = {path: attrgetter(_attribute(path)) for path, _, _ in leaves}
    return msgspec.json.Decoder(_struct(tree)), getters


def _struct(tree: Tree) -> type[msgspec.Struct]:
    fields: list[Any] = []
    for name, below in tree.items():
        kind, required = (_struct(below), _needed(below)) if isinstance(below, dict) else below
        empty = {"default_factory": kind} if isinstance(below, dict) else {"default": None}
        fields.append((_attribute(name), kind) if required else (_attribute(name), kind, msgspec.field(**empty)))
    return msgspec.defstruct("Shape", fields, kw_only=True, rename={_attribute(name): name for name in tree})


def _needed(tree: Tree) -> bool:
    return any(_needed(below) if isinstance(below, dict) else below[1] for below in tree.values())


def _attribute(path: str) -> str:
    """Return an attribute name (or dotted chain of them) for any key, such as "@size"."""
    return ".".join("k_" + "".join(c if c.isalnum() else f"_{ord(c)}_" for c in name) for name in path.split("."))
