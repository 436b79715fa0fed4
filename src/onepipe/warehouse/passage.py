"""How deals pass through stages and time: how far they come, how long they stay, how old they are, how they slip.

A deal stands in a stage while it is open and neither deleted nor archived. A stay begins where it comes to stand in
another stage, or again; it ends with the version that ends that, and a stage that is renamed ends none.
"""

from onepipe.model import Column
from onepipe.warehouse.reporting import TODAY, ZONE, View, fiscal_months, standing


def _changed(*names: str) -> str:
    """SQL: whether a version changed any of these columns; asked one by one, four times as fast as list_has_any."""
    return "(" + " OR ".join(f"list_contains(h.changed_fields, '{name}')" for name in names) + ")"


# Which versions begin or end a stay is read off changed_fields: it takes no look at the version before.
BREAK = f"""(h.version = 1 OR {_changed("stage_id", "pipeline_id", "status", "is_deleted", "is_archived")}
        OR (h.stage_id IS NULL AND {_changed("stage")}) OR (h.pipeline_id IS NULL AND {_changed("pipeline")}))"""
# Whether we know when a stay began: the version is not the first one, or the deal was not touched since its creation.
_SEEN = "(version > 1 OR coalesce(valid_from <= created_at, false))"

STAYS = f"""
    SELECT connection, source_id, version, coalesce(pipeline_id, pipeline) AS pipeline_key,
           coalesce(stage_id, stage) AS stage_key, pipeline, stage, entered_at, left_at, entry_seen, ended_by_deletion
    FROM (SELECT h.connection, h.source_id, h.version, h.pipeline_id, h.pipeline, h.stage_id, h.stage,
                 h.valid_from AS entered_at, {_SEEN} AS entry_seen, {standing("h")} AS stands,
                 lead(h.valid_from) OVER deal AS left_at, coalesce(lead(h.is_deleted) OVER deal, false)
                     AS ended_by_deletion
          FROM opportunity_history h WHERE {BREAK}
          WINDOW deal AS (PARTITION BY h.connection, h.source_id ORDER BY h.version))
    WHERE stands"""

_PLACES = """(SELECT connection, coalesce(pipeline_id, pipeline) AS pipeline_key,
               coalesce(stage_id, stage) AS stage_key, any_value(pipeline) AS pipeline, any_value(stage) AS stage,
               min(position) AS position
        FROM stages GROUP BY ALL)"""
_AT = """p.connection = g.connection AND p.stage_key IS NOT DISTINCT FROM g.stage_key
        AND p.pipeline_key IS NOT DISTINCT FROM g.pipeline_key"""

_STAGE = (
    Column("connection", "VARCHAR", "The connection's name in config.yaml"),
    Column("pipeline", "VARCHAR", "The pipeline's label as it is now"),
    Column("stage", "VARCHAR", "The stage's label as it is now; two stages of one name are two lines"),
    Column("position", "BIGINT", "The stage's place in its pipeline, from 1; NULL where there is no list"),
)
_STATE = Column("connection_state", "VARCHAR", "active, disabled or retired: retired ones stay in, their past is true")

_LABELS = """g.connection, coalesce(p.pipeline, g.pipeline) AS pipeline, coalesce(p.stage, g.stage) AS stage,
           p.position"""
_BESIDE = f"LEFT JOIN {_PLACES} p ON {_AT} LEFT JOIN connections c ON c.connection = g.connection"
# Each deal in each stage it ever stood in: when it came, when it last came, what is become of it. Deals and stages by a
# number each (`deal`, `place`; `line` of a pipeline): groups and joins over texts take three times as long.
_ENTRIES = f"""
    stood AS MATERIALIZED (
        SELECT h.connection, h.source_id, h.version, h.valid_from, coalesce(h.pipeline_id, h.pipeline) AS pipeline_key,
               coalesce(h.stage_id, h.stage) AS stage_key, h.pipeline, h.stage
        FROM opportunity_history h WHERE {BREAK} AND {standing("h")}),
    places AS MATERIALIZED (
        SELECT row_number() OVER () AS place, dense_rank() OVER (ORDER BY g.connection, g.pipeline_key) AS line,
               g.connection, g.pipeline_key, g.stage_key, coalesce(p.pipeline, g.pipeline) AS pipeline,
               coalesce(p.stage, g.stage) AS stage, p.position
        FROM (SELECT connection, pipeline_key, stage_key, max_by(pipeline, valid_from) AS pipeline,
                     max_by(stage, valid_from) AS stage
              FROM stood GROUP BY connection, pipeline_key, stage_key) g LEFT JOIN {_PLACES} p ON {_AT}),
    entries AS MATERIALIZED (
        SELECT o.deal, o.outcome, p.place, p.line, p.position, min(g.version) AS first_in, max(g.version) AS last_in
        FROM stood g JOIN places p ON {_AT}
        JOIN (SELECT rowid AS deal, connection, source_id, CASE WHEN is_deleted THEN 'deleted' ELSE status END
                  AS outcome FROM store.current) o ON o.connection = g.connection AND o.source_id = g.source_id
        GROUP BY o.deal, o.outcome, p.place, p.line, p.position)"""
# Of a deal that is not won: those stages after which it stood in a later one of the same pipeline.
_AHEAD = """a SEMI JOIN entries b
            ON b.deal = a.deal AND b.line = a.line AND b.position > a.position AND b.last_in > a.first_in"""


def _count(which: str, deals: str = "deals") -> str:
    return f"coalesce(sum({deals}) FILTER ({which}), 0)::BIGINT"


STAGE_CONVERSION = View(
    "stage_conversion",
    "Of the deals that ever stood in a stage while we watched: how many came further, and what became of them",
    (
        *_STAGE,
        Column("entered", "BIGINT", "How many deals ever stood in it while open; each counts once"),
        Column("advanced", "BIGINT", "Of them: later stood in a later stage of the same pipeline, or are won"),
        Column("won", "BIGINT", "Of them: won now"),
        Column("lost", "BIGINT", "Of them: lost now"),
        Column("abandoned", "BIGINT", "Of them: abandoned now"),
        Column("still_open", "BIGINT", "Of them: open now, in whatever stage"),
        Column("deleted", "BIGINT", "Of them: deleted now, whatever they were before"),
        Column("unknown_status_deals", "BIGINT", "Of them: of unknown status now"),
        Column("undecided", "BIGINT", "Of them: open now and not advanced; they may come to be"),
        Column("conversion", "DECIMAL(5,4)", "advanced / entered, 0..1"),
        _STATE,
    ),
    f"""
    WITH {_ENTRIES}
    SELECT p.connection, p.pipeline, p.stage, p.position, g.entered, g.advanced, g.won, g.lost, g.abandoned,
           g.still_open, g.deleted, g.unknown_status_deals, g.undecided,
           round(g.advanced / g.entered, 4)::DECIMAL(5,4) AS conversion, c.state AS connection_state
    FROM (SELECT place, {_count("true")} AS entered,
                 sum(CASE outcome WHEN 'won' THEN deals ELSE ahead END)::BIGINT AS advanced,
                 {_count("outcome = 'won'")} AS won, {_count("outcome = 'lost'")} AS lost,
                 {_count("outcome = 'abandoned'")} AS abandoned, {_count("outcome = 'open'")} AS still_open,
                 {_count("outcome = 'deleted'")} AS deleted, {_count("outcome IS NULL")} AS unknown_status_deals,
                 {_count("outcome = 'open'", "deals - ahead")} AS undecided
          FROM (SELECT place, outcome, count(*) AS deals, 0 AS ahead FROM entries GROUP BY place, outcome
                UNION ALL SELECT place, outcome, 0, count(*) FROM entries {_AHEAD} GROUP BY place, outcome)
          GROUP BY place) g
    JOIN places p ON p.place = g.place LEFT JOIN connections c ON c.connection = p.connection""",
)

_ENDED = "left_at IS NOT NULL AND entry_seen AND NOT ended_by_deletion"
_DAYS = "epoch_us(left_at) - epoch_us(entered_at)"


def _days(share: str) -> str:
    return f"(quantile_cont({_DAYS}, {share}) FILTER ({_ENDED}) / 86400000000)::DECIMAL(18,2)"


STAGE_DURATION = View(
    "stage_duration",
    "How long deals stay in a stage: of the stays that began and ended while we watched",
    (
        *_STAGE,
        Column("stays", "BIGINT", "How often a deal stood in it without a break, each time it came back counted"),
        Column("finished", "BIGINT", "Stays we saw begin and end: those the durations are of"),
        Column("running", "BIGINT", "Stays that are not over; in no duration"),
        Column("entry_not_seen", "BIGINT", "Stays that are over and had begun before we looked; in no duration"),
        Column("ended_by_deletion", "BIGINT", "Other stays that a deletion ended; in no duration"),
        Column("median_days", "DECIMAL(18,2)", "Half of the finished stays were no longer; days of 24 hours"),
        Column("p75_days", "DECIMAL(18,2)", "Three of four finished stays were no longer"),
        _STATE,
    ),
    f"""
    SELECT {_LABELS}, g.stays, g.finished, g.running, g.entry_not_seen, g.ended_by_deletion, g.median_days, g.p75_days,
           c.state AS connection_state
    FROM (SELECT connection, pipeline_key, stage_key, max_by(pipeline, entered_at) AS pipeline,
                 max_by(stage, entered_at) AS stage, count(*) AS stays, count(*) FILTER ({_ENDED}) AS finished,
                 count(*) FILTER (left_at IS NULL) AS running,
                 count(*) FILTER (left_at IS NOT NULL AND NOT entry_seen) AS entry_not_seen,
                 count(*) FILTER (entry_seen AND ended_by_deletion) AS ended_by_deletion,
                 {_days("0.5")} AS median_days, {_days("0.75")} AS p75_days
          FROM store.stays GROUP BY connection, pipeline_key, stage_key) g {_BESIDE}""",
)

AGING = View(
    "aging",
    "The open deals, a line each: how old they are, how long in their stage, how overdue",
    (
        Column("connection", "VARCHAR", "The connection's name in config.yaml"),
        Column("source_id", "VARCHAR", "The deal"),
        Column("name", "VARCHAR", "The deal's name"),
        *_STAGE[1:3],
        Column("owner", "VARCHAR", "The owner's name"),
        Column("amount", "DECIMAL(18,4)", "The deal's amount, in its currency"),
        Column("currency", "VARCHAR", "Of the amount"),
        Column("age_days", "BIGINT", "Days from the day it was created to as_of; NULL where the CRM does not say"),
        Column("age", "VARCHAR", "0-30, 31-60, 61-90, 91-180, 181-365 or 366+ days; NULL as age_days"),
        Column("stage_since", "TIMESTAMPTZ", "Since when it has stood in its stage without a break, as far as we saw"),
        Column("days_in_stage", "BIGINT", "Days from the day of stage_since to as_of"),
        Column(
            "stage_entry_seen", "BOOLEAN", "false: it stood there already when we first saw it, days_in_stage at least"
        ),
        Column("expected_close_date", "DATE", "The day the deal is expected to close"),
        Column("overdue_days", "BIGINT", "Days by which that day is over; 0 where it is not; NULL where there is none"),
        Column("as_of", "DATE", "The day of the snapshot in the reporting zone"),
    ),
    f"""
    SELECT connection, source_id, name, pipeline, stage, owner, amount, currency, age_days,
           CASE WHEN age_days <= 30 THEN '0-30' WHEN age_days <= 60 THEN '31-60' WHEN age_days <= 90 THEN '61-90'
                WHEN age_days <= 180 THEN '91-180' WHEN age_days <= 365 THEN '181-365'
                WHEN age_days IS NOT NULL THEN '366+' END AS age,
           stage_since, as_of - (stage_since AT TIME ZONE {ZONE})::DATE AS days_in_stage, stage_entry_seen,
           expected_close_date, CASE WHEN as_of > expected_close_date THEN as_of - expected_close_date
               WHEN expected_close_date IS NOT NULL THEN 0 END AS overdue_days, as_of
    FROM (SELECT o.connection, o.source_id, o.name, o.pipeline, o.stage, o.owner, o.amount, o.currency,
                 as_of - (o.created_at AT TIME ZONE {ZONE})::DATE AS age_days, s.stage_since,
                 s.version > 1 OR coalesce(s.stage_since <= o.created_at, false) AS stage_entry_seen,
                 o.expected_close_date, as_of
          FROM open_deals o
          JOIN (SELECT h.connection, h.source_id, max(h.valid_from) AS stage_since, max(h.version) AS version
                FROM opportunity_history h WHERE {BREAK} GROUP BY h.connection, h.source_id) s
            ON s.connection = o.connection AND s.source_id = o.source_id
          CROSS JOIN (SELECT {TODAY} AS as_of))""",
)

_QUARTERS = f"{fiscal_months('shown')} // 3 - {fiscal_months('shown_before')} // 3"
_MOVED = _changed("expected_close_date", "status", "is_deleted", "is_archived")
SLIPPAGE = View(
    "slippage",
    "How often and how far the expected close date of each deal was moved while the deal was open",
    (
        Column("connection", "VARCHAR", "The connection's name in config.yaml"),
        Column("source_id", "VARCHAR", "The deal: each that is not deleted and showed a date while open"),
        Column("name", "VARCHAR", "The deal's name"),
        *_STAGE[1:3],
        Column("owner", "VARCHAR", "The owner's name"),
        Column("amount", "DECIMAL(18,4)", "The deal's amount, in its currency"),
        Column("currency", "VARCHAR", "Of the amount"),
        Column("status", "VARCHAR", "As it is now"),
        Column("first_expected", "DATE", "The first date it showed while open"),
        Column("last_expected", "DATE", "The last one; of an open deal its expected_close_date, if it has one"),
        Column("pushes", "BIGINT", "How often the date was moved to a later one"),
        Column("pulls", "BIGINT", "How often to an earlier one"),
        Column("days_pushed", "BIGINT", "All pushes together, in days"),
        Column("days_moved", "BIGINT", "From first_expected to last_expected, in days; negative: earlier"),
        Column("quarter_pushes", "BIGINT", "Pushes into a later quarter of the fiscal year"),
        Column("closed_on", "DATE", "The day it closed; NULL while open"),
        _STATE,
    ),
    f"""
    SELECT o.connection, o.source_id, o.name, o.pipeline, o.stage, o.owner, o.amount, o.currency, o.status,
           g.first_expected, g.last_expected, g.pushes, g.pulls, g.days_pushed,
           g.last_expected - g.first_expected AS days_moved, g.quarter_pushes, o.closed_on,
           c.state AS connection_state
    FROM (SELECT connection, source_id, min_by(shown, version) AS first_expected,
                 max_by(shown, version) AS last_expected,
                 count(*) FILTER (shown > shown_before) AS pushes, count(*) FILTER (shown < shown_before) AS pulls,
                 coalesce(sum(shown - shown_before) FILTER (shown > shown_before), 0)::BIGINT AS days_pushed,
                 count(*) FILTER (shown > shown_before AND {_QUARTERS} > 0) AS quarter_pushes
          FROM (SELECT h.connection, h.source_id, h.version, h.expected_close_date AS shown,
                       lag(h.expected_close_date) OVER (PARTITION BY h.connection, h.source_id ORDER BY h.version)
                           AS shown_before
                FROM opportunity_history h
                WHERE (h.version = 1 OR {_MOVED}) AND {standing("h")}
                  AND h.expected_close_date IS NOT NULL)
          GROUP BY connection, source_id) g
    JOIN opportunities o ON o.connection = g.connection AND o.source_id = g.source_id AND NOT o.is_deleted
    LEFT JOIN connections c ON c.connection = g.connection""",
)
