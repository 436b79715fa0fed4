"""The tables of the warehouse, and their comments.

What people query is in `main` and `raw`; how it is kept is in `store`. Current versions and superseded ones live in
two tables, so that history is append-only and a merge touches only what changed; `opportunities` and
`opportunity_history` are views over them. No table has a PRIMARY KEY: the index would make merges 3 to 10 times
slower (measured); the merge itself keeps keys unique, and a test holds it to that.
"""

from uuid import uuid4

from onepipe.model import KEY, MAPPED, OBSERVED, OPPORTUNITY, STAGE, VERSION, Column
from onepipe.warehouse.database import Database

PRODUCT = "onepipe"
SCHEMA_VERSION = 1

KEPT = (
    *KEY,
    *MAPPED,
    *OBSERVED,
    *(column for column in VERSION if column.name != "valid_to"),
    Column("weight", "BIGINT", "Equal for payloads that differ in the order of keys only"),
    Column("seq", "BIGINT", "The raw row that began this version"),
    Column("payload_seq", "BIGINT", "The raw row whose payload this version was read from"),
)

RAW = (
    Column("connection", "VARCHAR", "The connection's name in config.yaml"),
    Column("resource", "VARCHAR", "What was read: opportunity, a reference list, or a detail of one opportunity"),
    Column("record_id", "VARCHAR", "The CRM's id of the record (for a detail: of its opportunity)"),
    Column("kind", "VARCHAR", "record, or how we know that it is gone: tombstone, gone, absent"),
    Column("origin", "VARCHAR", "pull, or push for our own write read back"),
    Column("payload", "JSON", "The record exactly as the CRM sent it (XML as JSON)"),
    Column("payload_hash", "VARCHAR", "MD5 of the payload, without fields that drift by themselves"),
    Column("fetched_at", "TIMESTAMPTZ", "When we fetched it, UTC"),
    Column("run_id", "VARCHAR", "Which run fetched it"),
    Column("seq", "BIGINT", "Order of arrival in this warehouse"),
    Column("owed", "BOOLEAN", "True for a detail that completed a version rather than changing it"),
)

TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {
    "about": (
        "One row: what this file is",
        (
            Column("published_at", "TIMESTAMPTZ", "When this snapshot was put in place, UTC"),
            Column("run_id", "VARCHAR", "The newest run it holds"),
            Column("generation", "BIGINT", "Counts commits; a newer snapshot has a higher one"),
            Column("onepipe_version", "VARCHAR", "Which onepipe wrote it"),
            Column("schema_version", "BIGINT", "Which layout of tables it has"),
            Column("product", "VARCHAR", "onepipe: the mark of a file that may be replaced by us"),
            Column("warehouse_id", "VARCHAR", "Which warehouse this is a snapshot of"),
        ),
    ),
    "stages": ("Every stage ever seen in the CRMs' reference data; never removed", STAGE),
    "connections": (
        "One row per CRM account",
        (
            Column("connection", "VARCHAR", "The connection's name in config.yaml"),
            Column("connector", "VARCHAR", "Which CRM"),
            Column("labels", "JSON", "The labels given in config.yaml"),
            Column("currency", "VARCHAR", "The currency config.yaml gives for records that carry none"),
            Column("state", "VARCHAR", "active, disabled, or retired when taken out of config.yaml"),
            Column("first_run_at", "TIMESTAMPTZ", "When it was first pulled, UTC"),
            Column("last_success_at", "TIMESTAMPTZ", "When a run last ended complete, UTC"),
            Column("base_url", "VARCHAR", "The account this name is bound to"),
        ),
    ),
    "problems": (
        "Every present value that could not be read, once per stored version; the record itself was loaded",
        (
            Column("connection", "VARCHAR", "The connection's name in config.yaml"),
            Column("source_id", "VARCHAR", "The opportunity; NULL where the record had no usable id"),
            Column("field", "VARCHAR", "The canonical column that stayed NULL"),
            Column("value", "VARCHAR", "The value as sent, at most 500 characters"),
            Column("reason", "VARCHAR", "Why it could not be read"),
            Column("run_id", "VARCHAR", "Which run met it"),
            Column("payload_hash", "VARCHAR", "Which raw version holds it"),
        ),
    ),
    "sync_runs": (
        "One row per run, connection and resource",
        (
            Column("run_id", "VARCHAR", "The run"),
            Column("command", "VARCHAR", "sync, backfill, daemon, ..."),
            Column("connection", "VARCHAR", "The connection's name in config.yaml"),
            Column("resource", "VARCHAR", "opportunity, a reference list, or a detail"),
            Column("status", "VARCHAR", "complete, partial (what is missing is named), failed or skipped"),
            Column("started_at", "TIMESTAMPTZ", "UTC"),
            Column("finished_at", "TIMESTAMPTZ", "UTC"),
            Column("fetched", "BIGINT", "Records received"),
            Column("new", "BIGINT", "Records never seen before"),
            Column("changed", "BIGINT", "Records whose content differs from the stored version"),
            Column("unchanged", "BIGINT", "Records received as they were"),
            Column("deleted", "BIGINT", "Records found deleted"),
            Column("problems", "BIGINT", "Values that could not be read"),
            Column("requests", "BIGINT", "Requests sent"),
            Column("error_kind", "VARCHAR", "auth, rate_limited, unavailable, bad_payload, paging, suspect, ..."),
            Column("error_message", "VARCHAR", "What failed, in a sentence"),
        ),
    ),
    "coverage": (
        "How complete each connection is",
        (
            Column("connection", "VARCHAR", "The connection's name in config.yaml"),
            Column("resource", "VARCHAR", "opportunity"),
            Column("complete_through", "TIMESTAMPTZ", "Every change up to here, by the CRM's clock, is loaded"),
            Column("history_from", "TIMESTAMPTZ", "Since when we observe; older history is the CRM's alone"),
            Column("last_sweep_at", "TIMESTAMPTZ", "When everything was last read to find deletions"),
            Column("details_through", "TIMESTAMPTZ", "Details of versions recorded up to here are loaded"),
            Column("source_count", "BIGINT", "How many opportunities the CRM said it has, where it tells"),
            Column("live_count", "BIGINT", "How many we hold that are not deleted"),
            Column("open_slices", "BIGINT", "Scans begun and not finished"),
            Column("oldest_failure_at", "TIMESTAMPTZ", "Since when runs have failed; NULL when the last one did not"),
        ),
    ),
}

FRESHNESS = {
    **{column.name: column.meaning for column in (*TABLES["coverage"][1], *TABLES["connections"][1])},
    "behind": "How long ago that was",
    "failing_since": "Since when runs have failed; NULL when the last one did not",
}

# What the engine keeps for itself.
STORE = """
CREATE TABLE store.meta (warehouse_id VARCHAR, schema_version BIGINT, generation BIGINT, run_id VARCHAR,
                         changed_at TIMESTAMPTZ, onepipe_version VARCHAR);
CREATE TABLE store.raw (connection VARCHAR, resource VARCHAR, record_id VARCHAR, kind VARCHAR, origin VARCHAR,
                        payload VARCHAR USING COMPRESSION zstd, payload_hash VARCHAR, fetched_at TIMESTAMPTZ,
                        run_id VARCHAR, seq BIGINT, owed BOOLEAN);
CREATE TABLE store.slices (connection VARCHAR, slice VARCHAR, kind VARCHAR, lo TIMESTAMPTZ, hi TIMESTAMPTZ,
                           until TIMESTAMPTZ, resume VARCHAR, merged_to BIGINT, fetched BIGINT,
                           started_at TIMESTAMPTZ, resumed BOOLEAN);
CREATE TABLE store.seen (connection VARCHAR, slice VARCHAR, source_id VARCHAR);
CREATE TABLE store.unlisted (connection VARCHAR, source_id VARCHAR, asked_at TIMESTAMPTZ);
CREATE TABLE store.debts (connection VARCHAR, detail VARCHAR, source_id VARCHAR, since TIMESTAMPTZ, completes BOOLEAN);
CREATE TABLE store.details (connection VARCHAR, detail VARCHAR, source_id VARCHAR,
                            payload VARCHAR USING COMPRESSION zstd, payload_hash VARCHAR);
CREATE TABLE store.reference (connection VARCHAR, resource VARCHAR, record_id VARCHAR, payload_hash VARCHAR,
                              place BIGINT);
CREATE TABLE store.mappings (connection VARCHAR, version VARCHAR, text VARCHAR, applied_at TIMESTAMPTZ);
CREATE TABLE store.distrust (connection VARCHAR, fact VARCHAR, since TIMESTAMPTZ);
CREATE TABLE store.fences (lease VARCHAR, number BIGINT);
"""


def create(db: Database, onepipe_version: str) -> None:
    """Lay out a new work file."""
    with db.transaction():
        db.run("CREATE SCHEMA store")
        db.run("CREATE SCHEMA raw")
        for statement in STORE.split(";"):
            if statement.strip():
                db.run(statement)
        for name in ("current", "closed"):
            extra = ", valid_to TIMESTAMPTZ" if name == "closed" else ""
            db.run(f"CREATE TABLE store.{name} ({_columns(KEPT)}{extra})")
        for name, (comment, columns) in TABLES.items():
            db.run(f"CREATE TABLE {name} ({_columns(columns)})")
            _comment(db, "TABLE", name, comment, columns)
        db.run(
            "INSERT INTO store.meta VALUES (?, ?, 0, NULL, NULL, ?)",
            [str(uuid4()), SCHEMA_VERSION, onepipe_version],
        )
        db.run("INSERT INTO about (product, warehouse_id) SELECT ?, warehouse_id FROM store.meta", [PRODUCT])
        _records(db)
        create_views(db)


def _records(db: Database) -> None:
    """The two views every other one stands on, and raw."""
    names = ", ".join(quoted(column.name) for column in OPPORTUNITY)
    history = ", ".join(quoted(column.name) for column in (*OPPORTUNITY, *VERSION))
    open_ended = history.replace('"valid_to"', "NULL::TIMESTAMPTZ AS valid_to")
    raw = ", ".join(f"{column.name}::JSON AS payload" if column.type == "JSON" else column.name for column in RAW)
    db.run(f"CREATE VIEW opportunities AS SELECT {names} FROM store.current")
    db.run(
        f"CREATE VIEW opportunity_history AS SELECT {history} FROM store.closed "
        f"UNION ALL SELECT {open_ended} FROM store.current"
    )
    db.run(f"CREATE VIEW raw.records AS SELECT {raw} FROM store.raw")
    _comment(
        db, "VIEW", "opportunities", "One row per opportunity, also archived, closed and deleted ones", OPPORTUNITY
    )
    _comment(db, "VIEW", "opportunity_history", "Every version of every opportunity", (*OPPORTUNITY, *VERSION))
    _comment(db, "VIEW", "raw.records", "Everything the CRMs ever answered; append-only", RAW)


VIEWS = {
    "deals": ("Opportunities that are not deleted", "SELECT * FROM opportunities WHERE NOT is_deleted"),
    "open_deals": (
        "Opportunities that are open: not deleted, not archived, and of a connection that is still in use",
        "SELECT * FROM opportunities WHERE status = 'open' AND NOT is_deleted AND NOT is_archived "
        "AND connection NOT IN "
        "(SELECT connection FROM connections WHERE state = 'retired')",
    ),
    "freshness": (
        "How far each connection can be trusted, and since when not",
        "SELECT c.connection, c.connector, c.state, v.complete_through, now() - v.complete_through AS behind, "
        "c.last_success_at, v.last_sweep_at, v.details_through, v.live_count, v.source_count, v.open_slices, "
        "v.oldest_failure_at AS failing_since FROM connections c LEFT JOIN coverage v USING (connection)",
    ),
}


def create_views(db: Database) -> None:
    """The views people start from; made again at every publish, so that a newer onepipe's are in place at once."""
    meanings = {column.name: column.meaning for column in OPPORTUNITY}
    for name, (comment, query) in VIEWS.items():
        db.run(f"CREATE OR REPLACE VIEW {name} AS {query}")
        db.run(f"COMMENT ON VIEW {name} IS {literal(comment)}")
        for column in db.names(f"SELECT * FROM {name}"):
            meaning = meanings.get(column) or FRESHNESS.get(column) or ""
            db.run(f"COMMENT ON COLUMN {name}.{quoted(column)} IS {literal(meaning)}")


def _columns(columns: tuple[Column, ...]) -> str:
    return ", ".join(f"{quoted(column.name)} {column.type}" for column in columns)


def _comment(db: Database, kind: str, name: str, comment: str, columns: tuple[Column, ...]) -> None:
    db.run(f"COMMENT ON {kind} {name} IS {literal(comment)}")
    for column in columns:
        db.run(f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {literal(column.meaning)}")


def quoted(name: str) -> str:
    """A name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a SQL literal, for the few statements that take no bound values."""
    return "'" + text.replace("'", "''") + "'"
