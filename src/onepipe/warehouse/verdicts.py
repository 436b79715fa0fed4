"""Verdicts on deletions: what a sweep found and nobody believed yet, and what a person decided about it.

store.suspects      records that a stopped sweep did not find, each with its evidence as far as it was asked for
store.acknowledged  records that a person left alive though no list shows them; not judged until they are seen again
coverage            since when a finding waits for a decision, how many records it names, and why it was not believed
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from onepipe.warehouse import seen
from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text, iso, moment


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding that waits for a decision: since when, of how many records, and why it was not believed."""

    connection: str
    since: datetime
    rows: int
    reason: str


@dataclass(frozen=True, slots=True)
class Suspected:
    """One record of a finding. `evidence` is "gone" or "absent"; None: not asked for by id. `found_at` is in UTC."""

    source_id: str
    evidence: str | None
    found_at: datetime | None
    name: str | None
    status: str | None
    owner: str | None
    url: str | None


def suspect(
    db: Database,
    connection: str,
    read: str,
    found: Mapping[str, str],
    answered: Sequence[str],
    reason: str,
    now: datetime,
) -> int:
    """Write down what the complete read `read` did not meet, in place of an earlier finding; how many records.

    `found` is the evidence of those asked for and refused; `answered` are ids that exist after all.
    """
    db.run("DELETE FROM store.suspects WHERE connection = ?", [connection])
    rows = db.run(
        "INSERT INTO store.suspects SELECT $connection, c.source_id, e.evidence, $now::TIMESTAMPTZ "
        f"FROM ({seen.MISSING}) c LEFT JOIN "
        "(SELECT unnest($ids::VARCHAR[]) AS source_id, unnest($evidence::VARCHAR[]) AS evidence) e USING (source_id) "
        "WHERE c.source_id NOT IN (SELECT unnest($answered::VARCHAR[])) RETURNING source_id",
        {
            "connection": connection,
            "slice": read,
            "now": as_text(now),
            "ids": list(found),
            "evidence": list(found.values()),
            "answered": list(answered),
        },
    )
    db.run(
        "UPDATE coverage SET suspect_since = coalesce(suspect_since, $now::TIMESTAMPTZ), suspect_rows = $rows, "
        "suspect_reason = $reason WHERE connection = $connection AND resource = 'opportunity'",
        {"connection": connection, "now": as_text(now), "rows": len(rows), "reason": reason},
    )
    return len(rows)


def waiting(db: Database, connection: str) -> frozenset[str]:
    """The ids that wait for a decision."""
    rows = db.run("SELECT source_id FROM store.suspects WHERE connection = ?", [connection])
    return frozenset(source_id for (source_id,) in rows)


def findings(db: Database) -> dict[str, Finding]:
    """The findings that wait for a decision, by connection."""
    rows = db.run(
        f"SELECT connection, {iso('suspect_since')}, suspect_rows, suspect_reason FROM coverage "
        "WHERE suspect_since IS NOT NULL AND resource = 'opportunity' ORDER BY connection"
    )
    return {name: Finding(name, since, count, reason) for name, at, count, reason in rows if (since := moment(at))}


def suspected(db: Database, connection: str) -> list[Suspected]:
    """The records of a finding, as they are stored, by id."""
    rows = db.run(
        f"SELECT s.source_id, s.evidence, {iso('s.found_at')}, o.name, o.status, o.owner, o.url FROM store.suspects s "
        "LEFT JOIN opportunities o ON o.connection = s.connection AND o.source_id = s.source_id "
        "WHERE s.connection = ? ORDER BY try_cast(s.source_id AS HUGEINT) NULLS LAST, s.source_id",
        [connection],
    )
    return [Suspected(key, evidence, moment(at), *rest) for key, evidence, at, *rest in rows]


def clear(db: Database, connection: str) -> None:
    """The finding is decided, or proved to be none."""
    db.run("DELETE FROM store.suspects WHERE connection = ?", [connection])
    _count(db, connection)


def acknowledge(db: Database, connection: str, now: datetime) -> int:
    """Leave the records of a finding alive, not to be judged until they are seen again; how many."""
    known = waiting(db, connection)
    db.run(
        "INSERT INTO store.acknowledged SELECT connection, source_id, $now::TIMESTAMPTZ FROM store.suspects "
        "WHERE connection = $connection AND source_id NOT IN "
        "(SELECT source_id FROM store.acknowledged WHERE connection = $connection)",
        {"connection": connection, "now": as_text(now)},
    )
    clear(db, connection)
    return len(known)


def met(db: Database, connection: str) -> None:
    """Take what the landing just done has met out of both lists: it is there."""
    _drop(db, connection, "source_id IN (SELECT source_id FROM arrivals)")


def marked(db: Database, connection: str) -> None:
    """Take what is marked as deleted by now out of both lists: it is decided."""
    _drop(
        db,
        connection,
        "source_id IN (SELECT source_id FROM store.current WHERE connection = $connection AND is_deleted)",
    )


def _drop(db: Database, connection: str, condition: str) -> None:
    values = {"connection": connection}
    for table in ("store.suspects", "store.acknowledged"):
        if not db.one(f"SELECT count(*) FROM {table} WHERE connection = $connection", values):
            continue
        db.run(f"DELETE FROM {table} WHERE connection = $connection AND {condition}", values)
        if table == "store.suspects":
            _count(db, connection)


def _count(db: Database, connection: str) -> None:
    """Let coverage say how many records wait; where none does, nothing waits."""
    db.run(
        "UPDATE coverage SET suspect_rows = nullif(s.rows, 0), "
        "suspect_since = CASE WHEN s.rows > 0 THEN suspect_since END, "
        "suspect_reason = CASE WHEN s.rows > 0 THEN suspect_reason END "
        "FROM (SELECT count(*) AS rows FROM store.suspects WHERE connection = $connection) s "
        "WHERE connection = $connection AND resource = 'opportunity'",
        {"connection": connection},
    )
