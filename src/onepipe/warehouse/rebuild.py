"""Reading everything again with another mapping: all versions from raw, none added, without a request.

Version by version (all first ones, all second ones, ...) through the same SELECT that a merge uses, so that what a
version derives from the one before it comes out the same way. A version is read with what was known at the end of its
life: a renamed stage made a new version of the deals in it, so none of the old ones may learn of the new name. Deleted
deals get no such version; theirs is read with what was known when it began.
"""

import re
from dataclasses import replace as with_other

import onepipe.warehouse.staged as staged
from onepipe.warehouse.database import Database
from onepipe.warehouse.layout import typed
from onepipe.warehouse.schema import KEPT, literal, quoted
from onepipe.warehouse.versions import Payloads, Reading, compose, composing, read

FOREVER = 2**62


def rebuild(db: Database, reading: Reading) -> int:
    """Rebuild one connection's rows, history, stages and problems; how many versions were read."""
    versions = reread(db, reading)
    replace(db, reading)
    return versions


def reread(db: Database, reading: Reading) -> int:
    """Read every version of a connection again; how many there are. `stages` are taken over, rows not yet.

    `versions` holds the rows as they are, `rebuilt` what they become, both with valid_to; `unread` what could not be
    read. `replace` puts them in place.
    """
    connection = {"connection": reading.connection}
    names = _names(db)
    if reading.rules:
        staged.read_again(db, reading.rules)
    db.run(
        f"""CREATE OR REPLACE TEMP TABLE versions AS SELECT v.*, coalesce(s.seq, 0) AS stages_of FROM (
        SELECT *, CASE WHEN is_deleted THEN seq + 1
                       ELSE lead(seq, 1, {FOREVER}) OVER (PARTITION BY source_id ORDER BY version) END AS until,
               lead(valid_from) OVER (PARTITION BY source_id ORDER BY version) AS valid_to
        FROM (SELECT {names} FROM store.closed WHERE connection = $connection
              UNION ALL SELECT {names} FROM store.current WHERE connection = $connection)) v
        ASOF LEFT JOIN (SELECT DISTINCT seq FROM store.stage_versions WHERE connection = $connection AND $looked_up) s
                       ON s.seq < v.until""",
        connection | {"looked_up": re.search(r"\bstages\b", reading.select) is not None},
    )
    db.run("CREATE OR REPLACE TEMP TABLE rebuilt AS SELECT * FROM store.current WHERE false")
    db.run(
        "CREATE OR REPLACE TEMP TABLE unread (source_id VARCHAR, payload_hash VARCHAR, field VARCHAR, value VARCHAR, "
        "reason VARCHAR)"
    )
    for version, seq in db.run("SELECT DISTINCT version, stages_of FROM versions ORDER BY ALL"):
        staged.put_back(db, reading.connection, seq)
        _one_version(db, with_other(reading, stages={}), version, seq)
    staged.put_away(db)
    lead = "lead(valid_from) OVER (PARTITION BY source_id ORDER BY version)"
    db.run(f"CREATE OR REPLACE TEMP TABLE rebuilt AS SELECT *, {lead} AS valid_to FROM rebuilt")
    return int(db.one("SELECT count(*) FROM versions"))


def replace(db: Database, reading: Reading) -> None:
    """Put what `reread` found in the place of a connection's rows, history and problems."""
    names = _names(db)
    for table in ("current", "closed"):
        db.run(f"DELETE FROM store.{table} WHERE connection = $connection", {"connection": reading.connection})
    db.run(f"INSERT INTO store.current ({names}) SELECT {names} FROM rebuilt WHERE valid_to IS NULL")
    db.run(
        f"INSERT INTO store.closed ({names}, valid_to) SELECT {names}, valid_to FROM rebuilt WHERE valid_to IS NOT NULL"
    )
    _problems(db, reading)


def _names(db: Database) -> str:
    """Every column that is kept, those of other mappings' own too."""
    return ", ".join(quoted(column.name) for column in (*KEPT, *typed(db)))


def _one_version(db: Database, reading: Reading, version: int, stages_of: int) -> None:
    db.run(
        """CREATE OR REPLACE TEMP TABLE changed AS
        SELECT v.source_id, r.payload, v.payload_hash, v.recorded_at AS fetched_at, v.weight, v.seq,
               v.payload_seq, v.until,
               CASE WHEN v.is_deleted THEN v.deleted_evidence ELSE 'record' END AS kind,
               CASE WHEN v.change_origin = 'push' THEN 'push' ELSE 'source' END AS origin,
               v.deleted_at, false AS completes, NULL::BIGINT AS current_row
        FROM versions v JOIN store.raw r ON r.seq = v.payload_seq
        WHERE v.version = $version AND v.stages_of = $stages_of""",
        {"version": version, "stages_of": stages_of},
    )
    db.run(
        "CREATE OR REPLACE TEMP TABLE before AS SELECT * FROM rebuilt WHERE version = $version "
        "AND source_id IN (SELECT source_id FROM changed)",
        {"version": version - 1},
    )
    details = (
        "SELECT r.resource AS detail, x.source_id, arg_max(r.payload, r.seq) AS payload FROM changed x "
        f"JOIN store.raw r ON r.connection = {literal(reading.connection)} AND r.record_id = x.source_id "
        "AND r.seq < x.until WHERE r.kind = 'record' AND r.resource <> 'opportunity' GROUP BY ALL"
    )
    read(db, reading, Payloads(), details)
    names = ", ".join(quoted(column.name) for column in reading.kept)
    db.run(f"INSERT INTO rebuilt ({names}) {compose(reading)}", composing(reading))
    db.run(
        "INSERT INTO unread SELECT source_id, payload_hash, p.field, p.value, p.reason FROM "
        "(SELECT x.source_id, x.payload_hash, unnest(f.problems) AS p FROM changed x JOIN fresh f USING (source_id))"
    )


def _problems(db: Database, reading: Reading) -> None:
    """Problems as they are now; one that was there already keeps the run that met it."""
    connection = {"connection": reading.connection}
    db.run(
        "CREATE OR REPLACE TEMP TABLE met AS SELECT source_id, payload_hash, field, any_value(run_id) AS run_id "
        "FROM problems WHERE connection = $connection GROUP BY ALL",
        connection,
    )
    db.run("DELETE FROM problems WHERE connection = $connection AND source_id IS NOT NULL", connection)
    db.run(
        "INSERT INTO problems SELECT DISTINCT $connection, u.source_id, u.field, left(u.value, 500), u.reason, "
        "coalesce(m.run_id, 'mapping'), u.payload_hash "
        "FROM unread u LEFT JOIN met m USING (source_id, payload_hash, field)",
        connection,
    )
