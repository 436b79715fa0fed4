"""`extends`: a mapping takes everything from another and states only differences."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from onepipe.account import mapping_at
from onepipe.errors import ConfigError
from onepipe.mapping import Mapping, load_mapping

BASE = """\
key: id
fields:
  name: title
  amount: value
  status: {from: state, values: {open: Open, won: [Won, 010]}}
  description: text
stages:
  resource: steps
  fields: {stage_id: id, stage: name}
examples:
  - {in: {id: 1, title: Deal}, out: {name: Deal}}
"""


def project(folder: Path, **files: str) -> Path:
    """A folder with these mappings."""
    (folder / "mappings").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "mappings" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def read(folder: Path, name: str) -> Mapping:
    return mapping_at(folder / "mappings" / f"{name}.yaml", folder)


def faults(folder: Path, name: str) -> list[str]:
    """The mistakes of a mapping, each with its file's name, line and column."""
    with pytest.raises(ConfigError) as caught:
        read(folder, name)
    return [f"{one.file.name}:{one.line}:{one.column}: {one.path}: {one.message}" for one in caught.value.faults]


def paths(mapping: Mapping) -> dict[str, Sequence[str]]:
    return {name: [source.text for source in one.sources] for name, one in mapping.fields.items()}


def test_what_is_not_stated_is_taken(tmp_path: Path) -> None:
    """A field that is stated stands in the place of the one taken, an empty one takes it out, and the rest stays."""
    text = "extends: base\nfields:\n  name: label\n  owner: who\n  description:\n"
    mine = read(project(tmp_path, base=BASE, mine=text), "mine")
    assert {"name": ["label"], "amount": ["value"], "status": ["state"], "owner": ["who"]} == paths(mine)
    assert mine.stages is not None and ["stage_id", "stage"] == list(mine.stages.fields)
    assert [] == mine.examples, "they prove the file that they stand in"


def test_a_field_may_state_single_keys(tmp_path: Path) -> None:
    """Without a way of its own (from, lookup, template) a field's keys are laid over those of the field taken."""
    text = (
        "extends: base\nfields:\n  amount: {default: 0, write: false}\n"
        "stages:\n  fields: {stage: {as: unescaped}, position: $position}\n"
    )
    mine = read(project(tmp_path, base=BASE, mine=text), "mine")
    amount = mine.fields["amount"]
    assert (["value"], "0", None) == ([one.text for one in amount.sources], amount.default, amount.to)
    assert mine.stages is not None
    stage = mine.stages.fields["stage"]
    assert (["name"], "unescaped", "steps") == (
        [one.text for one in stage.sources],
        stage.transform.name,
        mine.stages.resource,
    )
    assert ["stage_id", "stage", "position"] == list(mine.stages.fields)


def test_one_file_may_extend_another_that_extends_a_third(tmp_path: Path) -> None:
    """And a project's file may extend the one shipped under its own name."""
    folder = project(
        tmp_path, capsule="extends: capsule\nfields: {name: title}\n", mine="extends: capsule\nfields:\n  url:\n"
    )
    shipped = load_mapping(Path(__file__).parent.parent / "mappings" / "capsule.yaml")
    mine = read(folder, "mine")
    assert set(shipped.fields) - {"url"} == set(mine.fields)
    assert ["title"] == paths(mine)["name"]


def test_the_version_is_of_the_whole(tmp_path: Path) -> None:
    """Stating nothing gives the version of what is extended; an edit there changes the version here."""
    folder = project(
        tmp_path, base=BASE, same="extends: base\nfields:\n", mine="extends: base\nfields: {name: label}\n"
    )
    assert read(folder, "base").version == read(folder, "same").version != read(folder, "mine").version
    before = read(folder, "mine").version
    project(tmp_path, base=BASE.replace("amount: value", "amount: worth"))
    assert before != read(folder, "mine").version


def test_what_is_kept_of_it_says_all_by_itself(tmp_path: Path) -> None:
    """Words as they are written, odd letters, examples: the kept text reads the same without what was extended."""
    own = (
        'extends: base\nfields:\n  owner: {from: "wér", values: {a: [007, "007x", ~, "\\U0001F600\\x85\\"\\\\"]}}\n'
        "  type: {from: t, values: {yes: [], no: 1.50}}\nexamples:\n  - {in: {id: 010, title: x}, out: {name: x}}\n"
    )
    mine = read(project(tmp_path, base=BASE, mine=own), "mine")
    project(tmp_path, copy=mine.whole)
    copy = load_mapping(tmp_path / "mappings" / "copy.yaml")
    assert (mine.version, mine.fields, mine.stages, mine.key) == (copy.version, copy.fields, copy.stages, copy.key)
    assert ("Won", "010") == copy.fields["status"].values["won"]  # type: ignore[index]
    assert mine.examples == copy.examples


def test_a_file_that_extends_nothing_is_kept_as_it_is(tmp_path: Path) -> None:
    """With its comments."""
    text = f"# mine\n{BASE}"
    assert text == read(project(tmp_path, base=text), "base").whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "fields: {name: x}\nextends: nowhere\n",
            "mine.yaml:2:10: extends: there is no mapping called so; looked for beside config.yaml, "
            "then among those that come with a connector",
        ),
        ("extends: [a]\n", "mine.yaml:1:10: extends: is no mapping's name; looked for beside config.yaml, "),
        ("extends: mine\n", "mine.yaml:1:10: extends: there is no mapping called so; looked for beside config.yaml, "),
        ("extends: other\n", "other.yaml:1:10: extends: goes round in a circle: mine.yaml -> other.yaml -> mine.yaml"),
        (
            "extends: base\nfields:\n  amount: {as: day}\n",
            "mine.yaml:3:16: fields.amount.as: 'day' reads DATE, amount is DECIMAL(18,4); fitting: decimal, "
            "product, periods_total",
        ),
        (
            "extends: base\nfields:\n  url:\n",
            "mine.yaml:3:3: fields.url: is to be taken out, and is not in what this file extends",
        ),
        ("extends: base\nfields:\n  nam: x\n", "mine.yaml:3:3: fields.nam: 'nam' is no column to map; did you mean "),
        ("extends: base\nfields: 5\n", "mine.yaml:2:9: fields: must be keys and values"),
        ("extends: odd\n", "odd.yaml:2:16: fields.name: 5 is no path; "),
        ("extends: odd\nfields: {amount: {write: perhaps}}\n", "mine.yaml:2:26: fields.amount.write: is true or false"),
        ("extends: base\nkind: x\n", "mine.yaml:2:1: kind: 'kind' is not known here"),
    ],
)
def test_what_cannot_be_meant_is_told_where_it_stands(tmp_path: Path, text: str, expected: str) -> None:
    """In the file that is wrong: this one, or the one it extends."""
    odd = "key: id\nfields: {name: 5, amount: value}\n"
    folder = project(tmp_path, base=BASE, odd=odd, other="extends: mine\n", mine=text)
    assert any(told.startswith(expected) for told in faults(folder, "mine")), faults(folder, "mine")


def test_what_the_docs_show_can_be_used(tmp_path: Path) -> None:
    """The mapping that extends, and columns of one's own, as they stand in docs/mapping.md."""
    text = (Path(__file__).parent.parent / "docs" / "mapping.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (extending,) = [one for one in blocks if "\nextends: capsule\n" in one]
    (columns,) = [one for one in blocks if one.startswith("columns:")]
    mine = read(project(tmp_path, capsule=extending + columns), "capsule")
    assert ("url" in mine.fields, "0", ["x_arr", "x_renewal", "x_track"]) == (
        False,
        mine.fields["amount"].default,
        list(mine.columns),
    )
