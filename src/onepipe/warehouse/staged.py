"""Stages: as they are (`stages`), and all they ever were (`store.stage_versions`).

A deal's stage is looked up by id or label when the deal is read. Whoever reads an old version again needs the stages of
that time, or a stage that was renamed since rewrites the past; so each row that `stages` ever had is kept, with the raw
row from which on it held (`seq`), and `stages` holds the newest row of each stage.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from onepipe.model import STAGE
from onepipe.transform import macros
from onepipe.warehouse.database import Database

OPPORTUNITY = "opportunity"
_NOW = 2**62  # a landing after all others: the list as it is
_NAMES = ", ".join(column.name for column in STAGE)
_TOLD = "(t.stage, t.pipeline, t.probability, t.status)"  # what is kept as history; places in a list are not
_STAGE_OF = (
    "s.connection = t.connection AND s.stage_id = t.stage_id AND s.pipeline_id IS NOT DISTINCT FROM t.pipeline_id"
)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a mapping reads the stages of a connection: SQL over the records of one resource."""

    connection: str
    resource: str
    sql: str
    values: Mapping[str, str | None]

    @property
    def mark(self) -> str:
        """Equal for rules that read the same."""
        return hashlib.sha256("\n".join([*macros(self.sql), self.sql]).encode()).hexdigest()[:16]


def take_list(db: Database, rules: Rules) -> None:
    """Take over a reference list from `listed`; `changed` are those of its records that are news."""
    _tell(db, rules, "SELECT 0 AS landing, position AS place, payload FROM listed")
    _take(
        db,
        rules,
        "SELECT 0 AS landing, (SELECT max(seq) FROM store.raw) AS seq, coalesce((SELECT max(fetched_at) FROM changed), "
        "(SELECT max(fetched_at) FROM listed)) AS valid_from",
    )


def take_seen(db: Database, rules: Rules, payloads: str) -> None:
    """Take over the stages that deals themselves name. `payloads` is a query (seq, payload) over `changed`.

    What was read before, and is only read again, tells nothing.
    """
    _tell(db, rules, f"SELECT 0 AS landing, seq AS place, payload FROM ({payloads})")
    _take(db, rules, "SELECT seq AS place, seq, fetched_at AS valid_from FROM changed WHERE seq = payload_seq")


def read_again(db: Database, rules: Rules) -> None:
    """Read every state of the list again, unless it was by the same rules. Places are those of now."""
    connection = {"connection": rules.connection}
    read_by = db.run("SELECT DISTINCT rules FROM store.stage_versions WHERE connection = $connection", connection)
    if read_by == [(rules.mark,)]:
        return
    values = {"connection": rules.connection, "resource": rules.resource}
    seen = rules.resource == OPPORTUNITY
    db.run(f"CREATE OR REPLACE TEMP TABLE landings AS {_SEEN_LANDINGS if seen else _LANDINGS}", values)
    db.run(f"CREATE OR REPLACE TEMP TABLE every AS {_SEEN if seen else _LISTED}", values)
    _tell(db, rules, "FROM every")
    if not db.one("SELECT count(*) FROM told"):  # rules that read nothing: what was known stays
        return
    db.run(f"CREATE OR REPLACE TEMP TABLE placed AS {_PLACED}", {"now": _NOW})
    db.run(
        f"CREATE OR REPLACE TEMP TABLE kept AS SELECT {_NAMES}, seq, valid_from, $mark AS rules "
        f"FROM (SELECT t.* REPLACE (s.position AS position), m.seq, m.valid_from, {_TOLD} AS now_is, "
        f"lag({_TOLD}) OVER (PARTITION BY t.connection, t.stage_id, t.pipeline_id ORDER BY m.seq) AS was FROM told t "
        f"JOIN landings m ON m.{_key(rules)} = t.{_key(rules)} JOIN placed s ON {_STAGE_OF}) "
        "WHERE was IS NULL OR was IS DISTINCT FROM now_is",
        {"mark": rules.mark},
    )
    for table in ("stages", "store.stage_versions"):
        db.run(f"DELETE FROM {table} WHERE connection = $connection", connection)
    db.run("INSERT INTO store.stage_versions BY NAME FROM kept")
    db.run(f"INSERT INTO stages BY NAME {_standing('kept')}")


def put_back(db: Database, connection: str, seq: int) -> None:
    """Until `put_away`, whoever reads `stages` reads those of a connection as they were at a raw row."""
    standing = _standing("store.stage_versions", "WHERE connection = $connection AND seq <= $seq")
    db.run(f"CREATE OR REPLACE TEMP TABLE stages AS {standing}", {"connection": connection, "seq": seq})


def put_away(db: Database) -> None:
    """`stages` are those of now again."""
    db.run("DROP TABLE IF EXISTS temp.stages")


def fill(db: Database) -> None:
    """Begin the history of stages that an older onepipe kept none of, at the first fetch that can have told of them."""
    db.run(
        f"""INSERT INTO store.stage_versions BY NAME SELECT {_NAMES}, 0 AS seq, coalesce(first_at, first_run_at)
               AS valid_from, NULL AS rules FROM stages LEFT JOIN connections USING (connection)
        LEFT JOIN (SELECT connection, coalesce(min(fetched_at) FILTER (listed), min(fetched_at)) AS first_at FROM
                   (SELECT connection, fetched_at, (connection, resource) IN (SELECT (connection, resource)
                    FROM store.reference) AS listed FROM store.raw WHERE connection IN (SELECT connection FROM stages))
                   GROUP BY connection) USING (connection)
        WHERE connection NOT IN (SELECT connection FROM store.stage_versions)"""
    )


def _tell(db: Database, rules: Rules, source: str) -> None:
    """`told`: the stages that `source` (landing, place, payload) tells of."""
    db.define(macros(rules.sql))
    db.run(f"CREATE OR REPLACE TEMP VIEW source AS {source}")
    used = {name: value for name, value in rules.values.items() if f"${name}" in rules.sql}
    db.run(f"CREATE OR REPLACE TEMP TABLE told AS {rules.sql}", used)


def _take(db: Database, rules: Rules, landings: str) -> None:
    """Put what is new in `told` in place; a stage once seen is never removed."""
    db.run(f"DELETE FROM told t USING stages s WHERE {_STAGE_OF} AND {_SAME}")
    if not db.one("SELECT count(*) FROM told"):
        return
    key = _key(rules)
    db.run(
        f"CREATE OR REPLACE TEMP TABLE news AS SELECT {_NAMES}, m.seq, m.valid_from, $mark AS rules FROM told t "
        f"JOIN ({landings}) m ON m.{key} = t.{key}",
        {"mark": rules.mark},
    )
    db.run(f"DELETE FROM stages s USING news t WHERE {_STAGE_OF}")
    db.run(f"INSERT INTO stages BY NAME SELECT {_NAMES} FROM news")
    db.run(f"DELETE FROM store.stage_versions s USING news t WHERE {_STAGE_OF} AND s.seq = t.seq")
    db.run("INSERT INTO store.stage_versions BY NAME FROM news")


def _key(rules: Rules) -> str:
    """A list is told as a whole, by one landing; of deals each tells for itself."""
    return "place" if rules.resource == OPPORTUNITY else "landing"


def _standing(relation: str, condition: str = "") -> str:
    return (
        f"SELECT {_NAMES} FROM {relation} {condition} QUALIFY row_number() OVER "
        "(PARTITION BY connection, stage_id, pipeline_id ORDER BY seq DESC) = 1"
    )


_SAME = " AND ".join(f"s.{column.name} IS NOT DISTINCT FROM t.{column.name}" for column in STAGE[1:])
_ROWS = "store.raw WHERE connection = $connection AND resource = $resource AND kind = 'record'"
_SEEN_LANDINGS = f"SELECT seq AS place, seq, fetched_at AS valid_from FROM {_ROWS}"
_SEEN = f"SELECT min(seq) OVER (PARTITION BY run_id) AS landing, seq AS place, payload FROM {_ROWS}"
_LANDINGS = f"SELECT max(seq) AS landing, max(seq) AS seq, max(fetched_at) AS valid_from FROM {_ROWS} GROUP BY run_id"
# Every record of the list as it was at each landing. Which of them had left it by then is known of now alone.
_LISTED = f"""
    SELECT l.landing, row_number() OVER (PARTITION BY l.landing ORDER BY p.place NULLS LAST, r.record_id) AS place,
           r.payload
    FROM (SELECT landing, record_id FROM (SELECT landing FROM landings UNION ALL SELECT {_NOW})
          CROSS JOIN (SELECT DISTINCT record_id FROM {_ROWS})) l
    ASOF JOIN (SELECT record_id, seq, payload FROM {_ROWS}) r ON r.record_id = l.record_id AND l.landing >= r.seq
    LEFT JOIN (SELECT record_id, place FROM store.reference WHERE connection = $connection AND resource = $resource) p
           ON p.record_id = l.record_id
    WHERE l.landing < {_NOW} OR p.place IS NOT NULL"""
# The place of each stage: in the list of now; of one that left it, where it stood last.
_PLACED = f"""
    SELECT t.connection, t.stage_id, t.pipeline_id,
           CASE WHEN max(t.landing) = $now THEN max_by(t.position, t.landing)
                WHEN bool_or(s.connection IS NOT NULL) THEN any_value(s.position)
                ELSE max_by(t.position, t.landing) END AS position
    FROM told t LEFT JOIN stages s ON {_STAGE_OF} GROUP BY ALL"""
