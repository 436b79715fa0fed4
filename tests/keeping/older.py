"""A project as an older onepipe left it: today's rows in the tables of then, written out by hand.

The layout is that of work file 4 and control file 5. Nothing is taken from today's layout but the rows: a table or
column that is not named here is not there.
"""

from pathlib import Path
from typing import Any

import duckdb

from onepipe.control.file import MIGRATIONS, ControlFile

WORK, CONTROL = 4, 5
DEAL = (
    "connection, connector, source_id, name, description, amount, currency, unit_amount, period, periods, pipeline_id, "
    "pipeline, stage_id, stage, status, probability, expected_close_date, closed_at, owner_id, owner, company_id, "
    "company, contact_id, contact, contact_email, contact_phone, lead_source, type, lost_reason, url, tags, "
    "created_at, updated_at, custom, extra, is_archived, is_deleted, deleted_at, deleted_evidence, closed_on, "
    "closed_on_evidence, first_seen_at, last_changed_at, mapping_version, payload_hash, valid_from, recorded_at, "
    "version, changed_fields, change_origin, weight, seq, payload_seq"
)
TABLES = {
    "store.meta": "warehouse_id, schema_version, generation, run_id, changed_at, onepipe_version",
    "store.raw": "connection, resource, record_id, kind, origin, payload, payload_hash, fetched_at, run_id, seq, owed",
    "store.current": DEAL,
    "store.closed": f"{DEAL}, valid_to",
    "store.slices": "connection, slice, kind, lo, hi, until, resume, merged_to, fetched, started_at, resumed",
    "store.seen": "connection, slice, source_id",
    "store.unlisted": "connection, source_id, asked_at",
    "store.debts": "connection, detail, source_id, since, completes",
    "store.details": "connection, detail, source_id, payload, payload_hash",
    "store.reference": "connection, resource, record_id, payload_hash, place",
    "store.mappings": "connection, version, text, applied_at",
    "store.distrust": "connection, fact, since",
    "store.fences": "lease, number",
    "store.suspects": "connection, source_id, evidence, found_at",
    "store.acknowledged": "connection, source_id, since",
    "store.pieces": "connection, place, lo, until, rows, began_at, done_at, hi",
    "store.landed": "control, journal_id, change",
    "store.pushed": "connection, seq, push_id, named, reason, actor",
    "store.read_back": "connection, source_id, read_at",
    "main.about": "published_at, run_id, generation, onepipe_version, schema_version, product, warehouse_id",
    "main.stages": "connection, stage_id, stage, pipeline_id, pipeline, position, probability, status",
    "main.connections": ("connection, connector, labels, currency, state, first_run_at, last_success_at, base_url"),
    "main.problems": "connection, source_id, field, value, reason, run_id, payload_hash",
    "main.sync_runs": (
        "run_id, command, connection, resource, status, started_at, finished_at, fetched, new, changed, unchanged, "
        "deleted, problems, requests, error_kind, error_message"
    ),
    "main.coverage": (
        "connection, resource, complete_through, history_from, last_sweep_at, details_through, source_count, "
        "live_count, open_slices, oldest_failure_at, details_owed, late_rows, problems, suspect_since, suspect_rows, "
        "suspect_reason, undated_rows"
    ),
    "main.late_rows": ("connection, source_id, kind, updated_at, cursor_at, seen_at, late_by, found_by, run_id"),
    "main.pushes": (
        "push_id, run_id, connection, source_id, op, state, fields, request, reason, requested_by, created_at, "
        "finished_at, message"
    ),
    "main.conflicts": (
        "conflict_id, connection, source_id, field, base, ours, theirs, state, reason, opened_at, resolved_at, "
        "resolution, kind, push_id, actor, why"
    ),
}
SHOWN = DEAL.removesuffix(", weight, seq, payload_seq")


def make(state: Path, published: Path) -> None:
    """Put a state folder and its published file into the layout of then."""
    _work(state / "work.duckdb")
    published.unlink()
    published.write_bytes((state / "work.duckdb").read_bytes())
    published.chmod(0o444)
    _control(state / "control.sqlite")


def _work(path: Path) -> None:
    today = path.with_name("today.duckdb")
    path.rename(today)
    with duckdb.connect() as db:
        db.execute(f"ATTACH '{today}' AS today (READ_ONLY)")
        db.execute(f"ATTACH '{path}' AS work (STORAGE_VERSION 'v1.5.0')")
        db.execute("USE work")
        db.execute("CREATE SCHEMA store")
        db.execute("CREATE SCHEMA raw")
        for table, columns in TABLES.items():
            db.execute(f"CREATE TABLE {table} AS SELECT {columns} FROM today.{table}")
        db.execute(f"UPDATE store.meta SET schema_version = {WORK}, onepipe_version = '0.4.0'")
        db.execute(f"UPDATE about SET schema_version = {WORK}")
        db.execute(f"CREATE VIEW opportunities AS SELECT {SHOWN} FROM store.current")
        db.execute(
            f"CREATE VIEW opportunity_history AS SELECT {SHOWN}, valid_to FROM store.closed UNION ALL "
            f"SELECT {SHOWN}, NULL::TIMESTAMPTZ FROM store.current"
        )
        db.execute("CREATE VIEW raw.records AS SELECT * REPLACE (payload::JSON AS payload) FROM store.raw")
        db.execute("CREATE VIEW deals AS SELECT * FROM opportunities WHERE NOT is_deleted")
    today.unlink()


def _control(path: Path) -> None:
    rows: dict[str, list[Any]] = {}
    today = path.with_name("today.sqlite")
    ControlFile(path).close()
    path.rename(today)
    old, new = ControlFile(path, MIGRATIONS[:CONTROL]), ControlFile(today)
    with new.reading() as db, old.writing() as into:
        for table in [row["name"] for row in into.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]:
            rows[table] = db.execute(f"SELECT * FROM {table}").fetchall()
            into.execute(f"DELETE FROM {table}")
            if rows[table]:
                marks = ", ".join("?" * len(tuple(rows[table][0])))
                into.executemany(f"INSERT INTO {table} VALUES ({marks})", [tuple(row) for row in rows[table]])
    for file in (old, new):
        file.close()
    today.unlink()
