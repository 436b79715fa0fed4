"""The tables of the warehouse, and their comments; `layout` makes them.

What people query is in `main` and `raw`; how it is kept is in `store`. Current versions and superseded ones live in
two tables, so that history is append-only and a merge touches only what changed; `opportunities` and
`opportunity_history` are views over them. No table has a PRIMARY KEY: the index would make merges 3 to 10 times
slower (measured); the merge itself keeps keys unique, and a test holds it to that.
"""

from collections.abc import Sequence

import onepipe.warehouse.decisions as decisions
from onepipe.model import KEY, MAPPED, NESTED, OBSERVED, STAGE, VERSION, Column

PRODUCT = "onepipe"
SCHEMA_VERSION = 7

KEPT = (
    *KEY,
    *MAPPED,
    *OBSERVED,
    *(column for column in VERSION if column.name != "valid_to"),
    Column("weight", "BIGINT", "Equal for payloads that differ in the order of keys only"),
    Column("seq", "BIGINT", "The raw row that began this version"),
    Column("payload_seq", "BIGINT", "The raw row whose payload this version was read from"),
    *NESTED,
)

RAW = (
    Column("connection", "VARCHAR", "The connection's name in config.yaml"),
    Column("resource", "VARCHAR", "What was read: opportunity, a reference list, or a detail of one opportunity"),
    Column("record_id", "VARCHAR", "The CRM's id of the record (for a detail: of its opportunity)"),
    Column("kind", "VARCHAR", "record, or how we know that it is gone: tombstone, gone, absent"),
    Column("origin", "VARCHAR", "pull, or push for our own write read back"),
    Column("payload", "JSON", "The record exactly as the CRM sent it (XML as JSON)"),
    Column("payload_hash", "VARCHAR", "MD5 of the payload, without fields that drift by themselves"),
    Column("fetched_at", "TIMESTAMPTZ", "When we fetched it, UTC"),
    Column("run_id", "VARCHAR", "Which run fetched it"),
    Column("seq", "BIGINT", "Order of arrival in this warehouse"),
    Column("owed", "BOOLEAN", "True for a detail that completed a version rather than changing it"),
)

TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {
    "about": (
        "One row: what this file is",
        (
            Column("published_at", "TIMESTAMPTZ", "When this snapshot was put in place, UTC"),
            Column("run_id", "VARCHAR", "The newest run it holds"),
            Column("generation", "BIGINT", "Counts commits; a newer snapshot has a higher one"),
            Column("onepipe_version", "VARCHAR", "Which onepipe wrote it"),
            Column("schema_version", "BIGINT", "Which layout of tables it has"),
            Column("product", "VARCHAR", "onepipe: the mark of a file that may be replaced by us"),
            Column("warehouse_id", "VARCHAR", "Which warehouse this is a snapshot of"),
            Column("left_out", "VARCHAR", "What `publish:` in config.yaml keeps out of this file; NULL: it is whole"),
        ),
    ),
    "stages": ("Every stage ever seen in the CRMs' reference data; never removed", STAGE),
    "connections": (
        "One row per CRM account",
        (
            Column("connection", "VARCHAR", "The connection's name in config.yaml"),
            Column("connector", "VARCHAR", "Which CRM"),
            Column("labels", "JSON", "The labels given in config.yaml"),
            Column("currency", "VARCHAR", "The currency config.yaml gives for records that carry none"),
            Column("state", "VARCHAR", "active, disabled, or retired when taken out of config.yaml"),
            Column("first_run_at", "TIMESTAMPTZ", "When it was first pulled, UTC"),
            Column("last_success_at", "TIMESTAMPTZ", "When a run last ended complete, UTC"),
            Column("base_url", "VARCHAR", "The account this name is bound to"),
        ),
    ),
    "problems": (
        "Every present value that could not be read, once per stored version; the record itself was loaded",
        (
            Column("connection", "VARCHAR", "The connection's name in config.yaml"),
            Column("source_id", "VARCHAR", "The opportunity; NULL where the record had no usable id"),
            Column("field", "VARCHAR", "The canonical column that stayed NULL"),
            Column("value", "VARCHAR", "The value as sent, at most 500 characters"),
            Column("reason", "VARCHAR", "Why it could not be read"),
            Column("run_id", "VARCHAR", "Which run met it"),
            Column("payload_hash", "VARCHAR", "Which raw version holds it"),
        ),
    ),
    "sync_runs": (
        "One row per run, connection and resource",
        (
            Column("run_id", "VARCHAR", "The run"),
            Column("command", "VARCHAR", "sync, backfill, daemon, ..."),
            Column("connection", "VARCHAR", "The connection's name in config.yaml"),
            Column("resource", "VARCHAR", "opportunity, a reference list, or a detail"),
            Column("status", "VARCHAR", "complete, partial (what is missing is named), failed or skipped"),
            Column("started_at", "TIMESTAMPTZ", "UTC"),
            Column("finished_at", "TIMESTAMPTZ", "UTC"),
            Column("fetched", "BIGINT", "Records received"),
            Column("new", "BIGINT", "Records never seen before"),
            Column("changed", "BIGINT", "Records whose content differs from the stored version"),
            Column("unchanged", "BIGINT", "Records received as they were"),
            Column("deleted", "BIGINT", "Records found deleted"),
            Column("problems", "BIGINT", "Values that could not be read"),
            Column("requests", "BIGINT", "Requests sent"),
            Column("error_kind", "VARCHAR", "auth, rate_limited, unavailable, bad_payload, paging, suspect, ..."),
            Column("error_message", "VARCHAR", "What failed, in a sentence"),
        ),
    ),
    "coverage": (
        "How complete each connection is, one row per resource",
        (
            Column("connection", "VARCHAR", "The connection's name in config.yaml"),
            Column("resource", "VARCHAR", "opportunity, a reference list, or a detail of one opportunity"),
            Column("complete_through", "TIMESTAMPTZ", "Every change up to here, by the CRM's clock, is loaded"),
            Column("history_from", "TIMESTAMPTZ", "Since when we observe; older history is the CRM's alone"),
            Column("last_sweep_at", "TIMESTAMPTZ", "When everything was last read to find deletions"),
            Column("details_through", "TIMESTAMPTZ", "Details of versions recorded up to here are loaded"),
            Column("source_count", "BIGINT", "How many opportunities the CRM said it has, where it tells"),
            Column("live_count", "BIGINT", "How many we hold that are not deleted"),
            Column("open_slices", "BIGINT", "Scans begun and not finished"),
            Column("oldest_failure_at", "TIMESTAMPTZ", "Since when runs have failed; NULL when the last one did not"),
            Column("details_owed", "BIGINT", "How many records still wait for this sub-request"),
            Column("late_rows", "BIGINT", "How many rows ever came to be seen after their own time had been covered"),
            Column("problems", "BIGINT", "Values of live rows that could not be read"),
            Column("suspect_since", "TIMESTAMPTZ", "Since when a sweep's finding waits for a decision; else NULL"),
            Column("suspect_rows", "BIGINT", "How many rows that sweep did not find"),
            Column("suspect_reason", "VARCHAR", "Why its finding was not believed"),
            Column("undated_rows", "BIGINT", "Live rows without a time of change; only complete reads see them change"),
        ),
    ),
    "late_rows": (
        "Rows that were not seen when their own time of change was read: what an overlap has to be long enough for",
        (
            Column("connection", "VARCHAR", "The connection's name in config.yaml"),
            Column("source_id", "VARCHAR", "The opportunity"),
            Column("kind", "VARCHAR", "late, silent (its time did not move), future (after the CRM's clock), undated"),
            Column("updated_at", "TIMESTAMPTZ", "The time of change that the CRM states"),
            Column("cursor_at", "TIMESTAMPTZ", "Up to where everything was taken for read when it came"),
            Column("seen_at", "TIMESTAMPTZ", "When it came"),
            Column("late_by", "BIGINT", "Seconds from updated_at to cursor_at; negative for the future"),
            Column("found_by", "VARCHAR", "What found it: change, full (a sweep) or backfill"),
            Column("run_id", "VARCHAR", "Which run"),
        ),
    ),
    "pushes": (
        "What was sent to the CRMs, or was to be: one row per push of one record, as it stands",
        (
            Column("push_id", "VARCHAR", "The push; `onepipe push show` tells its life"),
            Column("run_id", "VARCHAR", "The run that worked on it last"),
            Column("connection", "VARCHAR", "The connection's name in config.yaml"),
            Column("source_id", "VARCHAR", "The opportunity; NULL for one that was not created"),
            Column("op", "VARCHAR", "update, create, delete, or call"),
            Column("state", "VARCHAR", "What became of it; docs/writeback.md lists the states"),
            Column("fields", "JSON", "Each field: its state, and base, ours, theirs and now as people write them"),
            Column("request", "JSON", "What was sent, without a secret; several as a list; NULL: nothing was sent"),
            Column("reason", "VARCHAR", "Why it was wanted, in the words of who wanted it"),
            Column("requested_by", "VARCHAR", "Who wanted it"),
            Column("created_at", "TIMESTAMPTZ", "When it was first tried, UTC"),
            Column("finished_at", "TIMESTAMPTZ", "When it was over, UTC; NULL while it is not"),
            Column("message", "VARCHAR", "What happened, in a sentence"),
        ),
    ),
    "conflicts": (
        "What both sides changed, or what may have happened: decided by a person, or open",
        (
            Column("conflict_id", "VARCHAR", "The conflict; what `onepipe conflicts resolve` takes"),
            Column("connection", "VARCHAR", "The connection's name in config.yaml"),
            Column("source_id", "VARCHAR", "The opportunity; NULL for one to be created"),
            Column("field", "VARCHAR", "The field; empty for a deletion, a lost create or a lost call"),
            Column("base", "VARCHAR", "The value that the edit rests on, as people write it"),
            Column("ours", "VARCHAR", "The value of the edit"),
            Column("theirs", "VARCHAR", "The value that the CRM was found to hold"),
            Column("state", "VARCHAR", "open, resolved (by a person) or closed (no longer a conflict)"),
            Column("reason", "VARCHAR", "Why it is a conflict"),
            Column("opened_at", "TIMESTAMPTZ", "When it was first met, UTC"),
            Column("resolved_at", "TIMESTAMPTZ", "When it was resolved or closed, UTC"),
            Column("resolution", "VARCHAR", "ours, theirs or the value decided for; of a closed one, why it is over"),
            Column("kind", "VARCHAR", "field, delete, or lost: a create or a call that may have happened"),
            Column("push_id", "VARCHAR", "The push that met it, where it had begun"),
            Column("actor", "VARCHAR", "Who decided"),
            Column("why", "VARCHAR", "Why it was decided so"),
        ),
    ),
    "erasures": (
        "Whom was erased, without a word of who it was: what is blank, and stays so",
        (
            Column("erasure_id", "VARCHAR", "The erasure; of an address one, and one of each deal found by it"),
            Column("connection", "VARCHAR", "The connection's name in config.yaml; NULL: all of them"),
            Column("source_id", "VARCHAR", "The deal whose person was erased; NULL for an address"),
            Column("fingerprint", "VARCHAR", "Of an address: a keyed hash, from which nobody can tell it; else NULL"),
            Column("found_by", "VARCHAR", "Of a deal found by an address: the erasure_id of that"),
            Column("erased_at", "TIMESTAMPTZ", "When, UTC"),
            Column("actor", "VARCHAR", "Who did it"),
            Column("reason", "VARCHAR", "Why, in the words of who did it; empty where none were given"),
            Column("fields", "VARCHAR[]", "The columns and lists that are blank since, and stay blank"),
        ),
    ),
}

FRESHNESS = {
    **{column.name: column.meaning for column in (*TABLES["coverage"][1], *TABLES["connections"][1])},
    "behind": "How long ago that was",
    "half_within": "Seconds within which half of the late rows were visible",
    "nearly_all_within": "Seconds within which 99 of 100 late rows were visible",
    "all_within": "Seconds after which the last one was visible",
    "last_seen_at": "When the newest late row came",
    "proposed_overlap": "One and a half times that, for `overlap:` in config.yaml",
    "failing_since": "Since when runs have failed; NULL when the last one did not",
}

# What the engine keeps for itself.
STORE = """
CREATE TABLE IF NOT EXISTS store.meta (warehouse_id VARCHAR, schema_version BIGINT, generation BIGINT, run_id VARCHAR,
    changed_at TIMESTAMPTZ, onepipe_version VARCHAR);
CREATE TABLE IF NOT EXISTS store.raw (connection VARCHAR, resource VARCHAR, record_id VARCHAR, kind VARCHAR, origin
    VARCHAR, payload VARCHAR USING COMPRESSION zstd, payload_hash VARCHAR, fetched_at TIMESTAMPTZ, run_id VARCHAR, seq
    BIGINT, owed BOOLEAN);
CREATE TABLE IF NOT EXISTS store.slices (connection VARCHAR, slice VARCHAR, kind VARCHAR, lo TIMESTAMPTZ, hi
    TIMESTAMPTZ, until TIMESTAMPTZ, resume VARCHAR, merged_to BIGINT, fetched BIGINT, started_at TIMESTAMPTZ, resumed
    BOOLEAN);
CREATE TABLE IF NOT EXISTS store.seen (connection VARCHAR, slice VARCHAR, source_id VARCHAR);
CREATE TABLE IF NOT EXISTS store.unlisted (connection VARCHAR, source_id VARCHAR, asked_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS store.debts (connection VARCHAR, detail VARCHAR, source_id VARCHAR, since TIMESTAMPTZ,
    completes BOOLEAN);
CREATE TABLE IF NOT EXISTS store.details (connection VARCHAR, detail VARCHAR, source_id VARCHAR, payload VARCHAR USING
    COMPRESSION zstd, payload_hash VARCHAR);
CREATE TABLE IF NOT EXISTS store.reference (connection VARCHAR, resource VARCHAR, record_id VARCHAR, payload_hash
    VARCHAR, place BIGINT);
CREATE TABLE IF NOT EXISTS store.stage_versions (connection VARCHAR, stage_id VARCHAR, stage VARCHAR, pipeline_id
    VARCHAR, pipeline VARCHAR, position BIGINT, probability DECIMAL(5,4), status VARCHAR, seq BIGINT, valid_from
    TIMESTAMPTZ, rules VARCHAR);
CREATE TABLE IF NOT EXISTS store.mappings (connection VARCHAR, version VARCHAR, text VARCHAR, applied_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS store.distrust (connection VARCHAR, fact VARCHAR, since TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS store.fences (lease VARCHAR, number BIGINT);
CREATE TABLE IF NOT EXISTS store.suspects (connection VARCHAR, source_id VARCHAR, evidence VARCHAR, found_at
    TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS store.acknowledged (connection VARCHAR, source_id VARCHAR, since TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS store.pieces (connection VARCHAR, place BIGINT, lo TIMESTAMPTZ, until TIMESTAMPTZ, rows
    BIGINT, began_at TIMESTAMPTZ, done_at TIMESTAMPTZ, hi TIMESTAMPTZ);
ALTER TABLE store.details ADD COLUMN IF NOT EXISTS read_at TIMESTAMPTZ;
CREATE TABLE IF NOT EXISTS store.landed (control VARCHAR, journal_id BIGINT, change BIGINT);
CREATE TABLE IF NOT EXISTS store.pushed (connection VARCHAR, seq BIGINT, push_id VARCHAR, named VARCHAR[], reason
    VARCHAR, actor VARCHAR);
CREATE TABLE IF NOT EXISTS store.read_back (connection VARCHAR, source_id VARCHAR, read_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS store.laid_out (views VARCHAR);
CREATE TABLE IF NOT EXISTS store.reporting (timezone VARCHAR, fiscal_year_start BIGINT);
CREATE TABLE IF NOT EXISTS store.decided (mark VARCHAR);
CREATE TABLE IF NOT EXISTS store.erased (mark VARCHAR);
CREATE TABLE IF NOT EXISTS store.stage_decisions (connection VARCHAR, pipeline VARCHAR, stage VARCHAR, stage_group
    VARCHAR, status VARCHAR, weight DECIMAL(5,4));
CREATE TABLE IF NOT EXISTS store.stage_statuses (connection VARCHAR, pipeline VARCHAR, stage VARCHAR, status VARCHAR);
CREATE TABLE IF NOT EXISTS store.people (connection VARCHAR, owner_id VARCHAR, person VARCHAR, team VARCHAR);
CREATE TABLE IF NOT EXISTS store.day_rates (day DATE, currency VARCHAR, rate DECIMAL(18,9));
ALTER TABLE store.reporting ADD COLUMN IF NOT EXISTS currency VARCHAR;
ALTER TABLE store.reporting ADD COLUMN IF NOT EXISTS rates VARCHAR;
INSERT INTO store.reporting (timezone, fiscal_year_start) SELECT 'UTC', 1 WHERE NOT EXISTS (FROM store.reporting);
"""

_OWN = "/* own */"  # where the columns of mappings' own stand: at the end, also when they come later than all others
_DECIDED = (
    f"SELECT o.*, {decisions.GROUP} AS stage_group, {decisions.WEIGHT} AS stage_weight, "
    f"{decisions.PERSON} AS person, {decisions.TEAM} AS team{_OWN} "
    f"FROM opportunities o {decisions.staged('o')} {decisions.owned('o')}"
)
VIEWS = {
    "deals": ("Opportunities that are not deleted", f"{_DECIDED} WHERE NOT o.is_deleted"),
    "open_deals": (
        "Opportunities that are open: not deleted, not archived, and of a connection that is still in use",
        f"{_DECIDED} WHERE o.status = 'open' AND NOT o.is_deleted AND NOT o.is_archived AND o.connection NOT IN "
        "(SELECT connection FROM connections WHERE state = 'retired')",
    ),
    "freshness": (
        "How far each connection and resource can be trusted, and since when not",
        "SELECT c.connection, c.connector, c.state, v.complete_through, now() - v.complete_through AS behind, "
        "c.last_success_at, v.last_sweep_at, v.details_through, v.live_count, v.source_count, v.open_slices, "
        "v.oldest_failure_at AS failing_since, v.resource, v.details_owed, v.late_rows, v.problems, v.undated_rows, "
        "v.suspect_since, v.suspect_rows FROM connections c LEFT JOIN coverage v USING (connection)",
    ),
    "lateness": (
        "How long after their own time rows came to be seen, and the overlap that would have been long enough",
        "SELECT connection, count(*) AS late_rows, quantile_disc(late_by, 0.5) AS half_within, "
        "quantile_disc(late_by, 0.99) AS nearly_all_within, max(late_by) AS all_within, max(seen_at) AS last_seen_at, "
        "to_minutes(1 + max(late_by) * 3 // 120) AS proposed_overlap FROM late_rows WHERE kind = 'late' GROUP BY 1",
    ),
}


def query_of(name: str, own: Sequence[Column]) -> str:
    """The query of one of VIEWS; `own` are the columns that mappings have added to the tables."""
    query, names = VIEWS[name][1], ", ".join(quoted(column.name) for column in own)
    if not own or _OWN not in query:
        return query.replace(_OWN, "")
    mine = "".join(f", o.{quoted(column.name)}" for column in own)
    return query.replace("o.*", f"o.* EXCLUDE ({names})").replace(_OWN, mine)


def quoted(name: str) -> str:
    """A name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a SQL literal, for the few statements that take no bound values."""
    return "'" + text.replace("'", "''") + "'"
