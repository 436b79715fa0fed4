"""Actions: every one of them in all five CRMs, what is refused, and what a lost answer or a dead process leaves."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import onepipe.push.calls as calls
from onepipe import registry
from onepipe.errors import Gone, LeaseHeld, OnepipeError, UsageError
from onepipe.push.calls import Called
from tests.cli.place import Place, Told
from tests.push.conftest import Make
from tests.push.desk import CRMS, Desk

Said = dict[str, str]
UNKNOWN = "it may have happened, and it is not sent again by itself"


@dataclass(frozen=True)
class Case:
    """One action: how a deal is made that it is called on, its words, and what the CRM shows of it afterwards."""

    crm: str
    action: str
    fields: dict[str, Any]
    given: Callable[[Any, Any], Said]
    seen: Callable[[Any, Any], Any]
    wanted: Any


def words(**given: str) -> Callable[[Any, Any], Said]:
    """Words that do not depend on the deal."""
    return lambda *_: given


def kept(name: str, *keys: str) -> Callable[[Any, Any], Any]:
    """What a nested list of the deal holds under these keys."""
    return lambda crm, deal: [tuple(one.get(key) for key in keys) for one in crm.records[deal][name]]


def children(name: str, key: str) -> Callable[[Any, Any], list[Any]]:
    """What a list of Overplane's holds for the deal, in order."""
    return lambda crm, deal: [one[key] for one in listed(crm, name, deal)]


def listed(crm: Any, name: str, deal: Any) -> list[Any]:
    return list(crm.children[name].get(deal, []))


ITEMS, REASONS = "opportunity-item", "opportunity-lost-reason-detail"
LINES = [{"item_code": "SKU-1", "qty": 2, "rate": 50}, {"item_code": "SKU-2", "rate": 10}]
PERSON = '[{"first_name": "Bo", "last_name": "Oto", "email": "b@example.org"}]'


def reversed_ids(name: str) -> Callable[[Any, Any], Said]:
    return lambda crm, deal: {"ids": ",".join(one["id"] for one in reversed(listed(crm, name, deal)))}


def first_reason(crm: Any, deal: Any) -> Said:
    return {"reason_id": listed(crm, REASONS, deal)[0]["id"]}


def emails(crm: Any, deal: Any) -> list[str]:
    return [one["subject"] for one in crm.emails if one["opportunity_id"] == deal]


CASES = [
    Case("administrate", "generate_quote", {}, words(cover_letter="Dear all", expires_at="2027-06-30"),
         kept("quotes", "cover_letter", "expires_at"), [("Dear all", "2027-06-30")]),
    Case("administrate", "send_email", {"contact": {"id": 2}}, words(subject="Hi", body_document_template_id="2"),
         emails, ["Hi"]),
    Case("administrate", "add_interest", {}, words(event_id="9", delegates=PERSON),
         lambda crm, deal: [one["event"]["id"] for one in crm.records[deal]["interests"]], [9]),
    Case("administrate", "add_document", {}, words(document_template_id="1", name="Offer", user_id="2"),
         kept("documents", "name"), [("Offer",)]),
    Case("tactile", "add_tag", {}, words(tag="R&D"), lambda crm, deal: crm.rows[deal]["tags"], ["R&D"]),
    Case("tactile", "add_note", {}, words(title="Call", note="She said yes"),
         lambda crm, deal: [one["title"] for one in crm.notes.get(deal, [])], ["Call"]),
    Case("capsule", "add_tag", {}, words(tag="50 % off / R&D"),
         lambda crm, deal: crm.tags.get(deal, []), ["50 % off / R&D"]),
    Case("capsule", "remove_tag", {"tags": ["VIP"]}, words(tag="VIP"), lambda crm, deal: crm.tags.get(deal, []), []),
    Case("capsule", "add_note", {}, words(note="First\nsecond & <third>"),
         lambda crm, deal: [one["note"] for one in crm.history.get(deal, [])], ["First\nsecond & <third>"]),
    Case("capsule", "add_party", {}, words(party_id="25"), lambda crm, deal: crm.extra_parties.get(deal, []), [25]),
    Case("capsule", "remove_party", {"extra_parties": [25]}, words(party_id="25"),
         lambda crm, deal: crm.extra_parties.get(deal, []), []),
    Case("onautomate", "set_status", {}, words(status="won"), lambda crm, deal: crm.records[deal]["status"], "won"),
    Case("overplane", "reorder_items", {"items": LINES}, reversed_ids(ITEMS),
         children(ITEMS, "item_code"), ["SKU-2", "SKU-1"]),
    Case("overplane", "add_lost_reason", {}, words(lost_reason="Too late"), children(REASONS, "lost_reason"),
         ["Too late"]),
    Case("overplane", "remove_lost_reason", {"lost_reasons": ["Price", "Time"]}, first_reason,
         children(REASONS, "lost_reason"), ["Time"]),
    Case("overplane", "reorder_lost_reasons", {"lost_reasons": ["Price", "Time"]}, reversed_ids(REASONS),
         children(REASONS, "lost_reason"), ["Time", "Price"]),
]  # fmt: skip
IDS = [f"{case.crm}-{case.action}" for case in CASES]
five = pytest.mark.parametrize("name", CRMS)
BLIND = ("send_email",)  # nothing that can be read tells whether it happened


@dataclass(frozen=True)
class Ready:
    """An action that can be called: its case, the deal it is called on, and its words."""

    case: Case
    deal: Any
    given: Said

    def seen(self, made: Desk) -> bool:
        """Whether the CRM shows that it happened."""
        return bool(self.case.wanted == self.case.seen(made.crm(self.case.crm), self.deal))


def begun(desk: Make, *cases: Case, **write: Any) -> tuple[Desk, list[Ready]]:
    """A desk with one CRM, and in it a synced deal for each of these cases."""
    made = desk(cases[0].crm, **write)
    crm = made.crm(cases[0].crm)
    if crm.name == "tactile":
        crm.options.apply({"era": "head"})
    deals = [_deal(crm, case, number) for number, case in enumerate(cases)]
    made.sync()
    crm.log.clear()
    return made, [Ready(case, deal, case.given(crm, deal)) for case, deal in zip(cases, deals, strict=True)]


def _deal(crm: Any, case: Case, number: int) -> Any:
    extra = dict(case.fields)
    parties = extra.pop("extra_parties", [])
    contact = {"contact": {"email": f"p{number}@example.org"}} if crm.name == "onautomate" else {}
    deal = crm.insert(**contact, **extra)
    for party in parties:
        crm._add_party(deal, party)
    return deal


def of(name: str) -> list[Case]:
    """The cases of one CRM."""
    return [case for case in CASES if case.crm == name]


def case(name: str) -> Case:
    return CASES[IDS.index(name)]


def call(made: Desk, crm: str, action: str, deal: Any, given: Said, **how: Any) -> Called:
    """One call, in the desk's time."""
    with made.project() as project:
        return calls.call(project, crm, action, str(deal), given, sleep=made.sleep, now=made.at, **how)


def called(made: Desk, one: Ready, **how: Any) -> Called:
    return call(made, one.case.crm, one.case.action, one.deal, one.given, **how)


def simple(desk: Make, **write: Any) -> tuple[Desk, Any]:
    """A desk with one deal in Capsule."""
    made, [one] = begun(desk, case("capsule-add_tag"), **write)
    return made, one.deal


def pushes(made: Desk) -> list[tuple[Any, ...]]:
    return made.sql("SELECT push_id, op, state, reason FROM pushes ORDER BY push_id::INTEGER")


def test_every_action_is_tried() -> None:
    """The cases below are all the actions that write, of all five CRMs."""
    known = {(name, one.name) for name in CRMS for one in registry.load(name, None).actions().values() if not one.reads}
    assert known == {(case.crm, case.action) for case in CASES}


@pytest.mark.long
@five
def test_a_call_is_done_once_and_told(desk: Make, name: str) -> None:
    """It happens, with one request; the table of pushes tells who asked for it and why; a sync finds nothing new."""
    made, ready = begun(desk, *of(name))
    for one in ready:
        made.crm(name).log.clear()
        done = called(made, one, reason="asked by phone")
        assert ("done", 0, None) == (done.state, done.exit_code, done.trouble), done.message
        assert one.seen(made), one.case.action
        assert 1 == len(made.writes(name))
        found = f"SELECT op, state, reason, fields, request, requested_by FROM pushes WHERE push_id = '{done.push_id}'"
        [(op, state, reason, fields, request, by)] = made.sql(found)
        assert ("call", "done", "asked by phone") == (op, state, reason)
        assert {one.case.action} == set(json.loads(fields))
        assert {"method", "path", "body"} <= set(json.loads(request))
        assert by
    (line,) = [one for one in made.sync().document()["connections"][0]["resources"] if one["resource"] == "opportunity"]
    assert (0, 0) == (line["new"], line["changed"])


@pytest.mark.long
@five
def test_an_answer_that_was_lost_after_it_happened_is_found_by_looking(desk: Make, name: str) -> None:
    """Where a read tells, the call is done, and was sent once; where none does, it is unknown, and then a person's."""
    made, ready = begun(desk, *of(name))
    for one in ready:
        made.crm(name).log.clear()
        made.crm(name).faults.add("reset", after=True, **writing(one.case))
        done = called(made, one)
        if one.case.action in BLIND:
            assert ("unknown", 1) == (done.state, done.exit_code)
            assert done.message.startswith(UNKNOWN)
            assert "no read tells" in done.message
        else:
            assert ("done", 0) == (done.state, done.exit_code), done.message
            assert "its answer was lost" in done.message
        assert one.seen(made), one.case.action
        assert 1 == len(made.writes(name))


@pytest.mark.long
@five
def test_a_request_that_never_arrived_is_unknown_until_it_is_proved(desk: Make, name: str) -> None:
    """Nothing is sent again; looks with time between prove that it did not happen, and then it may be called again."""
    made, ready = begun(desk, *of(name))
    for one in ready:
        made.crm(name).faults.add("reset", **writing(one.case))
        assert ("unknown", 1) == ((done := called(made, one)).state, done.exit_code), done.message
    assert [("unknown",)] * len(ready) == made.sql("SELECT state FROM pushes")
    soon = {"ambiguous" if one.case.action in BLIND else "unknown" for one in ready}
    assert soon == {item.state for item in made.apply().items}
    made.later(minutes=5)
    late = {"ambiguous" if one.case.action in BLIND else "not_applied" for one in ready}
    assert late == {item.state for item in made.apply().items}
    assert len(ready) == len(made.writes(name))
    one = ready[0]
    assert ("done", True) == (called(made, one).state, one.seen(made))


def writing(case: Case) -> dict[str, Any]:
    """Which requests are the call's own."""
    if (case.crm, case.action) == ("tactile", "add_tag"):
        return {"path": "*/add_tag*"}
    method = "DELETE" if case.action.startswith("remove") else "PUT" if writes_a_part(case) else "POST"
    return {"method": method}


def writes_a_part(case: Case) -> bool:
    return case.action in ("set_status", "add_interest", "add_document")


@pytest.mark.long
def test_the_same_call_is_not_sent_while_it_may_have_happened(desk: Make) -> None:
    """Called again it looks first: what happened is told and not done twice, what nobody can tell is left to people."""
    made, [one] = begun(desk, case("administrate-send_email"))
    deal, given = one.deal, one.given
    made.crm("administrate").faults.add("reset", after=True, method="POST")
    first = call(made, "administrate", "send_email", deal, given)
    again = call(made, "administrate", "send_email", deal, given)
    assert ("ambiguous", 1, first.push_id) == (again.state, again.exit_code, again.push_id)
    assert "nothing was sent now" in again.message
    assert ["Hi"] == emails(made.crm("administrate"), deal)
    assert "done" == call(made, "administrate", "send_email", deal, given | {"subject": "Another"}).state


@pytest.mark.long
def test_a_call_that_nobody_can_tell_is_a_conflict_that_other_pushes_leave_open(desk: Make) -> None:
    """It stays open when edits of the same deal are pushed, and is over when a person says so."""
    made, [one] = begun(desk, case("administrate-send_email"))
    deal, given = one.deal, one.given
    made.crm("administrate").faults.add("reset", after=True, method="POST")
    told = call(made, "administrate", "send_email", deal, given)
    made.apply()
    (conflict,) = made.conflicts()
    assert ("lost", told.push_id, str(deal)) == (conflict.kind, conflict.push_id, conflict.source_id)
    assert ("send_email", "subject=Hi body_document_template_id=2") == (conflict.field, conflict.ours)
    made.edit("administrate", deal, name="Other")
    assert {"done", "ambiguous"} == {item.state for item in made.apply().items}
    assert [conflict.conflict_id] == [one.conflict_id for one in made.conflicts()]
    told = run(made, "conflicts", "resolve", conflict.conflict_id, "theirs")
    assert (0, []) == (told.code, made.conflicts()), told.err
    assert "done" == call(made, "administrate", "send_email", deal, given).state


@pytest.mark.long
def test_what_happens_late_is_found_and_not_done_twice(desk: Make) -> None:
    """A request that the CRM carries out half a minute after its answer was lost is unknown, and then done."""
    made, deal = simple(desk)
    made.crm("capsule").faults.add("late", seconds=30.0, method="POST")
    assert "unknown" == call(made, "capsule", "add_tag", deal, {"tag": "VIP"}).state
    made.later(seconds=40)
    (item,) = made.apply().items
    assert ("done", "call") == (item.state, item.op)
    assert (["VIP"], 1) == (made.crm("capsule").tags[deal], len(made.writes("capsule")))


@pytest.mark.long
@pytest.mark.parametrize("happened", [True, False], ids=["after the effect", "before it"])
def test_a_process_killed_while_its_request_is_under_way_leaves_an_unknown(desk: Make, happened: bool) -> None:
    """The next run looks: it never sends the call, and says what became of it."""
    made, deal = simple(desk)
    crm = made.crm("capsule")
    child = Place(made.folder).start("call", "capsule", "add_tag", str(deal), "tag=VIP")

    def die() -> None:
        child.kill()
        child.wait()

    crm.faults.add("hook", call=die, after=happened, method="POST")
    crm.faults.add("reset", after=happened, method="POST")
    child.communicate(timeout=60)
    assert (-9, happened) == (child.returncode, "VIP" in crm.tags.get(deal, []))
    made.later(seconds=5)
    (item,) = made.apply().items
    assert ("done" if happened else "unknown") == item.state, item.message
    if not happened:
        made.later(minutes=3)
        (item,) = made.apply().items
        assert "not_applied" == item.state, item.message
    assert [] == made.apply().items
    assert 1 == len(made.writes("capsule"))


@pytest.mark.long
def test_a_yes_that_was_written_down_is_done_without_a_look(desk: Make) -> None:
    """Killed between the answer and the end of it, the call is done: the outbox holds the CRM's yes."""
    made, deal = simple(desk)
    with pytest.raises(MemoryError), made.project() as project:
        settle = project.control.outbox.settle
        project.control.outbox.settle = _dies  # type: ignore[method-assign]
        try:
            calls.call(project, "capsule", "add_tag", str(deal), {"tag": "VIP"}, sleep=made.sleep, now=made.at)
        finally:
            project.control.outbox.settle = settle  # type: ignore[method-assign]
    (item,) = made.apply().items
    assert ("done", 1) == (item.state, len(made.writes("capsule")))


def _dies(*_: Any, **__: Any) -> int:
    raise MemoryError


@pytest.mark.long
@five
def test_nothing_leaves_the_process_unless_the_mode_is_on(desk: Make, name: str) -> None:
    """Exit 2, and not even a read is made."""
    made, ready = begun(desk, *of(name), mode="off")
    for mode in ("off", "plan"):
        made.connections[name]["write"]["mode"] = mode
        for one in ready:
            given = [f"{key}={value}" for key, value in one.given.items()]
            told = run(made, "call", name, one.case.action, str(one.deal), *given)
            assert (2, "") == (told.code, told.out)
            assert f"write mode of {name} is {mode}" in told.err
    assert [] == made.crm(name).log


def run(made: Desk, *words: str) -> Told:
    """A command, as users type it."""
    assert made.config.exists()
    return Place(made.folder).run(*words)


REFUSED = [
    (["capsul", "add_tag", "1", "tag=x"], "capsul"),
    (["caps*", "add_tag", "1", "tag=x", "extra=1"], "there is no 'extra'"),
    (["capsule", "add_tga", "1", "tag=x"], "did you mean 'add_tag'"),
    (["capsule", "explode", "1"], "known: add_tag, remove_tag"),
    (["capsule", "add_tag", "1"], "'tag' is missing"),
    (["capsule", "add_tag", "1", "tag=x", "colour=red"], "Usage: onepipe call capsule add_tag ID tag=..."),
    (["capsule", "add_tag", "1", "tag=x", "id=2"], "the ID stands by itself"),
    (["capsule", "add_tag", " ", "tag=x"], "the ID is empty"),
    (["capsule", "add_tag", "1", "tag"], "'tag' is not key=value"),
    (["capsule", "add_tag", "1", "tag=x", "tag=y"], "tag= is given twice"),
    (["capsule", "add_tag", "1", "tag=x", "--out", "file"], "no file"),
]


@pytest.mark.long
def test_what_cannot_be_understood_is_refused_whole(desk: Make) -> None:
    """An unknown connection, action or word, one that is missing or given twice: exit 2, and nothing is asked."""
    made, _ = simple(desk)
    for typed, said in REFUSED:
        told = run(made, "call", *typed)
        assert (2, "") == (told.code, told.out), typed
        assert said in told.err
    assert [] == made.crm("capsule").log


@pytest.mark.long
def test_a_value_that_cannot_be_read_is_refused(desk: Make) -> None:
    """Numbers, dates and JSON lists are read before anything is asked."""
    made, [one] = begun(desk, CASES[0])
    deal = one.deal
    for action, given in [
        ("add_interest", {"event_id": "nine"}),
        ("add_interest", {"event_id": "9", "delegates": "{}"}),
        ("generate_quote", {"expires_at": "soon"}),
    ]:
        with pytest.raises(UsageError, match="nothing was sent"):
            call(made, "administrate", action, deal, given)
    assert [] == made.crm("administrate").log


@pytest.mark.long
def test_a_disabled_or_never_synced_connection_is_not_called(desk: Make) -> None:
    """Its credentials are not even read; and what was never read has no place for what comes back."""
    made, deal = simple(desk)
    made.connections["capsule"]["enabled"] = False
    with pytest.raises(UsageError, match="disabled"):
        call(made, "capsule", "add_tag", deal, {"tag": "x"})
    made.connections["capsule"]["enabled"] = True
    made.connections["other"] = made.connections["capsule"]
    with pytest.raises(OnepipeError, match="never synced"):
        call(made, "other", "add_tag", deal, {"tag": "x"})
    assert [] == made.crm("capsule").log


@pytest.mark.long
def test_a_deal_that_is_not_there_is_told_before_anything_is_sent(desk: Make) -> None:
    """Nothing is written down either."""
    made, _ = simple(desk)
    with pytest.raises(Gone, match="nothing was sent"):
        call(made, "capsule", "add_tag", 999_999, {"tag": "x"})
    assert [] == made.writes("capsule")
    with made.project() as project:
        assert [] == project.control.outbox.waiting()


@pytest.mark.long
def test_a_connection_at_work_is_waited_for_or_left(desk: Make) -> None:
    """A call takes the connection's lease, as every run does; exit 75 where another process has it."""
    made, deal = simple(desk)
    with made.project() as other, other.control.lease("connection:capsule"):
        with pytest.raises(LeaseHeld):
            call(made, "capsule", "add_tag", deal, {"tag": "x"})
        assert 75 == run(made, "call", "capsule", "add_tag", str(deal), "tag=x").code
    assert [] == made.crm("capsule").log


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"kind": "status", "status": 401}, "dead", "Nothing was changed"),
    ({"kind": "status", "status": 403}, "dead", "Nothing was changed"),
    ({"kind": "status", "status": 422, "body": "tag is too long"}, "rejected", "tag is too long"),
    ({"kind": "status", "status": 400}, "rejected", ""),
    ({"kind": "status", "status": 429, "retry_after": 120}, "dead", "call it again after"),
    ({"kind": "status", "status": 500}, "unknown", UNKNOWN),
    ({"kind": "html"}, "unknown", UNKNOWN),
]


@pytest.mark.long
def test_a_refusal_is_final_and_told(desk: Make) -> None:
    """What certainly did not happen ends the call, and waits for nobody; exit 1; it can be called again."""
    made, deal = simple(desk)
    for number, (fault, state, said) in enumerate(FAULTS):
        made.crm("capsule").log.clear()
        made.crm("capsule").faults.add(**fault, method="POST")
        done = call(made, "capsule", "add_tag", deal, {"tag": f"x{number}"})
        assert (state, 1) == (done.state, done.exit_code), done.message
        assert said in done.message
        assert [(state, 1)] == [(push[2], len(made.writes("capsule"))) for push in pushes(made)[-1:]]
        made.later(minutes=3)  # longer than the CRM asked to wait
    assert {"not_applied"} == {item.state for item in made.apply().items}
    assert "done" == call(made, "capsule", "add_tag", deal, {"tag": "x0"}).state


@pytest.mark.long
def test_a_refused_credential_is_told_before_anything_is_sent(desk: Make) -> None:
    """The look before the call is a read, and is refused as reads are."""
    made, deal = simple(desk)
    made.connections["capsule"]["credentials"]["token"] = "wrong"
    told = run(made, "call", "capsule", "add_tag", str(deal), "tag=x")
    assert 1 == told.code
    assert "wrong" not in told.err + told.out
    assert [] == made.writes("capsule")


@pytest.mark.long
def test_the_crms_own_words_are_shown(desk: Make) -> None:
    """Tactile refuses a tag that is there already, inside a 200."""
    made, [one] = begun(desk, case("tactile-add_tag"))
    assert "done" == called(made, one).state
    again = called(made, one)
    assert "rejected" == again.state
    assert "already has that tag" in again.message


@pytest.mark.long
def test_a_yes_that_changes_nothing_says_so(desk: Make) -> None:
    """Capsule says yes to a tag that is there already."""
    made, deal = simple(desk)
    first, second = (call(made, "capsule", "add_tag", deal, {"tag": "x"}) for _ in range(2))
    assert ("done", "") == (first.state, first.message)
    assert "done" == second.state
    assert "reading shows no difference" in second.message


@pytest.mark.long
def test_a_call_whose_record_cannot_be_read_again_is_done_all_the_same(desk: Make) -> None:
    """A yes is never told as a failure because of what came after it."""
    made, deal = simple(desk)
    crm = made.crm("capsule")
    crm.faults.add("hook", method="POST", call=lambda: crm.faults.add("status", status=500, method="GET", count=None))
    told = call(made, "capsule", "add_tag", deal, {"tag": "x"})
    assert ("done", 0) == (told.state, told.exit_code)
    assert "a later sync does" in told.message
    crm.faults.clear()
    made.sync(full=True)
    assert [(["x"],)] == made.sql("SELECT tags FROM opportunities")


@pytest.mark.long
def test_what_it_changed_is_in_the_warehouse_when_it_ends(desk: Make) -> None:
    """The record is read again, with its details, and published as a version that came from a push."""
    made, deal = simple(desk)
    call(made, "capsule", "add_tag", deal, {"tag": "VIP"})
    assert [(["VIP"],)] == made.sql("SELECT tags FROM opportunities")
    made, [one] = begun(desk, case("onautomate-set_status"))
    called(made, one, reason="signed")
    assert [("won", "push")] == made.sql("SELECT status, change_origin FROM opportunity_history WHERE valid_to IS NULL")


@pytest.mark.long
def test_the_command_tells_what_happened(desk: Make) -> None:
    """In a line with the number of the push, the CRM's answer below it; --json has all of it, digit for digit."""
    made, [one] = begun(desk, CASES[0])
    deal = one.deal
    told = run(made, "call", "administrate", "generate_quote", str(deal), "cover_letter=Hi", "--reason", "for Ann")
    assert 0 == told.code, told.err
    assert f"administrate {deal} generate_quote: done (push 1)" in told.out
    assert '"pdf_url"' in told.out
    told = run(made, "call", "administrate", "generate_quote", str(deal), "--json")
    assert ("done", "2", "generate_quote", str(deal)) == (
        told.json["state"], str(told.json["push_id"]), told.json["action"], told.json["source_id"]
    )  # fmt: skip
    assert told.json["answer"]["quote"]["id"]
    assert {"connection", "run_id", "message", "path", "next_at"} <= set(told.json)


@pytest.mark.parametrize("mode", ["off", "on"])
def test_a_pdf_is_fetched_whatever_the_mode(
    desk: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """It only reads: into quote-ID.pdf here, or where --out says; nothing is written down, nothing is left half."""
    made, [one] = begun(desk, CASES[0], mode=mode)
    deal = one.deal
    crm = made.crm("administrate")
    with crm.lock:
        crm.rows[deal]["quotes"].append(crm._quote(crm.rows[deal], {}, made.now))
    quote = crm.rows[deal]["quotes"][0]["id"]
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    told = run(made, "call", "administrate", "render_pdf", str(quote))
    assert (0, f"Wrote quote-{quote}.pdf") == (told.code, told.out.partition(" (")[0]), told.err
    told = run(made, "call", "administrate", "render_pdf", str(quote), "--out", "mine.pdf", "--json")
    assert ("done", "mine.pdf", None) == (told.json["state"], told.json["path"], told.json["push_id"])
    assert ["mine.pdf", f"quote-{quote}.pdf"] == sorted(path.name for path in folder.iterdir())
    assert all(path.read_bytes().startswith(b"%PDF") for path in folder.iterdir())
    assert [] == made.writes("administrate")
    assert 1 == run(made, "call", "administrate", "render_pdf", "999999").code
    for wrong in (["--out", "no/such/place.pdf"], ["--out", str(folder)], ["size=A4"]):
        assert 2 == run(made, "call", "administrate", "render_pdf", str(quote), *wrong).code
    assert 2 == len(list(folder.iterdir()))


def test_connectors_list_shows_how_actions_are_typed(desk: Make) -> None:
    """Every action stands there with its words."""
    made, _ = simple(desk)
    told = run(made, "connectors", "list")
    assert "add_note ID note=" in told.out
    assert "generate_quote ID [cover_letter=] [expires_at=]" in told.out
    for name in CRMS:
        assert all(one in told.out for one in registry.load(name, None).actions())


def test_a_lost_answer_waits_as_long_as_lists_may_be_late(desk: Make) -> None:
    """The wait between two looks is the connector's lag, on the clock that is given; none passes here."""
    made, deal = simple(desk)
    made.crm("capsule").faults.add("reset", method="POST")
    began, at = time.monotonic(), made.now
    call(made, "capsule", "add_tag", deal, {"tag": "x"})
    writes = registry.load("capsule", None).writes
    assert writes is not None
    assert (made.now - at) >= writes.lag
    assert time.monotonic() - began < 60
