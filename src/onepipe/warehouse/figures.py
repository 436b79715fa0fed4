"""What the reports for people are made of: lines of the views, for chosen connections, as dicts.

Counts are ints, money is Decimal, days are dates, instants are ISO texts in UTC. Nothing is added up here over two
currencies: amounts of an unknown one are kept apart by connection, whose deals have the currency `no currency (acme)`.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from onepipe.errors import ConfigError
from onepipe.warehouse.database import Database
from onepipe.warehouse.reporting import TODAY, ZONE

Row = dict[str, Any]

# What a line has where amounts are reported in one currency; a file without `reporting:` has NULL in them.
CONVERTED = ("reporting_currency", "reporting_amount", "reporting_weighted_amount", "deals_without_rate")
CLOSED = ("reporting_currency", "reporting_won_amount", "reporting_lost_amount", "deals_without_rate")
_ISO = "strftime({}, '%Y-%m-%dT%H:%M:%SZ')"
NO_CURRENCY = "no currency"
CURRENCY = f"coalesce(currency, '{NO_CURRENCY} (' || connection || ')')"  # two CRMs need not mean the same money
_CHOSEN = "list_contains($connections, connection)"
_LINE = (
    *("connection", "pipeline", "stage", "position", "currency", "deals", "amount", "weighted_amount"),
    *("deals_without_amount", "deals_without_probability", "deals_without_close_date", "unknown_status_deals"),
    "retired_deals",
)
_ORDER = "connection, pipeline NULLS LAST, position NULLS LAST, stage NULLS LAST, currency NULLS LAST"


def head(db: Database) -> Row:
    """What the file is of: published_at, run_id, generation, the reporting zone, and its day (`today`).

    `left_out`: what `publish:` keeps out of it. Raises ConfigError for a file that an older onepipe published, which
    lacks what reports are made of.
    """
    names = {str(name) for (name,) in db.run("SELECT view_name FROM duckdb_views() WHERE schema_name = 'main'")}
    if "slippage" not in names or "left_out" not in db.names("FROM about"):
        raise ConfigError("the warehouse was published by an older onepipe", "run `onepipe sync`, which publishes anew")
    columns = {"published_at": _ISO.format("published_at"), "run_id": "run_id", "generation": "generation"}
    return asked(db, columns | {"left_out": "left_out", "zone": ZONE, "today": TODAY}, "FROM about", {})[0]


def hides(db: Database, *columns: str) -> bool:
    """Whether one of these columns of deals is left out of the file: what is made of it is then no figure, not 0."""
    left_out = str(db.one("SELECT left_out FROM about") or "").split(", ")
    return any(column in left_out for column in columns)


def asked(
    db: Database, columns: Sequence[str] | Mapping[str, str], source: str, values: Mapping[str, Any]
) -> list[Row]:
    """The rows of a query: column names, or names with the SQL of each; `source` begins with FROM."""
    named = columns if isinstance(columns, Mapping) else {name: name for name in columns}
    picked = ", ".join(f'{sql} AS "{name}"' for name, sql in named.items())
    rows = db.run(f"SELECT {picked} {source}", {name: v for name, v in values.items() if f"${name}" in source})
    return [dict(zip(named, row, strict=True)) for row in rows]


def pipeline(db: Database, connections: Sequence[str], day: date | None = None) -> list[Row]:
    """The open pipeline by connection, pipeline, stage and currency; `day`: as it stood at the end of that day.

    Each line says whether it is `observed`; lines without a deal may count deals that are in no figure.
    """
    source = "pipeline_by_stage" if day is None else "pipeline_as_of($day)"
    known = "true" if day is None else "observed"
    columns = {name: name for name in _LINE} | {"currency": CURRENCY} | _converted(db) | {"observed": known}
    return asked(db, columns, f"FROM {source} WHERE {_CHOSEN} ORDER BY {_ORDER}", _chosen(connections, day=day))


def waterfall(db: Database, connections: Sequence[str], first: date, last: date) -> list[Row]:
    """Step by step what made the pipeline of one day that of another, by currency, over all chosen connections."""
    columns = {
        "currency": CURRENCY,
        "step": "step",
        "position": "position",
        "deals": "sum(deals)::BIGINT",
        "amount": "NULL" if hides(db, "amount") else "sum(amount)",
        "deals_without_amount": "sum(deals_without_amount)::BIGINT",
    }
    there = "reporting_amount" in db.names("FROM pipeline_waterfall(DATE '2026-01-01', DATE '2026-01-01')")
    columns |= {"reporting_amount": "sum(reporting_amount)" if there else "NULL"}
    source = f"FROM pipeline_waterfall($first, $last) WHERE {_CHOSEN} GROUP BY ALL"
    values = _chosen(connections, first=first, last=last)
    return asked(db, columns, f"{source} ORDER BY currency, position", values)


def forecast(db: Database, connections: Sequence[str]) -> list[Row]:
    """The open pipeline by connection, currency and the month it is expected to close in."""
    columns = {name: name for name in ("connection", "month", "overdue", *_LINE[4:10])} | {"currency": CURRENCY}
    columns |= _converted(db)
    order = "ORDER BY currency, month NULLS LAST, overdue DESC, connection"
    return asked(db, columns, f"FROM forecast WHERE deals > 0 AND {_CHOSEN} {order}", _chosen(connections))


def win_rate(db: Database, connections: Sequence[str]) -> list[Row]:
    """Deals won, lost and abandoned by connection, currency and the month they closed in."""
    counts = ("won", "lost", "abandoned", "won_without_amount", "lost_without_amount", "closed_before_first_seen")
    money = ("won_amount", "lost_amount")
    source = f"FROM win_rate WHERE won + lost + abandoned > 0 AND {_CHOSEN} ORDER BY month NULLS LAST, currency"
    columns = {name: name for name in ("connection", "month", "currency", *counts, *money)}
    columns |= {"currency": CURRENCY}
    columns |= _converted(db, "win_rate", CLOSED)
    return asked(db, columns, source, _chosen(connections))


def durations(db: Database, connections: Sequence[str]) -> list[Row]:
    """How long deals stayed in each stage."""
    columns = ("connection", "pipeline", "stage", "position", "stays", "finished", "running", "entry_not_seen")
    return asked(
        db,
        (*columns, "ended_by_deletion", "median_days", "p75_days"),
        f"FROM stage_duration WHERE {_CHOSEN} ORDER BY {_ORDER.removesuffix(', currency NULLS LAST')}",
        _chosen(connections),
    )


def conversions(db: Database, connections: Sequence[str]) -> list[Row]:
    """How many deals came further from each stage."""
    columns = ("connection", "pipeline", "stage", "position", "entered", "advanced", "won", "lost", "abandoned")
    return asked(
        db,
        (*columns, "still_open", "undecided", "conversion"),
        f"FROM stage_conversion WHERE {_CHOSEN} ORDER BY {_ORDER.removesuffix(', currency NULLS LAST')}",
        _chosen(connections),
    )


def ages(db: Database, connections: Sequence[str]) -> list[Row]:
    """The open deals by age and currency; `age` NULL where the CRM does not say when a deal was created."""
    columns = {
        "age": "age",
        "currency": CURRENCY,
        "deals": "count(*)",
        "amount": "sum(amount)",
        "deals_without_amount": "count(*) FILTER (amount IS NULL)",
    }
    order = "ORDER BY min(age_days) NULLS LAST, currency"
    return asked(db, columns, f"FROM aging WHERE {_CHOSEN} GROUP BY age, {CURRENCY} {order}", _chosen(connections))


def slipped(db: Database, connections: Sequence[str], limit: int) -> list[Row]:
    """The open deals whose expected close date was moved the furthest, all their pushes together."""
    columns = (
        *("connection", "source_id", "name", "stage", "owner", "amount", "currency", "first_expected"),
        *("last_expected", "pushes", "days_pushed"),
    )
    source = f"FROM slippage WHERE status = 'open' AND pushes > 0 AND connection_state <> 'retired' AND {_CHOSEN}"
    order = "ORDER BY days_pushed DESC, connection, source_id LIMIT $limit"
    return asked(db, columns, f"{source} {order}", _chosen(connections, limit=limit))


def slipping(db: Database, connections: Sequence[str]) -> Row:
    """How many open deals showed an expected close date, and how many of them moved it to a later one."""
    columns = {"dated": "count(*)", "pushed": "count(*) FILTER (pushes > 0)"}
    source = f"FROM slippage WHERE status = 'open' AND connection_state <> 'retired' AND {_CHOSEN}"
    return asked(db, columns, source, _chosen(connections))[0]


def unreadable(db: Database, connections: Sequence[str]) -> list[Row]:
    """Values of deals as they are now that could not be read: by connection, field and reason."""
    columns = {
        "connection": "p.connection",
        "field": "p.field",
        "reason": "p.reason",
        "deals": "count(DISTINCT p.source_id)",
        "sample": "min(left(p.value, 40))",
    }
    source = """FROM problems p JOIN opportunities o ON o.connection = p.connection AND o.source_id = p.source_id
                AND o.payload_hash = p.payload_hash AND NOT o.is_deleted
                WHERE list_contains($connections, p.connection) GROUP BY p.connection, p.field, p.reason"""
    return asked(
        db,
        columns,
        f"{source} ORDER BY count(DISTINCT p.source_id) DESC, p.connection, p.field, p.reason",
        _chosen(connections),
    )


def waiting(db: Database, connections: Sequence[str]) -> dict[str, list[Row]]:
    """What waits for somebody: `conflicts` that are open, and `pushes` that are not over."""
    conflict = ("conflict_id", "connection", "source_id", "kind", "field", "ours", "theirs")
    push = {name: name for name in ("push_id", "connection", "source_id", "op", "state", "message")}
    since = {"since": _ISO.format("opened_at")}
    return {
        "conflicts": asked(
            db,
            {name: name for name in conflict} | since,
            f"FROM conflicts WHERE state = 'open' AND {_CHOSEN} ORDER BY opened_at, conflict_id",
            _chosen(connections),
        ),
        "pushes": asked(
            db,
            push | {"since": _ISO.format("created_at")},
            f"FROM pushes WHERE finished_at IS NULL AND {_CHOSEN} ORDER BY created_at, push_id",
            _chosen(connections),
        ),
    }


def late(db: Database, connections: Sequence[str]) -> list[Row]:
    """How many deals were not seen when their own time was read, by connection and kind; `longest` in seconds."""
    columns = {"connection": "connection", "kind": "kind", "deals": "count(*)", "longest": "max(late_by)"}
    return asked(
        db, columns, f"FROM late_rows WHERE {_CHOSEN} GROUP BY connection, kind ORDER BY ALL", _chosen(connections)
    )


def _converted(db: Database, view: str = "forecast", wanted: Sequence[str] = CONVERTED) -> dict[str, str]:
    """The columns in the reporting currency; NULL in a file of an onepipe that had none."""
    there = set(db.names(f"FROM {view}"))
    return {name: name if name in there else "NULL" for name in wanted}


def _chosen(connections: Sequence[str], **values: Any) -> dict[str, Any]:
    return {"connections": list(connections)} | values
