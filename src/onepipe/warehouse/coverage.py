"""The completeness ledger: what is loaded up to when, per connection and resource.

Every function runs inside the caller's transaction, so that the ledger changes together with the rows it tells of.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text, iso, moment

_SETTLED = """
UPDATE coverage SET live_count = c.live, undated_rows = c.undated, problems = c.problems, late_rows = (
        SELECT count(*) FROM late_rows WHERE connection = $connection AND kind = 'late'),
    history_from = coalesce(history_from, $now::TIMESTAMPTZ), details_owed = (
        SELECT count(*) FROM store.debts WHERE connection = $connection AND completes), details_through = coalesce(
        (SELECT min(since) FROM store.debts WHERE connection = $connection AND completes),
        CASE WHEN $complete THEN $now::TIMESTAMPTZ ELSE greatest(details_through, complete_through) END)
FROM (SELECT count(*) AS live, count(*) FILTER (updated_at IS NULL) AS undated, (
          SELECT count(*) FROM problems p JOIN store.current o USING (connection, source_id, payload_hash)
          WHERE connection = $connection AND NOT o.is_deleted) AS problems
      FROM store.current WHERE connection = $connection AND NOT is_deleted) c
WHERE connection = $connection AND resource = 'opportunity'
"""

_PARTS = """
UPDATE coverage SET complete_through = coalesce((SELECT min(since) FROM store.debts
        WHERE connection = $connection AND detail = $resource AND completes), $through::TIMESTAMPTZ, greatest(
        complete_through, (SELECT complete_through FROM coverage WHERE connection = $connection
        AND resource = 'opportunity'))),
    live_count = (SELECT count(*) FROM store.reference WHERE connection = $connection AND resource = $resource)
        + (SELECT count(*) FROM store.details WHERE connection = $connection AND detail = $resource),
    details_owed = (SELECT count(*) FROM store.debts WHERE connection = $connection AND detail = $resource
        AND completes)
WHERE connection = $connection AND resource = $resource
"""


def last_success(db: Database, connection: str) -> datetime | None:
    """When a run of the connection last ended complete; None before the first one did."""
    return moment(db.one(f"SELECT {iso('last_success_at')} FROM connections WHERE connection = ?", [connection]))


def cover(db: Database, connection: str, **columns: Any) -> None:
    """Set columns of a connection's coverage: complete_through, last_sweep_at, source_count, ..."""
    for name, value in columns.items():
        bound_value = as_text(value) if isinstance(value, datetime) else value
        db.run(
            f"UPDATE coverage SET {name} = ? WHERE connection = ? AND resource = 'opportunity'",
            [bound_value, connection],
        )


def settle(db: Database, connection: str, now: datetime, *, complete: bool, whole: bool) -> None:
    """Close the books of a run: live rows, details owed, since when it fails.

    `whole` is False for a run that was asked for a part of the history only: it proves nothing about the rest.
    """
    values = {"connection": connection, "now": as_text(now)}
    db.run(_SETTLED, values | {"complete": complete})
    if complete and whole:
        db.run("UPDATE connections SET last_success_at = $now WHERE connection = $connection", values)
        db.run("UPDATE coverage SET oldest_failure_at = NULL WHERE connection = ?", [connection])
    elif not complete:
        db.run(
            "UPDATE coverage SET oldest_failure_at = coalesce(oldest_failure_at, $now::TIMESTAMPTZ) "
            "WHERE connection = $connection AND resource = 'opportunity'",
            values,
        )


def cover_parts(db: Database, connection: str, resources: Sequence[str], through: datetime | None) -> None:
    """The coverage of what surrounds the opportunities: reference lists read up to `through`, and details."""
    for resource in resources:
        values = {"connection": connection, "resource": resource, "through": as_text(through)}
        db.run(
            "INSERT INTO coverage (connection, resource, history_from, open_slices) "
            "SELECT $connection, $resource, now(), 0 WHERE NOT EXISTS "
            "(SELECT 1 FROM coverage WHERE connection = $connection AND resource = $resource)",
            {"connection": connection, "resource": resource},
        )
        db.run(_PARTS, values)
