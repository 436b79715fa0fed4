"""What the docs say stays true: nothing that people can type or read is missing from them, and what they show works."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

import onepipe.cli.advice as advice
import onepipe.cli.explain as explain
import onepipe.cli.quota as quota
import onepipe.cli.standing as standing
import onepipe.cli.sweeps as sweeps
import onepipe.warehouse.drift as drift
import onepipe.warehouse.ledger as ledger
from onepipe import errors, fitting, registry
from onepipe.cli import app, exits
from onepipe.config import Config, Connection, Daemon, Fleet, Happening
from onepipe.config.parts import FieldRule, Limits, Publish, Reporting, Write
from onepipe.connector import Connector
from onepipe.daemon.onlooker import Place as DaemonPlace
from onepipe.mapping import FIELD_KEYS, MAPPING_KEYS, TYPES
from onepipe.merge.states import SHOWN, STATES
from onepipe.model import CHILDREN
from onepipe.sandbox import Sandbox
from onepipe.transform import TRANSFORMS
from onepipe.warehouse.query import open_desk
from tests.cli.place import Place, connection, write

HOUSE = Path(__file__).parent.parent
DOCS = HOUSE / "docs"
PAGES = [HOUSE / "README.md", *sorted(DOCS.rglob("*.md"))]
TEXT = {path: path.read_text(encoding="utf-8") for path in PAGES}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONNECTORS = {path.stem: registry.load_file(path) for path in sorted((HOUSE / "connectors").glob("*.py"))}


def page(name: str) -> str:
    return TEXT[HOUSE / name]


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return [code for named, code in FENCE.findall(text) if named == language]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    lines = [line for line in FENCE.sub("", text).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def section(text: str, heading: str) -> str:
    """What stands below a heading of the second level."""
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with two CRMs, synced; capsule is called acme, as in the docs."""
    folder = tmp_path_factory.mktemp("docs")
    with Sandbox(rows=8, seed=7, crms=("administrate", "capsule")) as crms:
        lines = [connection(crms, name) for name in ("administrate", "capsule")]
        write(folder, *(line.replace("  capsule:", "  acme:") for line in lines))
        for amount in ("100.50", "120.50"):
            crms["capsule"].update(43, value=amount)
            told = Place(folder).run("sync")
            assert 0 == told.code, told.err
    yield folder


# --- the command line


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from commands(one, (*words, name))
        else:
            yield (*words, name), one


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_option_is_explained(words: tuple[str, ...]) -> None:
    """docs/operations.md has an item for each command, which names all its options."""
    items = re.findall(r"^- `onepipe .*(?:\n  .*)*", section(page("docs/operations.md"), "Commands"), re.MULTILINE)
    told = [item for item in items if re.match(rf"- `onepipe {' '.join(words)}\b", item)]
    assert 1 == len(told)
    options = {name for option in COMMANDS[words].params for name in option.opts if name.startswith("-")}
    assert options - {"-h", "--help"} == set(re.findall(r"`(--?[a-z-]+)", told[0]))


def test_the_global_options_are_explained() -> None:
    """So are the options before the command."""
    every = [name for option in typer.main.get_command(app).params for name in option.opts if name != "-h"]
    told = section(page("docs/operations.md"), "Commands")
    assert [] == [name for name in every if name != "--help" and name not in told]


TYPED = re.compile(
    r"(?:`|^(?:#|    )[ #\d.]*)onepipe (?:--config \S+ )?([a-z]+(?:-[a-z]+)*)(?: ([a-z]+))?", re.MULTILINE
)
COMING: set[tuple[str, str]] = set()  # promised, and named in places; README says that they are not there yet


def test_no_text_names_a_command_that_is_not_there() -> None:
    """What pages, templates, messages and hints tell people to type can be typed."""
    source = HOUSE / "src" / "onepipe"
    files = [*PAGES, HOUSE / "config.yaml", *source.rglob("*.py"), *(source / "templates").rglob("*.[my]*")]
    texts = [(path.name, FENCE.sub(lambda code: indent(code[2], "    "), path.read_text("utf-8"))) for path in files]
    typed = {(name, words) for name, text in texts for words in TYPED.findall(text)}
    assert [] == sorted((name, words) for name, words in typed if words not in COMING and not can_be_typed(*words))
    assert set() == {words for words in COMING if can_be_typed(*words)}
    assert all(" ".join(words).strip() in section(page("README.md"), "What it does not do yet") for words in COMING)


def can_be_typed(first: str, second: str) -> bool:
    group = [words for words in COMMANDS if words[0] == first]
    return (first,) in group or (bool(group) and second == "") or (first, second) in group


def test_every_exit_code_is_explained() -> None:
    """README and docs/operations.md have a line for each."""
    codes = {str(code) for code in (0, exits.FAILED, exits.WRONG, exits.BUSY, exits.INTERRUPTED)}
    for text in (section(page("README.md"), "Keep it running"), section(page("docs/operations.md"), "Commands")):
        assert codes <= {cells[0] for cells in rows(text)}


# --- errors, config, connectors, mappings


Kind = type[errors.OnepipeError]


def subclasses(one: Kind) -> Iterator[Kind]:
    yield one
    for sub in one.__subclasses__():
        yield from subclasses(sub)


def test_every_error_kind_is_explained() -> None:
    """docs/operations.md says of each kind what it means and what to do, and of no other."""
    ours = [one for one in subclasses(errors.OnepipeError) if one.__module__ == errors.__name__]
    told = [cells for cells in rows(section(page("docs/operations.md"), "Errors"))[2:] if all(cells)]
    assert {f"`{one.kind}`" for one in ours} == {cells[0] for cells in told}
    assert all(3 == len(cells) for cells in told)


STANDINGS: dict[str, dict[str, Any]] = {
    "complete": {},
    "failing": {"failing_since": "2026-01-15T10:00:00Z", "error_kind": "auth", "error_message": "refused"},
    "suspect": {"suspect_since": "2026-01-15T10:00:00Z", "suspect_rows": 12},
    "held back": {"held_until": "2026-01-15T13:00:00Z", "held_why": "the quota is used up"},
    "loading": {"complete_through": None, "open_slices": 1},
    "paused": {"paused": "since 2026-01-15 10:00 UTC by operator (their CRM is moved)"},
    "never run": {"state": "never run", "complete_through": None},
    "disabled": {"state": "disabled"},
    "retired": {"state": "retired"},
}


def test_every_state_is_explained_and_says_what_the_docs_say(project: Path) -> None:
    """docs/operations.md has a row for each state of `status`, with the words it really begins with."""
    told = {
        cells[0].strip("`"): cells for cells in rows(section(page("docs/operations.md"), "Status")) if len(cells) == 4
    }
    assert set(advice.STATES) == set(STANDINGS) == set(told) - {"state", "---"}
    loaded = fitting.load(project / "config.yaml")
    for state, news in STANDINGS.items():
        known = ledger.unknown("acme", "capsule") | {"state": "active", "complete_through": "2026-01-15T11:55:00Z"}
        known |= dict.fromkeys(("at_work", "held_until", "held_why", "next_scan_at")) | news
        one = advice.judged(known, loaded.connections["acme"], datetime(2026, 1, 15, 12, tzinfo=UTC))
        (said, *_) = [*advice.sentences(one, loaded), ""]
        assert (state, True) == (one["state"], said.startswith(told[state][1].strip("`"))), said
        assert bool(said) == bool(told[state][1])


def test_every_heading_of_status_is_explained() -> None:
    """What stands above a column of `onepipe status`, beyond name, state and deals."""
    told = " ".join(cells[0] for cells in rows(section(page("docs/operations.md"), "Status")) if len(cells) == 2)
    headings = [heading.removesuffix(" (UTC)") for heading in standing.STATUS_HEADINGS[2:]]
    assert [] == [heading for heading in headings if heading not in told]


def test_every_word_of_sweep_show_of_quota_and_of_explain_is_explained() -> None:
    """docs/operations.md has a row for what stands in a column of theirs, above one, and below a deal."""
    text = page("docs/operations.md")
    shown, columns, notes = (rows(section(text, name)) for name in ("Sweeps", "Quotas and holds", "Explain"))
    assert set(sweeps.ASKED.values()) <= {cells[0].strip("`") for cells in shown}
    assert set(quota.HEADINGS[1:]) <= {cells[0] for cells in columns}
    told = {cells[1].strip("`"): cells[0].strip("`") for cells in notes}
    assert [] == [note for note, words in explain.NOTES.items() if told.get(note, "-") not in words]
    assert set(explain.LATE) <= {cells[0].strip("`") for cells in shown}


def test_every_event_and_place_of_the_daemon_is_explained() -> None:
    """docs/daemon.md has a row for each event that people can be told of, and says where a connection may stand."""
    events = {cells[0].strip("`") for cells in rows(section(page("docs/daemon.md"), "Alerts"))}
    assert set(get_args(Happening)) <= events
    (places,) = [cells[1] for cells in rows(section(page("docs/daemon.md"), "Watching")) if "`place`" in cells[0]]
    assert [] == [place for place in get_args(DaemonPlace) if place not in places]


def test_every_reason_for_a_run_not_made_is_explained() -> None:
    """docs/daemon.md says of each what it means and what to do: those that the desk and the end of a run can give."""
    said = [(HOUSE / "src/onepipe/daemon" / name).read_text(encoding="utf-8") for name in ("desk.py", "after.py")]
    against = re.search(r"def _against.*?(?=\n    def )", said[0], re.DOTALL)
    told = {cells[0].strip("`") for cells in rows(section(page("docs/daemon.md"), "Why did it not run")) if all(cells)}
    assert against
    reasons = set(re.findall(r'(?:return|if seat.refused else) "([a-z ]+)"', against[0]))
    reasons |= set(re.findall(r'_pass\(seat, "([a-z ]+)"', said[0])) | set(re.findall(r'"\w+": "([a-z ]+)"', said[1]))
    assert len(reasons) >= 8
    assert reasons <= told


def test_every_kind_of_drift_and_of_late_row_is_explained() -> None:
    """docs say what each word in a report or a table means."""
    told = {cells[0] for cells in rows(section(page("docs/operations.md"), "Drift"))}
    assert {f"`{kind}`" for kind in get_args(drift.Kind)} <= told
    assert [] == [kind for kind in explain.LATE if f"`{kind}`" not in section(page("docs/warehouse.md"), "late_rows")]


def test_every_state_of_a_push_is_explained() -> None:
    """docs/writeback.md has a row for each that is seen outside: its group, what it means and what to do."""
    lines = section(page("docs/writeback.md"), "What each state means").splitlines()
    told = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    every = [[f"`{name}`", STATES[name].group, STATES[name].meaning, STATES[name].advice] for name in SHOWN]
    assert every == [cells for cells in told if cells and cells[0].startswith("`")]


@pytest.mark.parametrize("model", [Config, Connection, Fleet, Reporting, Publish, Daemon, Write, FieldRule, Limits])
def test_every_config_key_is_explained(model: type[BaseModel]) -> None:
    """docs/config.md names every key, and its default where that is a word."""
    told = {cells[0]: cells for cells in rows(page("docs/config.md"))}
    for name, field in model.model_fields.items():
        if model in (Config, Connection):
            assert f"`{name}`" in told
            if isinstance(field.default, str):
                assert f"`{field.default}`" == told[f"`{name}`"][1]
        else:
            assert re.search(rf"`{name}\b", page("docs/config.md")), name


@pytest.mark.parametrize("name", CONNECTORS)
def test_every_connector_is_explained(name: str) -> None:
    """Its credentials and settings, where the former are found, its quota and its announced end."""
    made: type[Connector] = CONNECTORS[name]
    (told,) = [cells for cells in rows(section(page("docs/config.md"), "Connectors")) if cells[0] == f"`{name}`"]
    credentials = ", ".join(f"`{key}`" for key in made.facts.credentials)
    assert credentials == told[1]
    assert set(made.facts.settings) == set(re.findall(r"`(\w+): \w+`", told[2]))
    assert [credentials] == [cells[1] for cells in rows(page("README.md")) if cells[0] == f"`{name}`"]
    assert made.facts.ends is None or made.facts.ends in page("README.md")
    quota = f"{made.facts.title.split()[0]} {made.facts.quota[0].requests:,} " if made.facts.quota else ""
    assert quota in re.sub(r"\s+", " ", page("docs/operations.md")).replace("requests ", "")


def test_readme_shows_a_config_that_works(tmp_path: Path) -> None:
    """README's config.yaml loads, and its connections hold all their connectors ask for."""
    (text,) = blocks(page("README.md"), "yaml")
    (tmp_path / "secret").write_text("word")
    file = tmp_path / "config.yaml"
    file.write_text(re.sub(r"file:[^}]+", f"file:{tmp_path / 'secret'}", text))
    names = re.findall(r"\$\{(\w+)\}", text)
    (tmp_path / ".env").write_text("\n".join(f"{name}=word" for name in names))
    loaded = fitting.load(file)
    assert ["acme", "acme-training"] == [one.name for one in loaded.select(["label:client=Acme"])]


def test_every_transform_and_mapping_key_is_explained() -> None:
    """docs/mapping.md has a row for each transform and each key."""
    told = {name for cells in rows(page("docs/mapping.md")) for name in re.findall(r"`(\w+)`", cells[0])}
    assert set() == {*TRANSFORMS, *FIELD_KEYS, *MAPPING_KEYS} - told


def test_every_column_a_mapping_fills_is_explained() -> None:
    """docs/mapping.md names each column that a mapping may have."""
    assert [] == [name for name in TYPES if f"`{name}`" not in page("docs/mapping.md")]


# --- the warehouse


def described(project: Path) -> dict[str, list[tuple[str, str]]]:
    """Every published table and view: its columns and types."""
    query = """SELECT table_schema || '.' || table_name AS place, column_name, data_type FROM information_schema.columns
        WHERE table_schema IN ('main', 'raw') ORDER BY place, ordinal_position"""
    found: dict[str, list[tuple[str, str]]] = {}
    with open_desk(project / "warehouse.duckdb") as desk:
        for place, column, type_ in desk.ask(query).rows:
            short = str(type_).replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
            found.setdefault(str(place).removeprefix("main."), []).append((str(column), short))
    return found


def test_every_table_is_explained_column_by_column(project: Path) -> None:
    """docs/warehouse.md has a table for each table and view: the same columns, in the same order, with their types."""
    real = described(project)
    deals, decided = real.pop("deals"), section(page("docs/warehouse.md"), "deals and open_deals")
    assert deals == real.pop("open_deals")
    assert deals == real["opportunities"] + [(c[0].strip("`"), c[1]) for c in rows(decided)[2:]]
    of = {"opportunity_history": "opportunities"} | {f"{one.removesuffix('s')}_history": one for one in CHILDREN}
    for history, rows_of in of.items():
        real[history] = real[history][len(real[rows_of]) :]
    text = page("docs/warehouse.md")
    told = {name: [(c[0].strip("`"), c[1]) for c in rows(section(text, name))[2:] if all(c)] for name in real}
    assert real == told
    assert "\n## deals and open_deals\n" in text


def test_every_query_runs(project: Path) -> None:
    """Each block of SQL in docs/warehouse.md answers; most of them with rows, even here."""
    queries = blocks(page("docs/warehouse.md"), "sql")
    with open_desk(project / "warehouse.duckdb") as desk:
        answers = [len(list(desk.ask(query).rows)) for query in queries]
    assert len(queries) >= 10
    assert sum(1 for count in answers if count) >= len(queries) / 2


def test_every_file_of_the_state_folder_is_explained(project: Path) -> None:
    """Whoever looks into it finds out what each thing is."""
    told = " ".join(cells[0] for cells in rows(section(page("docs/operations.md"), "What lies where")))
    assert [] == [path.name for path in (project / ".onepipe").iterdir() if path.name not in told]


# --- the pages themselves


def anchors(path: Path) -> set[str]:
    """The names by which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    """A relative link names a file of ours, and its anchor a heading in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", TEXT[path])):
        if not link.startswith("http"):
            name, _, anchor = link.partition("#")
            target = (path.parent / name) if name else path
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_the_way_of_a_record_can_be_followed() -> None:
    """Every function that README names on a record's way stands in the file it names."""
    way = [cells for cells in rows(section(page("README.md"), "Find your way"))[2:] if cells[0]]
    assert len(way) >= 10
    for names, place, _ in way:
        path = HOUSE / place.strip("`")
        files = path.rglob("*.py") if path.is_dir() else [path]
        trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
        kinds = ast.FunctionDef | ast.ClassDef
        defined = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)}
        assert set() == set(re.findall(r"`(\w+)`", names)) - defined


def test_decisions_stay_short_and_numbered() -> None:
    """One short page each, numbered without gaps, with what was chosen, why, and what was dropped."""
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert list(range(1, len(pages) + 1)) == [int(path.name[:4]) for path in pages]
    for path in pages:
        assert len(TEXT[path].splitlines()) <= 40
        assert all(word in TEXT[path] for word in ("**Choice.**", "**Why", "**Dropped.**")), path.name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_names_a_place_on_somebodys_machine(path: Path) -> None:
    """Paths in examples could be anybody's."""
    assert not re.search(r"/(work|root|home|Users)/", TEXT[path])
