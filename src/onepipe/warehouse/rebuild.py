"""Reading everything again with another mapping: all versions from raw, none added, without a request.

    reads -> every version, with what was known when it was read   heard -> what the mapping makes of its payload
    made  -> what follows from the version before, one version after the other   rebuilt -> both, as rows

The mapping's SELECT reads all versions at once; it and all that is made of it are those of a merge (versions.py), so
that a version comes out the same way. A version is read with what was known at the end of its life: a renamed stage
made a new version of the deals in it, so none of the old ones may learn of the new name. Deleted deals get no such
version; theirs is read with what was known when it began.
"""

import re
from collections.abc import Sequence
from dataclasses import replace as with_other

import onepipe.warehouse.readable as readable
import onepipe.warehouse.staged as staged
from onepipe.model import KEY, MAPPED, NESTED
from onepipe.warehouse.database import MEMORY as USUAL_MEMORY
from onepipe.warehouse.database import Database
from onepipe.warehouse.layout import typed
from onepipe.warehouse.schema import KEPT, literal, quoted
from onepipe.warehouse.versions import Payloads, Reading, composed, composing, read

FOREVER = 2**62
IN_PLACE = 10  # columns; where more differ, new rows are cheaper (measured)
AT_ONCE = 100_000  # versions
MEMORY = "1GB"  # rows as they are beside rows as they become; with less, DuckDB gave up at 500,000 versions
_SIDES = "versions v JOIN rebuilt r USING (source_id, version)"
_SAME = ("connection", "connector", "source_id", "version")  # what a version is known by: never another one
_OWN = tuple(column.name for column in KEPT if column not in (*KEY, *MAPPED, *NESTED))
_BEFORE = ("status", "updated_at")  # what else `composed` asks of the version before


def rebuild(db: Database, reading: Reading) -> int:
    """Rebuild one connection's rows, history, stages and problems; how many versions were read."""
    versions = reread(db, reading)
    replace(db, reading)
    return versions


def reread(db: Database, reading: Reading, only: str = "") -> int:
    """Read every version of a connection again; how many there are. `stages` are taken over, rows not yet.

    `versions` holds the rows as they are, `rebuilt` what they become, both with valid_to; `unread` what could not be
    read. `replace` puts them in place. `only` is a query for the source_ids of the deals to read, where not all are.
    """
    db.run(f"SET memory_limit = '{MEMORY}'")
    if reading.rules:
        staged.read_again(db, reading.rules)
    _note(db, reading, only)
    _hear(db, with_other(reading, stages={}))
    _make(db, reading)
    _date(db)
    _lay_out(db, reading)
    return int(db.one("SELECT count(*) FROM reads"))


def replace(db: Database, reading: Reading) -> None:
    """Put what `reread` found in the place of what was read again: rows, history and problems.

    Changed in place where a few columns differ: most edits of a mapping do no more, and the rest of each row need not
    be compressed again. DuckDB changes no lists in place; rows whose lists differ are put in anew.
    """
    columns = (*KEPT, *typed(db))
    lists = [column.name for column in columns if column.type.endswith("[]")]
    found = _different(db, [column.name for column in columns if column.name not in _SAME])
    different, other_lists = [name for name in found if name not in lists], [name for name in found if name in lists]
    few = len(different) <= IN_PLACE
    db.run(
        f"CREATE OR REPLACE TEMP TABLE anew AS SELECT r.read, source_id, version FROM {_SIDES} "
        f"WHERE {(_differ('v', other_lists) or 'false') if few else 'true'}"
    )
    own = {"connection": reading.connection}
    names = ", ".join(quoted(column.name) for column in columns)
    for table, more, ends in (("current", "", "NULL"), ("closed", ", valid_to", "NOT NULL")):
        rows = f"FROM rebuilt WHERE valid_to IS {ends} AND read"
        changing = [name for name in different if more or name != "valid_to"]
        if few and changing:
            db.run(
                f"UPDATE store.{table} o SET {', '.join(f'{name} = r.{name}' for name in map(quoted, changing))} "
                f"FROM (SELECT * {rows} NOT IN (SELECT read FROM anew)) r WHERE o.connection = $connection "
                f"AND o.source_id = r.source_id AND o.version = r.version AND ({_differ('o', changing)})",
                own,
            )
        db.run(
            f"DELETE FROM store.{table} WHERE connection = $connection AND (source_id, version) IN "
            "(SELECT (source_id, version) FROM anew)",
            own,
        )
        db.run(f"INSERT INTO store.{table} ({names}{more}) SELECT {names}{more} {rows} IN (SELECT read FROM anew)")
    _problems(db, reading)
    db.run(f"SET memory_limit = '{USUAL_MEMORY}'")


def _different(db: Database, names: Sequence[str]) -> list[str]:
    """Of these columns and valid_to those that hold something else in any row.

    Told by the sums of a hash of 64 bits over all rows: a join that holds whole rows beside each other takes twice as
    long (measured), and a difference goes unseen about once in 2^64. Hashed twice, since DuckDB's hash of a key and a
    value is that of the one XOR that of the other, and sums of those can agree where values are few.
    """
    every = [*names, "valid_to"]
    sums = ", ".join(f"sum(hash(hash(key, {quoted(name)})))" for name in every)
    all_read = db.one("SELECT (SELECT count(*) FROM versions) = (SELECT count(*) FROM reads)")
    sides = [
        db.run(f"SELECT {sums} FROM (SELECT *, hash(source_id, version) AS key FROM {side})")[0]
        for side in ("versions" if all_read else "versions WHERE source_id IN (SELECT record FROM reads)", "rebuilt")
    ]
    return [name for name, one, other in zip(every, *sides, strict=True) if one != other]


def _differ(side: str, names: Sequence[str]) -> str:
    return " OR ".join(f"{side}.{quoted(name)} IS DISTINCT FROM r.{quoted(name)}" for name in names)


def _note(db: Database, reading: Reading, only: str) -> None:
    """`versions`, the rows as they are, and `reads`: each under a number of its own, with what reading it takes.

    The number stands in the place of source_id, as one deal's versions are all read at once; those of all first ones
    follow each other, so that `_make` reads but a part of each table in its turn.
    """
    names = ", ".join(quoted(column.name) for column in (*KEPT, *typed(db)))
    own = f"WHERE connection = {literal(reading.connection)}"
    db.run(
        f"CREATE OR REPLACE TEMP VIEW versions AS SELECT {names}, valid_to FROM store.closed {own} "
        f"UNION ALL SELECT {names}, NULL FROM store.current {own}"
    )
    db.run(
        f"""CREATE OR REPLACE TEMP TABLE reads AS SELECT v.*, coalesce(s.seq, 0) AS stages_of FROM (
        SELECT *, CASE WHEN gone THEN seq + 1 ELSE lead(seq, 1, {FOREVER}) OVER deal END AS until,
               lag(source_id) OVER deal AS before
        FROM (SELECT row_number() OVER (ORDER BY version) AS source_id, source_id AS record, version,
                     is_deleted AS gone, seq, payload_seq, payload_hash, recorded_at AS fetched_at, weight,
                     deleted_at, false AS completes,
                     CASE WHEN is_deleted THEN deleted_evidence ELSE 'record' END AS kind,
                     CASE WHEN change_origin = 'push' THEN 'push' ELSE 'source' END AS origin
              FROM versions {f"WHERE source_id IN ({only})" if only else ""})
        WINDOW deal AS (PARTITION BY record ORDER BY version)) v
        ASOF LEFT JOIN (SELECT DISTINCT seq FROM store.stage_versions WHERE connection = $connection AND $looked_up) s
                       ON s.seq < v.until ORDER BY source_id""",
        {"connection": reading.connection, "looked_up": re.search(r"\bstages\b", reading.select) is not None},
    )


def _hear(db: Database, reading: Reading) -> None:
    """`heard`: what the mapping makes of every version; and `unread`."""
    own = f"store.raw r WHERE r.connection = {literal(reading.connection)}"
    needed = f"(SELECT r.seq, r.payload FROM {own} AND r.seq IN (SELECT payload_seq FROM reads))"
    payloads = f"SELECT r.seq AS payload_seq, r.payload FROM {own}"
    if readable.rewritten(db, reading.exact, needed):
        payloads = f"SELECT payload_seq, coalesce(w.payload, r.payload) AS payload FROM ({payloads}) r LEFT JOIN "
        payloads += "rewritten w ON w.seq = r.payload_seq"
    db.run(f"CREATE OR REPLACE TEMP VIEW payloads AS {payloads}")
    details = (
        "SELECT r.resource AS detail, x.source_id, arg_max(r.payload, r.seq) AS payload FROM changed x "
        f"JOIN store.raw r ON r.connection = {literal(reading.connection)} AND r.record_id = x.record "
        "AND r.seq < x.until WHERE r.kind = 'record' AND r.resource <> 'opportunity' GROUP BY ALL"
    )
    known = db.run("SELECT DISTINCT stages_of FROM reads ORDER BY ALL") or [(0,)]
    for place, (seq,) in enumerate(known):
        staged.put_back(db, reading.connection, seq)
        db.run("CREATE OR REPLACE TEMP TABLE changed AS SELECT * FROM reads WHERE stages_of = $seq", {"seq": seq})
        read(db, reading, Payloads("payloads", "payload_seq", settled=True), details)
        if len(known) > 1:
            db.run("INSERT INTO every FROM fresh" if place else "CREATE OR REPLACE TEMP TABLE every AS FROM fresh")
    staged.put_away(db)
    db.run(f"CREATE OR REPLACE TEMP VIEW heard AS FROM {'every' if len(known) > 1 else 'fresh'}")
    db.run(
        "CREATE OR REPLACE TEMP TABLE unread AS SELECT x.record AS source_id, x.payload_hash, p.field, p.value, "
        "p.reason FROM (SELECT source_id, unnest(problems) AS p FROM heard WHERE len(problems) > 0) h "
        "JOIN reads x USING (source_id)"
    )


def _make(db: Database, reading: Reading) -> None:
    """`made`: what follows from the version before, version by version: that of all first ones, all second ones, ...

    So many at a time that what they are compared with fits into memory.
    """
    how, types = composed(reading), {column.name: column.type for column in KEPT}
    names = (*_OWN, *_BEFORE)
    db.run(
        "CREATE OR REPLACE TEMP TABLE made "
        f"(source_id BIGINT, {', '.join(f'{quoted(name)} {types[name]}' for name in names)})"
    )
    turn = "x.source_id BETWEEN $first AND $last"
    sql = f"""INSERT INTO made SELECT x.source_id, {", ".join(how[name] for name in names)}
        FROM (FROM reads x WHERE {turn}) x JOIN heard f USING (source_id) LEFT JOIN (
        SELECT h.* EXCLUDE (source_id, {", ".join(_BEFORE)}), m.* REPLACE (x.source_id AS source_id)
        FROM reads x JOIN made m ON m.source_id = x.before JOIN heard h ON h.source_id = x.before
        WHERE {turn}) b USING (source_id)"""
    values = {name: value for name, value in composing(reading).items() if f"${name}" in sql}
    for begin, end in db.run("SELECT min(source_id), max(source_id) FROM reads GROUP BY version ORDER BY version"):
        for first in range(begin, end + 1, AT_ONCE):
            db.run(sql, values | {"first": first, "last": min(first + AT_ONCE - 1, end)})


def _date(db: Database) -> None:
    """`facts`: what was made, with valid_to."""
    db.run(
        """CREATE OR REPLACE TEMP TABLE facts AS SELECT m.*, x.record, n.valid_from AS valid_to
        FROM made m JOIN reads x USING (source_id)
        LEFT JOIN (SELECT x.before AS source_id, m.valid_from FROM reads x JOIN made m USING (source_id)) n
               USING (source_id)"""
    )


def _lay_out(db: Database, reading: Reading) -> None:
    """`rebuilt`: the rows as they become."""
    known = {name: f"m.{name}" for name in _OWN} | {
        "connection": literal(reading.connection),
        "connector": literal(reading.connector),
        "source_id": "m.record",
    }
    heard = {column.name: f"h.{quoted(column.name)}" for column in reading.read}
    columns = ", ".join(
        f"{known.get(column.name) or heard.get(column.name, 'NULL')}::{column.type} AS {quoted(column.name)}"
        for column in (*KEPT, *typed(db))
    )
    db.run(
        f"CREATE OR REPLACE TEMP VIEW rebuilt AS SELECT {columns}, valid_to, m.source_id AS read "
        f"FROM facts m JOIN heard h USING (source_id)"
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
