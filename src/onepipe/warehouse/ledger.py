"""How things stand, as the published warehouse tells it: one line for each connection, and its parts below it.

Read-only, and content with a file that an older onepipe published: what that one did not know is None.
"""

from pathlib import Path
from typing import Any

import duckdb

from onepipe.errors import OnepipeError
from onepipe.warehouse.database import Database
from onepipe.warehouse.work import published

ISO = "strftime({}, '%Y-%m-%dT%H:%M:%SZ')"
Standing = dict[str, Any]


def connections(warehouse: Path) -> list[str]:
    """Every connection that a published warehouse knows, retired ones too; none where there is no such file."""
    try:
        with published(warehouse) as db:
            return sorted(names(db))
    except (OnepipeError, duckdb.Error):  # what lies there is not ours, which others say
        return []


_KNOWN = """coverage_now AS (
    FROM coverage UNION ALL BY NAME
    SELECT NULL::BIGINT AS details_owed, NULL::BIGINT AS late_rows, NULL::BIGINT AS undated_rows,
           NULL::BIGINT AS problems, NULL::TIMESTAMPTZ AS suspect_since, NULL::BIGINT AS suspect_rows,
           NULL::VARCHAR AS suspect_reason
    WHERE false)"""

# Of runs the last is the one that was written down last: a clock that was wrong dates one into the future for good.
_CONNECTIONS = f"""
WITH {_KNOWN}, newest AS (
    SELECT connection, arg_max(run_id, rowid) AS run_id FROM sync_runs
    WHERE status <> 'skipped' GROUP BY connection
), last_run AS (
    SELECT connection, run_id, any_value(command) AS command, {ISO.format("max(finished_at)")} AS finished_at,
           CASE max(list_position(['complete', 'partial', 'failed'], status))
               WHEN 3 THEN 'failed' WHEN 2 THEN 'partial' ELSE 'complete' END AS status,
           arg_min(error_kind, resource) AS kind, arg_min(error_message, resource) AS message
    FROM sync_runs JOIN newest USING (connection, run_id) GROUP BY ALL
), owed AS (SELECT connection, count(*) AS details FROM store.debts WHERE completes GROUP BY connection)
SELECT c.connection, c.connector, c.state, {ISO.format("v.complete_through")}, {ISO.format("c.last_success_at")},
       {ISO.format("v.last_sweep_at")}, {ISO.format("v.oldest_failure_at")}, v.live_count, v.source_count,
       coalesce(o.details, 0), coalesce(v.open_slices, 0), r.kind, r.message,
       {ISO.format("v.history_from")}, {ISO.format("v.details_through")}, coalesce(v.late_rows, 0),
       coalesce(v.undated_rows, 0), coalesce(v.problems, 0), {ISO.format("v.suspect_since")}, v.suspect_rows,
       v.suspect_reason, r.run_id, r.command, r.status, r.finished_at
FROM connections c LEFT JOIN coverage_now v ON v.connection = c.connection AND v.resource = 'opportunity'
LEFT JOIN last_run r ON r.connection = c.connection LEFT JOIN owed o ON o.connection = c.connection
ORDER BY c.connection
"""
KEYS = (
    *("connection", "connector", "state", "complete_through", "last_success_at", "last_sweep_at", "failing_since"),
    *("live_count", "source_count", "details_owed", "open_slices", "error_kind", "error_message"),
    *(
        "history_from",
        "details_through",
        "late_rows",
        "undated_rows",
        "problems",
        "suspect_since",
        "suspect_rows",
        "suspect_reason",
    ),
    *("last_run_id", "last_command", "last_status", "last_finished_at"),
)

_PARTS = f"""
WITH {_KNOWN}
SELECT connection, resource, {ISO.format("complete_through")}, live_count, coalesce(details_owed, 0)
FROM coverage_now WHERE resource <> 'opportunity' ORDER BY connection, resource
"""
PART_KEYS = ("resource", "complete_through", "live_count", "details_owed")

_RUNS = f"""
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


_REFUSED = f"""
SELECT connection, {ISO.format("min(started_at)")}, arg_max(error_kind, rowid), arg_max(error_message, rowid)
FROM sync_runs WHERE status = 'failed' AND connection NOT IN (SELECT connection FROM connections) GROUP BY connection
"""


def refused(db: Database) -> dict[str, Standing]:
    """Of connections that never came to ask their CRM: since when they fail, and why."""
    keys = ("failing_since", "error_kind", "error_message")
    return {row[0]: {"state": "active"} | dict(zip(keys, row[1:], strict=True)) for row in db.run(_REFUSED)}


def standings(db: Database) -> dict[str, Standing]:
    """Every connection ever run, by name: KEYS, its reference lists and details in `resources`, and the overlap that
    its late rows propose, in seconds.
    """
    proposed = _proposed(db)
    found = {
        row[0]: dict(zip(KEYS, row, strict=True)) | {"resources": [], "proposed_overlap": proposed.get(row[0])}
        for row in db.run(_CONNECTIONS)
    }
    for connection, *part in db.run(_PARTS):
        if connection in found:
            found[connection]["resources"].append(dict(zip(PART_KEYS, part, strict=True)))
    return found


def unknown(connection: str, connector: str) -> Standing:
    """The standing of a connection that was never run."""
    nothing = dict.fromkeys(("details_owed", "open_slices", "late_rows", "undated_rows", "problems"), 0)
    names = {"connection": connection, "connector": connector, "state": "never run"}
    return dict.fromkeys(KEYS) | nothing | names | {"resources": [], "proposed_overlap": None}


def _proposed(db: Database) -> dict[str, int]:
    if not db.one("SELECT count(*) FROM duckdb_views() WHERE view_name = 'lateness'"):
        return {}
    return dict(db.run("SELECT connection, epoch(proposed_overlap)::BIGINT FROM lateness"))


def runs(db: Database, connections: list[str], limit: int) -> list[dict[str, Any]]:
    """Past runs of these connections (all for none), newest first: RUN_KEYS."""
    rows = db.run(_RUNS, {"connections": connections, "limit": limit})
    return [dict(zip(RUN_KEYS, row, strict=True)) for row in rows]


def names(db: Database) -> dict[str, str]:
    """Every connection ever run, with its connector."""
    return {str(name): str(connector) for name, connector in db.run("SELECT connection, connector FROM connections")}


def published_at(db: Database) -> str | None:
    """When this snapshot was made."""
    text: str | None = db.one(f"SELECT {ISO.format('published_at')} FROM about")
    return text
