"""How much room everything takes: rows and bytes of each table, as the file has them."""

from dataclasses import dataclass

from onepipe.warehouse.database import Database
from onepipe.warehouse.schema import literal, quoted


@dataclass(frozen=True, slots=True)
class Size:
    """One table. Where tables share a block of the file, each is given its part of it: the bytes are about right."""

    table: str
    rows: int
    bytes: int


def tables(db: Database) -> list[Size]:
    """Every table of the open file, the largest first."""
    names = _names(db)
    rows: dict[str, int] = dict(
        db.run(" UNION ALL ".join(f"SELECT {literal(name)}, count(*) FROM {place}" for name, place in names))
    )
    parts = " UNION ALL ".join(
        f"SELECT {literal(name)} AS name, block_id, additional_block_ids FROM pragma_storage_info({literal(place)})"
        for name, place in names
    )
    taken: dict[str, int] = dict(
        db.run(
            f"""WITH parts AS ({parts}),
            blocks AS (SELECT name, block_id FROM parts UNION ALL SELECT name, unnest(additional_block_ids) FROM parts),
            shared AS (SELECT name, 1 / count(*) OVER (PARTITION BY block_id) AS part FROM blocks WHERE block_id >= 0)
            SELECT name, (sum(part) * {_block(db)})::BIGINT FROM shared GROUP BY name"""
        )
    )
    found = [Size(name, rows[name], taken.get(name, 0)) for name, _ in names]
    return sorted(found, key=lambda one: (-one.bytes, one.table))


def unused(db: Database) -> int:
    """Bytes of the open file in which nothing is kept any more; new rows go there first."""
    return int(db.one(f"SELECT free_blocks FROM pragma_database_size() WHERE {_OURS}")) * _block(db)


_OURS = "database_name = current_database()"


def _block(db: Database) -> int:
    return int(db.one(f"SELECT block_size FROM pragma_database_size() WHERE {_OURS}"))


def _names(db: Database) -> list[tuple[str, str]]:
    """Each table's name for people, and its place in SQL."""
    rows = db.run(
        "SELECT schema_name, table_name FROM duckdb_tables() "
        f"WHERE {_OURS} AND NOT temporary ORDER BY schema_name, table_name"
    )
    return [
        (table if schema == "main" else f"{schema}.{table}", f"{quoted(schema)}.{quoted(table)}")
        for schema, table in rows
    ]
