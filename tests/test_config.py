"""config.yaml: read whole, every mistake named at its place, no secret ever shown."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from apscheduler.triggers.cron import CronTrigger

from onepipe import config
from onepipe.config import Config, notation
from onepipe.errors import ConfigError
from onepipe.sandbox import CRMS, Sandbox

TOP = Path(__file__).parent.parent / "config.yaml"

WHOLE = """\
warehouse: out/deals.duckdb
state: /var/lib/onepipe
timezone: Europe/London
reporting: {currency: gbp, rates: rates.csv}
daemon: {listen: "[::1]:9464"}
connections:
  acme:
    connector: capsule
    base_url: https://Acme.capsulecrm.com/some/path/
    credentials: {token: "${ACME_TOKEN}"}
    labels: {client: Acme, region: NO, code: 007}
    enabled: true
    mapping: mappings/mine.yaml
    schedule: 0 6 * * 1-5
    sweep: 12h
    overlap: 5m
    currency: GBP
    settings: {details: false}
    write:
      mode: on
      conflict: remote_wins
      fields: {amount: {conflict: ask}, owner: {write: false}, custom.ARR: {write: false}}
      limits: {max_rows: 10, canary: 1}
  old:
    connector: tactile
    enabled: no
    credentials: {api_token: "${LONG_GONE}"}
"""


def load(folder: Path, text: str, environ: dict[str, str] | None = None, **options: Any) -> Config:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return config.load(path, environ or {}, **options)


def faults(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """What is wrong, as `line:column: path: message`."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, environ)
    assert caught.value.message.splitlines() == [str(fault) for fault in caught.value.faults]
    return [str(fault).removeprefix(f"{folder}/").removeprefix("config.yaml:") for fault in caught.value.faults]


def one(key: str, value: str) -> str:
    return f"connections:\n  acme:\n    connector: capsule\n    {key}: {value}\n"


def test_every_key_is_read(tmp_path: Path) -> None:
    """Every key of the contract arrives in its own type, paths beside the file."""
    cfg = load(tmp_path, WHOLE, {"ACME_TOKEN": "s3cret"})
    acme = cfg.connections["acme"]
    assert (tmp_path / "out/deals.duckdb", Path("/var/lib/onepipe")) == (cfg.warehouse, cfg.state)
    assert ("Europe/London", tmp_path, tmp_path / "config.yaml") == (cfg.timezone, cfg.folder, cfg.file)
    assert cfg.reporting and ("GBP", tmp_path / "rates.csv") == (cfg.reporting.currency, cfg.reporting.rates)
    assert cfg.daemon.listen and ("::1", 9464) == (cfg.daemon.listen.host, cfg.daemon.listen.port)
    assert ("acme", "capsule", "https://acme.capsulecrm.com/some/path") == (acme.name, acme.connector, acme.base_url)
    assert {"token": "s3cret"} == acme.plain_credentials()
    assert {"client": "Acme", "region": "NO", "code": "007"} == acme.labels
    assert (tmp_path / "mappings/mine.yaml", {"details": False}) == (acme.mapping, acme.settings)
    assert (None, "0 6 * * mon,tue,wed,thu,fri") == (acme.schedule.every, acme.schedule.cron)
    assert (timedelta(hours=12), timedelta(minutes=5), "GBP") == (acme.sweep, acme.overlap, acme.currency)
    assert ("on", 10, 0, 1) == (acme.write.mode, *acme.write.limits.model_dump().values())
    assert ("ask", "remote_wins") == (acme.write.policy("amount"), acme.write.policy("owner"))
    assert (True, False, False) == tuple(acme.write.allows(name) for name in ("amount", "owner", "custom.ARR"))


def test_every_key_but_the_connector_may_be_left_out(tmp_path: Path) -> None:
    """The smallest file works; an empty key is as if it were not there."""
    cfg = load(tmp_path, "state:\nconnections:\n  acme:\n    connector: capsule\n    labels:\n    write:\n")
    acme = cfg.connections["acme"]
    assert (tmp_path / "warehouse.duckdb", tmp_path / ".onepipe", "UTC") == (cfg.warehouse, cfg.state, cfg.timezone)
    assert (None, None) == (cfg.reporting, cfg.daemon.listen)
    assert (True, None, None, {}, {}) == (acme.enabled, acme.base_url, acme.mapping, acme.labels, acme.settings)
    assert (timedelta(minutes=15), timedelta(hours=24)) == (acme.schedule.every, acme.sweep)
    assert (timedelta(minutes=2), "off", "ask") == (acme.overlap, acme.write.mode, acme.write.conflict)
    assert {} == load(tmp_path, "").connections == load(tmp_path, "connections:\n").connections


def test_all_mistakes_are_named_at_once_at_their_places(tmp_path: Path) -> None:
    """One run of the command is enough to learn everything that is wrong, from syntax habits to missing secrets."""
    text = """\
timezone: Europe/Londn
daemon: {listen: 9464}
reporting: {rates: r.csv}
connections:
  acme:
    connector: capsule
    shedule: 15m
    schedule: 15
    credentials: {token: "${ACME_TOKEN}"}
    enabled: maybe
    currency: POUND
    write: {mode: of, fields: {amont: {conflict: ask}}, limits: {max_rows: -1, canary: 1.5}}
  acme: {}
  bad name: {connector: tactile}
  empty:
  other:
    connector: 7
    credentials: oops
    write: off
    settings: [a]
"""
    assert [
        "1:11: timezone: 'Europe/Londn' is no time zone; did you mean 'Europe/London'?",
        "2:18: daemon.listen: 9464 is no address to listen on: write host:port, such as 127.0.0.1:9464",
        "3:1: reporting.currency: is missing: The currency amounts are reported in",
        "7:5: connections.acme.shedule: unknown key 'shedule'; did you mean 'schedule'?",
        "8:15: connections.acme.schedule: 15 is no duration: write a number and s, m, h or d, such as 15m",
        "9:26: connections.acme.credentials.token: ${ACME_TOKEN}: ACME_TOKEN is not set; set it in the environment or "
        "in a .env beside this file",
        "10:14: connections.acme.enabled: must be true or false",
        "11:15: connections.acme.currency: 'POUND' is no currency: write its three letters, such as GBP",
        "12:19: connections.acme.write.mode: 'of' is not one of 'off', 'plan' or 'on'",
        "12:32: connections.acme.write.fields.amont: no field is called 'amont'; did you mean 'amount'? "
        "(also custom.KEY and extra.NAME)",
        "12:76: connections.acme.write.limits.max_rows: must be 0 or more",
        "12:88: connections.acme.write.limits.canary: must be a whole number",
        "13:3: connections.acme: the key 'acme' stands twice, first in line 5; keep one",
        "14:3: connections.bad name: a connection's name is made of letters, digits and _ - . and begins with none of "
        "- and .",
        "15:3: connections.empty.connector: is missing: Which CRM: the name of a file in connectors/, without .py",
        "17:16: connections.other.connector: must be text",
        "18:18: connections.other.credentials: needs keys of its own, indented below it",
        "19:12: connections.other.write: needs keys of its own, indented below it: mode, conflict, fields, limits",
        "20:15: connections.other.settings: needs keys of its own, indented below it",
    ] == faults(tmp_path, text)


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    """A list, or a bare word, is no configuration."""
    known = "warehouse, state, timezone, reporting, publish, daemon, connections, connections_from"
    expected = f"needs keys of its own, indented below it: {known}"
    assert [f"1:1: (file): {expected}"] == faults(tmp_path, "- a\n- b\n")
    assert ["1:14: connections: needs keys of its own, indented below it"] == faults(tmp_path, "connections: 3\n")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        ("https://api.example.com:8443", "https://api.example.com:8443"),
        ("http://localhost:8800/capsule", "http://localhost:8800/capsule"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
    ],
)
def test_addresses_are_https_or_this_machine(url: str, expected: str) -> None:
    """A path and a port are allowed; unencrypted only where nothing leaves the machine."""
    assert expected == notation.base_url(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://api.example.com", "would send the credentials unencrypted: write https://api.example.com"),
        ("http://localhost.example.com", "unencrypted"),
        ("http://127.0.0.1.example.com", "unencrypted"),
        ("https://me:pass@api.example.com", "holds a user name or password"),
        ("http://localhost@evil.example.com", "holds a user name or password"),
        ("https://api.example.com?x=1", r"holds a \? or #"),
        ("https://api.example.com/#", r"holds a \? or #"),
        ("https://api.example.com?", r"holds a \? or #"),
        ("api.example.com", "is no address"),
        ("ftp://api.example.com", "is no address"),
        ("https://", "is no address"),
        ("https://a b", "is no address"),
        ("https://a\\b", "is no address"),
        ("https://api.example.com:99999", "(?i)port"),
    ],
)
def test_other_addresses_are_refused_without_repeating_a_password(tmp_path: Path, url: str, said: str) -> None:
    """The message says what to write, and never shows what may be a secret."""
    found = faults(tmp_path, one("base_url", json.dumps(url)))
    assert 1 == len(found)
    assert found[0].startswith("4:15: connections.acme.base_url: ")
    assert re.search(said, found[0])
    assert "pass@" not in found[0]


@pytest.mark.parametrize(
    ("text", "cron"),
    [
        ("0 3 * * 0", "0 3 * * sun"),
        ("0 3 * * 7", "0 3 * * sun"),
        ("*/10 8-18 * * MON-Fri", "*/10 8-18 * * mon,tue,wed,thu,fri"),
        ("0 0 * * 5-7", "0 0 * * sun,fri,sat"),
        ("0 0 1,15 jan-jun *", "0 0 1,15 jan-jun *"),
        ("0 0 * * */2", "0 0 * * sun,tue,thu,sat"),
    ],
)
def test_weekdays_of_cron_are_named(text: str, cron: str) -> None:
    """Sunday is 0 and 7 in cron and 6 elsewhere; a name is the same everywhere."""
    assert cron == notation.schedule(text).cron


@pytest.mark.parametrize(("text", "day"), [("0 3 * * 0", 6), ("0 3 * * 7", 6), ("0 3 * * 1", 0), ("0 3 * * sat", 5)])
def test_the_scheduler_runs_on_the_day_that_cron_means(text: str, day: int) -> None:
    """Sunday is 6 in Python; left alone, APScheduler would take the 0 that cron means it by for Monday."""
    trigger = CronTrigger.from_crontab(notation.schedule(text).cron, timezone=UTC)
    assert day == trigger.get_next_fire_time(None, datetime(2026, 1, 1, tzinfo=UTC)).weekday()


@pytest.mark.parametrize(
    "text",
    [
        *["0 3 * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "@hourly"],
        *["*/0 * * * *", "3/5 * * * *", "x * * * *", "* * * * mo", "0 0 1 * mon", "0s", "1w", "15", "-5m", "1.5h", ""],
    ],
)
def test_schedules_that_cannot_be_kept_are_refused(text: str) -> None:
    """A schedule is five valid fields, one of the two for days left open, or an interval of at least a second."""
    with pytest.raises(ValueError, match=r"schedule|cron|duration"):
        notation.schedule(text)


@pytest.mark.parametrize("text", ["9464", ":9464", "127.0.0.1:70000", "::1:80", "a b:1", "host"])
def test_listening_needs_host_and_port(text: str) -> None:
    """An address to listen on that leaves something open is refused."""
    with pytest.raises(ValueError, match="no address to listen on"):
        notation.address(text)
    assert "127.0.0.1:0" == str(notation.address("127.0.0.1:0"))


@pytest.mark.parametrize("name", ["Europe", "Europe/Londn", "../etc/passwd", "", "GMT+99"])
def test_unknown_zones_are_refused(name: str) -> None:
    """Only zones of the tz database are zones."""
    with pytest.raises(ValueError, match="is no time zone"):
        notation.timezone(name)


def test_values_come_from_the_environment_then_from_dotenv_then_from_files(tmp_path: Path) -> None:
    """The environment wins over .env; quotes, export, comments and YAML's own characters do no harm."""
    (tmp_path / "token.txt").write_text("from: a file # all\n")
    (tmp_path / ".env").write_text(
        "# comment\n\nBOTH=no\nexport PLAIN=plain # comment\nHASH=#a#b\nEMPTY= # nothing\n"
        'SINGLE=\'a "b" $c\'\nDOUBLE="x \\"y\\" \\n z"  # comment\nSPACED = a b \n'
    )
    names = ["BOTH", "PLAIN", "HASH", "SINGLE", "DOUBLE", "SPACED", "file:token.txt", " file: token.txt "]
    lines = "".join(f"      k{n}: '${{{name}}}'\n" for n, name in enumerate(names))
    lines += "      mixed: '<${PLAIN}>$${PLAIN}$PLAIN'\n      empty: '${EMPTY}'\n"
    text = one("settings", "{}") + "    labels:\n" + lines
    labels = load(tmp_path, text, {"BOTH": "yes: # {"}).connections["acme"].labels
    expected = [
        "yes: # {",
        "plain",
        "#a#b",
        'a "b" $c',
        'x "y" \n z',
        "a b",
        "from: a file # all",
        "from: a file # all",
    ]
    assert [*expected, "<plain>${PLAIN}$PLAIN", ""] == list(labels.values())


def test_a_value_that_cannot_be_had_names_file_line_and_key(tmp_path: Path) -> None:
    """Missing variables and files, and lines of .env that are no assignment, are told without showing what is there."""
    (tmp_path / ".env").write_text("GOOD=1\nsecret without equals\nBAD='half\n")
    text = one("credentials", "{token: '${MISSING}', b: '${file:none.txt}', c: '${a-b}', d: '${file:.}', e: '${GOOD}'}")
    found = faults(tmp_path, text)
    assert [
        "4:26: connections.acme.credentials.token: ${MISSING}: MISSING is not set; set it in the environment or in the "
        ".env beside this file",
        f"4:43: connections.acme.credentials.b: ${{file:none.txt}}: there is no file {tmp_path}/none.txt",
    ] == found[2:4]
    assert "write ${NAME} for an environment variable" in found[4]
    assert "cannot be read (IsADirectoryError)" in found[5]
    assert [".env:2:1", ".env:3:1"] == [fault.partition(": ")[0] for fault in found[:2]]
    assert not any("secret" in fault or "half" in fault for fault in found)


def test_the_path_of_a_file_may_begin_with_a_variable(tmp_path: Path) -> None:
    """What systemd hands to a service lies in a folder that only a variable names; .env may name it for other uses."""
    folder = tmp_path / "handed over"
    folder.mkdir()
    (folder / "acme").write_text("s3cret\n")
    text = one("credentials", "{token: '${file:$CREDENTIALS_DIRECTORY/acme}'}")
    given = load(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(folder)})
    (tmp_path / ".env").write_text('CREDENTIALS_DIRECTORY="handed over"\n')
    beside = load(tmp_path, text)
    assert "s3cret" == given.connections["acme"].plain_credentials()["token"]
    assert "s3cret" == beside.connections["acme"].plain_credentials()["token"]


def test_a_path_with_a_variable_that_is_not_set_names_the_variable(tmp_path: Path) -> None:
    """Whoever types a command outside of the service learns what it has and they have not."""
    (fault,) = faults(tmp_path, one("credentials", "{token: '${file:$CREDENTIALS_DIRECTORY/acme}'}"))
    assert (
        "4:26: connections.acme.credentials.token: ${file:$CREDENTIALS_DIRECTORY/acme}: CREDENTIALS_DIRECTORY is not "
        "set; set it in the environment or in a .env beside this file"
    ) == fault


def test_empty_credentials_are_faults(tmp_path: Path) -> None:
    """An empty secret is a forgotten one, wherever it came from."""
    found = faults(tmp_path, one("credentials", "{a: '', b: , c: '${EMPTY}', d: [x]}"), {"EMPTY": ""})
    assert ["a: is empty", "b: is empty", "c: is empty", "d: must be text"] == [
        f.partition("credentials.")[2] for f in found
    ]


def test_credentials_are_the_text_that_was_written(tmp_path: Path) -> None:
    """A password of digits keeps its zeros."""
    acme = load(tmp_path, one("credentials", "{token: 0123, key: true}")).connections["acme"]
    assert {"token": "0123", "key": "true"} == acme.plain_credentials()


def test_no_secret_shows_in_any_form_of_the_config(tmp_path: Path) -> None:
    """Neither printing nor dumping a config shows a credential."""
    cfg = load(tmp_path, WHOLE, {"ACME_TOKEN": "s3cret"})
    assert "s3cret" not in repr(cfg) + str(cfg) + cfg.model_dump_json(
        exclude={"connections": {"__all__": {"schedule"}}}
    )
    assert ("s3cret",) == cfg.connections["acme"].secrets


def test_user_names_are_no_secrets(tmp_path: Path) -> None:
    """Hiding a common word such as admin everywhere would make logs unreadable."""
    acme = load(tmp_path, one("credentials", "{username: admin, password: hidden}")).connections["acme"]
    assert ("hidden",) == acme.secrets


def test_commands_that_ask_no_crm_need_no_credentials(tmp_path: Path) -> None:
    """`onepipe sql` works where the tokens are not; a disabled connection needs none either."""
    cfg = load(tmp_path, WHOLE, credentials=False)
    assert {"token": "${ACME_TOKEN}"} == cfg.connections["acme"].plain_credentials()
    found = faults(tmp_path, WHOLE)
    assert ["connections.acme.credentials.token"] == [fault.split(": ")[1] for fault in found]


def test_whoever_tells_nobody_needs_no_webhook(tmp_path: Path) -> None:
    """Its address may be a secret: without credentials it stays as it is written; otherwise it must be known."""
    text = "daemon: {on_event: {failed: {webhook: '${HOOK}'}, stale: {command: ['say', '${WORD}']}}}\n"
    told = load(tmp_path, text, credentials=False).daemon
    assert ("${HOOK}", ("say", "${WORD}")) == (told.told_of("failed")[0].webhook, told.told_of("stale")[0].command)
    assert ["daemon.on_event.failed.webhook", "daemon.on_event.stale.command[1]"] == [
        fault.split(": ")[1] for fault in faults(tmp_path, text)
    ]


def test_where_things_lie_is_read_without_anything_else(tmp_path: Path) -> None:
    """A restore needs no more: no secret, no list of accounts, and no connection without a mistake."""
    file = tmp_path / "config.yaml"
    file.write_text("state: ${S}\npublish: {raw: no}\nconnections_from: {file: none.csv}\nconnections: {a: '${X}'}\n")
    found = config.places(file, {"S": "here"})
    assert (tmp_path / "here", ("raw",), {}) == (found.state, found.publish.left_out, found.connections)
    with pytest.raises(ConfigError, match="S is not set"):
        config.places(file, {})


def test_a_fault_found_later_has_a_place_too(tmp_path: Path) -> None:
    """Whoever knows the connector can point to the key that it does not know."""
    cfg = load(tmp_path, WHOLE, {"ACME_TOKEN": "x"})
    fault = cfg.fault_at(("connections", "acme", "connector"), "no such connector")
    assert (8, 16) == (fault.line, fault.column)
    assert 10 == cfg.fault_at(("connections", "acme", "credentials", "missing"), "is missing").line


def test_connections_are_chosen_by_name_glob_and_label(tmp_path: Path) -> None:
    """Any of the words chooses; the order is the file's, each once, disabled ones too."""
    names = {"acme-uk": "Acme", "acme-us": "Acme", "globex": "Globex", "initech": ""}
    text = "connections:\n" + "".join(
        f"  {name}: {{connector: x, labels: {{client: '{client}'}}, enabled: {name != 'globex'}}}\n"
        for name, client in names.items()
    )
    cfg = load(tmp_path, text)

    def chosen(*words: str) -> list[str]:
        return [connection.name for connection in cfg.select(words)]

    assert list(names) == chosen()
    assert ["globex"] == chosen("globex")
    assert ["acme-uk", "globex"] == chosen("globex", "acme-uk", "globex")
    assert ["acme-uk", "acme-us"] == chosen("acme-*") == chosen("label:client=Acme")
    assert ["acme-uk", "acme-us", "globex"] == chosen("label:client=[AG]*")
    assert ["initech"] == chosen("label:client=")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("acmee", "did you mean 'acme'?"),
        ("nothing-*", "known: acme, old"),
        ("label:client=Acm", "did you mean 'label:client=Acme'?"),
        ("label:team=x", "label:"),
        ("", "known: acme, old"),
    ],
)
def test_a_word_that_names_no_connection_is_refused(tmp_path: Path, word: str, said: str) -> None:
    """A slip must not run everything, or nothing, in silence."""
    cfg = load(tmp_path, WHOLE, credentials=False)
    with pytest.raises(ConfigError, match=re.escape(said)):
        cfg.select(["acme", word])


def test_the_schema_knows_every_key() -> None:
    """Editors are told every key, with a sentence each, and refuse others as we do."""
    schema = config.schema()
    for name, part in [("Config", schema), *schema["$defs"].items()]:
        assert part["additionalProperties"] is False, name
        assert all(one["description"] for one in part["properties"].values()), name
    assert set(Config.model_fields) == set(schema["properties"])
    assert set(config.Connection.model_fields) == set(schema["$defs"]["Connection"]["properties"])


@pytest.mark.parametrize(("text", "fits"), [("15m", True), ("0 6 * * *", True), ("${EVERY}", True), ("15", False)])
def test_the_schema_allows_what_we_allow(text: str, fits: bool) -> None:
    """A value an editor marks as wrong is wrong; a placeholder or nothing at all is not."""
    ways = config.schema()["$defs"]["Connection"]["properties"]["schedule"]["anyOf"]
    assert fits == any(re.search(way["pattern"], text) for way in ways if way["type"] == "string")
    assert {"type": "null"} in ways
    required = config.schema()["$defs"]["Connection"]["properties"]["connector"]["anyOf"]
    assert {"type": "null"} not in required


def test_the_example_at_the_top_fits_the_sandbox() -> None:
    """The config.yaml of the checkout loads with nothing set and opens the sandbox's five CRMs."""
    cfg = config.load(TOP, {})
    sandbox = Sandbox(rows=1)
    assert set(CRMS) == {connection.connector for connection in cfg.connections.values()}
    for connection in cfg.connections.values():
        assert f"http://127.0.0.1:8800/{connection.connector}" == connection.base_url
        assert sandbox.credentials[connection.connector] == connection.plain_credentials()
