"""`connections_from:` in config.yaml: one entry and a list are many connections, and every mistake has its line."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from onepipe import config
from onepipe.config import Config, Connection, Fleet
from onepipe.errors import ConfigError

ENTRY = """\
connections_from:
  - name: agency-{account}
    file: accounts.csv
    connector: onautomate
    base_url: https://{host}/v1
    credentials: {api_key: "${TOKEN_{account}}"}
    labels: {client: "{client}"}
    schedule: "{every}"
    currency: "{currency}"
"""
HEAD = "account,host,client,every,currency\n"
GOOD = 'a-1,one.example,Acme Ltd,10m,gbp\nb2,two.example,"Big, Co",,\n'
TOKENS = {"TOKEN_A_1": "s1", "TOKEN_B2": "s2", "TOKEN_C3": "s3"}


def load(folder: Path, rows: str | None = GOOD, text: str = ENTRY, head: str = HEAD, **how: Any) -> Config:
    if rows is not None:
        (folder / "accounts.csv").write_text(head + rows, encoding="utf-8")
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    return config.load(folder / "config.yaml", how.pop("environ", TOKENS), **how)


def faults(folder: Path, rows: str | None = GOOD, text: str = ENTRY, **how: Any) -> list[str]:
    """What is wrong, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(folder, rows, text, **how)
    return [str(fault).replace(f"{folder}/", "") for fault in caught.value.faults]


def lasting(folder: Path, *command: str) -> str:
    """An entry whose list a program prints."""
    words = json.dumps([sys.executable, "-c", *command])
    return ENTRY.replace("file: accounts.csv", f"command: {words}")


def test_every_row_becomes_a_connection_like_any_other(tmp_path: Path) -> None:
    """Columns fill in texts, then the environment; an empty cell leaves a key to its default."""
    text = "connections:\n  own: {connector: capsule, enabled: false}\n" + ENTRY
    made = load(tmp_path, text=text)
    assert ["own", "agency-a-1", "agency-b2"] == list(made.connections)
    one, two = made.connections["agency-a-1"], made.connections["agency-b2"]
    assert ("agency-a-1", "https://one.example/v1", {"api_key": "s1"}, {"client": "Acme Ltd"}, "GBP") == (
        *(one.name, one.base_url, one.plain_credentials(), one.labels, one.currency),
    )
    assert ("10m", "15m", None, "Big, Co") == (
        *(str(one.schedule), str(two.schedule), two.currency, two.labels["client"]),
    )
    assert ("connections_from[0]", "", None, ()) == (one.entry, made.connections["own"].entry, one.fault, made.notices)
    assert ["agency-b2"] == [found.name for found in made.select(["label:client=Big*"])]
    assert ["agency-a-1", "agency-b2"] == [found.name for found in made.select(["agency-*"])]


def test_credentials_come_from_a_column_or_from_files_by_column(tmp_path: Path) -> None:
    """A token may stand in the list, or in a file named by a column."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "a-1").write_text("from a file\n")
    text = ENTRY.replace("${TOKEN_{account}}", "${file:secrets/{account}}")
    assert {"api_key": "from a file"} == load(tmp_path, GOOD[:33], text).connections["agency-a-1"].plain_credentials()
    text = ENTRY.replace("${TOKEN_{account}}", "{client}")
    made = load(tmp_path, "x,h,0123,,\n", text).connections["agency-x"]
    assert ({"api_key": "0123"}, ("0123",)) == (made.plain_credentials(), made.secrets)
    assert "0123" not in repr(made.credentials)


def test_a_single_entry_needs_no_list_and_a_name_can_be_left_out(tmp_path: Path) -> None:
    """Then connections are named after the connector and the first column."""
    text = "connections_from:\n  connector: capsule\n  file: accounts.csv\n  credentials: {token: x}\n"
    assert ["capsule-a-1", "capsule-b2"] == list(load(tmp_path, text=text).connections)
    found = faults(tmp_path, text=text.replace("file:", "fil:"))
    assert "config.yaml:3:3: connections_from[0].fil: unknown key 'fil'; did you mean 'file'?" in found


@pytest.mark.parametrize(
    "written",
    [
        "\ufeff" + HEAD.replace(",", ";") + "a-1;one.example;Acme;;\r\n\r\nb2;two.example;B;;\r\n",
        HEAD.replace(",", "\t") + "a-1\tone.example\tAcme\nb2\ttwo.example\tB\n",
        '{"account": "a-1", "host": "one.example", "client": null, "every": null, "currency": null}\n\n'
        '{"account": "b2", "host": "two.example", "n": 1}\n',
    ],
)
def test_lists_are_read_as_spreadsheets_and_programs_write_them(tmp_path: Path, written: str) -> None:
    """CSV with any of three delimiters, a byte order mark and blank lines; JSON lines."""
    (tmp_path / "accounts.csv").write_text(written, encoding="utf-8")
    assert ["agency-a-1", "agency-b2"] == list(load(tmp_path, None).connections)


def test_a_line_of_json_ends_where_its_line_does(tmp_path: Path) -> None:
    """Other characters that part lines in Unicode may stand in a text as they are; lines may end as on Windows."""
    line = '{"account":"a-1","host":"one.example","client":"Acme\u2028Ltd\u0085","every":"","currency":""}'
    made = load(tmp_path, f"{line}\r\n\r\n{line.replace('a-1', 'b2')}\r\n", head="")
    assert ["Acme\u2028Ltd"] * 2 == [one.labels["client"] for one in made.connections.values()]


def test_every_mistake_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    """Of the entry once, with its place in config.yaml; of the list with line and column."""
    rows = (
        "a-1,one.example,,,\nc 3,x.example,,,\na-1,dup.example,,,\nown,x.example,,,\n,x.example,,,\n"
        "b2,,,soon,\nc3,x/../y,,,POUND\nd4,x.example,,,\n"
    )
    text = "connections:\n  agency-own: {connector: x}\n" + ENTRY + "    shedule: 15m\n    sweep: often\n"
    assert [
        "accounts.csv:3: account: 'agency-c 3' cannot be used: a connection's name is made of letters, digits and "
        "_ - . and begins with none of - and .",
        "accounts.csv:4: account: the name 'agency-a-1' stands twice, first in line 2",
        "accounts.csv:5: account: the name 'agency-own' stands under `connections:` in config.yaml, too",
        "accounts.csv:6: account: is empty, and the name needs it",
        "accounts.csv:7: agency-b2.schedule: 'soon' is no duration: write a number and s, m, h or d, such as 15m",
        "accounts.csv:7: host: is empty, and base_url needs it",
        "accounts.csv:8: agency-c3.currency: 'POUND' is no currency: write its three letters, such as GBP",
        "accounts.csv:8: host: may hold letters, digits and . _ ~ - only, as a part of an address",
        "accounts.csv:9: agency-d4.credentials.api_key: ${TOKEN_D4}: TOKEN_D4 is not set; set it in the environment or "
        "in a .env beside this file",
        "config.yaml:12:5: connections_from[0].shedule: unknown key 'shedule'; did you mean 'schedule'?",
        "config.yaml:13:12: connections_from[0].sweep: 'often' is no duration: write a number and s, m, h or d, such "
        "as 15m",
    ] == faults(tmp_path, rows, text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("file: accounts.csv", "file: none.csv"),
            "config.yaml:3:11: connections_from[0].file: there is no file none.csv",
        ),
        (("    file: accounts.csv\n", ""), "config.yaml:2:5: connections_from[0]: needs either a file or a command"),
        (
            ("{client}", "{cliant}"),
            "config.yaml:7:22: connections_from[0].labels.client: the list has no column 'cliant'",
        ),
        (
            ("agency-{account}", "x-{acount}"),
            "config.yaml:2:11: connections_from[0].name: the list has no column 'acount'",
        ),
        (
            ("${TOKEN_{account}}", "${TOKEN}"),
            "config.yaml:6:28: connections_from[0].credentials.api_key: ${TOKEN}: TOKEN",
        ),
        (("connector: onautomate", "enabled: perhaps"), "config.yaml:2:5: connections_from[0].connector: is missing"),
    ],
)
def test_a_mistake_of_the_entry_is_told_once(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    """Not once for each account."""
    found = [fault for fault in faults(tmp_path, text=ENTRY.replace(*change)) if fault.startswith(said)]
    assert 1 == len(found), found


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (HEAD.replace("client", "host") + GOOD, "accounts.csv:1: (headings): the column 'host' stands twice"),
        (HEAD + "a-1,h,c,,,more\n", "accounts.csv:2: (line): has 1 more cells than there are headings"),
        (HEAD + 'a-1,"h,c\n', "accounts.csv:1: (file): is no CSV: unexpected end of data"),
        (
            '{"account": "s3cret"]\n',
            "accounts.csv:1: (line): is no JSON object of texts, numbers, true, false and null",
        ),
        (
            '{"account": ["s3cret"]}\n',
            "accounts.csv:1: (line): is no JSON object of texts, numbers, true, false and null",
        ),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path, written: str, said: str) -> None:
    """With its line, and without showing what stands there."""
    (tmp_path / "accounts.csv").write_text(written)
    found = faults(tmp_path, None)
    assert said in found
    assert not any("s3cret" in fault for fault in found)


def test_what_is_wrong_with_a_row_alone_makes_one_connection_that_cannot_run(tmp_path: Path) -> None:
    """The others are whole; the one says which line is wrong, and holds no half-made address."""
    made = load(tmp_path, "a-1,one.example,,,\nb2,http://x,,,\nc9,c.example,,,\n")
    assert [None, True, True] == [one.fault and one.fault.kind == "config" for one in made.connections.values()]
    assert None is made.connections["agency-b2"].base_url
    assert "accounts.csv:4: agency-c9.credentials.api_key: ${TOKEN_C9}" in str(made.connections["agency-c9"].fault)


def test_cells_are_never_placeholders(tmp_path: Path) -> None:
    """A list that somebody else writes reads neither our environment nor our files."""
    rows = "a-1,one.example,${TOKEN_B2} $${x} ${file:config.yaml},,\n"
    assert "${TOKEN_B2} $${x} ${file:config.yaml}" == load(tmp_path, rows).connections["agency-a-1"].labels["client"]
    text = ENTRY.replace("agency-{account}", "x-{client}").replace("${TOKEN_{account}}", "${file:secrets/{account}}")
    for cell in ("../accounts.csv", "/etc/passwd", "$TOKEN_B2", ".hidden"):
        made = load(tmp_path, f"{cell},one.example,one,,\n", text)
        assert "cannot be a part of a file's name" in str(made.connections["x-one"].fault)


def test_two_cells_make_no_placeholder_together(tmp_path: Path) -> None:
    """Side by side they stay what they are; one that would spoil the placeholder behind it is a mistake of its row."""
    text = ENTRY.replace('"{client}"', '"{client}{currency}"').replace('    currency: "{currency}"\n', "")
    made = load(tmp_path, "a-1,one.example,$,,{TOKEN_B2}\n", text)
    assert "${TOKEN_B2}" == made.connections["agency-a-1"].labels["client"]
    text = ENTRY.replace('"${TOKEN_{account}}"', '"{client}${TOKEN_{account}}"')
    made = load(tmp_path, "a-1,one.example,pre-,,\nb2,two.example,pre$,,\n", text)
    assert {"api_key": "pre-s1"} == made.connections["agency-a-1"].plain_credentials()
    assert "client: may not end in $" in str(made.connections["agency-b2"].fault)


def test_two_entries_cannot_make_the_same_name(tmp_path: Path) -> None:
    """The second one is refused with its line."""
    text = ENTRY + ENTRY.partition("\n")[2]
    found = faults(tmp_path, text=text)
    assert (
        "accounts.csv:2: account: the name 'agency-a-1' is made by another entry of connections_from, too" == found[0]
    )


def test_a_program_prints_the_list_and_its_last_answer_outlives_its_failures(tmp_path: Path) -> None:
    """It is asked again when its answer is older than `every`; what it printed is kept for its owner alone."""
    (tmp_path / "said.txt").write_text(HEAD + GOOD)
    text = lasting(tmp_path, "import sys; print(open('said.txt').read(), end='')")
    both = ["agency-a-1", "agency-b2"]
    assert both == list(load(tmp_path, None, text).connections)
    (kept,) = (tmp_path / ".onepipe" / "lists").iterdir()
    assert 0o700 == (tmp_path / ".onepipe").stat().st_mode & 0o777
    assert (HEAD + GOOD, 0o600, 0o700) == (
        kept.read_text(),
        kept.stat().st_mode & 0o777,
        kept.parent.stat().st_mode & 0o777,
    )
    (tmp_path / "said.txt").write_text(HEAD + GOOD + "c3,h,,,\n")
    assert both == list(load(tmp_path, None, text).connections), "its answer is not ten minutes old"
    os.utime(kept, (1, 1))
    assert [*both, "agency-c3"] == list(load(tmp_path, None, text).connections)
    (tmp_path / "said.txt").unlink()
    os.utime(kept, (1, 1))
    made = load(tmp_path, None, text)
    assert [*both, "agency-c3"] == list(made.connections)
    assert re.match(r"`python[^`]*` ended with 1: Traceback .*; the list of accounts is used as", made.notices[0])


def test_a_program_that_never_answered_is_a_mistake(tmp_path: Path) -> None:
    """Its exit code and the first line of what it said are told, and where it stands in config.yaml."""
    (found,) = faults(tmp_path, None, lasting(tmp_path, "import sys; sys.exit('no such fleet')"))
    assert re.match(
        r"config.yaml:3:14: connections_from\[0\].command: `python[^`]*` ended with 1: no such fleet$", found
    )
    (found,) = faults(tmp_path, None, ENTRY.replace("file: accounts.csv", "command: [./not-there]"))
    assert found.endswith("`not-there` cannot be started: No such file or directory")


def test_a_text_as_a_command_is_for_the_shell(tmp_path: Path) -> None:
    """As with commands elsewhere in config.yaml."""
    (tmp_path / "list.csv").write_text(HEAD + GOOD)
    text = ENTRY.replace("file: accounts.csv", "command: cat list.csv | head -2")
    assert ["agency-a-1"] == list(load(tmp_path, None, text).connections)


def test_a_list_that_lost_most_of_its_accounts_is_not_believed(tmp_path: Path) -> None:
    """Half may go at once; more, or all, only if somebody says so: a truncated export must not retire a fleet."""
    rows = [f"n{number},h.example,,,\n" for number in range(8)]
    environ = {f"TOKEN_N{number}": "x" for number in range(8)}

    def count(number: int, **how: Any) -> tuple[int, int]:
        made = load(tmp_path, "".join(rows[:number]), environ=environ, **how)
        return len(made.connections), len(made.notices)

    assert [(8, 0), (4, 0), (4, 1), (4, 1)] == [count(number) for number in (8, 4, 1, 0)]
    assert "and named 4 before, of which 4 are gone" in load(tmp_path, "", environ=environ).notices[0]
    assert (1, 0) == count(1, believing=True)
    assert [(1, 0), (8, 0)] == [count(number) for number in (1, 8)]
    assert (1, 0) == count(1, text=ENTRY + "    shrink: allow\n")


def test_a_new_list_may_be_empty(tmp_path: Path) -> None:
    """There is nothing to hold it against; it is told all the same."""
    made = load(tmp_path, "")
    assert ({}, True) == (made.connections, made.notices[0].endswith("accounts.csv names no account"))


def test_a_renewed_list_that_is_wrong_in_places_stops_nobody(tmp_path: Path) -> None:
    """Rows that can make no connection are left out and told; a list that cannot be read stays what it was."""
    made = load(tmp_path, GOOD + "c 3,x,,,\nb2,x,,,\nd4,h,c,,,more\n", renewing=True)
    assert ["agency-a-1", "agency-b2"] == list(made.connections)
    ends = ("this line is passed over", "this account is left out", "this account is left out")
    assert [True] * 3 == [text.endswith(end) for text, end in zip(made.notices, ends, strict=True)]
    load(tmp_path)
    (tmp_path / "accounts.csv").write_text("name,host\nx,y\n")
    made = load(tmp_path, None, renewing=True)
    assert ["agency-a-1", "agency-b2"] == list(made.connections)
    assert made.notices[0].endswith("; the list of accounts is used as it was last read")
    (tmp_path / "accounts.csv").unlink()
    assert ["agency-a-1", "agency-b2"] == list(load(tmp_path, None, renewing=True).connections)


def test_a_config_knows_when_its_lists_may_say_something_else(tmp_path: Path) -> None:
    """A file when it changed, a program after a while; a copy that another process took over counts, too."""
    made = load(tmp_path)
    assert False is made.outdated(made._looked[0].at + 1e6)
    (tmp_path / "accounts.csv").write_text(HEAD + GOOD + "c3,h,,,\n")
    assert made.outdated(made._looked[0].at)
    made = load(tmp_path, None, lasting(tmp_path, f"print({HEAD + GOOD!r})"))
    at = made._looked[0].at
    assert [False, True] == [made.outdated(at + 599), made.outdated(at + 601)]
    assert False is config.load(_written(tmp_path, "connections: {}\n"), {}).outdated(at + 1e6)


def _written(folder: Path, text: str) -> Path:
    (folder / "config.yaml").write_text(text)
    return folder / "config.yaml"


def test_names_are_completed_without_asking_a_program(tmp_path: Path) -> None:
    """From the file, or from the last good copy of what a program printed."""
    load(tmp_path)
    assert ["agency-a-1", "agency-b2"] == config.names(tmp_path / "config.yaml")


def test_an_entry_has_every_key_of_a_connection() -> None:
    """Whatever can be said of one account can be said of all."""
    assert set(Connection.model_fields) <= set(Fleet.model_fields)
    properties = config.schema()["$defs"]["Fleet"]["properties"]
    assert all(one["description"] for one in properties.values())
    assert {"$ref": "#/$defs/Fleet"} in config.schema()["properties"]["connections_from"]["anyOf"]
