"""Mapping files: what they say is proved on loading, and every mistake is told with its place."""

import re
from pathlib import Path

import pytest

from onepipe.errors import ConfigError
from onepipe.mapping import (
    CHILD_KEYS,
    EXAMPLE_KEYS,
    FIELD_KEYS,
    MAPPING_KEYS,
    STAGES_KEYS,
    TYPES,
    load_mapping,
    parse_source,
)
from onepipe.model import MAPPED
from onepipe.transform import TRANSFORMS

HOUSE = Path(__file__).parent.parent
SHIPPED = sorted((HOUSE / "mappings").glob("*.yaml"))


def mapping(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(tmp_path: Path, text: str) -> list[str]:
    """The mistakes of a mapping, each as line:column: path: message."""
    with pytest.raises(ConfigError) as caught:
        load_mapping(mapping(tmp_path, text))
    return [f"{fault.line}:{fault.column}: {fault.path}: {fault.message}" for fault in caught.value.faults]


def fault(tmp_path: Path, field: str) -> str:
    """The one mistake of one field."""
    [only] = faults(tmp_path, f"key: id\nfields:\n  {field}\n")
    return only


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_mappings_are_sound(path: Path) -> None:
    """Every mapping we ship loads, reads what all CRMs have, and carries examples."""
    loaded = load_mapping(path)
    assert path.stem == loaded.name
    assert {"name", "amount", "currency", "stage", "status", "owner_id", "created_at", "updated_at"} <= set(
        loaded.fields
    )
    assert loaded.stages is not None
    assert len(loaded.examples) >= 3


def test_details_and_reference_are_what_the_fields_name() -> None:
    """A mapping knows which sub-requests it reads, and which resource its stages come from."""
    by_name = {path.stem: load_mapping(path) for path in SHIPPED}
    assert ("customfield", "history", "party", "tag") == by_name["capsule"].details
    assert ("items", "lost_reason") == by_name["overplane"].details
    assert ("timeline",) == by_name["tactile"].details
    assert () == by_name["administrate"].details
    expected = {
        "administrate": ["steps"],
        "capsule": ["milestones"],
        "onautomate": ["pipelines"],
        "overplane": ["opportunity"],
        "tactile": ["options"],
    }
    assert expected == {name: list(one.reference) for name, one in by_name.items()}


def test_the_short_form_reads_by_the_type_of_the_column(tmp_path: Path) -> None:
    """`name: title` needs no more; what a column is decides how it is read, and its path where it is written."""
    text = "key: id\nfields:\n  name: title\n  amount: a.b\n  created_at: made\n  is_archived: old\n  tags: labels[]\n"
    fields = load_mapping(mapping(tmp_path, text)).fields
    expected = {
        "name": "verbatim",
        "amount": "decimal",
        "created_at": "instant",
        "is_archived": "flag",
        "tags": "tags",
    }
    assert expected == {name: one.transform.name for name, one in fields.items()}
    expected_to = {
        "name": ("title",),
        "amount": ("a", "b"),
        "created_at": None,
        "is_archived": ("old",),
        "tags": ("labels",),
    }
    assert expected_to == {name: one.to for name, one in fields.items()}


def test_the_version_is_of_what_is_said(tmp_path: Path) -> None:
    """Comments, examples and the order of keys leave the version as it is; another path or word changes it."""
    first = load_mapping(mapping(tmp_path, "key: id\nfields:\n  name: title\n  owner: who\n")).version
    second = "# new\nfields:\n  owner: who\n  name: title\nkey: id\nexamples:\n  - {in: {title: x}, out: {name: x}}\n"
    assert first == load_mapping(mapping(tmp_path, second)).version
    assert first != load_mapping(mapping(tmp_path, "key: id\nfields:\n  name: label\n  owner: who\n")).version


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """One look at the message is enough to mend the file: every fault, in the order of the file, with its place."""
    text = """\
key: id
feilds: {}
fields:
  nmae: title
  amount: {from: value, as: desimal}
  status: {from: s, values: {opened: Open}}
  owner: {from: "who[", write: false}
  name: title
  name: label
"""
    expected = [
        "2:1: feilds: 'feilds' is not known here; did you mean 'fields'?",
        "4:3: fields.nmae: 'nmae' is no column to map; did you mean 'name'?",
        "5:29: fields.amount.as: there is no transform 'desimal'; did you mean 'decimal'?",
        "6:30: fields.status.values.opened: 'opened' is no status; did you mean 'open'?",
        "7:17: fields.owner.from: 'who[' is no path; one is written a.b, a.list[], @detail[].name, in stages ^.a and"
        " $key",
        "9:3: fields.name: the key 'name' stands twice, first in line 8; keep one",
    ]
    assert expected == faults(tmp_path, text)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("status: {from: s, values: {open: [A, A]}}", "'A' is already read as 'open'"),
        ("status: {from: s, values: {open: A, won: A}}", "'A' is already read as 'open'"),
        ('status: {from: s, values: {open: "*"}}', '"*" stands for any word, so it has no way back; say write: false'),
        ("stage: {from: s, as: unescaped}", "'unescaped' cannot be undone, so it has no way back; say write: false"),
        ("owner: [a, b]", "it reads several paths and does not say `to`, so it has no way back; say write: false"),
        ('tags: "@tag[].name"', "@tag[].name is no plain path of the record, so it has no way back; say write: false"),
        ('name: {from: a, to: "b[]"}', "is a plain path of the record, such as step.id"),
        ("name: {from: a, write: maybe}", "is true or false"),
        (
            "amount: {from: a, as: text}",
            "'text' reads VARCHAR, amount is DECIMAL(18,4); fitting: decimal, product, periods_total",
        ),
        ("amount: {from: a, as: periods_total}", "'periods_total' reads 3 paths: the value, duration, basis"),
        ("tags: {from: a, write: false}", "'tags' reads one list, written with brackets: tags[]"),
        ("name: {}", "says nothing to read: give from, lookup, template or default"),
        ("name:", "says nothing to read: give from, lookup, template or default"),
        ("name: {from: a, form: b}", "'form' is not known here; did you mean 'from'?"),
        ("name: 5", "5 is no path; one is written a.b, a.list[], @detail[].name, in stages ^.a and $key"),
        ("name: ^.id", "'^.id' has a meaning in `stages` only"),
        ("extra: all", "is made of what no field reads; it cannot be mapped"),
        ("stage: {lookup: steps, by: stage_id}", "is written: lookup: stages, by: stage_id"),
        ("stage: {lookup: stages, by: id}", "'id' is not one of stage_id, stage, pipeline_id, pipeline"),
        ("stage: {lookup: stages, by: stage_id}", "stage_id is read from no path, so nothing is found by it"),
        ("stage: {lookup: stages, by: stage_id, as: text}", "'as' says how `from` is read; lookup takes it as it is"),
        ("stage: {lookup: stages, from: a}", "from and lookup exclude each other"),
        ('url: {template: "{base_url}/{}"}', "holds {base_url} and paths of the record in braces, such as {id}"),
        (
            "closed_at: {from: a, unless: open}",
            'is one path and its words, such as {status: open} or {basis: [FIXED, ""]}',
        ),
        (
            "created_at: {from: a, zone: Europe/Londn}",
            "there is no time zone 'Europe/Londn'; one is written Europe/London",
        ),
        ("created_at: {from: a, as: instant_in}", "`zone` goes with a moment (as: instant_in), and that one needs it"),
        ("name: {from: a, values: {}}", "is a table such as {won: Won, lost: [Lost, Dropped]}, or a list of words"),
        ("name: {from: a, default: [b]}", "must be one value"),
    ],
)
def test_a_field_that_cannot_be_meant(tmp_path: Path, field: str, expected: str) -> None:
    """Whatever could not be read, or not be written back, is refused in words that say what to write instead."""
    told = faults(tmp_path, f"key: id\nfields:\n  {field}\n")
    assert expected in [one.split(": ", 2)[2] for one in told]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["1:1: (file): misses the key 'fields'", "1:1: (file): misses the key 'key'"]),
        ("5", ["1:1: (file): must be keys and values"]),
        (
            "key: id\nfields: {owner_id: owner.id, owner: owner}",
            ["2:9: fields: owner.id and owner exclude each other: a value or an object"],
        ),
        (
            "key: id\nfields: {owner: Who, name: who}",
            ["2:9: fields: Who and who exclude each other: a value or an object"],
        ),
        (
            "key: id\nfields: {}\nstages: {resource: s, fields: {stage: name, position: $position, x: y}}",
            [
                "3:31: stages.fields: misses the key 'stage_id'",
                "3:66: stages.fields.x: 'x' is no column to map; known: stage_id, stage, pipeline_id, pipeline,"
                " position, probability, status",
            ],
        ),
        (
            "key: id\nfields: {}\nexamples: [{out: {nam: x}}, {in: 5, out: {}, settings: {curency: GBP}}]",
            [
                "3:12: examples[0]: misses the key 'in'",
                "3:19: examples[0].out.nam: 'nam' is not known here; did you mean 'name'?",
                "3:34: examples[1].in: is a record: keys and values, or its JSON text",
                "3:57: examples[1].settings.curency: 'curency' is not known here; did you mean 'currency'?",
            ],
        ),
    ],
)
def test_a_file_that_cannot_be_meant(tmp_path: Path, text: str, expected: list[str]) -> None:
    """The parts of a file are proved as its fields are."""
    assert expected == faults(tmp_path, text)


def test_paths() -> None:
    """A path names a value, a list in its order or by a key, a detail, or the record around."""
    source = parse_source("@lost_reason[idx].lost_reason")
    assert source is not None
    assert ("@", ("lost_reason",), True, "idx", "lost_reason") == (
        source.root,
        source.steps,
        source.is_list,
        source.order,
        source.item,
    )
    up = parse_source("^.pipeline.id")
    assert up is not None
    assert ("^", ("pipeline", "id"), False) == (up.root, up.steps, up.is_list)
    assert [None] * 7 == [parse_source(text) for text in ("", "a..b", "a[", "a[].b.c", "@tag", "a$", '"a"')]


def test_the_docs_tell_all() -> None:
    """docs/mapping.md names every transform with its own words, every key, and every column."""
    text = (HOUSE / "docs" / "mapping.md").read_text(encoding="utf-8")
    words = set(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))
    assert set() == {name for name, one in TRANSFORMS.items() if f"| `{name}` | {one.type} | {one.doc}" not in text}
    assert set() == {*MAPPING_KEYS, *FIELD_KEYS, *STAGES_KEYS, *CHILD_KEYS, *EXAMPLE_KEYS} - words
    assert set() == {*TYPES, *(column.name for column in MAPPED)} - words
