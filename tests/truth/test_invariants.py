"""What holds in the published file whatever happened at the sources: keys, intervals, counts, types, comments."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from onepipe.warehouse.database import Database
from onepipe.warehouse.work import published
from tests.truth.desk import CRMS, Picture, Row, table, take
from tests.truth.ledger import VERSION
from tests.truth.story import Act, Story

ACTS = ("first", "again", "edited", "swept", "returned")

TEXT = ("connection", "connector", "source_id", "name", "description")
OPPORTUNITIES = (
    *((name, "VARCHAR") for name in TEXT),
    *(("amount", "DECIMAL(18,4)"), ("currency", "VARCHAR"), ("unit_amount", "DECIMAL(18,4)"), ("period", "VARCHAR")),
    *(("periods", "DECIMAL(18,4)"), ("pipeline_id", "VARCHAR"), ("pipeline", "VARCHAR"), ("stage_id", "VARCHAR")),
    *(("stage", "VARCHAR"), ("status", "VARCHAR"), ("probability", "DECIMAL(5,4)"), ("expected_close_date", "DATE")),
    *(("closed_at", "TIMESTAMPTZ"), ("owner_id", "VARCHAR"), ("owner", "VARCHAR"), ("company_id", "VARCHAR")),
    *(("company", "VARCHAR"), ("contact_id", "VARCHAR"), ("contact", "VARCHAR"), ("contact_email", "VARCHAR")),
    *(("contact_phone", "VARCHAR"), ("lead_source", "VARCHAR"), ("type", "VARCHAR"), ("lost_reason", "VARCHAR")),
    *(("url", "VARCHAR"), ("tags", "VARCHAR[]"), ("created_at", "TIMESTAMPTZ"), ("updated_at", "TIMESTAMPTZ")),
    *(("custom", "JSON"), ("extra", "JSON"), ("is_archived", "BOOLEAN"), ("is_deleted", "BOOLEAN")),
    *(("deleted_at", "TIMESTAMPTZ"), ("deleted_evidence", "VARCHAR"), ("closed_on", "DATE")),
    *(("closed_on_evidence", "VARCHAR"), ("first_seen_at", "TIMESTAMPTZ"), ("last_changed_at", "TIMESTAMPTZ")),
    *(("mapping_version", "VARCHAR"), ("payload_hash", "VARCHAR")),
)
HISTORY = (
    *(("valid_from", "TIMESTAMPTZ"), ("valid_to", "TIMESTAMPTZ"), ("recorded_at", "TIMESTAMPTZ")),
    *(("version", "BIGINT"), ("changed_fields", "VARCHAR[]"), ("change_origin", "VARCHAR")),
)
COUNTS = ("fetched", "new", "changed", "unchanged", "deleted", "problems", "requests")
NAMED = {
    "raw.records": "connection resource record_id kind origin payload payload_hash fetched_at run_id seq",
    "stages": "connection stage_id stage pipeline_id pipeline position probability status",
    "connections": "connection connector labels currency state first_run_at last_success_at",
    "about": "published_at run_id generation onepipe_version schema_version",
    "problems": "connection source_id field value reason run_id payload_hash",
    "sync_runs": "run_id command connection resource status started_at finished_at "
    + f"{' '.join(COUNTS)} error_kind error_message",
    "coverage": "connection resource complete_through history_from last_sweep_at details_through source_count "
    "live_count open_slices oldest_failure_at",
    "pushes": "push_id run_id connection source_id op state fields request reason requested_by created_at finished_at "
    "message",
    "conflicts": "conflict_id connection source_id field base ours theirs state reason opened_at resolved_at "
    "resolution",
    "field_changes": "connection source_id field old new changed_at origin run_id reason actor",
}


@pytest.fixture(scope="module")
def db(story: Story) -> Iterator[Database]:
    """The published file after the last act."""
    with published(story.desk.folder / "w.duckdb") as opened:
        yield opened


@pytest.fixture
def last(story: Story) -> Picture:
    """The warehouse after the last act."""
    return story.returned.new


def test_columns_and_types_are_those_promised(db: Database) -> None:
    """`opportunities` and its history have the promised columns, in order, with the promised types."""
    assert list(OPPORTUNITIES) == described(db, "opportunities")[: len(OPPORTUNITIES)]
    own = described(db, "opportunity_history")
    assert [*OPPORTUNITIES, *HISTORY] == [one for one in own if one[0] in {*dict(OPPORTUNITIES), *dict(HISTORY)}]


@pytest.mark.parametrize("name", NAMED)
def test_other_tables_begin_with_what_was_promised(db: Database, name: str) -> None:
    """The other tables begin with the promised columns, in order; what is new stands at the end."""
    columns = [column for column, _ in described(db, name)]
    assert NAMED[name].split() == columns[: len(NAMED[name].split())]


def test_no_column_is_a_double(db: Database) -> None:
    """Money never becomes a DOUBLE, nor does anything else that people see; instants know their zone."""
    kinds = db.run(
        "SELECT DISTINCT data_type FROM duckdb_columns() WHERE schema_name IN ('main', 'raw') AND NOT internal"
    )
    assert set() == {kind for (kind,) in kinds} & {"DOUBLE", "FLOAT", "TIMESTAMP"}


def test_tables_views_and_columns_carry_comments(db: Database) -> None:
    """Everything that people can query says what it is."""
    shown = "schema_name IN ('main', 'raw', 'user') AND NOT internal AND coalesce(comment, '') = ''"
    assert [] == db.run(f"SELECT table_name FROM duckdb_tables() WHERE {shown}")
    assert [] == db.run(f"SELECT view_name FROM duckdb_views() WHERE {shown}")
    assert [] == db.run(f"SELECT table_name, column_name FROM duckdb_columns() WHERE {shown}")


def test_one_current_row_for_each_record(db: Database, last: Picture) -> None:
    """`opportunities` has one row for each key, and it is the latest version of its history."""
    keys = "connection, source_id"
    assert [] == db.run(f"SELECT {keys} FROM opportunities GROUP BY {keys} HAVING count(*) > 1")
    assert [] == db.run(
        f"SELECT {keys} FROM opportunity_history WHERE valid_to IS NULL GROUP BY {keys} HAVING count(*) <> 1"
    )
    assert last.opportunities.keys() == last.history.keys()
    for key, row in last.opportunities.items():
        newest = max(last.history[key], key=lambda version: version["version"])
        assert row == {name: value for name, value in newest.items() if name not in VERSION}


def test_intervals_neither_overlap_nor_leave_a_gap(last: Picture) -> None:
    """Each version ends where the next begins, and begins after the one before; only the last one is open."""
    for versions in last.history.values():
        assert list(range(1, len(versions) + 1)) == [version["version"] for version in versions]
        for one, other in pairwise(versions):
            assert one["valid_to"] == other["valid_from"] > one["valid_from"]
            assert one["recorded_at"] <= other["recorded_at"]
        assert versions[-1]["valid_to"] is None


def test_no_version_is_from_the_future(last: Picture) -> None:
    """A version holds from no later than when it was fetched."""
    for versions in last.history.values():
        assert [] == [version for version in versions if version["valid_from"] > version["recorded_at"]]


def test_the_same_observation_is_stored_once(last: Picture) -> None:
    """raw.records never holds the same observation of a record twice in a row, and counts upwards."""
    newest: dict[tuple[str, str, str], tuple[str, str]] = {}
    for row in last.raw:
        key, told = (row["connection"], row["resource"], row["record_id"]), (row["kind"], row["payload_hash"])
        assert newest.get(key) != told, row
        newest[key] = told
    assert sorted({row["seq"] for row in last.raw}) == [row["seq"] for row in last.raw]
    assert {"record", "tombstone", "gone", "absent"} == {row["kind"] for row in last.raw}
    assert {"pull"} == {row["origin"] for row in last.raw}


def test_every_version_stands_on_raw(last: Picture) -> None:
    """Every payload_hash of a row or version is that of a stored raw record of that very opportunity."""
    stored = {
        (row["connection"], row["record_id"], row["payload_hash"])
        for row in last.raw
        if (row["resource"], row["kind"]) == ("opportunity", "record")
    }
    told = {(*key, version["payload_hash"]) for key, versions in last.history.items() for version in versions}
    assert set() == told - stored
    assert {(row["connection"], row["source_id"], row["payload_hash"]) for row in last.problems} <= told


def test_payloads_are_the_crms_own(db: Database) -> None:
    """A raw record's payload is JSON with the record's own id; a deletion has none."""
    wrong = (
        "SELECT connection, kind FROM raw.records WHERE resource = 'opportunity' AND "
        "CASE WHEN kind = 'record' THEN (payload ->> 'id') IS DISTINCT FROM record_id ELSE payload IS NOT NULL END"
    )
    assert [] == db.run(wrong)


@pytest.mark.parametrize("name", ACTS)
def test_counts_are_those_of_the_tables(story: Story, name: str) -> None:
    """The report's new, changed, deleted and problems are the rows that the run added."""
    one = story.acts[name]
    for line in lines(one):
        raw = [row for row in one.new.raw_of(one.report.run_id) if row["connection"] == line["connection"]]
        raw = [row for row in raw if row["resource"] == line["resource"]]
        seen = {
            row["record_id"] for row in one.old.raw if all(row[key] == line[key] for key in ("connection", "resource"))
        }
        records = [row for row in raw if row["kind"] == "record"]
        assert len([row for row in records if row["record_id"] not in seen]) == line["new"], line
        assert len([row for row in records if row["record_id"] in seen]) == line["changed"], line
        assert len(raw) - len(records) == line["deleted"], line
        assert line["fetched"] == line["new"] + line["changed"] + line["unchanged"], line
    problems = Counter(row["connection"] for row in one.new.problems if row["run_id"] == one.report.run_id)
    told = Counter[str]()
    for line in lines(one):
        told[line["connection"]] += line["problems"]
    assert +problems == +told


@pytest.mark.parametrize("name", ACTS)
def test_requests_are_those_the_crm_got(story: Story, name: str) -> None:
    """The requests of a connection's resources add up to what its CRM was asked."""
    told = Counter[str]()
    for line in lines(story.acts[name]):
        told[line["connection"]] += line["requests"]
    assert story.acts[name].asked == dict(told)


def test_run_history_is_what_the_reports_said(story: Story, db: Database) -> None:
    """`sync_runs` holds each line of each run's report, and nothing else."""
    said = [{"run_id": one.report.run_id, **line} for one in story.acts.values() for line in lines(one)]
    names = ("run_id", "connection", "resource", "status", *COUNTS)
    told = [{name: row[name] for name in names} for row in table(db, "sync_runs")]
    assert sorted(map(str, [{name: row[name] for name in names} for row in said])) == sorted(map(str, told))
    for row in table(db, "sync_runs"):
        assert row["started_at"] <= row["finished_at"]
        assert (None, None) == (row["error_kind"], row["error_message"])


def test_coverage_counts_what_is_there(story: Story, db: Database, last: Picture) -> None:
    """`coverage` tells how many records are live, that nothing is open or failing, and how far it is complete."""
    live = Counter(connection for (connection, _), row in last.opportunities.items() if not row["is_deleted"])
    reports = {one.connection: one.resources["opportunity"] for one in story.returned.report.connections}
    rows = [row for row in table(db, "coverage") if row["resource"] == "opportunity"]
    for row in rows:
        assert (live[row["connection"]], 0, None) == (row["live_count"], row["open_slices"], row["oldest_failure_at"])
        assert reports[row["connection"]].complete_through == row["complete_through"]
        assert row["history_from"] < row["last_sweep_at"] <= row["details_through"]
    assert sorted(CRMS) == sorted(row["connection"] for row in rows)
    assert {"active"} == {row["state"] for row in table(db, "connections")}
    assert all(row["first_run_at"] < row["last_success_at"] for row in table(db, "connections"))


def test_views_for_people_leave_out_what_they_should(story: Story, db: Database) -> None:
    """`deals` are the rows that are not deleted, `open_deals` those of them that are open and not archived."""
    rows = story.swept.new.opportunities
    assert any(row["is_deleted"] for row in rows.values())
    for name, wanted in (("deals", True), ("open_deals", False)):
        found = {(row["connection"], row["source_id"]) for row in table(db, name)}
        now = story.returned.new.opportunities
        told = {key for key, row in now.items() if not row["is_deleted"]}
        assert found == (told if wanted else {key for key in told if is_open(now[key])})


def test_the_published_file_is_the_work_file(story: Story, db: Database) -> None:
    """What is published is what was committed, marked with the run that made it."""
    assert story.desk.work() == take(db)
    (about,) = table(db, "about")
    assert story.returned.report.run_id == about["run_id"]


def is_open(row: Row) -> bool:
    return bool(row["status"] == "open" and not row["is_archived"])


def described(db: Database, name: str) -> list[tuple[str, str]]:
    """Columns with their types, spelled as promised."""
    spelled = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}
    return [(row[0], spelled.get(str(row[1]), str(row[1]))) for row in db.run(f"DESCRIBE {name}")]


def lines(one: Act) -> list[Row]:
    """The resources of a report, each with its connection and that one's status."""
    return [
        {"connection": told["connection"], "status": told["status"], **line}
        for told in one.report.document()["connections"]
        for line in told["resources"]
    ]
