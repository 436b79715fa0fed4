"""The command `export`: the published tables as files for other programs, with a manifest."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.screen as screen
from onepipe.cli.app import CONFIG, Json, app, complete_connection, door, examples
from onepipe.cli.standing import chosen_names
from onepipe.errors import OnepipeError

if TYPE_CHECKING:
    from onepipe.config import Config

HEADINGS = ("table", "rows", "file")


class Form(StrEnum):
    """How tables are written."""

    parquet = "parquet"
    csv = "csv"
    duckdb = "duckdb"


def _offered(ctx: typer.Context, incomplete: str, what: str) -> list[str]:
    """Runs or tables of the published file, to complete the last of the words; nothing where it cannot be read."""
    from onepipe.config import load
    from onepipe.warehouse import catalog, extract
    from onepipe.warehouse.work import published

    before, comma, last = incomplete.rpartition(",")
    try:
        path = Path(ctx.find_root().params.get("config") or CONFIG)
        with published(load(path, credentials=False).warehouse) as db:
            words = extract.latest_runs(db, 20) if what == "runs" else [one.word for one in catalog.tables(db)]
    except (OnepipeError, OSError):
        return []
    return [f"{before}{comma}{word}" for word in words if word.startswith(last)]


Format = Annotated[Form, typer.Option("--format", help="One file a table; duckdb: all in one.", case_sensitive=False)]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="The folder; an export that is there is replaced.")
]
Only = Annotated[
    list[str] | None,
    typer.Option("--connection", metavar="CONNECTION", help="Only rows of these.", autocompletion=complete_connection),
]
ChangedSince = Annotated[
    str | None,
    typer.Option(
        "--changed-since",
        metavar="RUN",
        help="Only deals that changed after this run, whole.",
        autocompletion=lambda ctx, incomplete: _offered(ctx, incomplete, "runs"),
    ),
]
Tables = Annotated[
    str | None,
    typer.Option(
        "--tables",
        metavar="A,B",
        help="Only these; raw.records, user.NAME, frozen.NAME too.",
        autocompletion=lambda ctx, incomplete: _offered(ctx, incomplete, "tables"),
    ),
]


@app.command(
    epilog=examples(
        "onepipe export --format csv -o deals-csv --tables deals,line_items",
        "onepipe export --connection acme --connection 'emea-*' -o acme",
        "onepipe export --changed-since 20260115T115500-3f9a1c -o changes",
    )
)
def export(
    ctx: typer.Context,
    form: Format = Form.parquet,
    out: Out = Path("export"),
    connections: Only = None,
    changed_since: ChangedSince = None,
    tables: Tables = None,
    as_json: Json = False,
) -> None:
    """Write the published tables into a folder.

    manifest.json comes last: where it is, the export is whole. It names each table's columns, rows and file, and the
    run to give to --changed-since next time. An export that ends early leaves the folder as it was.
    """
    from onepipe.export import Wanted
    from onepipe.export import export as write

    config = door(ctx).load()
    wanted = Wanted(
        form=form.value,
        connections=_names(config, connections) if connections else None,
        changed_since=changed_since,
        tables=tuple(filter(None, (word.strip() for word in (tables or "").split(",")))),
    )
    manifest = write(config.warehouse, out, wanted, datetime.now(UTC))
    if as_json:
        screen.document(manifest)
    else:
        _tell(manifest, out)


def _names(config: "Config", words: list[str]) -> set[str]:
    import onepipe.warehouse.ledger as ledger

    return chosen_names(config, words, set(ledger.connections(config.warehouse)))


def _tell(manifest: dict[str, Any], out: Path) -> None:
    rows = [[one["table"], screen.count(one["rows"]), one["file"]] for one in manifest["tables"]]
    for line in screen.table(HEADINGS, rows, right=[1]):
        screen.say(line)
    size = screen.size(sum(one["bytes"] for one in manifest["files"]))
    screen.tell(f"{screen.counted(len(rows), 'table')}, {size}, in {out}; manifest.json there says what they are.")
    if manifest["warehouse"]["left_out"]:
        screen.tell(f"Published without {manifest['warehouse']['left_out']} (`publish:` in config.yaml).")
    if manifest["run"]:
        screen.tell(f"Next time only what changed: onepipe export --changed-since {manifest['run']}")
