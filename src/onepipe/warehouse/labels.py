"""Every stage and owner ever seen, by the labels people know them by, with what their deals are now."""

from collections.abc import Sequence
from dataclasses import dataclass

from onepipe.warehouse.database import Database

_CHOSEN = "list_contains($connections, connection)"
_DEALS = f"SELECT * FROM store.current WHERE NOT is_deleted AND {_CHOSEN}"
_OPEN = (
    "count(*) FILTER (status = 'open' AND NOT is_archived AND connection NOT IN "
    "(SELECT connection FROM connections WHERE state = 'retired'))"
)


@dataclass(frozen=True, slots=True)
class SeenStage:
    """A stage of one connection: how many deals are in it, and how those are read; `unknown` ones have no status."""

    connection: str
    pipeline: str | None
    stage: str | None
    deals: int
    open_deals: int
    unknown: int
    statuses: tuple[str, ...]

    @property
    def read_as(self) -> tuple[str, ...]:
        """The statuses that its deals have now, and `unknown` where some have none."""
        return (*self.statuses, *(["unknown"] if self.unknown else []))


@dataclass(frozen=True, slots=True)
class SeenOwner:
    """An owner of deals of one connection, by the newest name the CRM gave; the deals are those of today."""

    connection: str
    owner_id: str
    owner: str | None
    deals: int
    open_deals: int


def stages(db: Database, connections: Sequence[str]) -> list[SeenStage]:
    """The stages that lists and deals of these connections ever named, in the order of their pipelines.

    Deals without a stage are a line, too, as they may be of unknown status.
    """
    rows = db.run(
        f"""
        WITH named AS (
            SELECT connection, pipeline, stage, min(position) AS position FROM (
                SELECT connection, pipeline, stage, position FROM stages WHERE stage IS NOT NULL
                UNION ALL SELECT DISTINCT connection, pipeline, stage, NULL FROM store.closed WHERE stage IS NOT NULL
                UNION ALL SELECT DISTINCT connection, pipeline, stage, NULL FROM store.current)
            WHERE {_CHOSEN} GROUP BY ALL),
        counted AS (
            SELECT connection, pipeline, stage, count(*) AS deals, {_OPEN} AS open_deals,
                   count(*) FILTER (status IS NULL) AS unknown, list_sort(list_distinct(list(status))) AS statuses
            FROM ({_DEALS}) GROUP BY ALL)
        SELECT n.connection, n.pipeline, n.stage, coalesce(c.deals, 0), coalesce(c.open_deals, 0),
               coalesce(c.unknown, 0), coalesce(c.statuses, [])
        FROM named n LEFT JOIN counted c ON c.connection = n.connection
            AND c.pipeline IS NOT DISTINCT FROM n.pipeline AND c.stage IS NOT DISTINCT FROM n.stage
        WHERE n.stage IS NOT NULL OR c.deals > 0
        ORDER BY n.connection, n.pipeline NULLS FIRST, n.position NULLS LAST, n.stage NULLS LAST""",
        {"connections": list(connections)},
    )
    return [
        SeenStage(connection, pipeline, stage, deals, open_deals, unknown, tuple(statuses))
        for connection, pipeline, stage, deals, open_deals, unknown, statuses in rows
    ]


def owners(db: Database, connections: Sequence[str]) -> list[SeenOwner]:
    """The owners that deals of these connections ever named, by name."""
    rows = db.run(
        f"""
        WITH named AS (
            SELECT connection, owner_id, arg_max(owner, payload_seq) AS owner FROM (
                SELECT connection, owner_id, owner, payload_seq FROM store.current
                UNION ALL SELECT connection, owner_id, owner, payload_seq FROM store.closed)
            WHERE owner_id IS NOT NULL AND {_CHOSEN} GROUP BY ALL),
        counted AS (
            SELECT connection, owner_id, count(*) AS deals, {_OPEN} AS open_deals FROM ({_DEALS}) GROUP BY ALL)
        SELECT n.connection, n.owner_id, n.owner, coalesce(c.deals, 0), coalesce(c.open_deals, 0)
        FROM named n LEFT JOIN counted c USING (connection, owner_id)
        ORDER BY n.connection, n.owner NULLS LAST, n.owner_id""",
        {"connections": list(connections)},
    )
    return [SeenOwner(*row) for row in rows]
