"""The commands that answer a question: `sql` asks the warehouse, `get` asks a CRM."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import app, complete_connection, door, examples
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.connector import Connector
    from onepipe.warehouse.query import Answer

Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="OUT", help="Write to this file instead of the terminal.")
]


class Format(StrEnum):
    """How an answer is written."""

    table = "table"
    json = "json"
    csv = "csv"
    parquet = "parquet"


@app.command(
    epilog=examples(
        'onepipe sql "SELECT stage, count(*), sum(amount) FROM opportunities GROUP BY ALL"',
        "onepipe sql -f report.sql --format csv -o report.csv",
        'echo "FROM opportunities" | onepipe sql - --format parquet -o deals.parquet',
    )
)
def sql(
    ctx: typer.Context,
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", help="One SQL statement; - reads it from stdin.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Read the query from a file.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="parquet needs -o.", case_sensitive=False)] = Format.table,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    out: Out = None,
) -> None:
    """Ask the warehouse a question in SQL.

    It is open read-only: nothing can be changed. Money is exact in every format, instants are UTC.
    """
    from onepipe.warehouse.query import open_desk

    text, form = _query(query, file), Format.json if as_json else form
    if form is Format.parquet and out is None:
        raise UsageError("Parquet is not for a terminal", "name a file with -o OUT")
    warehouse = door(ctx).load().warehouse
    with replacing(out) as part, open_desk(warehouse, part) as desk:
        _note_left_out(text, desk.left_out)
        if form is Format.parquet and part:
            desk.save(text, part)
        elif part:
            with part.open("w", encoding="utf-8", newline="") as stream:
                _write(desk.ask(text), form, stream)
        else:
            _write(desk.ask(text), form, sys.stdout)


def _note_left_out(query: str, left_out: Sequence[str]) -> None:
    """Say of what a query names that it is empty here: it need not be so in the CRM."""
    named = [word for word in left_out if re.search(rf"\b{re.escape(word.rpartition('.')[2])}\b", query)]
    if named:
        screen.note(f"The published file was made without {exits.listed(named)}, see `publish:` in config.yaml.")


def _query(query: str | None, file: Path | None) -> str:
    if (query is None) == (file is None):
        raise UsageError("Give one query: as QUERY, with -f FILE, or on stdin with -")
    if file is None:
        return sys.stdin.read() if query == "-" else str(query)
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error


def _write(answer: "Answer", form: Format, stream: TextIO) -> None:
    write = {Format.json: _json, Format.csv: _csv, Format.table: _table}[form]
    for line in write(answer):
        stream.write(line + "\n")


def _table(answer: "Answer") -> Iterable[str]:
    right = [n for n, column in enumerate(answer.columns) if column.is_number]
    return screen.table([column.name for column in answer.columns], answer.rows, right, null="NULL")


def _csv(answer: "Answer") -> Iterator[str]:
    yield ",".join(_csv_cell(column.name) for column in answer.columns)
    for row in answer.rows:
        yield ",".join(map(_csv_cell, row))


def _csv_cell(text: str | None) -> str:
    """NULL is nothing at all, an empty text is ""."""
    if text is None:
        return ""
    return '"' + text.replace('"', '""') + '"' if text == "" or re.search(r'[",\r\n]', text) else text


def _json(answer: "Answer") -> Iterator[str]:
    """An array of objects, one a line."""
    names = [json.dumps(column.name, ensure_ascii=False) for column in answer.columns]
    bare = [column.is_number or column.is_json for column in answer.columns]
    yield "["
    before = None
    for row in answer.rows:
        if before:
            yield before + ","
        cells = (f"{name}: {_json_cell(cell, raw)}" for name, cell, raw in zip(names, row, bare, strict=True))
        before = "  {" + ", ".join(cells) + "}"
    if before:
        yield before
    yield "]"


def _json_cell(text: str | None, raw: bool) -> str:
    if text is None or (raw and text in ("nan", "inf", "-inf")):
        return "null"
    return text if raw else json.dumps(text, ensure_ascii=False)


@app.command(
    epilog=examples(
        "onepipe get acme by_milestone milestone=Bid", "onepipe get training render_pdf quote_id=7 -o quote.pdf"
    )
)
def get(
    ctx: typer.Context,
    connection: Annotated[str, typer.Argument(help="The connection's name.", autocompletion=complete_connection)],
    read: Annotated[str, typer.Argument(metavar="READ", help="One of the reads that `onepipe connectors list` names.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="key=value", help="What the read asks for.")] = None,
    out: Out = None,
) -> None:
    """Print what one read of a CRM answers, as JSON.

    Nothing is stored. `onepipe connectors list` names the reads.
    """
    from onepipe.account import allowance, open_connector
    from onepipe.control import Control

    given = dict(map(_pair, words or []))
    config = door(ctx).load(credentials=True)
    chosen = config.select([connection])
    if len(chosen) != 1:
        raise UsageError(
            f"{connection!r} names {len(chosen)} connections, and one is asked at a time; nothing was asked"
        )
    with ExitStack() as stack:
        counted = None
        if (config.state / "control.sqlite").is_file():  # `get` begins no project, and counts in one that there is
            control = stack.enter_context(Control(config.state, command="onepipe get"))
            counted = allowance(config, chosen[0], control.quotas)
        connector = open_connector(config, chosen[0], ledger=counted)
        stack.callback(connector.http.close)
        _known(connector, read)
        _show(connector.ask(read, given), out)


def _pair(word: str) -> tuple[str, str]:
    key, sign, value = word.partition("=")
    if not sign or not key:
        raise UsageError(f"{word!r} is not key=value; nothing was asked")
    return key, value


def _known(connector: "Connector", read: str) -> None:
    from onepipe.yamlmarks import did_you_mean

    known = list(connector.reads())
    if read not in known:
        guess = did_you_mean(read, known)
        every = f"it has: {', '.join(known)}" if guess.startswith("did") else None
        raise UsageError(f"{connector.facts.title} has no read {read!r}; {guess}", every)


def _show(answer: Any, out: Path | None) -> None:
    """An answer as JSON on stdout, or as it came in a file. Raises UsageError for a file without a name."""
    import msgspec

    content = getattr(answer, "content", answer)
    if not isinstance(content, bytes):
        content = msgspec.json.encode(content)
    with replacing(out) as part:
        if part:
            part.write_bytes(content)
            return
    try:
        # Laid out without being read: numbers stay as the CRM wrote them.
        screen.say(msgspec.json.format(content).decode())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        form = getattr(answer, "headers", {}).get("content-type") or "no JSON"
        raise UsageError(
            f"the answer is a file ({form}, {len(content):,} bytes)", "name one to keep it in: -o FILE"
        ) from error


@contextmanager
def replacing(out: Path | None) -> Iterator[Path | None]:
    """A file beside `out` to write to, put in its place once everything is written. Raises UsageError."""
    if out is None:
        yield None
        return
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out} cannot be written: there is no folder {out.absolute().parent}; nothing was run")
    if out.is_file() and _is_database(out):
        raise UsageError(f"-o {out} is a database, which is never replaced; nothing was run", "name another file")
    part = out.absolute().with_name(f".{out.name}.part")
    try:
        yield part
        part.replace(out)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _is_database(path: Path) -> bool:
    """Whether a file is one of DuckDB or SQLite, as all of ours that cannot be made again are."""
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError:
        return False
    return head[8:12] == b"DUCK" or head.startswith(b"SQLite format 3")
