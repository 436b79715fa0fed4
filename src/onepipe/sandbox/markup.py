"""Small documents as trees, printed as Capsule prints them: compact XML, or JSON made from it."""

from __future__ import annotations

from html import escape
from typing import Any

from lxml import etree

from onepipe.sandbox.wire import Row, dump

Inside = str | list["Node"]
Node = tuple[str, dict[str, str], Inside]  # name, attributes, text or children


def node(name: str, inside: Inside = "", **attributes: str) -> Node:
    """An element."""
    return name, attributes, inside


def leaves(name: str, values: Row) -> Node:
    """An element with one text child per value; empty values are left out."""
    return name, {}, [(key, {}, text_of(value)) for key, value in values.items() if value not in (None, "")]


def text_of(value: Any) -> str:
    """A value as Capsule writes it: booleans in lower case, everything else as it prints."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def to_xml(tree: Node) -> bytes:
    """Compact XML with a declaration; a carriage return is written as a character reference."""
    parts = ['<?xml version="1.0" encoding="UTF-8" standalone="yes"?>']
    _write(tree, parts)
    return "".join(parts).encode()


def _write(tree: Node, parts: list[str]) -> None:
    name, attributes, inside = tree
    opened = name + "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    if not inside:
        parts.append(f"<{opened}/>")
        return
    parts.append(f"<{opened}>")
    if isinstance(inside, str):
        parts.append(escape(inside, quote=False).replace("\r", "&#xD;"))
    else:
        for child in inside:
            _write(child, parts)
    parts.append(f"</{name}>")


def to_json(tree: Node) -> bytes:
    """JSON by the collapse rules: one child is an object, several an array, none an absent key; scalars are texts."""
    return dump({tree[0]: _collapsed(tree)})


def _collapsed(tree: Node) -> Any:
    _, attributes, inside = tree
    if isinstance(inside, str) and not attributes:
        return inside
    made: Row = {f"@{key}": value for key, value in attributes.items()}
    for child in inside if isinstance(inside, list) else []:
        value = _collapsed(child)
        if child[0] not in made:
            made[child[0]] = value
        elif isinstance(made[child[0]], list):
            made[child[0]].append(value)
        else:
            made[child[0]] = [made[child[0]], value]
    return made or ""


def from_xml(body: bytes) -> tuple[str, Any]:
    """Root name and content (texts, dicts, lists for repeated children) of an XML body. Raises ValueError."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"not XML: {error}") from error
    return str(root.tag), _content(root)


def _content(element: Any) -> Any:
    if len(element) == 0:
        return element.text or ""
    made: Row = {}
    for child in element:
        value = _content(child)
        if child.tag not in made:
            made[child.tag] = value
        elif isinstance(made[child.tag], list):
            made[child.tag].append(value)
        else:
            made[child.tag] = [made[child.tag], value]
    return made
