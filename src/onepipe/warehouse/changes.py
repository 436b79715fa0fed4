"""field_changes: every change of every field, one row each, with what made it and, where it was us, why."""

from collections.abc import Sequence

from onepipe.model import CHILDREN, MAPPED, NESTED, Child, Column
from onepipe.warehouse.schema import literal, quoted

COMMENT = "Every change of a field: what it was, what it became, and whose doing it was"
COLUMNS = (
    Column("connection", "VARCHAR", "The connection's name in config.yaml"),
    Column("source_id", "VARCHAR", "The opportunity"),
    Column(
        "field", "VARCHAR", "The column or list (line_items); of custom and extra each key by itself, as custom.KEY"
    ),
    Column("old", "VARCHAR", "What it was, as people write it, a list as JSON; NULL where there was nothing"),
    Column("new", "VARCHAR", "What it became"),
    Column("changed_at", "TIMESTAMPTZ", "When we fetched it, UTC"),
    Column("origin", "VARCHAR", "source (the CRM), push (our own write read back) or deletion"),
    Column("run_id", "VARCHAR", "The run that fetched it"),
    Column("reason", "VARCHAR", "Of a push: why it was wanted, or that it is a side effect; else NULL"),
    Column("actor", "VARCHAR", "Of a push: who wanted it; else NULL"),
)

_PLAIN = [column for column in MAPPED if column.type != "JSON"]
_OBJECTS = [column for column in MAPPED if column.type == "JSON"]
_HEAD = "connection, source_id, version, recorded_at, change_origin, run_id, push_id, named, reason, actor"


def query(typed: Sequence[Column] = ()) -> str:
    """The view's SQL; `typed` are the columns that mappings add.

    The first version of a record counts where we made it: all that was asked for is new. First one row for each column
    that changed, then its values: of all columns that would be ten times slower.
    """
    news, olds = (
        ", ".join(f"{side}.{quoted(column.name)} AS {_of(side, column.name)}" for column in (*MAPPED, *NESTED, *typed))
        for side in "no"
    )
    whole = [f"CASE whole {_cases(side, typed)} END" for side in "on"]
    keys = " ".join(f"WHEN {literal(column.name)} THEN {_keys(column.name)}" for column in _OBJECTS)
    return f"""
    SELECT connection, source_id, change.field AS field, change.old AS old, change.new AS new,
           recorded_at AS changed_at, change_origin AS origin, run_id,
           CASE WHEN push_id IS NULL THEN NULL WHEN list_contains(named, change.field) THEN nullif(reason, '')
                ELSE 'side effect of push ' || push_id END AS reason,
           nullif(actor, '') AS actor
    FROM (SELECT {_HEAD},
                 unnest(CASE whole {keys} ELSE [{{field: whole, old: {whole[0]}, new: {whole[1]}}}] END) AS change
          FROM (SELECT {", ".join(f"n.{name}" for name in _HEAD.split(", ")[:5])}, r.run_id, p.push_id, p.named,
                       p.reason, p.actor, {news}, {olds}, n.is_deleted AS n_is_deleted, o.is_deleted AS o_is_deleted,
                       unnest(CASE WHEN n.version > 1 THEN n.changed_fields ELSE
                           list_distinct(list_transform(p.named, lambda name: split_part(name, '.', 1))) END) AS whole
                FROM (SELECT * EXCLUDE (valid_to) FROM store.closed UNION ALL BY NAME SELECT * FROM store.current) n
                LEFT JOIN store.closed o ON o.connection = n.connection AND o.source_id = n.source_id
                                        AND o.version = n.version - 1
                LEFT JOIN store.pushed p ON p.seq = n.seq
                LEFT JOIN (SELECT seq, run_id FROM store.raw) r ON r.seq = n.seq
                WHERE n.version > 1 OR p.seq IS NOT NULL))
    WHERE change.old IS DISTINCT FROM change.new AND (version > 1 OR list_contains(named, change.field))"""


def as_json(name: str, child: Child) -> str:
    """SQL: a list of children as JSON; its numbers, days and instants are text, so that no digit is lost."""
    shown = ", ".join(f"{quoted(one.name)}: {_text('one.' + quoted(one.name), one)}" for one in child.columns)
    return f"to_json(list_transform({name}, lambda one: {{{shown}}}))::VARCHAR"


def _of(side: str, name: str) -> str:
    """A column of the version (n) or of the one before it (o)."""
    return quoted(f"{side}_{name}")


def _cases(side: str, typed: Sequence[Column]) -> str:
    values = {column.name: _text(_of(side, column.name), column) for column in (*_PLAIN, *typed)}
    values |= {name: as_json(_of(side, name), child) for name, child in CHILDREN.items()}
    values["is_deleted"] = f"{_of(side, 'is_deleted')}::VARCHAR"
    return " ".join(f"WHEN {literal(name)} THEN {value}" for name, value in values.items())


def _text(name: str, column: Column) -> str:
    """A value as people write it: money with two decimals at the least, other numbers without needless ones."""
    if column.name in ("amount", "unit_amount"):
        return rf"regexp_replace({name}::VARCHAR, '0{{1,2}}$', '')"
    if column.type.startswith("DECIMAL"):
        return rf"regexp_replace({name}::VARCHAR, '\.?0+$', '')"
    if column.type == "TIMESTAMPTZ":
        return rf"regexp_replace(strftime({name}, '%Y-%m-%dT%H:%M:%S.%f'), '\.000000$', '') || 'Z'"
    return f"to_json({name})::VARCHAR" if column.type.endswith("]") else f"{name}::VARCHAR"


def _keys(name: str) -> str:
    """The keys of an object, each as a change of its own."""
    old, new = (_of(side, name) for side in "on")
    keys = f"list_distinct(list_concat(coalesce(json_keys({old}), []), coalesce(json_keys({new}), [])))"
    pointer = "'/' || replace(replace(k, '~', '~0'), '/', '~1')"
    change = (
        f"{{field: {literal(name + '.')} || k, old: json_extract_string({old}, {pointer}), "
        f"new: json_extract_string({new}, {pointer})}}"
    )
    return f"list_transform({keys}, lambda k: {change})"
