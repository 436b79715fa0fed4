"""`mapping suggest`: lines for what the deals hold and no column reads, which hold what they promise."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onepipe import yamlmarks
from onepipe.sandbox import Sandbox
from onepipe.suggest import Line, Suggestion
from onepipe.warehouse.suggest import Key
from tests.cli.place import Place, connection, write

ROWS = 24
SOURCES = ("Web", "Referral", 'Fair: Bath, "2026" #1')


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A Capsule whose deals have custom fields of every kind, and a Tactile of the later era, synced once."""
    folder = tmp_path_factory.mktemp("suggest")
    with Sandbox(rows=ROWS, seed=7, crms=("capsule", "tactile")) as crms:
        capsule = crms["capsule"]
        for number, key in enumerate(sorted(capsule.rows)):
            capsule.fields[key] = {("", one["label"]): one for one in _fields(number)}
        crms["tactile"].options.use_era("head")
        write(folder, connection(crms, "capsule"), connection(crms, "tactile"))
        place = Place(folder)
        assert 0 == place.run("sync").code
        yield place


def _fields(number: int) -> Iterator[dict[str, Any]]:
    """The custom fields of one deal of Capsule."""
    yield {"label": "Lead Source", "text": SOURCES[number % 3]}
    yield {"label": "Contract #", "text": f"00{number}"}
    yield {"label": "Office", "text": "Bath"}
    yield {"label": "API token", "text": f"t0ken-{number}"}
    if number % 2:
        yield {"label": "ARR", "number": f"{number}.50"}
        yield {"label": "ARR!", "number": str(number)}
        yield {"label": "Start: day", "date": f"2026-01-{number + 1:02}T00:00:00Z"}
        yield {"label": "Signed on", "text": f"2026-02-01T10:{number:02}:00Z"}
        yield {"label": "Löst?", "text": "yes" if number % 4 == 1 else "no"}
    if number == 3:
        yield {"label": "Once", "text": "only here"}


def lines(place: Place, name: str) -> dict[str, dict[str, Any]]:
    """What is proposed for a connection, by where it is read from."""
    return {line["from"]: line for line in place.run("mapping", "suggest", name, "--json").json["lines"]}


def test_each_key_gets_the_type_that_reads_all_its_values(found: Place) -> None:
    """Numbers, days, moments, flags and text, each with a name of its own; 007 is no number."""
    told = lines(found, "capsule")
    expected = {
        "custom.ARR": ("arr", "decimal"),
        "custom.ARR!": ("arr_2", "decimal"),
        "custom.Contract #": ("contract", "text"),
        "custom.Start: day": ("start_day", "day"),
        "custom.Signed on": ("signed_on", "instant"),
        "custom.Löst?": ("lost", "flag"),
    }
    assert expected == {path: (told[path]["name"], told[path]["as"]) for path in expected}
    assert [None] * len(expected) == [told[path]["left_out"] for path in expected]
    assert "arr: {from: custom.ARR, as: decimal}" == told["custom.ARR"]["line"]
    assert (ROWS // 2, ROWS, ROWS // 2) == tuple(told["custom.ARR"][key] for key in ("filled", "deals", "distinct"))


def test_what_is_called_like_an_empty_column_is_proposed_as_that(found: Place) -> None:
    """Capsule has no lead source of its own: the custom field becomes it, and it is said why."""
    line = lines(found, "capsule")["custom.Lead Source"]
    assert ("fields", "lead_source", ROWS) == (line["block"], line["name"], line["filled"])
    assert "lead_source is NULL in all deals" in line["why"]


def test_rare_constant_and_secret_keys_are_left_out_with_the_reason(found: Place) -> None:
    """They stand in the file as comments, and no value of a secret is shown."""
    told = lines(found, "capsule")
    reasons = {"custom.Once": "rare", "custom.Office": "always the same value", "custom.API token": "like a secret"}
    assert [] == [path for path, reason in reasons.items() if reason not in told[path]["left_out"]]
    shown = found.run("mapping", "suggest", "capsule")
    assert (0, False) == (shown.code, "t0ken" in shown.out + shown.err)
    assert '\n  # left out: rare\n  # in 1 of 24 deals (4%), one value: "only here"\n  # once: {' in shown.out


@pytest.mark.parametrize("name", ["capsule", "tactile"])
def test_what_it_wrote_is_applied_and_fills_the_columns_as_promised(found: Place, name: str) -> None:
    """Checked, named in config.yaml, planned and applied, without an edit; then nothing of it is proposed again."""
    told = lines(found, name)
    file = f"mappings/{name}_own.yaml"
    (found.folder / "mappings").mkdir(exist_ok=True)
    wrote = found.run("mapping", "suggest", name, "-o", str(found.folder / file))
    assert (0, True) == (wrote.code, f"`mapping: {file}` below {name}" in wrote.err), wrote.err
    assert 0 == found.run("mapping", "check", str(found.folder / file)).code
    text = found.config.read_text().replace(f'{{"connector": "{name}"', f'{{"mapping": "{file}", "connector": "{name}"')
    found.config.write_text(text)
    assert 0 == found.run("mapping", "apply", name, "--yes").code
    proposed = [line for line in told.values() if not line["left_out"]]
    names = [line["name"] if line["block"] == "fields" else f"x_{line['name']}" for line in proposed]
    counts = ", ".join(f'count("{column}") AS "{column}"' for column in names)
    (row,) = found.run("sql", f"SELECT {counts} FROM deals WHERE connection = '{name}'", "--json").json
    assert {column: line["filled"] for column, line in zip(names, proposed, strict=True)} == row
    assert [{"n": 0}] == found.run("sql", "SELECT count(*) AS n FROM problems", "--json").json
    assert set() == {line["from"] for line in proposed} & set(lines(found, name))


def test_no_file_is_written_over(found: Place) -> None:
    """Exit code 2, and the file is what it was."""
    file = found.folder / "there.yaml"
    file.write_text("key: id\n")
    told = found.run("mapping", "suggest", "tactile", "-o", str(file))
    assert (2, "key: id\n") == (told.code, file.read_text())
    assert "left as it is" in told.err
    assert 2 == found.run("mapping", "suggest", "tactile", "-o", str(found.folder / "there.txt")).code


def test_an_unknown_connection_and_one_never_synced(found: Place) -> None:
    """Exit code 2, and what to do."""
    told = found.run("mapping", "suggest", "capsul")
    assert (2, True) == (told.code, "did you mean 'capsule'?" in told.err)
    later = json.dumps(
        {"connector": "capsule", "base_url": "https://later.capsulecrm.com", "credentials": {"token": "t"}}
    )
    found.config.write_text(f"{found.config.read_text()}  later: {later}\n")
    told = found.run("mapping", "suggest", "later")
    assert (2, True) == (told.code, "`onepipe sync later`" in told.err), told.err


def test_odd_names_stay_valid_yaml(tmp_path: Path) -> None:
    """Whatever a key holds, the path in the file is quoted where it has to be, and remarks are one line."""
    key = Key("custom", ("a: {b}, \u2028'c' \U0001f600",), 3, 3, ('"x\u0085y"',), frozenset(), frozenset(["VARCHAR"]))
    told = Suggestion("acme", 3, "capsule", [Line("columns", "a", "custom." + key.steps[0], "text", key)])
    assert 6 == len(told.file.splitlines()), told.file
    data, _ = yamlmarks.load(_written(tmp_path, told.file))
    assert f"custom.{key.steps[0]}" == data["columns"]["a"]["from"]


def _written(folder: Path, text: str) -> Path:
    path = folder / "odd.yaml"
    path.write_text(text, encoding="utf-8")
    return path
