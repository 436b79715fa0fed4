"""`children:` of a mapping file: what they may say, and how the elements of lists become rows."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from onepipe.cli import schema
from onepipe.compile import check_examples, select, show
from onepipe.compile.examples import Run
from onepipe.errors import ConfigError
from onepipe.mapping import STAGE_TYPES, Mapping, load_mapping, parse_each
from onepipe.model import CHILDREN, NESTED
from onepipe.transform import macros
from onepipe.warehouse.query import scratch

HEAD = "key: id\nfields: {name: title}\n"
LINES = """\
children:
  line_items:
    each: "lines[]"
    fields:
      {item_id: id, name: {from: [what.title, what.name]}, quantity: qty, amount: {from: [qty, price], as: product}}
"""


def mapping(tmp_path: Path, text: str, name: str = "mine") -> Mapping:
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return load_mapping(path, lambda name: [tmp_path / f"{name}.yaml"] if (tmp_path / f"{name}.yaml").exists() else [])


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        mapping(tmp_path, text)
    return [f"{fault.line}:{fault.column}: {fault.path}: {fault.message}" for fault in caught.value.faults]


def read(made: Mapping, sent: Sequence[Any], details: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """For each record its children as JSON, numbers as texts, and its problems, {field: value}."""
    given = {"connection": "c", "currency": "GBP", "base_url": "https://h.test", "timezone": "UTC"}
    with scratch() as db:
        run: Run = db.run
        for statement in macros():
            run(statement, None)
        run(f"CREATE TEMP TABLE stages (connection VARCHAR, {_columns(STAGE_TYPES)})", None)
        names = {"source_id": "VARCHAR", "payload": "VARCHAR"} | {f"detail_{one}": "VARCHAR" for one in made.details}
        run(f"CREATE TEMP TABLE source ({_columns(names)})", None)
        fetched = [json.dumps(details[one]) if details and one in details else None for one in made.details]
        for n, one in enumerate(sent):
            payload = one if isinstance(one, str) else json.dumps(one)
            run(f"INSERT INTO source VALUES ({', '.join('?' * len(names))})", [str(n), payload, *fetched])
        texts = ", ".join(f"to_json({column.name})::VARCHAR" for column in NESTED)
        rows = run(f"SELECT to_json(problems)::VARCHAR, {texts} FROM ({select(made)}) ORDER BY source_id::INT", given)
    return [
        {column.name: _parsed(text) for column, text in zip(NESTED, row[1:], strict=True)}
        | {"problems": {one["field"]: one["value"] for one in json.loads(row[0])}}
        for row in rows
    ]


def _columns(types: dict[str, str]) -> str:
    return ", ".join(f"{name} {type_}" for name, type_ in types.items())


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text, parse_float=str)


def of(rows: Any, *names: str) -> Any:
    return rows if rows is None else [tuple(row[name] for name in names) for row in rows]


def test_no_list_is_not_an_empty_list(tmp_path: Path) -> None:
    """NULL where nothing is said, [] where there are none; what is no list is NULL and a problem of the table."""
    rows = read(
        mapping(tmp_path, HEAD + LINES), [{}, {"lines": None}, {"lines": []}, {"lines": ""}, {"lines": {"a": 1}}, "{"]
    )
    assert [None, None, [], None, None, None] == [row["line_items"] for row in rows]
    assert [{}, {}, {}, {}, {"line_items": '{"a":1}'}, {"payload": "{"}] == [row["problems"] for row in rows]
    assert {None} == {row["quotes"] for row in rows}


def test_one_bad_element_costs_nothing_else(tmp_path: Path) -> None:
    """It is left out or has a NULL, the others keep their places, and the problem says which one and what."""
    sent = [
        {"id": 7, "what": {"title": " Pump "}, "qty": 2, "price": 4.99},
        5,
        {"id": {"a": 1}, "what": "Kit", "qty": "two", "price": 1},
        None,
        "{not json",
        {"what": {"name": "Hose"}, "qty": 0.01, "price": 0.001},
    ]
    [row] = read(mapping(tmp_path, HEAD + LINES), [{"lines": sent}])
    expected = [(1, "7", " Pump ", "2.0000", "9.9800"), (3, None, None, None, None), (6, None, "Hose", "0.0100", None)]
    assert expected == of(row["line_items"], "position", "item_id", "name", "quantity", "amount")
    problems = {
        "line_items[2]": "5",
        "line_items[4]": "null",
        "line_items[5]": "{not json",
        "line_items[3].name": "Kit",
    }
    problems |= {"line_items[3].item_id": '{"a":1}', "line_items[3].quantity": "two", "line_items[3].amount": "two"}
    assert problems | {"line_items[6].amount": "0.01"} == row["problems"]


def test_a_line_without_a_quantity_has_no_amount(tmp_path: Path) -> None:
    """A price alone is no value, and no problem either."""
    [row] = read(mapping(tmp_path, HEAD + LINES), [{"lines": [{"price": 5}, {"qty": 2}]}])
    assert [(None, None), ("2.0000", None)] == of(row["line_items"], "quantity", "amount")
    assert {} == row["problems"]


def test_long_numbers_come_through_whole(tmp_path: Path) -> None:
    """All 18 digits of a number, sent as text as the warehouse hands over what a double would round."""
    [row] = read(mapping(tmp_path, HEAD + LINES), [{"lines": [{"qty": "12345678901234.5678", "price": "1.00"}]}])
    assert [("12345678901234.5678", "12345678901234.5678")] == of(row["line_items"], "quantity", "amount")


NESTED_LISTS = """\
children:
  contacts:
    each: "deal.lines[].people[]"
    fields:
      contact_id: id
      name: {from: [first, middle, last], as: joined}
      email: "mails[].at"
      role: {default: delegate}
"""


def test_lists_within_lists_are_one_table(tmp_path: Path) -> None:
    """The elements of all of them, one after the other; a default is no problem of what cannot be read."""
    lines = [
        {"people": [{"id": 1, "first": " Ann ", "last": "Oto", "mails": [{"at": "a@h.test"}, {"at": "b@h.test"}]}]},
        {"people": None},
        {},
        {"people": {"id": 2}},
        9,
        {"people": [{"id": 3, "last": {"x": 1}, "first": "Bo"}, {"id": 4}]},
    ]
    made = mapping(tmp_path, HEAD + NESTED_LISTS)
    [row, odd, none] = read(made, [{"deal": {"lines": lines}}, {"deal": "x"}, {"deal": {"lines": [{}]}}])
    expected = [
        (1, "1", "Ann Oto", "a@h.test; b@h.test", "delegate"),
        (4, "3", None, None, "delegate"),
        (5, "4", None, None, "delegate"),
    ]
    assert expected == of(row["contacts"], "position", "contact_id", "name", "email", "role")
    assert {"contacts[2]": '{"id":2}', "contacts[3]": "9", "contacts[4].name": 'Bo {"x":1}'} == row["problems"]
    assert (None, {"contacts": "x"}) == (odd["contacts"], odd["problems"])
    assert ([], {}) == (none["contacts"], none["problems"])


def test_a_detail_comes_in_the_order_of_its_number(tmp_path: Path) -> None:
    """10 after 9, what has no number last, in the order sent."""
    made = mapping(tmp_path, HEAD + 'children: {line_items: {each: "@items[idx]", fields: {item_id: id}}}\n')
    assert ("items",) == made.details
    items = [{"id": "x"}, {"id": "b", "idx": 10}, {"id": "y", "idx": "?"}, {"id": "a", "idx": 9}]
    [row] = read(made, [{}], {"items": items})
    assert [(1, "a"), (2, "b"), (3, "x"), (4, "y")] == of(row["line_items"], "position", "item_id")
    [[unasked], [empty]] = read(made, [{}]), read(made, [{}], {"items": []})
    assert (None, []) == (unasked["line_items"], empty["line_items"])


def test_the_one_object_of_an_element_is_read_under_its_name(tmp_path: Path) -> None:
    """$key is the name; an element that holds none or several objects is a problem."""
    made = mapping(
        tmp_path, HEAD + 'children: {notes: {each: "@log[].*", fields: {note_id: id, kind: $key, title: title}}}\n'
    )
    log = [{"note": {"id": 1, "title": " a "}}, {"new activity": {"id": 2}}, {}, {"a": {}, "b": {}}, {"note": 5}]
    [row] = read(made, [{}], {"log": log})
    assert [("1", "note", "a"), ("2", "new activity", None)] == of(row["notes"], "note_id", "kind", "title")
    assert {"notes[3]": "{}", "notes[4]": '{"a":{},"b":{}}', "notes[5]": "5"} == row["problems"]


def test_what_children_read_is_not_in_extra(tmp_path: Path) -> None:
    """Lists never are; and a text where the list belongs is told as a problem, not kept beside it."""
    made = mapping(
        tmp_path,
        HEAD
        + LINES
        + "examples:\n  - in: {lines: [{id: 1}], more: 2}\n    out: {extra: {more: 2}, line_items: [{item_id: 1}]}\n",
    )
    with scratch() as db:
        assert [] == check_examples(made, db.run)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "children: {lines: {}}\n",
            "3:12: children.lines: 'lines' is no table of children; did you mean 'line_items'?",
        ),
        ("children: 5\n", "3:11: children: must be keys and values"),
        ("children: {notes: {each: a}}\n", "3:19: children.notes: misses the key 'fields'"),
        (
            "children: {notes: {each: a, fields: {}}}\n",
            "3:26: children.notes.each: 'a' names no list; one is written interests[], interests[].delegates[], "
            "@items[idx] or @timeline[].*",
        ),
        (
            'children: {notes: {each: "a[]", fields: {noteid: id}}}\n',
            "3:42: children.notes.fields.noteid: 'noteid' is no column of notes; did you mean 'note_id'?",
        ),
        (
            'children: {notes: {each: "a[]", fields: {kind: $key}}}\n',
            "3:48: children.notes.fields.kind: '$key' is the name of an element's one object: `each` ends in .* then",
        ),
        (
            'children: {notes: {each: "a[]", fields: {kind: ^.id, body: "@a[].b", author: $position}}}\n',
            "3:60: children.notes.fields.body: '@a[].b': a child is read from its own element alone",
        ),
        (
            'children: {notes: {each: "a[]", fields: {body: {from: b, write: false}}}}\n',
            "3:58: children.notes.fields.body.write: 'write' is not known here; ",
        ),
        (
            'children: {quotes: {each: "a[]", fields: {amount: {from: [a], as: product}}}}\n',
            "3:58: children.quotes.fields.amount.from: 'product' reads 2 paths: the value, factor",
        ),
        (
            'children: {contacts: {each: "a[]", fields: {name: {from: a, as: joined}}}}\n',
            "3:58: children.contacts.fields.name.from: 'joined' reads several paths, written [first, second]",
        ),
        (
            'children: {contacts: {each: "a[]", fields: {name: a.b, email: a}}}\n',
            "3:44: children.contacts.fields: a.b and a exclude each other: a value or an object",
        ),
        (
            'children: {contacts: {each: "title.list[]", fields: {name: a}}}\n',
            "2:9: fields: title and title.list[] exclude each other: a value or an object",
        ),
        (
            "examples: [{in: {}, out: {notes: [{nr: 1}]}}]\n",
            "3:36: examples[0].out.notes[0].nr: 'nr' is not known here; ",
        ),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    """Each mistake in `children` with line and column."""
    told = faults(tmp_path, HEAD + text)
    assert any(one.startswith(expected) for one in told), told


def test_the_paths_of_each() -> None:
    """A list of the record or a detail, lists within, an order, a name: nothing else."""
    each = parse_each("a.b[n].c.d[].*")
    assert each is not None
    assert ("", ("a", "b"), "n", ((("c", "d"), ""),), True) == (
        *(each.first.root, each.first.steps, each.first.order),
        *(each.below, each.keyed),
    )
    assert [None] * 7 == [parse_each(one) for one in ("a", "a[].b", "@a", "@a.b[]", "^.a[]", "a[]b[]", "a[].*.*")]


def test_a_mapping_without_children_is_what_it_was(tmp_path: Path) -> None:
    """The same version as before there was such a key, the same SQL but for five columns of NULL."""
    plain = mapping(tmp_path, HEAD)
    said = json.dumps({"key": "id", "fields": {"name": "title"}, "stages": None}, sort_keys=True)
    assert hashlib.sha256(said.encode()).hexdigest()[:12] == plain.version
    assert plain.version == mapping(tmp_path, HEAD + "children: {}\n").version
    assert plain.version != mapping(tmp_path, HEAD + LINES).version
    assert "list_transform" not in select(plain)
    [row] = read(plain, [{"id": 1, "lines": [{}]}])
    assert {None} == {row[name] for name in CHILDREN}


def test_children_are_laid_over_those_of_the_mapping_that_is_extended(tmp_path: Path) -> None:
    """Table by table and field by field; one without a value is taken out, and what is kept says all of it."""
    base = mapping(tmp_path, HEAD + LINES + '  notes: {each: "log[]", fields: {note_id: id}}\n', "base")
    assert ["line_items", "notes"] == list(base.children)
    fields = "fields: {name: label, quantity: {default: 1}, item_id: }"
    text = f"extends: base\nchildren:\n  notes:\n  line_items:\n    {fields}\n"
    made = mapping(tmp_path, text)
    assert ["line_items"] == list(made.children)
    assert ["name", "quantity", "amount"] == list(made.children["line_items"].fields)
    [row] = read(made, [{"lines": [{"label": "Pump"}]}])
    assert [("Pump", "1.0000")] == of(row["line_items"], "name", "quantity")
    kept = mapping(tmp_path, made.whole, "kept")
    assert made.version == kept.version


def test_an_example_of_children_that_fails_is_told_with_its_place(tmp_path: Path) -> None:
    """A wrong value in its row, a wrong number of rows, and a table that is not there."""
    path = tmp_path / "mine.yaml"
    out = "{line_items: [{item_id: 1, quantity: 2.50}, {quantity: 3, amount: null}], quotes: []}"
    rows = "[{id: 1, qty: 2.5}, {qty: 4, price: 1}]"
    text = HEAD + LINES + f"examples:\n  - in: {{lines: {rows}}}\n    out: {out}\n"
    text += "  - in: {lines: [{}, {}]}\n    out: {line_items: [{}]}\n"
    made = mapping(tmp_path, text)
    with scratch() as db:
        told = [str(fault).removeprefix(f"{path}:") for fault in check_examples(made, db.run)]
    expected = [
        "10:65: examples[0].out.line_items[1].quantity: expected 3.0000, read 4.0000",
        "10:76: examples[0].out.line_items[1].amount: expected nothing, read 4.0000",
        "10:92: examples[0].out.quotes: expected 0 of them, read nothing",
        "12:23: examples[1].out.line_items: expected 1 of them, read [",
    ]
    assert expected == [one if "read [" not in one else one[: one.index("read [") + 6] for one in told]


def test_the_schema_knows_the_tables_and_their_columns() -> None:
    """What an editor completes in `children` is what a mapping can say."""
    told = schema.mapping()["properties"]["children"]["properties"]
    assert list(CHILDREN) == list(told)
    known = told["notes"]["anyOf"][0]["properties"]
    assert ["each", "fields"] == list(known)
    assert [column.name for column in CHILDREN["notes"].columns] == list(known["fields"]["properties"])


def test_it_is_shown_a_line_a_field(tmp_path: Path) -> None:
    """`mapping show` prints each field of a child once as sent, once as read."""
    script = show(mapping(tmp_path, HEAD + LINES))
    assert "            quantity: as_decimal(one.sent.quantity),\n" in script
    assert "                quantity: trimmed(one.crm.qty),\n" in script
