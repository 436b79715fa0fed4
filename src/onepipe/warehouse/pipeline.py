"""What is in the pipeline: now, at the end of any day, and by the month in which it is expected to close.

A figure is of open deals that are neither deleted nor archived, of connections in use, in one currency. What can be in
no figure is counted beside it: deals of unknown status, deals of retired connections, deals not yet observed.
A line's sums are told in the reporting currency as well, converted as a whole and rounded once.
"""

import onepipe.warehouse.decisions as decisions
import onepipe.warehouse.rates as rates
from onepipe.model import Column
from onepipe.warehouse.rates import MONEY
from onepipe.warehouse.reporting import RETIRED, TODAY, View, day_end

_COUNTED = "open AND in_use"
_WEIGHTED = f"g.weighted::{MONEY} AS weighted_amount"
_CONVERTED = rates.converted("g", "g.deals - g.deals_without_amount")


def sums(counted: str) -> str:
    """SQL: what is told of the deals of one group, all in one currency; `weighted` is not rounded.

    A product of two DECIMALs of at most 18 digits has 18, so an amount is made wider before it is multiplied.
    """
    return f"""count(*) FILTER ({counted}) AS deals,
           sum(amount) FILTER ({counted}) AS amount,
           sum(amount::{MONEY} * chance) FILTER ({counted}) AS weighted,
           count(*) FILTER ({counted} AND amount IS NULL) AS deals_without_amount,
           count(*) FILTER ({counted} AND chance IS NULL) AS deals_without_probability"""


def covered(grouped: str) -> str:
    """SQL: a grouped query, each line with how far its connection is complete."""
    return (
        f"({grouped}) g LEFT JOIN (SELECT connection, complete_through FROM coverage WHERE resource = 'opportunity') v "
        "ON v.connection = g.connection"
    )


def _worth(day: str) -> str:
    return f"LEFT JOIN {rates.of(day)} worth ON worth.currency = g.currency"


_LEFT_OUT = """count(*) FILTER (unknown AND in_use) AS unknown_status_deals,
           count(*) FILTER (NOT in_use) AS retired_deals"""
_NO_DATE = f"count(*) FILTER ({_COUNTED} AND expected_close_date IS NULL) AS deals_without_close_date"
# By label, as the lines are: two stages of one name are one line, at the place of the first.
_PLACES = """LEFT JOIN (SELECT connection, pipeline, stage, min(position) AS position FROM stages GROUP BY ALL) s
    ON s.connection = g.connection AND s.stage IS NOT DISTINCT FROM g.stage
       AND s.pipeline IS NOT DISTINCT FROM g.pipeline"""
# How likely a deal is to be won: as stages.csv says of its stage, else as the CRM says of the deal.
_CHANCE = f"coalesce({decisions.WEIGHT}, o.probability) AS chance"
_NOW = f"""SELECT o.*, {_CHANCE}, o.status IS NOT NULL AS open, o.status IS NULL AS unknown,
                 o.connection NOT IN {RETIRED} AS in_use
          FROM opportunities o {decisions.staged("o")}
          WHERE NOT o.is_deleted AND NOT o.is_archived AND (o.status = 'open' OR o.status IS NULL)"""

_KEY = (
    Column("connection", "VARCHAR", "The connection's name in config.yaml"),
    Column("pipeline", "VARCHAR", "The pipeline's label"),
    Column("stage", "VARCHAR", "The stage's label"),
    Column("currency", "VARCHAR", "The currency of the amounts; NULL where the CRM and config.yaml name none"),
)
_FIGURES = (
    Column("deals", "BIGINT", "How many open deals"),
    Column("amount", MONEY, "The sum of their amounts; NULL where none has one"),
    Column("weighted_amount", MONEY, "The sum of amount x weight of the stage (stages.csv), else x probability"),
    Column("deals_without_amount", "BIGINT", "How many of the deals are in no sum, for want of an amount"),
    Column("deals_without_probability", "BIGINT", "How many have neither such a weight nor a probability"),
)
_THROUGH = Column("complete_through", "TIMESTAMPTZ", "Every change of the connection's deals up to here is loaded")
_DATELESS = Column("deals_without_close_date", "BIGINT", "How many of the deals have no expected_close_date")
_BESIDE = (
    Column("unknown_status_deals", "BIGINT", "Deals whose status is NULL: in no figure"),
    Column("retired_deals", "BIGINT", "Deals, open or unknown, of a connection that is retired: in no figure"),
)
_PLACE = Column("position", "BIGINT", "The stage's place in its pipeline, from 1; NULL where there is no list")

PIPELINE_BY_STAGE = View(
    "pipeline_by_stage",
    "The open pipeline as it stands, by connection, pipeline, stage and currency",
    (*_KEY, *_FIGURES, _THROUGH, _DATELESS, *_BESIDE, _PLACE, *rates.CONVERTED),
    f"""
    SELECT g.connection, g.pipeline, g.stage, g.currency, g.deals, g.amount, {_WEIGHTED}, g.deals_without_amount,
           g.deals_without_probability, v.complete_through, g.deals_without_close_date, g.unknown_status_deals,
           g.retired_deals, s.position, {_CONVERTED}
    FROM {
        covered(f'''SELECT connection, pipeline, stage, currency, {sums(_COUNTED)}, {_NO_DATE}, {_LEFT_OUT}
          FROM ({_NOW}) GROUP BY connection, pipeline, stage, currency''')
    } {_PLACES} {_worth(TODAY)}""",
)

_ENDS = "(SELECT ends FROM span)"
PIPELINE_AS_OF = View(
    "pipeline_as_of",
    "The open pipeline as it stood at the end of a day in the reporting zone, by what is known of that day now",
    (
        *(*_KEY, *_FIGURES, _THROUGH, _DATELESS, *_BESIDE, _PLACE),
        Column(
            "observed", "BOOLEAN", "false: deals created by then whose state of then we do not know, a line of them"
        ),
        Column("known_closed_deals", "BIGINT", "Of those, how many the CRM itself dates as closed by that day"),
        *rates.CONVERTED,
    ),
    f"""
    WITH span AS (SELECT {day_end("day")} AS ends), known AS (
        SELECT *, valid_from < {_ENDS} AS observed, connection NOT IN {RETIRED} AS in_use FROM opportunity_history
        WHERE (valid_from < {_ENDS} AND (valid_to IS NULL OR valid_to >= {_ENDS}) AND NOT is_deleted
               AND NOT is_archived AND (status = 'open' OR status IS NULL))
           OR (version = 1 AND valid_from >= {_ENDS} AND created_at < {_ENDS})),
    stood AS (
        SELECT o.connection, observed, in_use, observed AND o.status IS NOT NULL AS open,
               observed AND o.status IS NULL AS unknown,
               CASE WHEN observed THEN o.pipeline END AS pipeline, CASE WHEN observed THEN o.stage END AS stage,
               CASE WHEN observed THEN currency END AS currency, amount, {_CHANCE}, expected_close_date,
               closed_on_evidence = 'crm' AND closed_on <= (day)::DATE AS closed
        FROM known o {decisions.staged("o")})
    SELECT g.connection, g.pipeline, g.stage, g.currency,
           CASE WHEN g.observed THEN g.deals ELSE g.unobserved END AS deals,
           g.amount, {_WEIGHTED}, CASE WHEN g.observed THEN g.deals_without_amount END AS deals_without_amount,
           CASE WHEN g.observed THEN g.deals_without_probability END AS deals_without_probability, v.complete_through,
           CASE WHEN g.observed THEN g.deals_without_close_date END AS deals_without_close_date,
           g.unknown_status_deals, g.retired_deals, s.position, g.observed, g.known_closed_deals,
           {rates.converted("g", "CASE WHEN g.observed THEN g.deals - g.deals_without_amount END")}
    FROM {
        covered(f'''SELECT connection, pipeline, stage, currency, observed, {sums(_COUNTED)}, {_NO_DATE}, {_LEFT_OUT},
               count(*) FILTER (in_use AND NOT observed) AS unobserved,
               count(*) FILTER (in_use AND NOT observed AND closed) AS known_closed_deals
          FROM stood GROUP BY connection, pipeline, stage, currency, observed''')
    } {_PLACES} {_worth("(day)::DATE")}""",
    ("day",),
)

FORECAST = View(
    "forecast",
    "The open pipeline by the month it is expected to close in",
    (
        Column("connection", "VARCHAR", "The connection's name in config.yaml"),
        Column("month", "DATE", "The first day of the month of expected_close_date; NULL: deals without one"),
        _KEY[3],
        Column("overdue", "BOOLEAN", "Whether that day was over when the snapshot was made, and the deal still open"),
        *_FIGURES,
        _THROUGH,
        *_BESIDE,
        Column("as_of", "DATE", "The day of the snapshot in the reporting zone, which overdue is judged by"),
        *rates.CONVERTED,
    ),
    f"""
    SELECT g.connection, g.month, g.currency, g.overdue, g.deals, g.amount, {_WEIGHTED}, g.deals_without_amount,
           g.deals_without_probability, v.complete_through, g.unknown_status_deals, g.retired_deals, {TODAY} AS as_of,
           {_CONVERTED}
    FROM {
        covered(f'''SELECT connection, date_trunc('month', expected_close_date)::DATE AS month, currency,
                 expected_close_date < {TODAY} AS overdue, {sums(_COUNTED)}, {_LEFT_OUT}
          FROM ({_NOW}) GROUP BY ALL''')
    } {_worth(TODAY)}""",
)

WIN_RATE = View(
    "win_rate",
    "Deals won, lost and abandoned by the month of closed_on, and the share that was won",
    (
        Column("connection", "VARCHAR", "The connection's name in config.yaml"),
        Column("month", "DATE", "The first day of the month of closed_on; NULL: deals whose closing day is not known"),
        _KEY[3],
        Column("won", "BIGINT", "How many deals were won"),
        Column("lost", "BIGINT", "How many were lost"),
        Column("abandoned", "BIGINT", "How many were abandoned: they are not part of win_rate"),
        Column("won_amount", MONEY, "The sum of the amounts of the won ones; NULL where none has one"),
        Column("lost_amount", MONEY, "The sum of the amounts of the lost ones"),
        Column("win_rate", "DECIMAL(5,4)", "won / (won + lost), 0..1; NULL where there are neither"),
        Column("won_without_amount", "BIGINT", "How many of the won ones are not in won_amount"),
        Column("lost_without_amount", "BIGINT", "How many of the lost ones are not in lost_amount"),
        Column("closed_before_first_seen", "BIGINT", "How many are dated by their updated_at, closed when first seen"),
        Column("unknown_status_deals", "BIGINT", "Deals whose status is NULL: in no figure"),
        Column("connection_state", "VARCHAR", "active, disabled or retired: retired ones stay in, their past is true"),
        rates.IN_CURRENCY,
        Column("reporting_won_amount", MONEY, "won_amount in it, each deal by the rate of its closed_on"),
        Column("reporting_lost_amount", MONEY, "lost_amount in it, each deal by the rate of its closed_on"),
        rates.WITHOUT,
    ),
    f"""
    SELECT d.connection, date_trunc('month', d.closed_on)::DATE AS month, d.currency,
           count(*) FILTER (d.status = 'won') AS won, count(*) FILTER (d.status = 'lost') AS lost,
           count(*) FILTER (d.status = 'abandoned') AS abandoned,
           sum(d.amount) FILTER (d.status = 'won') AS won_amount,
           sum(d.amount) FILTER (d.status = 'lost') AS lost_amount,
           round(count(*) FILTER (d.status = 'won') / nullif(count(*) FILTER (d.status IN ('won', 'lost')), 0),
                 4)::DECIMAL(5,4) AS win_rate,
           count(*) FILTER (d.status = 'won' AND d.amount IS NULL) AS won_without_amount,
           count(*) FILTER (d.status = 'lost' AND d.amount IS NULL) AS lost_without_amount,
           count(*) FILTER (d.closed_on_evidence = 'first_seen') AS closed_before_first_seen,
           count(*) FILTER (d.status IS NULL) AS unknown_status_deals, any_value(c.state) AS connection_state,
           {rates.CURRENCY} AS reporting_currency,
           (sum(d.amount::{MONEY} * d.rate) FILTER (d.status = 'won'))::{MONEY} AS reporting_won_amount,
           (sum(d.amount::{MONEY} * d.rate) FILTER (d.status = 'lost'))::{MONEY} AS reporting_lost_amount,
           CASE WHEN {rates.CURRENCY} IS NOT NULL THEN count(*) FILTER (
               d.status IN ('won', 'lost') AND d.amount IS NOT NULL AND d.rate IS NULL) END AS deals_without_rate
    FROM (SELECT o.*, CASE o.currency WHEN {rates.CURRENCY} THEN 1::DECIMAL(18,9) ELSE r.rate END AS rate
          FROM opportunities o LEFT JOIN store.day_rates r ON r.currency = o.currency AND r.day = o.closed_on
          WHERE NOT o.is_deleted AND o.status IS DISTINCT FROM 'open') d
    LEFT JOIN connections c ON c.connection = d.connection
    GROUP BY d.connection, month, d.currency""",
)
