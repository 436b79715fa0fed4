"""The commands that tell how things stand: `status` and `runs`. Both read the published warehouse, and take no lock."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Connections, Json, app, complete_connection, door, examples

if TYPE_CHECKING:
    from onepipe.config import Config

ISO = "strftime({}, '%Y-%m-%dT%H:%M:%SZ')"

STATUS = f"""
WITH last_run AS (
  SELECT connection, arg_max(run_id, started_at) AS run_id FROM sync_runs WHERE status <> 'skipped' GROUP BY connection
), trouble AS (
  SELECT connection, arg_min(error_kind, resource) AS kind, arg_min(error_message, resource) AS message
  FROM sync_runs JOIN last_run USING (connection, run_id) WHERE error_kind IS NOT NULL GROUP BY connection
), owed AS (SELECT connection, count(*) AS details FROM store.debts GROUP BY connection)
SELECT c.connection, c.connector, c.state, {ISO.format("v.complete_through")}, {ISO.format("c.last_success_at")},
       {ISO.format("v.last_sweep_at")}, {ISO.format("v.oldest_failure_at")}, v.live_count, v.source_count,
       coalesce(o.details, 0), coalesce(v.open_slices, 0), t.kind, t.message
FROM connections c LEFT JOIN coverage v ON v.connection = c.connection AND v.resource = 'opportunity'
LEFT JOIN trouble t ON t.connection = c.connection LEFT JOIN owed o ON o.connection = c.connection
ORDER BY c.connection
"""
STATUS_KEYS = (
    *("connection", "connector", "state", "complete_through", "last_success_at", "last_sweep_at", "failing_since"),
    *("live_count", "source_count", "details_owed", "open_slices", "error_kind", "error_message"),
)

RUNS = f"""
SELECT run_id, any_value(command), connection,
       CASE max(list_position(['skipped', 'complete', 'partial', 'failed'], status))
           WHEN 4 THEN 'failed' WHEN 3 THEN 'partial' WHEN 2 THEN 'complete' ELSE 'skipped' END,
       {ISO.format("min(started_at)")}, {ISO.format("max(finished_at)")},
       sum(fetched) FILTER (resource = 'opportunity')::BIGINT, sum(new) FILTER (resource = 'opportunity')::BIGINT,
       sum(changed) FILTER (resource = 'opportunity')::BIGINT, sum(deleted) FILTER (resource = 'opportunity')::BIGINT,
       sum(problems)::BIGINT, sum(requests)::BIGINT, arg_min(error_kind, resource), arg_min(error_message, resource)
FROM sync_runs WHERE len($connections) = 0 OR list_contains($connections, connection)
GROUP BY run_id, connection ORDER BY min(started_at) DESC, run_id DESC, connection LIMIT $limit
"""
RUN_KEYS = (
    *("run_id", "command", "connection", "status", "started_at", "finished_at", "fetched", "new", "changed", "deleted"),
    *("problems", "requests", "error_kind", "error_message"),
)
RUN_HEADINGS = ("started (UTC)", "command", "connection", "result", "read", "new", "changed", "deleted", "requests")

Standing = dict[str, Any]


@app.command(epilog=examples("onepipe status", "onepipe status label:client=Acme --json"))
def status(ctx: typer.Context, connections: Connections = None, as_json: Json = False) -> None:
    """Tell how fresh and how complete each connection is.

    Works while a sync runs: it shows what was published last.
    """
    config = door(ctx).load()
    found = _standings(config, connections or [])
    if as_json:
        screen.document({"connections": found})
        return
    headings = ["connection", "state", "complete through (UTC)", "last success (UTC)", "deals", "details owed"]
    for line in screen.table(headings, map(_status_row, found), right=(4, 5)):
        screen.say(line)
    for one in found:
        for text in _worries(one):
            screen.tell(f"{one['connection']}: {exits.stopped(text)}")


def _standings(config: "Config", words: list[str]) -> list[Standing]:
    """Every connection ever run and every one in config.yaml; only those that `words` choose, if there are any."""
    from onepipe.warehouse.work import published

    rows: list[tuple[Any, ...]] = []
    if config.warehouse.is_file():
        with published(config.warehouse) as db:
            rows = db.run(STATUS)
    known = {row[0]: dict(zip(STATUS_KEYS, row, strict=True)) for row in rows}
    for name, one in config.connections.items():
        fresh = dict.fromkeys(STATUS_KEYS) | {"connection": name, "connector": one.connector, "state": "never run"}
        known.setdefault(name, fresh | {"details_owed": 0, "open_slices": 0})
        if not one.enabled:
            known[name]["state"] = "disabled"
    for name in known.keys() - config.connections.keys():
        known[name]["state"] = "retired"  # the next publish says so in the warehouse, too
    chosen = _chosen(config, words, set(known)) if words else set(known)
    return [_judged(one) for name, one in sorted(known.items()) if name in chosen]


def _chosen(config: "Config", words: list[str], known: set[str]) -> set[str]:
    """The names that words choose; a retired connection is not in config.yaml, and can still be asked for by name."""
    others = [word for word in words if word not in known]
    return set(words) & known | ({one.name for one in config.select(others)} if others else set())


def _judged(one: Standing) -> Standing:
    """The state in one word: as it is kept, but for active connections, of which it says how they are."""
    if one["state"] != "active":
        return one
    loading = one["open_slices"] and one["complete_through"] is None
    return one | {"state": "failing" if one["failing_since"] else "loading" if loading else "complete"}


def _status_row(one: Standing) -> list[str | None]:
    owed = screen.count(one["details_owed"]) if one["details_owed"] else None
    times = [screen.when(one["complete_through"]), screen.when(one["last_success_at"])]
    return [one["connection"], one["state"], *times, screen.count(one["live_count"]), owed]


def _worries(one: Standing) -> Iterator[str]:
    """What is not as it should be, in sentences."""
    name = one["connection"]
    if one["state"] == "never run":
        yield f"never run; `onepipe sync {name}` loads it"
    if one["failing_since"] and one["state"] == "failing":
        cause = f" ({one['error_kind']}): {one['error_message']}" if one["error_kind"] else ""
        yield f"failing since {screen.when(one['failing_since'], ' UTC')}{cause}"
    elif one["open_slices"]:
        yield f"a read of the whole list is under way or was interrupted; `onepipe sync {name}` goes on with it"
    if one["details_owed"]:
        details = screen.counted(one["details_owed"], "detail")
        yield f"{details} (tags, notes, items) still to be read; each run reads as many as the quota allows"


@app.command(epilog=examples("onepipe runs", "onepipe runs --connection acme --limit 5 --json"))
def runs(
    ctx: typer.Context,
    connection: Annotated[
        list[str] | None,
        typer.Option("--connection", metavar="CONNECTION", help="Only of these.", autocompletion=complete_connection),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="So many lines at the most.")] = 20,
    as_json: Json = False,
) -> None:
    """List past runs, newest first: what each read, found and asked.

    Of opportunities; the table sync_runs has a row for every list and detail.
    """
    from onepipe.warehouse.work import published

    config = door(ctx).load()
    with published(config.warehouse) as db:
        known = {str(row[0]) for row in db.run("SELECT connection FROM connections")}
        names = sorted(_chosen(config, connection, known)) if connection else []
        rows = db.run(RUNS, {"connections": names, "limit": limit})
    found = [dict(zip(RUN_KEYS, row, strict=True)) for row in rows]
    if as_json:
        screen.document({"runs": found})
        return
    for line in screen.table(RUN_HEADINGS, map(_run_row, found), right=range(4, 9)):
        screen.say(line)
    for one in found:
        if one["error_kind"]:
            screen.tell(f"{one['connection']}, {_minute(one['started_at'])}: {exits.sentence(one['error_message'])}")


def _run_row(one: dict[str, Any]) -> list[str | None]:
    words = [one[key] for key in ("command", "connection", "status")]
    numbers = [screen.count(one[key]) for key in ("fetched", "new", "changed", "deleted", "requests")]
    return [_minute(one["started_at"]), *words, *numbers]


def _minute(instant: str) -> str:
    return instant[:16].replace("T", " ")
