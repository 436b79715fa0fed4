"""Which columns hold a value, in the rows that came last and in those before: what a field that falls silent shows in.

Both are samples, and told by status: a deal that is open has no day on which it closed, however many of the others do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from onepipe.model import MAPPED
from onepipe.warehouse.database import Database
from onepipe.warehouse.schema import quoted

SAMPLE = 5_000  # rows of each kind that are looked at, at the most
_LEFT_OUT = ("custom", "extra", "is_archived")  # what is in them is not one field
_ROWS = """
WITH new AS (
    SELECT * FROM opportunities WHERE connection = $connection AND NOT is_deleted
    AND last_changed_at >= $since::TIMESTAMPTZ LIMIT {sample}
), old AS (
    (SELECT {columns} FROM opportunities WHERE connection = $connection AND NOT is_deleted
     AND last_changed_at < $since::TIMESTAMPTZ LIMIT {sample})
    UNION ALL
    (SELECT {columns} FROM opportunity_history WHERE connection = $connection AND NOT is_deleted
     AND recorded_at < $since::TIMESTAMPTZ AND valid_to IS NOT NULL
     AND source_id IN (SELECT source_id FROM new) LIMIT {sample})
)
SELECT true, status, count(*), {counts} FROM new GROUP BY status
UNION ALL SELECT false, status, count(*), {counts} FROM old GROUP BY status
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """Rows of one status, and how many of them hold a value, by column. `new`: they came since the given instant."""

    new: bool
    status: str | None
    rows: int
    values: dict[str, int]


def filled(db: Database, connection: str, since: str) -> list[Filled]:
    """What the live deals of a connection hold that changed since an instant (ISO, with a zone), and those before."""
    known = [column.name for column in MAPPED if column.name not in _LEFT_OUT]
    names = [name for name in db.names("FROM opportunities") if name in known or name.startswith("x_")]
    counts = ", ".join(f"count({quoted(name)})" for name in names)
    columns = ", ".join(map(quoted, names))
    query = _ROWS.format(sample=SAMPLE, columns=columns, counts=counts)
    rows = db.run(query, {"connection": connection, "since": since})
    return [Filled(new, status, number, dict(zip(names, held, strict=True))) for new, status, number, *held in rows]


def live(db: Database, connections: Sequence[str]) -> dict[str, int]:
    """How many deals of these connections are not deleted."""
    query = (
        "SELECT connection, live_count FROM coverage WHERE resource = 'opportunity' AND live_count IS NOT NULL "
        "AND list_contains($connections, connection)"
    )
    return dict(db.run(query, {"connections": list(connections)}))


def runs(db: Database, run_ids: Sequence[str]) -> set[str]:
    """Which of these runs had ended when the file was made."""
    found = db.run("SELECT DISTINCT run_id FROM sync_runs WHERE list_contains($runs, run_id)", {"runs": list(run_ids)})
    return {str(run_id) for (run_id,) in found}
