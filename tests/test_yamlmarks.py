"""YAML with positions: what users wrote stays what they wrote, and every fault has a place."""

from pathlib import Path

import pytest

from onepipe import yamlmarks
from onepipe.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("off", "off"),
        ("12:30", "12:30"),
        ("2026-01-15", "2026-01-15"),
        ("1_000", "1_000"),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("-1.5e3", -1500.0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(tmp_path: Path, text: str, expected: object) -> None:
    """Countries, times and dates stay text; only what YAML 1.2 calls a number, truth or null becomes one."""
    data, _ = yamlmarks.load(written(tmp_path, f"key: {text}\n"))
    assert {"key": expected} == data
    assert type(expected) is type(data["key"])


def test_keys_are_the_text_that_was_written(tmp_path: Path) -> None:
    """A key such as 010, true or NO is a word, not a number or a truth."""
    data, _ = yamlmarks.load(written(tmp_path, "010: a\ntrue: b\nNO: c\n1.0: d\n~: e\n"))
    assert ["010", "true", "NO", "1.0", "~"] == list(data)


def test_values_keep_their_text_and_place(tmp_path: Path) -> None:
    """Whoever needs the digits of an id, or where it stands, can ask."""
    _, marks = yamlmarks.load(written(tmp_path, "a:\n  - {b: 0123}\n"))
    assert "0123" == marks.texts[("a", 0, "b")]
    fault = marks.fault(("a", 0, "b"), "is wrong")
    assert (2, 9, "a[0].b") == (fault.line, fault.column, fault.path)
    assert (2, 6) == (marks.fault(("a", 0, "b"), "is wrong", key=True).line, marks.keys[("a", 0, "b")][1])


def test_a_fault_at_an_absent_place_points_to_the_nearest_one(tmp_path: Path) -> None:
    """A missing key is shown at the key it is missing from."""
    _, marks = yamlmarks.load(written(tmp_path, "x: 1\na:\n  b: 1\n"))
    fault = marks.fault(("a", "missing", "deeper"), "is missing")
    assert (2, 1, "a.missing.deeper") == (fault.line, fault.column, fault.path)
    assert (1, 1) == (marks.fault(("elsewhere",), "is missing").line, marks.fault((), "all").column)


def test_what_yaml_lets_pass_is_a_fault(tmp_path: Path) -> None:
    """Duplicate keys, tags, keys that are no words and endless references are named, all of them."""
    text = "a: 1\na: 2\nb: !secret x\n[c, d]: 3\ne: &loop {f: *loop}\ng: !!int abc\n"
    _, marks = yamlmarks.load(written(tmp_path, text))
    said = [(fault.line, fault.message.partition(";")[0]) for fault in marks.faults]
    assert [
        (2, "the key 'a' stands twice, first in line 1"),
        (3, "the tag '!secret' means nothing here"),
        (4, "a key must be one word or text"),
        (5, "refers to itself without end"),
        (6, "'abc' is no int"),
    ] == said


@pytest.mark.parametrize(
    ("text", "line"), [("a: {b\nc: ]", 2), ("a:\n\tb: 1", 2), ("a: *b", 1), ("a: 1\n---\nb: 2", 2)]
)
def test_what_is_no_yaml_is_refused_with_its_place(tmp_path: Path, text: str, line: int) -> None:
    """A file that cannot be read at all says where reading it stopped."""
    with pytest.raises(ConfigError, match="this is not YAML") as caught:
        yamlmarks.load(written(tmp_path, text))
    assert [line] == [fault.line for fault in caught.value.faults]


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    """No file, a folder, or bytes that are no UTF-8 are the user's mistakes, told as such."""
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    for name, said in [("none.yaml", "There is no file"), (".", "cannot be read"), ("latin.yaml", "cannot be read")]:
        with pytest.raises(ConfigError, match=said):
            yamlmarks.load(tmp_path / name)


def test_an_empty_file_and_a_byte_order_mark_are_harmless(tmp_path: Path) -> None:
    """What some editors leave in a file does not show."""
    assert yamlmarks.load(written(tmp_path, ""))[0] is None
    assert {"a": 1} == yamlmarks.load(written(tmp_path, "\ufeffa: 1\n"))[0]


def test_refusing_names_every_fault_once_in_file_order(tmp_path: Path) -> None:
    """The user sees all mistakes at once, top to bottom."""
    _, marks = yamlmarks.load(written(tmp_path, "a: 1\nb: 2\n"))
    late, early = marks.fault(("b",), "second"), marks.fault(("a",), "first")
    with pytest.raises(ConfigError) as caught:
        yamlmarks.refuse([late, early, late])
    assert (early, late) == caught.value.faults
    assert f"{marks.file}:1:4: a: first\n{marks.file}:2:4: b: second" == caught.value.message
    yamlmarks.refuse([])


def test_the_nearest_known_word_is_meant() -> None:
    """A slip of the keyboard is answered with the word; anything else with all of them."""
    assert "did you mean 'schedule'?" == yamlmarks.did_you_mean("shedule", ["sweep", "schedule"])
    assert "did you mean 'Acme'?" == yamlmarks.did_you_mean("acme", ["Acme", "Globex"])
    assert "known: a, b" == yamlmarks.did_you_mean("zzz", ["a", "b"])
