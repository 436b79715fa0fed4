"""From what arrived to what is kept: the mapping's SELECT over `changed`, composed into versions.

`changed` is the one relation all roads lead to: what arrived and differs, what was found deleted, what a detail
completes, what a renamed stage makes read differently. Its columns: source_id, payload, payload_hash, fetched_at, kind
(record, or the evidence of a deletion), origin (source or push), deleted_at, completes, weight, seq, payload_seq,
current_row (the rowid in store.current, NULL for a record never seen). A row becomes a new version, or completes the
current one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import onepipe.warehouse.decisions as decisions
import onepipe.warehouse.readable as readable
import onepipe.warehouse.staged as staged
from onepipe.model import MAPPED, NESTED, Column
from onepipe.warehouse.database import Database
from onepipe.warehouse.schema import KEPT, literal, quoted

CLOSED = "('won', 'lost', 'abandoned')"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One connection as the SQL needs it: its name and account, and how its payloads are read.

    `macros`, `select` and `stages` are the compiled mapping, `typed` the columns it adds; `exact` rewrites a payload so
    that no number loses digits and no key stands twice; `same` compares two payloads; `drifting` are the fields that do
    not count as a change; `details` the sub-requests owed for each new version; `decided` whether people have their say
    in how a stage is read (stages.csv), or the CRM alone.
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
    decided: bool = True

    @property
    def read(self) -> tuple[Column, ...]:
        """What is read from a record: the canonical columns, the lists of its children, the mapping's own columns."""
        return (*MAPPED, *NESTED, *self.typed)

    @property
    def rules(self) -> staged.Rules | None:
        """How stages are read; None where the mapping reads none."""
        for resource, sql in self.stages.items():
            return staged.Rules(connection=self.connection, resource=resource, sql=sql, values=self.values)
        return None

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
    """Where the payloads of `changed` are: a relation, the key they share, and whether to look for long numbers.

    `settled`: whoever gives them has seen to all that DuckDB would read wrong in them.
    """

    relation: str = "changed"
    key: str = "source_id"
    exact: bool = True
    settled: bool = False


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
    if not payloads.settled:
        readable.payloads(db, reading.exact, payloads.relation, exact=payloads.exact)
    sources = (
        "changed" if payloads.relation == "changed" else f"changed JOIN {payloads.relation} p USING ({payloads.key})"
    )
    payload = "changed.payload" if payloads.relation == "changed" else "p.payload"
    db.define(reading.macros)
    connection = literal(reading.connection)
    details = details or f"SELECT detail, source_id, payload FROM store.details WHERE connection = {connection}"
    if reading.mapped_details:
        readable.details(db, reading.exact, details, reading.mapped_details)
    columns, joins = "", ""
    for name in reading.mapped_details:
        alias = quoted(f"detail_{name}")
        columns += f", {alias}.payload AS {alias}"
        joins += f" LEFT JOIN (SELECT * FROM told_details WHERE detail = {literal(name)}) {alias}"
        joins += f" ON {alias}.source_id = changed.source_id"
    if reading.rules and reading.rules.resource == staged.OPPORTUNITY:
        seen = f"SELECT changed.seq, {payload} AS payload FROM {sources} WHERE changed.seq = changed.payload_seq"
        staged.take_seen(db, reading.rules, seen)
    db.run(f"CREATE OR REPLACE TEMP VIEW source AS SELECT changed.source_id, {payload}{columns} FROM {sources}{joins}")
    db.run(f"CREATE OR REPLACE TEMP TABLE fresh AS {reading.select}", _used(reading.select, reading))
    if reading.decided:
        decisions.override(db, reading.connection)
    rows, answers = db.one("SELECT count(*) FROM changed"), db.one("SELECT count(*) FROM fresh")
    if rows != answers:
        raise AssertionError(f"the mapping of {reading.connection} made {answers} rows of {rows}")


def compose(reading: Reading) -> str:
    """The SELECT that makes full rows of `changed`, what it reads as (`fresh`), and the version before (`before`)."""
    columns = ", ".join(composed(reading).values())
    return f"SELECT {columns} FROM changed x JOIN fresh f USING (source_id) LEFT JOIN before b USING (source_id)"


_CLOSED_ON = f"""CASE WHEN f.status = 'open' THEN NULL
                WHEN f.closed_day IS NOT NULL THEN f.closed_day
                WHEN f.status IS NULL THEN NULL
                WHEN b.status IN {CLOSED} THEN b.closed_on
                WHEN b.source_id IS NOT NULL THEN (x.fetched_at AT TIME ZONE $timezone)::DATE
                ELSE (f.updated_at AT TIME ZONE $timezone)::DATE END"""
_CLOSED_ON_EVIDENCE = f"""CASE WHEN f.status = 'open' THEN NULL
                WHEN f.closed_day IS NOT NULL THEN 'crm'
                WHEN f.status IS NULL THEN NULL
                WHEN b.status IN {CLOSED} THEN b.closed_on_evidence
                WHEN b.source_id IS NOT NULL THEN 'observed'
                WHEN f.updated_at IS NOT NULL THEN 'first_seen' END"""
_WANTED = """CASE WHEN x.kind <> 'record' THEN x.deleted_at
                     WHEN f.updated_at IS NOT DISTINCT FROM b.updated_at THEN NULL ELSE f.updated_at END"""
_VALID_FROM = f"""CASE WHEN x.completes THEN b.valid_from
                ELSE greatest(least(coalesce({_WANTED}, x.fetched_at), x.fetched_at),
                              b.valid_from + INTERVAL 1 MICROSECOND) END"""


def composed(reading: Reading) -> dict[str, str]:
    """How each column that is kept comes to be: SQL over x (`changed`), f (`fresh`) and b (`before`), in their order.

    valid_from is the CRM's updated_at, moved up to just after the previous version's and down to the time of
    fetching; the time of fetching where the CRM gives none or the change did not move it. closed_on is the CRM's own
    day, else the day we saw the deal close, else, closed when first seen, the day of its updated_at.
    """
    differences = _differences(reading)
    ours = {
        "connection": "$connection",
        "connector": "$connector",
        "source_id": "x.source_id",
        "is_deleted": "x.kind <> 'record'",
        "deleted_at": "x.deleted_at",
        "deleted_evidence": "CASE WHEN x.kind <> 'record' THEN x.kind END",
        "closed_on": _CLOSED_ON,
        "closed_on_evidence": _CLOSED_ON_EVIDENCE,
        "first_seen_at": "coalesce(b.first_seen_at, x.fetched_at)",
        "last_changed_at": "CASE WHEN x.completes THEN b.last_changed_at ELSE x.fetched_at END",
        "mapping_version": "$version",
        "payload_hash": "x.payload_hash",
        "valid_from": _VALID_FROM,
        "recorded_at": "CASE WHEN x.completes THEN b.recorded_at ELSE x.fetched_at END",
        "version": "coalesce(b.version, 0) + CASE WHEN x.completes THEN 0 ELSE 1 END",
        "changed_fields": f"""CASE WHEN b.source_id IS NULL OR (x.completes AND b.version = 1) THEN []::VARCHAR[]
                WHEN x.completes THEN {_in_order(reading, f"list_concat(b.changed_fields, {differences})")}
                ELSE {differences} END""",
        "change_origin": "CASE WHEN x.completes THEN b.change_origin WHEN x.kind <> 'record' THEN 'deletion' "
        "ELSE x.origin END",
        "weight": "x.weight",
        "seq": "CASE WHEN x.completes THEN b.seq ELSE x.seq END",
        "payload_seq": "x.payload_seq",
    }
    return {column.name: ours.get(column.name, f"f.{quoted(column.name)}") for column in reading.kept}


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


def _in_order(reading: Reading, names: str) -> str:
    """SQL: names of columns in the order of the table, each once: the same however they came together."""
    every = "[" + ", ".join(literal(name) for name in (*(column.name for column in reading.read), "is_deleted")) + "]"
    places = f"list_sort(list_distinct(list_transform({names}, lambda name: list_position({every}, name))))"
    return f"list_transform({places}, lambda place: {every}[place])"


def _drop_undifferent(db: Database, reading: Reading) -> None:
    differs = " OR ".join(f"f.{quoted(c.name)} IS DISTINCT FROM b.{quoted(c.name)}" for c in reading.read)
    db.run(
        "DELETE FROM changed WHERE source_id NOT IN "
        f"(SELECT f.source_id FROM fresh f JOIN before b USING (source_id) WHERE {differs})"
    )


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
