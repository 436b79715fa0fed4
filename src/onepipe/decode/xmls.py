"""XML answers (lxml, no DTD, no entities, no network) as the JSON records that the rest of the house reads.

Child elements become keys in document order and leaf text a string; an element without text and children is null; an
element that stands twice under one parent, or whose name is listed, is an array. Attributes (`size`) are dropped.
"""

from collections.abc import Collection
from typing import Any, cast

import msgspec
from lxml import etree

from onepipe.decode.body import body_of
from onepipe.errors import BadPayload
from onepipe.excerpt import excerpt
from onepipe.records import Page, Record


def xml_page(
    content: bytes,
    item: str,
    *,
    id: str = "id",  # noqa: A002 - the CRMs' word
    stamp: str | None = None,
    lists: Collection[str] = (),
    total: int | None = None,
    more: bool | None = None,
) -> Page:
    """Split one answer of a list: each `item` element directly under the root is a record.

    `id` and `stamp` are names of child elements, `lists` names elements that are arrays even where they stand once.
    Raises BadPayload when the body is not XML, is cut short, has a DTD, or its root holds anything but `item`s.
    """
    root = _parsed(content)
    records: list[Record] = []
    unreadable: list[bytes] = []
    for element in root:
        if element.tag != item:
            raise BadPayload(f"The answer <{root.tag}> holds <{element.tag}> where only <{item}> is promised.")
        payload, record_id, changed = _record(element, id, stamp, lists)
        if record_id:
            records.append(Record(record_id, payload, changed))
        else:
            unreadable.append(payload)
    if not records and not unreadable and ((root.text or "").strip() or not _is_plural(str(root.tag), item)):
        raise BadPayload(f"The answer is <{root.tag}> where a list of <{item}> is promised; {excerpt(content)}")
    return Page(records, unreadable, total=total, more=more)


def _is_plural(root: str, item: str) -> bool:
    """Whether an element without children is an empty list of `item`s: <opportunities> of <opportunity>, no <error>."""
    return root != item and root.startswith(item[:-1])


def xml_record(content: bytes, *, id: str = "id", stamp: str | None = None, lists: Collection[str] = ()) -> Record:  # noqa: A002
    """Read one record: the root element of the answer. Raises BadPayload when it has no id."""
    root = _parsed(content)
    payload, record_id, changed = _record(root, id, stamp, lists)
    if not record_id:
        raise BadPayload(f"The answer <{root.tag}> has no <{id}> where one record was promised; {excerpt(content)}")
    return Record(record_id, payload, changed)


def xml_json(content: bytes, lists: Collection[str] = ()) -> bytes:
    """Return the root element of any XML answer as one line of JSON; with its children as an array if it is listed."""
    root = _parsed(content)
    return msgspec.json.encode([_value(child, lists) for child in root] if root.tag in lists else _value(root, lists))


def _parsed(content: bytes) -> Any:
    content = body_of(content)
    # A parser is used once: lxml's are not for several threads at a time.
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise BadPayload(f"The answer is not XML, or is cut short ({error.msg}); {excerpt(content)}") from None
    if cast(Any, root).getroottree().docinfo.doctype:
        raise BadPayload(f"The answer has a DOCTYPE, which no record needs: {excerpt(content)}")
    return root


def _record(element: Any, id_: str, stamp: str | None, lists: Collection[str]) -> tuple[bytes, str, str | None]:
    fields = _value(element, lists)
    fields = fields if isinstance(fields, dict) else {}
    record_id, changed = fields.get(id_), fields.get(stamp)
    return (
        msgspec.json.encode(fields),
        record_id.strip() if isinstance(record_id, str) else "",
        changed if isinstance(changed, str) else None,
    )


def _value(element: Any, lists: Collection[str]) -> Any:
    if not len(element):
        text = element.text
        return text if text and not text.isspace() else None
    fields: dict[str, Any] = {}
    for child in element:
        name, value = child.tag, _value(child, lists)
        if name in lists:
            fields.setdefault(name, []).extend([] if value is None else [value])
        elif name not in fields:
            fields[name] = value
        else:
            kept = fields[name]
            fields[name] = [*kept, value] if isinstance(kept, list) else [kept, value]
    return fields
