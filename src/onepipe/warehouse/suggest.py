"""What deals hold beside what the mapping reads: each key, how often it is filled, and of what type.

    live deals -> their keys, of `custom` and of the payload -> distinct values, counted -> one line a key

A type is asked of the transforms' own SQL: it fits where it reads every present value, and loses nothing of any.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onepipe.warehouse.samples as samples
from onepipe.model import MAPPED
from onepipe.transform import macros
from onepipe.warehouse.database import Database
from onepipe.warehouse.schema import literal, quoted

Steps = tuple[str, ...]

# SQL over a distinct value `x`, a text without outer blanks: whether nothing of it gets lost by being read as this.
_FITS = {
    "flag": "as_flag(x) IS NOT NULL AND x NOT IN ('0', '1')",
    "decimal": "as_decimal(x) IS NOT NULL AND NOT regexp_matches(x, '^([+]|-?0[0-9])')",  # 007 and +44 are no numbers
    "day": "as_day(x) IS NOT NULL AND regexp_full_match(x, '.{10}([T ]00: ?00: ?00([.]0+)?(Z|[+]00:?00)?)?')",
    "instant": "as_instant(x) IS NOT NULL",
    "percent": "as_percent(x) IS NOT NULL",
    "fraction": "as_fraction(x) IS NOT NULL",
    "currency": "as_currency(x) IS NOT NULL",
}
_ENTRIES = (  # named, since 1.5 cannot unnest a struct without names
    "unnest(list_transform(list_zip(json_keys({0}), json_extract({0}, '$.*')), "
    "lambda z: struct_pack(key := z[1], value := z[2])))"
)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the column custom (`root` is "custom") or of the record: in how many live deals it is filled.

    `fits` are the transforms that read all of its values exactly; `kinds` the JSON types it holds.
    """

    root: str
    steps: Steps
    filled: int
    distinct: int
    samples: tuple[str, ...]
    fits: frozenset[str]
    kinds: frozenset[str]


def deals(db: Database, connection: str) -> int:
    """How many live deals a connection has."""
    return int(db.one("SELECT count(*) FROM store.current WHERE connection = ? AND NOT is_deleted", [connection]))


def empty_columns(db: Database, connection: str) -> set[str]:
    """The canonical columns that are NULL in all live deals of a connection."""
    counts = ", ".join(f"count({quoted(column.name)})" for column in MAPPED)
    row = db.run(f"SELECT {counts} FROM store.current WHERE connection = ? AND NOT is_deleted", [connection])[0]
    return {column.name for column, count in zip(MAPPED, row, strict=True) if not count}


def keys(db: Database, connection: str, known: Sequence[Steps]) -> list[Key]:
    """Every key of custom, and every one of the record that is not below `known`, the fullest first.

    Of the record: scalars and lists of scalars, at its top and in the objects there. A list's values are one value.
    """
    db.define(macros(" ".join(["trimmed(x)", *_FITS.values()])))
    _values(db, connection, known)
    fits = ", ".join(f"bool_and({sql}) AS {name}" for name, sql in _FITS.items())
    rows = db.run(
        f"""SELECT root, steps, least(sum(n), {deals(db, connection)})::BIGINT AS filled, count(DISTINCT x),
               list(sent ORDER BY n DESC, x)[:{samples.AT_MOST}], list(DISTINCT kind), {fits}
        FROM (SELECT root, steps, kind, x, any_value(sent) AS sent, count(*) AS n FROM told GROUP BY ALL)
        GROUP BY root, steps ORDER BY filled DESC, root, steps"""
    )
    return [
        Key(
            root,
            tuple(steps),
            filled,
            distinct,
            _shown(steps, texts),
            frozenset(name for name, fit in zip(_FITS, fitting, strict=True) if fit),
            frozenset(kinds),
        )
        for root, steps, filled, distinct, texts, kinds, *fitting in rows
    ]


def _shown(steps: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    if any(samples.secret(step) for step in steps):
        return (samples.HIDDEN,)
    return samples.of([f'{{"": {text}}}' for text in texts], ("",))


def _values(db: Database, connection: str, known: Sequence[Steps]) -> None:
    """`told`: each present value beside its key: root, steps, kind, x (as the transforms are given it) and `sent`."""
    live = (
        "SELECT r.payload, c.custom FROM store.current c JOIN store.raw r ON r.seq = c.payload_seq "
        f"WHERE c.connection = {literal(connection)} AND NOT c.is_deleted AND json_valid(r.payload)"
    )
    db.run(
        f"""CREATE OR REPLACE TEMP TABLE tops AS
        SELECT root, [e.key] AS steps, e.value AS value, json_type(e.value) AS kind
        FROM (SELECT 'custom' AS root, {_ENTRIES.format("custom")} AS e FROM ({live})
              UNION ALL SELECT '', {_ENTRIES.format("payload")} FROM ({live}))
        WHERE root = 'custom' OR NOT list_contains($known, [e.key])""",
        {"known": [list(steps) for steps in known]},
    )
    db.run(
        f"""CREATE OR REPLACE TEMP TABLE told AS
        SELECT root, steps, kind, value AS sent, trimmed(text) AS x
        FROM (SELECT *, CASE WHEN kind IN ('OBJECT', 'ARRAY') THEN value::VARCHAR ELSE value ->> '$' END AS text
              FROM (FROM tops WHERE root = 'custom' OR kind <> 'OBJECT'
                    UNION ALL BY NAME
                    SELECT root, [steps[1], e.key] AS steps, e.value AS value, json_type(e.value) AS kind
                    FROM (SELECT root, steps, {_ENTRIES.format("value")} AS e FROM tops
                          WHERE root = '' AND kind = 'OBJECT')))
        WHERE kind <> 'NULL' AND trimmed(text) IS NOT NULL AND text NOT IN ('[]', '{{}}')
          AND (root = 'custom' OR (kind <> 'OBJECT' AND NOT list_contains($known, steps) AND (kind <> 'ARRAY'
               OR json_type(value -> '$[0]') NOT IN ('OBJECT', 'ARRAY'))))""",
        {"known": [list(steps) for steps in known]},
    )
