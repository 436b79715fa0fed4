"""`columns:` of a mapping file: what they may say, and how they are read."""

from pathlib import Path

import pytest

from onepipe.compile import check_examples, select
from onepipe.errors import ConfigError
from onepipe.mapping import Mapping, load_mapping
from onepipe.warehouse.query import scratch

HEAD = "key: id\nfields: {name: title, custom: {from: own, write: false}}\ncolumns:\n"


def mapping(tmp_path: Path, text: str) -> Mapping:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_mapping(path)


def test_columns_are_read_from_the_record_and_from_custom(tmp_path: Path) -> None:
    """Each by its transform; a key of custom may hold anything, and what cannot be read is a problem of the column."""
    read = mapping(
        tmp_path,
        HEAD
        + """\
  arr: {from: custom.ARR, as: decimal}
  odd: {from: "custom.A.b/c~d e", values: {yes: [1, true]}}
  either: {from: [custom.First, second], default: none}
  when: {from: custom.When, as: day, unless: {custom.Kind: never}}
  labels: {from: "labels[]", as: tags}
  track: trackId
examples:
  - in:
      {id: 1, own: {ARR: "12.50", A.b/c~d e: true, When: "2024-01-31", Kind: once}, second: " b ", labels: [y, x],
       trackId: 7}
    out: {x_arr: 12.5, x_odd: "yes", x_either: b, x_when: "2024-01-31", x_labels: [x, y], x_track: "7", extra: {}}
  - in: {id: 2, own: {ARR: much, First: a, When: "2024-01-31", Kind: never}, second: b}
    out: {x_arr: null, x_odd: null, x_either: a, x_when: null, x_labels: null}
    problems: [x_arr]
  - in: {id: 3}
    out: {x_arr: null, x_either: none}
""",
    )
    with scratch() as db:
        assert [] == check_examples(read, db.run)
    expected = {
        "x_arr": "DECIMAL(18,4)",
        "x_odd": "VARCHAR",
        "x_either": "VARCHAR",
        "x_when": "DATE",
        "x_labels": "VARCHAR[]",
        "x_track": "VARCHAR",
    }
    assert expected == {name: one.type for name, one in read.columns.items()}
    assert {None} == {one.to for one in read.columns.values()}


def test_a_field_may_read_a_key_of_custom_too(tmp_path: Path) -> None:
    """Where the mapping fills custom; it is never written, and what cannot be read is a problem of the field."""
    text = """\
key: id
fields:
  name: title
  custom: {from: own, write: false}
  lead_source: {from: [custom.Lead Source, source], write: false}
  probability: {from: custom.Odds, as: percent, write: false}
examples:
  - in: {id: 1, own: {Lead Source: Fair, Odds: 40}}
    out: {lead_source: Fair, probability: 0.4, custom: {Lead Source: Fair, Odds: 40}}
  - in: {id: 2, own: {Odds: many}, source: Web}
    out: {lead_source: Web, probability: null}
    problems: [probability]
"""
    with scratch() as db:
        assert [] == check_examples(mapping(tmp_path, text), db.run)
    with pytest.raises(ConfigError, match=r"custom\.Odds is no plain path of the record, so it has no way back"):
        mapping(tmp_path, text.replace("as: percent, write: false", "as: percent"))
    plain = mapping(tmp_path, "key: id\nfields: {name: title, type: custom.kind}\n")
    assert ("", ("custom", "kind")) == (plain.fields["type"].sources[0].root, plain.fields["type"].sources[0].steps)


def test_a_mapping_without_columns_is_what_it_was(tmp_path: Path) -> None:
    """The same SQL and the same version as if there were no such key."""
    without = mapping(tmp_path, HEAD.removesuffix("columns:\n"))
    empty = mapping(tmp_path, HEAD)
    assert (without.version, select(without)) == (empty.version, select(empty))
    assert without.version != mapping(tmp_path, HEAD + "  a: b\n").version


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("Arr: a", "4:3: columns.Arr: 'Arr' is no name of a column; one is made of a-z, 0-9 and _, such as arr"),
        (
            "arr: {from: a, as: desimal}",
            "4:22: columns.arr.as: there is no transform 'desimal'; did you mean 'decimal'?",
        ),
        ("arr: {from: a, to: b}", "4:18: columns.arr.to: 'to' is not known here; known: from, as"),
        ("arr: {lookup: stages, by: stage}", "4:9: columns.arr.lookup: 'lookup' is not known here; known: from, as"),
        ("arr:", "4:7: columns.arr: says nothing to read: give from or default"),
        ("arr: name.x", "2:9: fields: "),
    ],
)
def test_a_column_that_cannot_be_meant(tmp_path: Path, column: str, expected: str) -> None:
    """Is told with its place, as a field is."""
    with pytest.raises(ConfigError) as caught:
        mapping(tmp_path, HEAD.replace("title", "name") + f"  {column}\n")
    told = [f"{one.line}:{one.column}: {one.path}: {one.message}" for one in caught.value.faults]
    assert any(one.startswith(expected) for one in told), told


def test_custom_has_to_be_there(tmp_path: Path) -> None:
    """A column cannot read a key of it where the mapping does not fill it."""
    with pytest.raises(ConfigError, match="reads the column custom, which this mapping does not fill"):
        mapping(tmp_path, "key: id\nfields: {}\ncolumns: {arr: custom.ARR}\n")
