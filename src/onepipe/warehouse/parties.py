"""Whom and what deals belong to: owners, companies and pipelines as they are, and what they and stages were called.

The CRMs tell of owners and companies with each deal, by id and name. The newest name of an id is that of the payload
fetched last. A name of the past held from when a deal's version showed it; where the versions of one time disagree, as
they do while not every deal was read again, the one fetched last is believed.
"""

import onepipe.warehouse.decisions as decisions
from onepipe.model import STAGE, Column
from onepipe.warehouse.reporting import RETIRED, View, standing

_CONNECTION = Column("connection", "VARCHAR", "The connection's name in config.yaml")
_SEEN = (
    Column("first_seen_at", "TIMESTAMPTZ", "When we first fetched a deal of theirs, by our clock"),
    Column("last_seen_at", "TIMESTAMPTZ", "When we last fetched a new version of a deal of theirs"),
)
_COUNTS = (
    Column("deals", "BIGINT", "Deals of theirs by now that are not deleted"),
    Column("open_deals", "BIGINT", "Of them: in the pipeline, as in the view open_deals"),
)


def _versions(*names: str) -> str:
    """SQL: columns of every version; store has what the published history leaves out."""
    columns = ", ".join(names)
    return f"(SELECT {columns} FROM store.closed UNION ALL SELECT {columns} FROM store.current)"


def _parties(key: str, label: str) -> str:
    """SQL: every id that any version named, with its newest name; a name without an id stands for itself."""
    own = f"CASE WHEN {key} IS NULL THEN {label} END"
    return f"""
    SELECT p.connection, p.{key}, p.{label}, p.first_seen_at, p.last_seen_at, coalesce(n.deals, 0) AS deals,
           coalesce(n.open_deals, 0) AS open_deals
    FROM (SELECT connection, {key}, max_by({label}, read_at) AS {label}, min(first_seen_at) AS first_seen_at,
                 max(last_seen_at) AS last_seen_at
          FROM (SELECT connection, {key}, {label}, min(recorded_at) AS first_seen_at, max(recorded_at) AS last_seen_at,
                       max(payload_seq) AS read_at
                FROM {_versions("connection", key, label, "recorded_at", "payload_seq")}
                WHERE {key} IS NOT NULL OR {label} IS NOT NULL GROUP BY connection, {key}, {label})
          GROUP BY connection, {key}, {own}) p
    LEFT JOIN (SELECT connection, {key}, {own} AS named, count(*) AS deals, {_open("o")} AS open_deals
               FROM store.current o WHERE NOT is_deleted GROUP BY connection, {key}, named) n
           ON n.connection = p.connection AND n.{key} IS NOT DISTINCT FROM p.{key}
              AND n.named IS NOT DISTINCT FROM CASE WHEN p.{key} IS NULL THEN p.{label} END"""


def _open(row: str) -> str:
    return f"count(*) FILTER ({standing(row)} AND {row}.connection NOT IN {RETIRED})"


def _names(key: str, label: str) -> str:
    """SQL: since when and until when each id had which name.

    Most ids ever had one name: of the others alone the versions are gone through, in the order of their time, and one
    that was fetched before its predecessor is passed over.
    """
    versions = _versions("connection", key, label, "valid_from", "payload_seq")
    return f"""
    WITH names AS (
        SELECT connection, {key} AS id, {label} AS name, min(valid_from) AS since FROM {versions}
        WHERE {key} IS NOT NULL AND {label} IS NOT NULL GROUP BY connection, {key}, {label}),
    ids AS (SELECT connection, id, any_value(name) AS name, min(since) AS since, count(*) AS names FROM names
            GROUP BY connection, id),
    shown AS (
        SELECT v.connection, v.{key} AS id, v.{label} AS name, v.valid_from, v.payload_seq
        FROM {versions} v SEMI JOIN (FROM ids WHERE names > 1) i ON i.connection = v.connection AND i.id = v.{key}
        WHERE v.{label} IS NOT NULL),
    believed AS (
        SELECT * FROM shown QUALIFY payload_seq >= max(payload_seq) OVER (PARTITION BY connection, id
            ORDER BY valid_from RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)),
    turns AS (
        SELECT * FROM believed QUALIFY name IS DISTINCT FROM lag(name) OVER (PARTITION BY connection, id
            ORDER BY valid_from, payload_seq))
    SELECT connection, id, name AS label, since AS valid_from, NULL::TIMESTAMPTZ AS valid_to FROM ids WHERE names = 1
    UNION ALL
    SELECT connection, id, name, valid_from, lead(valid_from) OVER (PARTITION BY connection, id
        ORDER BY valid_from, payload_seq) FROM turns"""


def _history(what: str) -> tuple[Column, ...]:
    return (
        _CONNECTION,
        Column("id", "VARCHAR", f"The CRM's own id of the {what}"),
        Column("label", "VARCHAR", "The name it had"),
        Column("valid_from", "TIMESTAMPTZ", "From when a deal showed that name"),
        Column("valid_to", "TIMESTAMPTZ", "Until when (exclusive); NULL: it is the newest name"),
    )


OWNERS = View(
    "owners",
    "Everybody who ever owned a deal, by the newest name",
    (
        _CONNECTION,
        Column("owner_id", "VARCHAR", "The CRM's own id of the owner; NULL where it gives a name alone"),
        Column("owner", "VARCHAR", "The owner's newest name; NULL where the CRM gives an id alone"),
        *decisions.COLUMNS[2:],
        *_SEEN,
        *_COUNTS,
    ),
    f"SELECT o.connection, o.owner_id, o.owner, {decisions.PERSON} AS person, {decisions.TEAM} AS team, "
    f"o.* EXCLUDE (connection, owner_id, owner) FROM ({_parties('owner_id', 'owner')}) o {decisions.owned('o')}",
)
OWNER_HISTORY = View(
    "owner_history",
    "What each owner was called, and when",
    _history("owner"),
    _names("owner_id", "owner"),
)
COMPANIES = View(
    "companies",
    "Every company that ever had a deal, by the newest name",
    (
        _CONNECTION,
        Column("company_id", "VARCHAR", "The CRM's own id of the company; NULL where it gives a name alone"),
        Column("company", "VARCHAR", "The company's newest name; NULL where the CRM gives an id alone"),
        *_SEEN,
        *_COUNTS,
    ),
    _parties("company_id", "company"),
)
COMPANY_HISTORY = View(
    "company_history",
    "What each company was called, and when",
    _history("company"),
    _names("company_id", "company"),
)

PIPELINES = View(
    "pipelines",
    "Every pipeline ever seen, in a list of stages or in a deal, by its newest name",
    (
        _CONNECTION,
        Column("pipeline_id", "VARCHAR", "The CRM's own id of the pipeline; NULL where it gives a name alone"),
        Column("pipeline", "VARCHAR", "The pipeline's name: as the newest list has it, else as the newest deal has it"),
        Column("stages", "BIGINT", "How many stages of it are known, those that left the list too"),
        Column("deals", "BIGINT", "Deals in it by now that are not deleted"),
        Column("open_deals", "BIGINT", "Of them: in the pipeline, as in the view open_deals"),
    ),
    f"""
    SELECT connection, pipeline_id, coalesce(max_by(pipeline, stage_seq), max_by(pipeline, deal_seq)) AS pipeline,
           sum(stages)::BIGINT AS stages, sum(deals)::BIGINT AS deals, sum(open_deals)::BIGINT AS open_deals
    FROM (SELECT s.connection, s.pipeline_id, s.pipeline, count(*) AS stages, 0 AS deals, 0 AS open_deals,
                 coalesce(max(v.seq), 0) AS stage_seq, NULL::BIGINT AS deal_seq
          FROM stages s LEFT JOIN (SELECT connection, pipeline_id, pipeline, max(seq) AS seq FROM store.stage_versions
                                   GROUP BY ALL) v
                 ON v.connection = s.connection AND v.pipeline_id IS NOT DISTINCT FROM s.pipeline_id
                    AND v.pipeline IS NOT DISTINCT FROM s.pipeline
          GROUP BY s.connection, s.pipeline_id, s.pipeline
          UNION ALL
          SELECT connection, pipeline_id, pipeline, 0, count(*) FILTER (now AND NOT is_deleted),
                 count(*) FILTER (now AND {standing("o")} AND connection NOT IN {RETIRED}), NULL, max(payload_seq)
          FROM (SELECT connection, pipeline_id, pipeline, true AS now, status, is_deleted, is_archived, payload_seq
                FROM store.current
                UNION ALL SELECT connection, pipeline_id, pipeline, false, status, is_deleted, is_archived, payload_seq
                FROM store.closed) o
          GROUP BY connection, pipeline_id, pipeline)
    WHERE pipeline_id IS NOT NULL OR pipeline IS NOT NULL
    GROUP BY connection, pipeline_id, CASE WHEN pipeline_id IS NULL THEN pipeline END""",
)

_STAGE = {column.name: column for column in STAGE}
_WAS = "(stage, pipeline, probability, status)"
STAGE_HISTORY = View(
    "stage_history",
    "What each stage was: a line whenever its label, its pipeline's, its probability or its status changes",
    (
        *(
            _STAGE[name]
            for name in ("connection", "stage_id", "stage", "pipeline_id", "pipeline", "probability", "status")
        ),
        Column("valid_from", "TIMESTAMPTZ", "When we fetched the list, or the deal, that said so first"),
        Column("valid_to", "TIMESTAMPTZ", "When we fetched another word of it; NULL: that is what it is"),
    ),
    # A clock of ours that stood still or was set back must not make lines overlap: each begins after the one before.
    f"""
    SELECT connection, stage_id, stage, pipeline_id, pipeline, probability, status, valid_from,
           lead(valid_from) OVER (PARTITION BY connection, stage_id, pipeline_id ORDER BY n) AS valid_to
    FROM (SELECT *, make_timestamptz(n + max(epoch_us(fetched_at) - n) OVER (PARTITION BY connection, stage_id,
                 pipeline_id ORDER BY n ROWS UNBOUNDED PRECEDING)) AS valid_from
          FROM (SELECT * RENAME (valid_from AS fetched_at), row_number() OVER (PARTITION BY connection, stage_id,
                       pipeline_id ORDER BY seq) AS n
                FROM (SELECT *, lag({_WAS}) OVER (PARTITION BY connection, stage_id, pipeline_id ORDER BY seq) AS was
                      FROM store.stage_versions)
                WHERE was IS NULL OR {_WAS} IS DISTINCT FROM was))""",
)

PARTIES = (STAGE_HISTORY, PIPELINES, OWNERS, OWNER_HISTORY, COMPANIES, COMPANY_HISTORY)
