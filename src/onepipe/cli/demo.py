"""The command `demo`: five simulated CRMs, two syncs, what changed between them, and three questions answered."""

import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.screen as screen
from onepipe.cli.app import app, door, examples
from onepipe.cli.runs import tell
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.report import RunReport
    from onepipe.sandbox import Sandbox
    from onepipe.warehouse.query import Desk

ROWS, SEED = 60, 7
MARGIN = "   "
FOLDER = Path("onepipe-demo")
MARK = "# Made by `onepipe demo`, which may replace this folder's warehouse and state."
CONFIG = """{mark}
#
# The CRMs below were simulated, and ended with the demo. To play on, bring them back in another terminal:
#   onepipe sandbox --port {port} --rows {rows} --seed {seed}

timezone: Europe/London
connections:
{connections}"""
CONNECTION = """  {name}:
    connector: {name}
    base_url: {url}
    credentials: {{{credentials}}}
    currency: GBP
"""
AMOUNT = {
    "administrate": "value",
    "tactile": "cost",
    "capsule": "value",
    "onautomate": "monetaryValue",
    "overplane": "opportunity_amount",
}
SANE = 250_000  # the sandbox holds monstrous amounts, for tests; a demo reads better without

HISTORY = """FROM opportunity_history
WHERE (connection, source_id) IN (
  SELECT (connection, source_id) FROM opportunity_history WHERE recorded_at >= '{since}'
)
ORDER BY connection, source_id, version"""
ASIDE = (
    "updated_at",
    "closed_at",
    "closed_on",
    "closed_on_evidence",
    "extra",
)  # follow from an edit

QUESTIONS = (
    (
        "What is in the pipeline? (one currency a line: sums never mix them)",
        """SELECT currency, count(*) AS deals, count(DISTINCT connection) AS crms,
       sum(amount)::DECIMAL(18,2) AS amount
FROM open_deals WHERE currency IS NOT NULL
GROUP BY ALL ORDER BY deals DESC, currency LIMIT 5""",
    ),
    (
        "How often is a deal won, in each CRM?",
        """SELECT connection, count_if(status = 'won') AS won, count_if(status = 'lost') AS lost,
       round(100 * won / nullif(won + lost, 0))::INT || ' %' AS win_rate
FROM deals
GROUP BY ALL ORDER BY connection""",
    ),
    (
        "Which open deals should have closed by now?",
        """SELECT connection, name, stage, expected_close_date AS due,
       amount::DECIMAL(18,2) AS amount, currency
FROM open_deals
WHERE expected_close_date < current_date
ORDER BY amount DESC NULLS LAST LIMIT 5""",
    ),
)


@app.command(epilog=examples("onepipe demo", "onepipe demo /tmp/try-onepipe"))
def demo(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the demo's project is made.", show_default=True)
    ] = FOLDER,
) -> None:
    """Show everything in a minute, without any account.

    Five simulated CRMs on this machine, a project in DIR, two syncs with some changes between them, and three questions
    answered in SQL. Needs no network.
    """
    from onepipe.project import Project
    from onepipe.sandbox import Sandbox

    began = time.monotonic()
    door(ctx).calm()
    clear(folder)
    with Sandbox(rows=ROWS, seed=SEED) as crms:
        _tidy(crms)
        _heading(1, f"Five simulated CRMs with {ROWS} deals each, and a project in {folder}/")
        screen.say(f"   {', '.join(crms.urls)}: each has its own habits")
        config = _lay_out(folder, crms)
        with Project(config, command="onepipe demo") as project:
            _heading(2, "The first sync reads everything")
            tell(_sync(project), MARGIN)
            _heading(3, "Meanwhile, people work in their CRMs")
            since = datetime.now(UTC)
            for line in _work(crms, folder / "warehouse.duckdb"):
                screen.say(MARGIN + line)
            _heading(4, "The second sync finds what they did")
            tell(_sync(project), MARGIN)
        _heading(5, "What changed, deal by deal (from the table opportunity_history)")
        _answers(folder / "warehouse.duckdb", since)
    _farewell(folder, time.monotonic() - began)


def clear(folder: Path) -> None:
    """Take an earlier demo away. Raises UsageError for a folder with anything else in it."""
    config = folder / "config.yaml"
    if config.is_file() and config.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        shutil.rmtree(folder / ".onepipe", ignore_errors=True)
        for path in (folder / "warehouse.duckdb", config):
            path.unlink(missing_ok=True)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is not empty and not from a demo; nothing was touched", "name another: onepipe demo DIR"
        )


def _lay_out(folder: Path, crms: "Sandbox") -> Path:
    connections = "".join(
        CONNECTION.format(
            name=name,
            url=url,
            credentials=", ".join(f'{key}: "{value}"' for key, value in crms.credentials[name].items()),
        )
        for name, url in crms.urls.items()
    )
    folder.mkdir(parents=True, exist_ok=True)
    text = CONFIG.format(mark=MARK, port=crms.port, rows=ROWS, seed=SEED, connections=connections)
    config = folder / "config.yaml"
    config.write_text(text, encoding="utf-8")
    return config


def _tidy(crms: "Sandbox") -> None:
    """Make the sandbox's monstrous amounts, which are there for tests, those of a believable company."""
    for name, crm in crms.crms.items():
        for number, (key, row) in enumerate(crm.rows.items()):
            amount = row[AMOUNT[name]]
            if amount is not None and not 1 <= amount <= SANE:
                crm.update(key, silently=True, **{AMOUNT[name]: Decimal(1_000 + 725 * number)})


def _sync(project: Any) -> "RunReport":
    from onepipe.cli.progress import watching
    from onepipe.run import sync

    with watching(notices=False) as watch:
        return sync(project, watch=watch)


def _work(crms: "Sandbox", warehouse: Path) -> Iterator[str]:
    """Change something in every CRM, as its users would; tells what was done."""
    picked = _pick(warehouse)

    def deal(crm: str) -> tuple[Any, str]:
        source_id, name = picked[crm]
        return next(key for key in crms[crm].rows if str(key) == source_id), name

    key, name = deal("administrate")
    step = crms["administrate"].rows[key]["step_id"]
    crms["administrate"].update(key, step={"id": step + 1})
    yield f"administrate  {name!r} moves to the next stage"
    crms["tactile"].insert(name="Warehouse robots, 12 units", cost=48_500, organisation="Northwind Traders")
    yield "tactile       a new deal: 'Warehouse robots, 12 units'"
    key, name = deal("capsule")
    crms["capsule"].delete(key)
    yield f"capsule       {name!r} is deleted"
    key, name = deal("onautomate")
    crms["onautomate"].update(key, status="won")
    yield f"onautomate    {name!r} is won"
    key, name = deal("overplane")
    amount = crms["overplane"].rows[key]["opportunity_amount"]
    crms["overplane"].update(key, opportunity_amount=(amount * Decimal("1.25")).quantize(Decimal("0.01")))
    yield f"overplane     {name!r} grows by a quarter"


def _pick(warehouse: Path) -> dict[str, tuple[str, str]]:
    """An open deal of each connection: its id and name."""
    from onepipe.warehouse.query import open_desk

    query = """SELECT connection, source_id, name FROM open_deals WHERE amount > 2000 AND length(name) > 6
        QUALIFY row_number() OVER (PARTITION BY connection ORDER BY created_at DESC) = 1"""
    with open_desk(warehouse) as desk:
        return {str(row[0]): (str(row[1]), str(row[2])) for row in desk.ask(query).rows}


def _answers(warehouse: Path, since: datetime) -> None:
    from onepipe.warehouse.query import open_desk

    with open_desk(warehouse) as desk:
        headings = ["connection", "deal", "field", "before", "now"]
        for line in screen.table(headings, _changes(desk, since), margin=MARGIN):
            screen.say(line)
        for number, (question, sql) in enumerate(QUESTIONS, start=6):
            _heading(number, question)
            for line in sql.splitlines():
                screen.say(MARGIN + screen.faint(line))
            screen.say()
            answer = desk.ask(sql)
            right = [n for n, column in enumerate(answer.columns) if column.is_number]
            for line in screen.table([column.name for column in answer.columns], answer.rows, right, margin=MARGIN):
                screen.say(line)


def _changes(desk: "Desk", since: datetime) -> Iterator[list[str | None]]:
    """A line for each field of each deal that changed since an instant."""
    answer = desk.ask(HISTORY.format(since=since.isoformat()))
    names = [column.name for column in answer.columns]
    before: dict[str, str | None] = {}
    for row in answer.rows:
        now = dict(zip(names, row, strict=True))
        if datetime.fromisoformat(str(now["recorded_at"])) >= since:
            yield from _differences(now, before)
        before = now


def _differences(now: dict[str, str | None], before: dict[str, str | None]) -> Iterator[list[str | None]]:
    deal = [now["connection"], now["name"]]
    if now["version"] == "1":
        yield [*deal, "(new)", None, _told("amount", now["amount"])]
    elif now["change_origin"] == "deletion":
        yield [*deal, "(deleted)", _told("amount", before["amount"]), None]
    else:
        for field in json.loads(now["changed_fields"] or "[]"):
            if field not in ASIDE and not field.endswith("_id"):
                yield [*deal, field, _told(field, before[field]), _told(field, now[field])]


def _told(field: str, text: str | None) -> str | None:
    if text is None:
        return None
    if field == "probability":
        return f"{Decimal(text) * 100:.0f} %"
    return f"{Decimal(text):,.2f}" if field == "amount" else text


def _farewell(folder: Path, seconds: float) -> None:
    warehouse = folder / "warehouse.duckdb"
    screen.say()
    screen.say(screen.strong(f"Done in {seconds:.0f} seconds. It is all in {warehouse}:"))
    screen.say(f"   duckdb -readonly {warehouse}")
    screen.say(f'   onepipe --config {folder / "config.yaml"} sql "FROM open_deals LIMIT 5"')
    screen.say("Your own CRMs: `onepipe init`, then `onepipe check` and `onepipe sync`.")


def _heading(number: int, text: str) -> None:
    screen.say()
    screen.say(screen.strong(f"{number}  {text}"))
    screen.say()
