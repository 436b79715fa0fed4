"""The command `explain`: one record, version by version, and how we know."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Json, app, complete_connection, door, examples
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.warehouse.database import Database

Lines = Iterator[str]
FIRST = ("amount", "currency", "pipeline", "stage", "status", "probability", "expected_close_date", "owner", "company")
LENGTH = 100  # letters of a value that are shown; --json has all
EVIDENCE = {
    "tombstone": "the CRM listed it as deleted",
    "gone": "it was missing from a complete read, and, asked for by its id, the CRM said that it does not exist",
    "absent": "it was missing from a complete read, and every way of asking for it by its id failed",
}
NOTES = {
    "unlisted": "no list of the CRM shows it (it is archived, perhaps); it answered by its id",
    "suspect": "a sweep did not find it, and somebody has to decide: `onepipe sweep show {connection}`",
    "acknowledged": "no list shows it, and `onepipe sweep discard` left it alive; it is judged again once it is seen",
}
LATE = {
    "late": "it became visible {by} after its own time had been read",
    "silent": "its content changed, but not its time of change",
    "future": "its time of change lies in the future; it moves no cursor",
    "undated": "it states no time of change; only sweeps find its changes",
}


@app.command(epilog=examples("onepipe explain acme 43", "onepipe explain acme 43 --json"))
def explain(
    ctx: typer.Context,
    connection: Annotated[str, typer.Argument(help="The connection's name.", autocompletion=complete_connection)],
    source_id: Annotated[str, typer.Argument(metavar="ID", help="The CRM's own id of the deal.")],
    as_json: Json = False,
) -> None:
    """Show every stored version of one deal, and where each came from.

    What changed, which run fetched it, the raw row, the mapping, what could not be read, and why it is deleted.
    """
    import onepipe.warehouse.explain as explaining
    import onepipe.warehouse.ledger as ledger
    from onepipe.warehouse.work import whole

    config = door(ctx).load()
    with whole(config.snapshot) as db:
        known = ledger.names(db)
        if connection not in known:
            raise _unknown_connection(connection, [*known, *(name for name in config.connections if name not in known)])
        found = explaining.record(db, connection, source_id)
        if found is None:
            raise _unknown_id(db, connection, source_id)
    if as_json:
        screen.document(found)
        return
    for line in _told(found):
        screen.say(line)


def _unknown_connection(word: str, known: list[str]) -> UsageError:
    from onepipe.yamlmarks import did_you_mean

    if word in known:
        return UsageError(f"{word} was never run: nothing is stored of it", f"`onepipe sync {word}` loads it")
    return UsageError(f"No connection is called {word!r}: {did_you_mean(word, known)}", "one is explained at a time")


def _unknown_id(db: "Database", connection: str, source_id: str) -> UsageError:
    import onepipe.warehouse.explain as explaining

    near = [repr(key) for key in explaining.near(db, connection, source_id)]
    others = [name for name in explaining.elsewhere(db, source_id) if name != connection]
    hints = [
        f"ids that resemble it: {', '.join(near)}" if near else None,
        f"{exits.listed(others)} {'has' if len(others) == 1 else 'have'} a deal of that id" if others else None,
        None if near or others else f"`onepipe sync {connection}` reads what the CRM has now",
    ]
    return UsageError(f"There is no deal {source_id!r} in {connection}", "; ".join(filter(None, hints)))


def _told(found: dict[str, Any]) -> Lines:
    """The record for people."""
    now, versions = found["now"], found["versions"]
    title = f"{found['connection']} {found['source_id']}: {_short(now['name'] or 'a deal without a name')}"
    yield screen.strong(screen.plain(title))
    if now["url"]:
        yield screen.plain(now["url"])
    counts = screen.counted(len(versions), "version")
    yield f"{found['state']}, {counts}, first seen {_at(found['first_seen_at'])}; {found['connector']}"
    for one in versions:
        yield ""
        yield from _version(one, now if len(versions) == 1 else None)
    remarks = [*_remarks(found)]
    if remarks:
        yield ""
        yield from (exits.sentence(text) for text in remarks)


def _version(one: dict[str, Any], first: dict[str, Any] | None) -> Lines:
    until = f"to {_at(one['valid_to'])}" if one["valid_to"] else "until now"
    yield screen.strong(f"version {one['version']}") + f"  {_at(one['valid_from'])} {until}"
    rows: list[tuple[str, str]] = [("change", _reason(one))]
    rows += [(change["field"], f"{_value(change['old'])} -> {_value(change['new'])}") for change in one["changes"]]
    if first:
        rows += [(name, _value(first[name])) for name in FIRST if first[name] is not None]
    if one["unseen_changes"]:
        rows.append(("not shown", f"{', '.join(one['unseen_changes'])} of the payload changed, which no column shows"))
    rows += [("run", _run(one)), *_rows(one)]
    rows.append(("mapping", one["mapping_version"]))
    for lost in one["unreadable"]:
        rows.append(("unreadable", f"{lost['field']}: {_value(lost['value'])}: {lost['reason']}"))
    edge = max(len(name) for name, _ in rows)
    yield from (screen.plain(f"  {name:<{edge}}  {text}") for name, text in rows)


def _reason(one: dict[str, Any]) -> str:
    """Why there is this version."""
    if one["deleted"]:
        return f"deleted at {_at(one['deleted']['at'])}: {EVIDENCE.get(one['deleted']['evidence'], 'unknown evidence')}"
    if one["version"] == 1:
        return "first seen"
    began = one["began_with"]
    if one["change_origin"] == "push":
        return "our own write, read back"
    if began and began["resource"] != "opportunity":
        return f"the CRM's {began['resource']} changed"
    return "changed in the CRM"


def _run(one: dict[str, Any]) -> str:
    run = one["run"]
    if run is None:
        return "unknown"
    if run["command"] is None:
        return f"{run['run_id']}, ended before it was recorded; recorded {_at(one['recorded_at'])}"
    if run["requests"] is None:
        return f"{run['run_id']} ({run['command']}), recorded {_at(one['recorded_at'])}"
    requests = screen.counted(run["requests"], "request")
    return f"{run['run_id']} ({run['command']}, {run['status']}, {requests}), recorded {_at(one['recorded_at'])}"


def _row(row: dict[str, Any] | None) -> str:
    if row is None:
        return "unknown"
    kind = row["resource"] if row["kind"] == "record" else row["kind"]
    return f"row {row['seq']} of raw.records ({kind}), fetched {_at(row['fetched_at'])}, hash {row['payload_hash']}"


def _rows(one: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The raw rows: the one the version began with, the payload it was read from, and details that came with it."""
    began, read = one["began_with"], one["read_from"]
    yield "raw", _row(began)
    if read and began and read["seq"] != began["seq"]:
        yield "payload", _row(read)
    for row in one["details"]:
        if began and row["seq"] == began["seq"]:
            continue
        told = " and completed this version" if row["completed"] else ""
        yield row["resource"], f"{_row(row)}{told}"


def _remarks(found: dict[str, Any]) -> Lines:
    for note in found["notes"]:
        yield f"since {_at(note['since'])}: {NOTES[note['note']].format(connection=found['connection'])}"
    for late in found["late"]:
        by = screen.duration(late["late_by"] or 0)
        yield f"{_at(late['seen_at'])}, found by a {late['found_by']} read: {LATE[late['kind']].format(by=by)}"
    if found["owed"]:
        yield f"still to be read: {exits.listed(found['owed'])}"


def _value(text: str | None) -> str:
    return "NULL" if text is None else _short(text)


def _short(text: str) -> str:
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"


def _at(instant: str | None) -> str:
    return f"{instant[:19].replace('T', ' ')} UTC" if instant else "unknown"
