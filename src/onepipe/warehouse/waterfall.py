"""From the pipeline of one day to that of another: what came, what changed, what went, adding up to the cent.

Each deal is compared with itself as it stood at the end of both days; one that came and closed in between comes and
goes. `begin` and `end` are the sums of `pipeline_as_of`. In the reporting currency `begin` counts by the rate of the
first day, all else by that of the second; what the rates themselves made of it is a step of its own, `fx`.
"""

import onepipe.warehouse.rates as rates
from onepipe.model import Column
from onepipe.warehouse.rates import MONEY
from onepipe.warehouse.reporting import RETIRED, View, day_end, standing

# The steps in their order. What stands after `end` is told beside the sum and is in none of the others.
CAME = ("new", "first_seen", "reopened", "returned")
WENT = ("won", "lost", "abandoned", "deleted", "archived", "unknown_status")
BESIDE = ("closed_before_first_seen", "retired")
STEPS = ("begin", *CAME, "increased", "decreased", "recurrencied", *WENT, "fx", "end", *BESIDE)

_CLOSED = "('won', 'lost', 'abandoned')"
_SINCE, _UNTIL = "(SELECT since FROM span)", "(SELECT until FROM span)"
_FACTS = "source_id, status, amount, currency, created_at, closed_on, closed_on_evidence, is_deleted, is_archived"


def _stood(ends: str) -> str:
    """SQL: every deal as it stood at an instant; `inside`: in the pipeline."""
    return (
        f"(SELECT connection, {_FACTS}, coalesce({standing('h')}, false) AS inside FROM opportunity_history h "
        f"WHERE valid_from < {ends} AND (valid_to IS NULL OR valid_to >= {ends}))"
    )


# Of a deal that is in the pipeline on neither day: whether it is known to have come into it and closed in between.
_PASSED = f"""b.closed AND (a.source_id IS NULL AND b.created_at >= {_SINCE}
                            OR b.closed_on > (SELECT begun_on FROM span) AND b.closed_on_evidence <> 'first_seen'
                               AND (NOT coalesce(a.closed, false) OR a.closed_on IS DISTINCT FROM b.closed_on))"""
_CAME = f"""CASE WHEN a.source_id IS NOT NULL AND a.closed THEN 'reopened' WHEN a.source_id IS NOT NULL THEN 'returned'
                WHEN b.created_at >= {_SINCE} THEN 'new' ELSE 'first_seen' END"""
_WENT = """CASE WHEN b.is_deleted THEN 'deleted' WHEN b.closed THEN b.status WHEN b.is_archived THEN 'archived'
                ELSE 'unknown_status' END"""
_ISCLOSED = f"coalesce(status IN {_CLOSED}, false) AND NOT is_deleted AS closed"


def _moves() -> str:
    """SQL: what each deal adds to which step, in which currency; `known`: the amount, or NULL for want of one."""
    same = "currency_a IS NOT DISTINCT FROM currency_b"
    both = "CASE WHEN known_a IS NOT NULL THEN known_b END"
    moves = [
        ("'begin'", "inside_a", "currency_a", "amount_a", "known_a"),
        ("came", "NOT inside_a AND (inside_b OR passed)", "currency_b", "amount_b", "known_b"),
        ("'increased'", f"inside_a AND {same} AND amount_b > amount_a", "currency_b", "amount_b - amount_a", both),
        ("'decreased'", f"inside_a AND {same} AND amount_b < amount_a", "currency_b", "amount_b - amount_a", both),
        ("'recurrencied'", f"inside_a AND NOT ({same})", "currency_a", "-amount_a", "known_a"),
        ("'recurrencied'", f"inside_a AND NOT ({same})", "currency_b", "amount_b", "known_b"),
        ("went", "NOT inside_b AND (inside_a OR passed)", "currency_b", "-amount_b", "known_b"),
        ("'end'", "inside_b", "currency_b", "amount_b", "known_b"),
        ("'closed_before_first_seen'", "unplaced AND NOT passed", "currency_b", "0", "0"),
    ]
    selects = [
        f"SELECT connection, {currency} AS currency, {step} AS step, {amount} AS amount, {known} AS known "
        f"FROM pairs WHERE in_use AND {condition}"
        for step, condition, currency, amount, known in moves
    ]
    retired = "SELECT connection, currency_b, 'retired', 0, 0 FROM pairs WHERE NOT in_use AND (inside_a OR inside_b)"
    return " UNION ALL ".join([*selects, retired])


_PLACES = ", ".join(f"({place}, '{step}')" for place, step in enumerate(STEPS, 1))
_END = STEPS.index("end") + 1

PIPELINE_WATERFALL = View(
    "pipeline_waterfall",
    "What made the pipeline of the end of one day that of another, step by step; all steps before `end` add up to it",
    (
        Column("connection", "VARCHAR", "The connection's name in config.yaml"),
        Column("currency", "VARCHAR", "The currency of the amounts"),
        Column("position", "BIGINT", "The step's place, from 1"),
        Column(
            "step", "VARCHAR", "What made the difference; begin and end are always there, others where deals made them"
        ),
        Column("deals", "BIGINT", "How many deals"),
        Column("amount", MONEY, "What it adds, negative where it takes away; NULL for a step after end"),
        Column(
            "deals_without_amount", "BIGINT", "How many of them had no amount on one of the days; it counts as 0 here"
        ),
        rates.IN_CURRENCY,
        Column("reporting_amount", MONEY, "What it adds in reporting_currency; NULL where a rate is missing"),
        rates.WITHOUT,
    ),
    f"""
    WITH span AS (
        SELECT {day_end("from_day")} AS since, (from_day)::DATE AS begun_on,
               CASE WHEN (to_day)::DATE < (from_day)::DATE THEN error('pipeline_waterfall: the first day is the later')
                    ELSE {day_end("to_day")} END AS until),
    pairs AS MATERIALIZED (
        SELECT b.connection, b.connection NOT IN {RETIRED} AS in_use, a.currency AS currency_a,
               b.currency AS currency_b, a.amount AS known_a, b.amount AS known_b, coalesce(a.amount, 0) AS amount_a,
               coalesce(b.amount, 0) AS amount_b, coalesce(a.inside, false) AS inside_a, b.inside AS inside_b,
               a.source_id IS NULL AND b.closed AS unplaced, {_CAME} AS came, {_WENT} AS went,
               NOT coalesce(a.inside, false) AND NOT b.inside AND coalesce({_PASSED}, false) AS passed
        FROM (SELECT *, {_ISCLOSED} FROM {_stood(_UNTIL)}) b
        LEFT JOIN (SELECT *, {_ISCLOSED} FROM {_stood(_SINCE)}) a
               ON a.connection = b.connection AND a.source_id = b.source_id
        WHERE b.inside OR coalesce(a.inside, false) OR b.closed),
    lines AS (
        SELECT connection, currency, step, count(*) AS deals, sum(amount) AS amount,
               count(*) FILTER (known IS NULL) AS deals_without_amount
        FROM ({_moves()}) GROUP BY ALL),
    worth AS (
        SELECT g.connection, g.currency, b.rate, CASE WHEN g.begun = 0 THEN b.rate ELSE a.rate END AS rate_before
        FROM (SELECT connection, currency, count(*) FILTER (step = 'begin') AS begun FROM lines GROUP BY ALL) g
        LEFT JOIN {rates.of("(from_day)::DATE")} a ON a.currency = g.currency
        LEFT JOIN {rates.of("(to_day)::DATE")} b ON b.currency = g.currency),
    steps AS (
        SELECT w.connection, w.currency, s.position, s.step, coalesce(l.deals, 0) AS deals,
               CASE WHEN s.position <= {_END} THEN coalesce(l.amount, 0) END::{MONEY} AS amount,
               coalesce(l.deals_without_amount, 0) AS deals_without_amount,
               w.rate IS NULL OR w.rate_before IS NULL AS rateless,
               CASE WHEN NOT rateless AND s.position <= {_END} THEN
                   (coalesce(l.amount, 0) * CASE s.step WHEN 'begin' THEN w.rate_before ELSE w.rate END)::{MONEY}
                   END AS value
        FROM worth w CROSS JOIN (VALUES {_PLACES}) s(position, step)
        LEFT JOIN lines l
            ON l.connection = w.connection AND l.currency IS NOT DISTINCT FROM w.currency AND l.step = s.step),
    told AS (
        SELECT connection, currency, position, step, rateless, amount,
               CASE step WHEN 'fx' THEN max(CASE step WHEN 'begin' THEN deals END) OVER line ELSE deals END AS deals,
               CASE step WHEN 'fx' THEN max(CASE step WHEN 'begin' THEN deals_without_amount END) OVER line
                   ELSE deals_without_amount END AS deals_without_amount,
               CASE step WHEN 'fx' THEN sum(CASE step WHEN 'end' THEN value ELSE -value END) OVER line
                   ELSE value END AS value
        FROM steps WINDOW line AS (PARTITION BY connection, currency))
    SELECT connection, currency, position::BIGINT AS position, step, deals, amount, deals_without_amount,
           {rates.CURRENCY} AS reporting_currency, value::{MONEY} AS reporting_amount,
           {rates.without(f"rateless AND position <= {_END}", "deals - deals_without_amount")} AS deals_without_rate
    FROM told WHERE step IN ('begin', 'end') OR CASE step WHEN 'fx' THEN value <> 0 ELSE deals > 0 END
    ORDER BY connection, currency, position""",
    ("from_day", "to_day"),
)
