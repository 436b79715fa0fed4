"""What people decide of stages and owners, in files beside config.yaml: kept here, and in force where deals are read.

`store.stage_decisions` and `store.people` hold what the files say, by connection, since whoever asks the published file
has no config.yaml at hand; views join them. A status is another matter: it is how deals are read, so it comes into
force in `store.stage_statuses` together with every version being read again by it.
"""

from collections.abc import Sequence
from typing import Any

from onepipe.model import Column
from onepipe.warehouse.database import Database

COLUMNS = (
    Column("stage_group", "VARCHAR", "The group that stages.csv gives the stage; NULL where it gives none"),
    Column("stage_weight", "DECIMAL(5,4)", "What stages.csv has a deal in this stage count for, 0..1; else NULL"),
    Column("person", "VARCHAR", "Whom the owner stands for by people.csv; NULL where it does not say"),
    Column("team", "VARCHAR", "That person's team by people.csv; NULL where it does not say"),
)
GROUP = "coalesce(own_stage.stage_group, any_stage.stage_group)"
WEIGHT = "coalesce(own_stage.weight, any_stage.weight)"
PERSON, TEAM = "who.person", "who.team"
OWN = {"stage_group": GROUP, "stage_weight": WEIGHT, "person": PERSON, "team": TEAM}
"""The columns that deals gain by these joins, and what each is made of."""


def staged(row: str) -> str:
    """SQL: the joins that give GROUP and WEIGHT to a relation with connection, pipeline and stage.

    Decisions for any pipeline are joined by themselves, as each of the two joins is then a plain one; none doubles a
    row, and at most one of them finds something.
    """
    own, any_ = ("connection", "pipeline", "stage"), ("connection", "stage")
    return (
        f"LEFT JOIN (FROM store.stage_decisions WHERE pipeline IS NOT NULL) own_stage "
        f"ON {_key('own_stage', own)} = {_key(row, own)} "
        f"LEFT JOIN (FROM store.stage_decisions WHERE pipeline IS NULL) any_stage "
        f"ON {_key('any_stage', any_)} = {_key(row, any_)}"
    )


def owned(row: str) -> str:
    """SQL: the join that gives PERSON and TEAM to a relation with connection and owner_id."""
    of = ("connection", "owner_id")
    return f"LEFT JOIN store.people who ON {_key('who', of)} = {_key(row, of)}"


def _key(row: str, columns: Sequence[str]) -> str:
    """SQL: several columns as one key; NULL where one is.

    DuckDB 2.0.0 loses a LIMIT over a LEFT JOIN whose right side a condition on a joined column proves to be empty
    (`FROM deals WHERE connection = 'acme' LIMIT 1` gave all of acme's): conditions do not reach through this key.
    """
    return "(" + " || chr(31) || ".join(f"{row}.{column}" for column in columns) + ")"


def keep(db: Database, mark: str, stages: Sequence[tuple[Any, ...]], people: Sequence[tuple[Any, ...]]) -> None:
    """Take over what the files say; `mark` is another one where it is something else, and nothing is done if not.

    `stages` are (connection, pipeline, stage, stage_group, status, weight), `people` (connection, owner_id, person,
    team), at most one for each stage and owner.
    """
    if db.one("SELECT mark FROM store.decided") == mark:
        return
    _fill(db, "store.stage_decisions", stages, ("VARCHAR",) * 5 + ("DECIMAL(5,4)",))
    _fill(db, "store.people", people, ("VARCHAR",) * 4)
    db.run("DELETE FROM store.decided")
    db.run("INSERT INTO store.decided VALUES (?)", [mark])


def _fill(db: Database, table: str, rows: Sequence[tuple[Any, ...]], types: Sequence[str]) -> None:
    """In one statement whatever their number: one for each row takes a second for a thousand."""
    db.run(f"DELETE FROM {table}")
    columns = {f"c{n}": [None if row[n] is None else str(row[n]) for row in rows] for n in range(len(types))}
    values = ", ".join(f"unnest($c{n}::VARCHAR[])::{type_}" for n, type_ in enumerate(types))
    if rows:
        db.run(f"INSERT INTO {table} SELECT {values}", columns)


def override(db: Database, connection: str) -> None:
    """Give the deals in `fresh` the status that is in force for their stage, by its labels."""
    if not db.one("SELECT count(*) FROM store.stage_statuses WHERE connection = ?", [connection]):
        return
    db.run(
        "UPDATE fresh SET status = d.status FROM (FROM store.stage_statuses WHERE connection = $connection) d "
        "WHERE fresh.stage = d.stage AND (d.pipeline IS NULL OR d.pipeline = fresh.pipeline)",
        {"connection": connection},
    )


_WANTED = "SELECT connection, pipeline, stage, status FROM store.stage_decisions WHERE status IS NOT NULL"
_IN_FORCE = "SELECT connection, pipeline, stage, status FROM store.stage_statuses"
_DIFFERENT = f"(({_WANTED} EXCEPT {_IN_FORCE}) UNION ALL ({_IN_FORCE} EXCEPT {_WANTED}))"


def waiting(db: Database) -> list[str]:
    """The connections of which the files decide other statuses by now than their deals are read with."""
    return [name for (name,) in db.run(f"SELECT DISTINCT connection FROM {_DIFFERENT} ORDER BY connection")]


def concerned(db: Database, connection: str) -> bool:
    """Whether any version of a connection's deals is in a stage whose status is another one by now."""
    row = db.run(
        f"""SELECT 1 FROM (SELECT DISTINCT pipeline, stage FROM (
                SELECT connection, pipeline, stage FROM store.current
                UNION ALL SELECT connection, pipeline, stage FROM store.closed) WHERE connection = $connection) v
            JOIN (FROM {_DIFFERENT} WHERE connection = $connection) d
                ON d.stage = v.stage AND (d.pipeline IS NULL OR d.pipeline = v.pipeline) LIMIT 1""",
        {"connection": connection},
    )
    return bool(row)


def bring_into_force(db: Database, connection: str) -> None:
    """From here on a connection's deals are read with the statuses that the files decide."""
    db.run("DELETE FROM store.stage_statuses WHERE connection = ?", [connection])
    db.run(f"INSERT INTO store.stage_statuses {_WANTED} AND connection = ?", [connection])
