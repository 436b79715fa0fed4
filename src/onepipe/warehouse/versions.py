"""From what arrived to what is kept: the mapping's SELECT over `changed`, composed into versions.

`changed` is the one relation all roads lead to: what arrived and differs, what was found deleted, what a detail
completes, what a renamed stage makes read differently. Its columns: source_id, payload, payload_hash, fetched_at, kind
(record, or the evidence of a deletion), origin (source or push), deleted_at, completes, weight, seq, payload_seq,
current_row (the rowid in store.current, NULL for a record never seen). A row becomes a new version, or completes the
current one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from onepipe.model import MAPPED, Column
from onepipe.warehouse.database import Database
from onepipe.warehouse.schema import KEPT, literal, quoted

LONG_NUMBER = "[0-9.]{17}"  # may hold more digits than a double carries, through which DuckDB's JSON reader passes
CLOSED = "('won', 'lost', 'abandoned')"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One connection as the SQL needs it: its name and account, and how its payloads are read.

    `macros`, `select` and `stages` are the compiled mapping, `typed` the columns it adds; `exact` rewrites a payload so
    that no number loses digits and no key stands twice; `same` compares two payloads; `drifting` are the fields that do
    not count as a change; `details` the sub-requests owed for each new version.
    """

    connection: str
    connector: str
    base_url: str
    currency: str | None
    timezone: str
    version: str
    macros: tuple[str, ...]
    select: str
    exact: Callable[[bytes], bytes]
    same: Callable[[bytes, bytes], bool]
    stages: Mapping[str, str] = field(default_factory=dict)
    mapped_details: tuple[str, ...] = ()
    drifting: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    typed: tuple[Column, ...] = ()

    @property
    def read(self) -> tuple[Column, ...]:
        """The columns that are read from a record: the canonical ones, and those of the mapping's own."""
        return (*MAPPED, *self.typed)

    @property
    def kept(self) -> tuple[Column, ...]:
        """The columns of a row, in the order in which `compose` gives them."""
        return (*KEPT, *self.typed)

    @property
    def values(self) -> dict[str, str | None]:
        """The named parameters a compiled statement may use."""
        return {
            "connection": self.connection,
            "currency": self.currency,
            "base_url": self.base_url,
            "timezone": self.timezone,
        }


@dataclass(frozen=True, slots=True)
class Payloads:
    """Where the payloads of `changed` are: a relation, the key they share, and whether to look for long numbers."""

    relation: str = "changed"
    key: str = "source_id"
    exact: bool = True


def become_versions(
    db: Database,
    reading: Reading,
    run_id: str,
    payloads: Payloads = Payloads(),
    *,
    only_if_different: bool = False,
) -> int:
    """Read `changed` through the mapping and put it in place; how many problems that added."""
    read(db, reading, payloads)
    db.run(
        "CREATE OR REPLACE TEMP TABLE before AS SELECT * FROM store.current "
        "WHERE rowid IN (SELECT current_row FROM changed)"
    )
    if only_if_different:
        _drop_undifferent(db, reading)
    changed, problems = db.run(
        "SELECT count(*), coalesce(sum(len(problems)), 0) FROM changed JOIN fresh USING (source_id)"
    )[0]
    if not changed:
        return 0
    names = ", ".join(quoted(column.name) for column in reading.kept)
    db.run("DELETE FROM store.current WHERE rowid IN (SELECT current_row FROM changed)")
    db.run(f"INSERT INTO store.current ({names}) {compose(reading)}", composing(reading))
    olds = ", ".join(f"b.{quoted(column.name)}" for column in reading.kept)
    db.run(
        f"INSERT INTO store.closed ({names}, valid_to) SELECT {olds}, c.valid_from FROM before b "
        "JOIN store.current c ON c.connection = b.connection AND c.source_id = b.source_id WHERE c.version > b.version"
    )
    before = db.one("SELECT count(*) FROM problems")
    if problems or before:
        _keep_problems(db, reading, run_id)
    return max(0, int(db.one("SELECT count(*) FROM problems")) - int(before))


def read(db: Database, reading: Reading, payloads: Payloads, details: str = "") -> None:
    """`fresh`: what the mapping makes of `changed`. The same rows in, the same rows out.

    `details` is a query (detail, source_id, payload) for what the sub-requests answered; the newest, by default.
    """
    _make_readable(db, reading, payloads)
    sources = (
        "changed" if payloads.relation == "changed" else f"changed JOIN {payloads.relation} p USING ({payloads.key})"
    )
    payload = "changed.payload" if payloads.relation == "changed" else "p.payload"
    db.define(reading.macros)
    connection = literal(reading.connection)
    details = details or f"SELECT detail, source_id, payload FROM store.details WHERE connection = {connection}"
    columns, joins = "", ""
    for name in reading.mapped_details:
        alias = quoted(f"detail_{name}")
        columns += f", {alias}.payload AS {alias}"
        joins += f" LEFT JOIN (SELECT * FROM ({details}) WHERE detail = {literal(name)}) {alias}"
        joins += f" ON {alias}.source_id = changed.source_id"
    db.run(f"CREATE OR REPLACE TEMP VIEW source AS SELECT changed.source_id, {payload}{columns} FROM {sources}{joins}")
    keep_stages(db, reading, "opportunity")
    db.run(f"CREATE OR REPLACE TEMP TABLE fresh AS {reading.select}", _used(reading.select, reading))
    rows, answers = db.one("SELECT count(*) FROM changed"), db.one("SELECT count(*) FROM fresh")
    if rows != answers:
        raise AssertionError(f"the mapping of {reading.connection} made {answers} rows of {rows}")


def _make_readable(db: Database, reading: Reading, payloads: Payloads) -> None:
    """Help DuckDB's JSON reader where it would be wrong, in what is read only: raw stays as it was sent.

    It rounds long numbers, and takes the first of a key that stands twice, where everybody else takes the last.
    """
    twice = [shape for (shape,) in db.run(_TWICE.format(relation=payloads.relation))]
    suspects = [f"{_SHAPE} IN (SELECT unnest($twice::VARCHAR[]))"] if twice else []
    if payloads.exact:
        suspects.append(f"regexp_matches(payload, '{LONG_NUMBER}')")
    if not suspects:
        return
    found = f"SELECT rowid, payload FROM {payloads.relation} WHERE {' OR '.join(suspects)}"
    for key, payload in db.run(found, {"twice": twice} if twice else None):
        exact = reading.exact(payload.encode()).decode()
        if exact != payload:
            db.run(f"UPDATE {payloads.relation} SET payload = ? WHERE rowid = ?", [exact, key])


# One look at the keys of each record costs 3 us; whether one stands twice is then asked once for each set of keys.
_SHAPE = "CASE WHEN json_valid(payload) THEN json_keys(payload)::VARCHAR END"
_TWICE = (
    f"SELECT shape FROM (SELECT {_SHAPE} AS shape, any_value(payload) AS example FROM {{relation}} GROUP BY shape) "
    "WHERE shape IS NOT NULL AND len(json_keys(example)) > len(list_distinct(json_keys(example)))"
)


def compose(reading: Reading) -> str:
    """The SELECT that makes full rows of `changed`, what it reads as (`fresh`), and the version before.

    valid_from is the CRM's updated_at, moved up to just after the previous version's and down to the time of
    fetching; the time of fetching where the CRM gives none or the change did not move it. closed_on is the CRM's own
    day, else the day we saw the deal close, else, closed when first seen, the day of its updated_at.
    """
    mapped = ", ".join(f"f.{quoted(column.name)}" for column in MAPPED)
    differences = _differences(reading)
    typed = "".join(f", f.{quoted(column.name)}" for column in reading.typed)
    was_closed = f"b.status IN {CLOSED}"
    wanted = (
        "CASE WHEN x.kind <> 'record' THEN x.deleted_at "
        "WHEN f.updated_at IS NOT DISTINCT FROM b.updated_at THEN NULL ELSE f.updated_at END"
    )
    return f"""
    SELECT $connection, $connector, x.source_id, {mapped},
           x.kind <> 'record', x.deleted_at, CASE WHEN x.kind <> 'record' THEN x.kind END,
           CASE WHEN f.status = 'open' THEN NULL
                WHEN f.closed_day IS NOT NULL THEN f.closed_day
                WHEN f.status IS NULL THEN NULL
                WHEN {was_closed} THEN b.closed_on
                WHEN b.source_id IS NOT NULL THEN (x.fetched_at AT TIME ZONE $timezone)::DATE
                ELSE (f.updated_at AT TIME ZONE $timezone)::DATE END,
           CASE WHEN f.status = 'open' THEN NULL
                WHEN f.closed_day IS NOT NULL THEN 'crm'
                WHEN f.status IS NULL THEN NULL
                WHEN {was_closed} THEN b.closed_on_evidence
                WHEN b.source_id IS NOT NULL THEN 'observed'
                WHEN f.updated_at IS NOT NULL THEN 'first_seen' END,
           coalesce(b.first_seen_at, x.fetched_at),
           CASE WHEN x.completes THEN b.last_changed_at ELSE x.fetched_at END,
           $version, x.payload_hash,
           CASE WHEN x.completes THEN b.valid_from
                ELSE greatest(least(coalesce({wanted}, x.fetched_at), x.fetched_at),
                              b.valid_from + INTERVAL 1 MICROSECOND) END,
           CASE WHEN x.completes THEN b.recorded_at ELSE x.fetched_at END,
           coalesce(b.version, 0) + CASE WHEN x.completes THEN 0 ELSE 1 END,
           CASE WHEN b.source_id IS NULL OR (x.completes AND b.version = 1) THEN []::VARCHAR[]
                WHEN x.completes THEN list_distinct(list_concat(b.changed_fields, {differences}))
                ELSE {differences} END,
           CASE WHEN x.completes THEN b.change_origin WHEN x.kind <> 'record' THEN 'deletion' ELSE x.origin END,
           x.weight,
           CASE WHEN x.completes THEN b.seq ELSE x.seq END, x.payload_seq{typed}
    FROM changed x JOIN fresh f USING (source_id) LEFT JOIN before b USING (source_id)"""


def composing(reading: Reading) -> dict[str, str | None]:
    """The values `compose` binds."""
    return {
        "connection": reading.connection,
        "connector": reading.connector,
        "timezone": reading.timezone,
        "version": reading.version,
    }


def _differences(reading: Reading) -> str:
    """SQL: the names of the columns that differ from the version before; what drifts by itself does not count."""
    nothing = literal("{" + ", ".join(f'"{name}": null' for name in reading.drifting) + "}")

    def side(table: str, column: Column) -> str:
        name = f"{table}.{quoted(column.name)}"
        return f"json_merge_patch({name}, {nothing})" if column.name == "extra" and reading.drifting else name

    cases = [
        f"CASE WHEN {side('f', column)} IS DISTINCT FROM {side('b', column)} THEN {literal(column.name)} END"
        for column in reading.read
    ]
    cases.append("CASE WHEN (x.kind <> 'record') IS DISTINCT FROM b.is_deleted THEN 'is_deleted' END")
    return f"list_filter([{', '.join(cases)}], lambda name: name IS NOT NULL)"


def _drop_undifferent(db: Database, reading: Reading) -> None:
    differs = " OR ".join(f"f.{quoted(c.name)} IS DISTINCT FROM b.{quoted(c.name)}" for c in reading.read)
    db.run(
        "DELETE FROM changed WHERE source_id NOT IN "
        f"(SELECT f.source_id FROM fresh f JOIN before b USING (source_id) WHERE {differs})"
    )


def keep_stages(db: Database, reading: Reading, resource: str) -> None:
    """Take over the stages a reference list, or the deals themselves, name; a stage once seen is never removed."""
    sql = reading.stages.get(resource)
    if sql is None:
        return
    db.define(reading.macros)
    db.run(f"CREATE OR REPLACE TEMP TABLE told AS SELECT DISTINCT * FROM ({sql})", _used(sql, reading))
    same = "s.connection = $connection AND s.stage_id = t.stage_id AND s.pipeline_id IS NOT DISTINCT FROM t.pipeline_id"
    values = {"connection": reading.connection}
    db.run(f"DELETE FROM stages s WHERE EXISTS (SELECT 1 FROM told t WHERE {same})", values)
    db.run("INSERT INTO stages BY NAME SELECT * FROM told")


def _keep_problems(db: Database, reading: Reading, run_id: str) -> None:
    db.run(
        "DELETE FROM problems p USING changed x "
        "WHERE p.connection = ? AND p.source_id = x.source_id AND p.payload_hash = x.payload_hash",
        [reading.connection],
    )
    db.run(
        "INSERT INTO problems SELECT $connection, source_id, problem.field, left(problem.value, 500), problem.reason, "
        "$run_id, payload_hash FROM (SELECT x.source_id, x.payload_hash, unnest(f.problems) AS problem "
        "FROM changed x JOIN fresh f USING (source_id))",
        {"connection": reading.connection, "run_id": run_id},
    )


def _used(sql: str, reading: Reading) -> dict[str, str | None]:
    return {name: value for name, value in reading.values.items() if f"${name}" in sql}
