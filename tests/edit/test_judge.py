"""What becomes of a wish: queued, nothing to do, or a fault; held against the data of five simulated CRMs."""

import pytest

import onepipe.edit as editing
from onepipe.edit import Row
from onepipe.errors import UsageError
from onepipe.warehouse.database import Engine
from tests.edit.conftest import Queue


def refusal(desk: Queue, connection: str, word: str, where: str = "true") -> str:
    """What is said against one word."""
    field, _, text = word.partition("=")
    clear = [] if "=" in word else [field]
    words = [f"{field}={text}"] if "=" in word else []
    with pytest.raises(UsageError) as told:
        desk.edit(connection, desk.some_id(connection, where), *words, clear=clear)
    assert [] == desk.control.edits.open()
    assert "nothing was queued" in told.value.message
    return told.value.message


@pytest.mark.parametrize(
    ("connection", "word", "part"),
    [
        ("capsule", "amont=1", "did you mean 'amount'?"),
        ("capsule", "url=x", "never edited"),
        ("capsule", "custom=x", "as custom.KEY"),
        ("capsule", "stage=Wonn", "did you mean 'Won'?"),
        ("capsule", "stage_id=99", "there are: 1, 2"),
        ("capsule", "status=won", "the CRM sets it itself"),
        ("capsule", "is_archived=true", "nothing this CRM has"),
        ("capsule", "probability=0.255", "steps of 0.01 only"),
        ("capsule", "amount=12,50", "no plain number"),
        ("capsule", "unit_amount=5", "give period, too"),
        ("capsule", "extra.trackId=7", "cannot be written to this CRM"),
        ("administrate", "amount=5", "the CRM sets it itself"),
        ("administrate", "owner=Nobody", "or give owner_id"),
        ("administrate", "extra.regoin=x", "extra.region"),
        ("tactile", "stage=Wonn", "did you mean 'Won'?"),
        ("tactile", "tags=a", "no way back"),
        ("tactile", "probability=0.33", "steps of 0.05"),
        ("onautomate", "amount=5", "config.yaml says"),
        ("onautomate", "stage=Nowhere", "(in pipeline "),
        ("onautomate", "pipeline_id=x", "a new record only"),
        ("onautomate", "status=asleep", "one of open, won, lost, abandoned"),
        ("onautomate", "expected_close_date=2026-01-01", "nothing this CRM has"),
        ("overplane", "company=Nobody Ltd", "or give company_id"),
        ("overplane", "expected_close_date=2026-02-30", "not in the calendar"),
        ("overplane", 'line_items=[{"weight": 1}]', "weight"),
        ("overplane", "name", "cannot be empty"),
        ("capsule", "stage_id", "cannot be empty"),
        ("capsule", "custom.Region=x", "several custom fields: give one of Region (Deals), Region (Partners)"),
        ("capsule", "stage=Wonn", "'Wonn' is not there (did you mean 'Won'?); there are: New"),
        ("administrate", "lead_source=Wbsite", "or give the CRM's id"),
        ("administrate", 'line_items=[{"name": "x"}]', "cannot be written to this CRM"),
    ],
)
def test_what_cannot_be_written_is_refused(desk: Queue, connection: str, word: str, part: str) -> None:
    """Unknown, unreadable, read-only, not there, forbidden in config.yaml, or empty where the CRM wants something."""
    fixed = "period IS NULL" if word.startswith("unit_amount") else "true"
    assert part in refusal(desk, connection, word, fixed)


def test_what_only_the_crm_can_tell_is_queued_and_said(desk: Queue) -> None:
    """A custom field that no deal has may be there all the same; an id may be one that no deal has yet."""
    [told] = desk.edit("capsule", desk.some_id("capsule"), "custom.Signd=true").queued
    assert "no deal has a custom field of this name so far (did you mean 'Signed'?)" in told.note
    [told] = desk.edit("capsule", desk.some_id("capsule"), "custom.Signed=true").queued
    assert "" == told.note
    [told] = desk.edit("administrate", desk.some_id("administrate"), "lead_source=987").queued
    assert "987" == told.value


def test_a_price_is_edited_as_the_deal_is_priced(desk: Queue) -> None:
    """The whole of a price by the period is no value of its own."""
    assert "unit_amount x periods" in refusal(desk, "capsule", "amount=5", "period IS NOT NULL AND periods IS NOT NULL")
    assert 1 == len(desk.edit("capsule", desk.some_id("capsule", "period IS NOT NULL"), "unit_amount=5").queued)
    fixed = desk.some_id("capsule", "period IS NULL")
    assert 3 == len(desk.edit("capsule", fixed, "period=day", "unit_amount=5", "periods=2").queued)


def test_unknown_records_and_connections_are_named(desk: Queue) -> None:
    """With what resembles them; a deleted record is not edited."""
    for connection, source_id, part in (
        ("capsul", "43", "did you mean 'capsule'?"),
        ("capsule", "430", "ids that resemble it: '43'"),
        ("capsule", "nothing like it", "onepipe sync capsule"),
    ):
        with pytest.raises(UsageError, match="nothing was queued") as told:
            desk.edit(connection, source_id, "name=x")
        assert part in told.value.message


def test_every_fault_of_every_row_is_told_at_once(desk: Queue) -> None:
    """In the order of the file, and nothing is queued, not even what is right."""
    known = desk.some_id("capsule")
    rows = [
        Row(place="e.csv:2", connection="nowhere", source_id="1", field="name", text="x"),
        Row(place="e.csv:3", connection="capsule", source_id=known, field="name", text="x"),
        Row(place="e.csv:4", connection="capsule", source_id="none", field="name", text="x"),
        Row(place="e.csv:5", connection="capsule", source_id=known, field="amount", text="much"),
        Row(place="e.csv:6", connection="capsule", source_id=known, field="name", text="y"),
    ]
    with pytest.raises(UsageError) as told:
        editing.queue(desk.config, desk.control, rows)
    lines = told.value.message.splitlines()
    assert ["e.csv:2", "e.csv:4", "e.csv:5", "e.csv:6", "4 faults; nothing was queued."] == [
        line.partition(": ")[0] for line in lines
    ]
    assert "is given twice: also as name=x on e.csv:3" in lines[3]
    assert [] == desk.control.edits.open()


def test_an_edit_of_an_id_and_of_its_label_are_one(desk: Queue) -> None:
    """The later takes the place of the earlier; in one command they must not differ."""
    deal = desk.some_id("capsule", "stage <> 'Bid' AND stage <> 'Won'")
    desk.edit("capsule", deal, "stage=Bid")
    (told,) = desk.edit("capsule", deal, "stage_id=4").queued
    assert ("2", "1") == (told.edit_id, told.instead)
    assert ["stage_id"] == [edit.field for edit in desk.control.edits.open()]
    with pytest.raises(UsageError, match="given twice"):
        desk.edit("capsule", deal, "stage=Bid", "stage_id=4")


def test_what_is_so_already_is_nothing_to_do(desk: Queue) -> None:
    """Equal to the base, in whatever form; an empty value; a field that is empty already."""
    deal = desk.some_id("overplane", "amount IS NOT NULL AND lead_source IS NULL")
    amount = desk.ask("SELECT amount::VARCHAR FROM opportunities WHERE source_id = ?", deal)
    told = desk.edit("overplane", deal, f"amount={amount}", "name=", clear=["lead_source"])
    assert (0, 3) == (len(told.queued), len(told.nothing))
    assert ["already", "empty", "already"] == [
        "empty" if "empty" in one.reason else one.reason.split()[-1] for one in told.nothing
    ]
    assert [] == desk.control.edits.open()


def test_going_back_to_the_base_takes_an_edit_back(desk: Queue) -> None:
    """What would write nothing does not stay queued."""
    deal = desk.some_id("administrate", "name IS NOT NULL")
    name = desk.ask("SELECT name FROM opportunities WHERE connection = 'administrate' AND source_id = ?", deal)
    desk.edit("administrate", deal, "name=Another")
    told = desk.edit("administrate", deal, f"name={name}")
    assert ["edit 1 is taken back: that is what it was"] == [one.reason for one in told.nothing]
    assert [] == desk.control.edits.open()


def test_a_finer_value_is_rounded_and_said_so(desk: Queue) -> None:
    """As the CRM, or else the warehouse, holds it."""
    (told,) = desk.edit("overplane", desk.some_id("overplane"), "amount=10.12345").queued
    assert "is rounded to" in told.note
    (edit,) = desk.control.edits.open()
    assert (told.note, told.value) == (edit.note, editing.wanted(edit).normalize().to_eng_string())


def test_what_was_never_read_is_said(desk: Queue) -> None:
    """An edit of it has no base: another value in the CRM will be a conflict. What a sync has read is a base."""
    wanted = 'line_items=[{"name": "Nut", "quantity": 2}]'
    unread = desk.ask("SELECT max(source_id) FROM opportunities WHERE connection = 'overplane'")
    with Engine().writing(desk.config.warehouse) as db:
        db.run("DELETE FROM store.details WHERE detail = 'items' AND source_id = ?", [unread])
    (told,) = desk.edit("overplane", unread, wanted).queued
    assert "never read" in told.note
    (told,) = desk.edit("overplane", desk.some_id("overplane"), wanted).queued
    assert "never read" not in told.note


def test_a_new_record_needs_what_its_crm_wants(desk: Queue) -> None:
    """Each missing field is named; an id stands for its label; defaults fill in; the same one is not queued twice."""
    for connection, words, lacking in (
        ("administrate", (), ["name", "company_id", "stage", "owner", "currency"]),
        ("tactile", ("name=x",), ["expected_close_date", "stage"]),
        ("capsule", ("name=x", "stage=Bid"), ["company_id"]),
        ("onautomate", ("name=x", "status=open"), ["pipeline", "stage", "contact_id or", "contact_email"]),
        ("overplane", (), ["name", "company_id", "extra.company"]),
    ):
        with pytest.raises(UsageError, match="missing") as told:
            desk.new(connection, *words)
        assert [] == [field for field in lacking if field not in told.value.message]
        assert "status" not in told.value.message
    wanted = ("name=Roof", "company_id=c1", "extra.company=Acme")
    outcome = desk.new("overplane", *wanted)
    assert {"name", "company_id", "extra.company", "extra.opportunity_from", "extra.transaction_date"} == {
        one.field for one in outcome.queued
    }
    assert 1 == len({edit.draft for edit in desk.control.edits.open()})
    again = desk.new("overplane", *wanted)
    assert ([], 5) == (again.queued, len(again.nothing))


def test_the_stage_of_a_new_record_is_one_of_its_pipeline(desk: Queue) -> None:
    """Whichever way the pipeline is given."""
    pipeline, id_, stage = (
        desk.ask(f"SELECT {column} FROM stages WHERE connection = 'onautomate' ORDER BY ALL LIMIT 1")
        for column in ("min_by(pipeline, pipeline_id)", "min(pipeline_id)", "min_by(stage, pipeline_id)")
    )
    rest = ("name=x", "status=open", "contact_email=a@example.org")
    assert 5 == len(desk.new("onautomate", *rest, f"pipeline={pipeline}", f"stage={stage}").queued)
    for given in (f"pipeline={pipeline}", f"pipeline_id={id_}"):
        with pytest.raises(UsageError, match="is not there"):
            desk.new("onautomate", *rest, given, "stage=Nowhere")


def test_a_delete_stands_alone(desk: Queue) -> None:
    """Not beside other edits, not twice, not where the CRM has none."""
    capsule, tactile = desk.some_id("capsule"), desk.some_id("tactile")
    (told,) = editing.delete(desk.config, desk.control, "capsule", capsule, "twice").queued
    assert ("delete", "1") == (told.op, told.edit_id)
    assert ["it waits to be deleted already, as edit 1"] == [
        one.reason for one in editing.delete(desk.config, desk.control, "capsule", capsule).nothing
    ]
    with pytest.raises(UsageError, match="to be deleted by edit 1"):
        desk.edit("capsule", capsule, "name=x")
    with pytest.raises(UsageError, match="no way to delete"):
        editing.delete(desk.config, desk.control, "tactile", tactile)
    desk.edit("tactile", tactile, "name=x")
    other = desk.some_id("capsule", f"source_id <> '{capsule}'")
    desk.edit("capsule", other, "name=x")
    with pytest.raises(UsageError, match="edits of it wait: 3"):
        editing.delete(desk.config, desk.control, "capsule", other)


def test_the_write_mode_is_told_and_stops_nothing(desk: Queue) -> None:
    """Edits are queued whatever the mode."""
    modes = {name: desk.edit(name, desk.some_id(name), "name=x").modes for name in ("tactile", "onautomate", "capsule")}
    assert {"tactile": "off", "onautomate": "plan", "capsule": "on"} == {name: one[name] for name, one in modes.items()}
