"""`push`: what is shown before, sent after, told of it, and taken back, as a user types it."""

import csv
import io
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from onepipe.connector import Request
from onepipe.control import Control
from onepipe.push import Item, Plan, PlannedField, page, sheet
from onepipe.sandbox import Sandbox
from tests.cli.conftest import acme
from tests.cli.place import Place, Told, write

Desk = tuple[Place, Sandbox]
FIELD = PlannedField(base="100.00", ours="120.00", theirs="100.00", policy="ask", decision="write")
ITEM = Item(
    connection="acme",
    source_id="43",
    draft=None,
    op="update",
    decision="write",
    fields={"amount": FIELD},
    requests=(Request("PUT", "/api/opportunity/43", "<opportunity/>"),),
    name="Roof",
    owner="Ann",
    who="bob",
    why="signed",
    edits=("17",),
    seen={"amount": "100.00", "currency": "EUR"},
)


def made(*items: Item) -> Plan:
    """A plan of these items."""
    return Plan(made_at=datetime(2026, 1, 15, 11, 55, tzinfo=UTC), items=items)


def deals(place: Place, count: int, where: str = "NOT is_deleted AND name SIMILAR TO '[ -~]+'") -> list[Any]:
    """Deals that can be edited, lowest id first."""
    found = place.run("sql", f"FROM deals WHERE {where} ORDER BY source_id LIMIT {count}", "--json").json
    assert count == len(found)
    return list(found)


def edit(place: Place, source_id: str, *words: str) -> None:
    """Queue an edit."""
    told = place.run("edit", "acme", source_id, *words)
    assert 0 == told.code, told.err


def waiting(place: Place) -> list[Any]:
    """The edits that wait."""
    return list(place.run("edit", "list", "--json").json["edits"])


def writes(crms: Sandbox) -> list[str]:
    """The requests so far that could change something."""
    return [f"{call.method} {call.path}" for call in crms["capsule"].log if call.method != "GET"]


def applied(place: Place, *words: str, code: int = 0) -> Any:
    """What `push apply --yes --json` says."""
    told = place.run("push", "apply", "--yes", "--json", *words)
    assert code == told.code, told.out + told.err
    return told.json


# --- the plan


def test_a_plan_shows_and_sends_nothing(desk: Desk) -> None:
    """Old, new and who asks for it; what comes next; not one request that could change anything."""
    place, crms = desk
    one = deals(place, 1)[0]
    edit(place, one["source_id"], "description=Call Ann first", "--reason", "she asked")
    told = place.run("push", "plan")
    assert 0 == told.code, told.err
    assert "To be sent: 1 change in 1 deal" in told.out
    assert all(word in told.out for word in (one["name"].strip(), "Call Ann first", "she asked"))
    assert "Nothing was sent. `onepipe push apply`" in told.out
    assert [] == writes(crms)


def test_a_plan_as_json_is_what_the_contract_says(desk: Desk) -> None:
    """Every field with base, ours, theirs, policy and decision; the request as it would leave."""
    place, _ = desk
    one = deals(place, 1)[0]
    edit(place, one["source_id"], "description=Call Ann first")
    found = place.run("push", "plan", "--json").json
    (item,) = found["items"]
    assert ("acme", one["source_id"], "update", "write") == tuple(
        item[key] for key in ("connection", "source_id", "op", "decision")
    )
    assert {"base", "ours", "theirs", "policy", "decision", "reason"} == item["fields"]["description"].keys()
    assert {"method", "path", "body"} == item["request"].keys()
    assert found["plan_id"] == place.run("push", "plan", "--json").json["plan_id"]


def test_without_edits_there_is_nothing_to_plan(desk: Desk) -> None:
    """Exit 0, and how one would be queued."""
    told = desk[0].run("push", "plan")
    assert (0, True) == (told.code, "onepipe edit CONNECTION ID" in told.out)
    assert (0, []) == (told.code, desk[0].run("push", "plan", "--json").json["items"])


@pytest.mark.parametrize(("mode", "code"), [("off", 2), ("plan", 0)])
def test_the_write_mode_is_said_before_it_refuses(desk: Desk, mode: str, code: int) -> None:
    """Off plans nothing; plan plans, and says that it cannot be applied; neither can be."""
    place, crms = desk
    edit(place, deals(place, 1)[0]["source_id"], "description=x")
    write(place.folder, acme(crms, mode=mode))
    told = place.run("push", "plan")
    assert (code, True) == (told.code, 'write: {mode: "' in told.out + told.err)
    assert "push apply" not in told.out
    assert 2 == place.run("push", "apply", "--yes").code
    assert [] == writes(crms)


def test_edits_that_no_push_looks_at_are_named(desk: Desk) -> None:
    """Of a disabled or a retired connection: how many, why, and what to do; it is no failure."""
    place, crms = desk
    [one] = deals(place, 1)
    edit(place, one["source_id"], "description=later")
    before = writes(crms)
    disabled = acme(crms).replace('{"', '{"enabled": false, "', 1)
    for config, reason in ((disabled, "is disabled"), ("  {}", "is not in config.yaml any more")):
        (place.folder / "config.yaml").write_text("connections:\n" + config)
        for words in (("push", "plan"), ("push", "apply", "--yes")):
            told = place.run(*words)
            assert (0, True) == (told.code, "1 edit of acme waits: the connection " + reason in told.out), told.out
            assert "No edit waits" not in told.out
        (left,) = place.run("push", "plan", "--json").json["left_alone"]
        assert ("acme", 1) == (left["connection"], left["edits"])
        assert "Edits of acme wait" in place.run("push", "status").out
        if config == disabled:
            told = place.run("edit", "acme", one["source_id"], "description=much later")
            assert "Nothing is planned or sent for acme" in told.out
    assert before == writes(crms)


def test_a_plan_beyond_a_limit_says_so_and_is_refused_whole(desk: Desk) -> None:
    """Before the first request; with what the limit is called."""
    place, crms = desk
    one, other = deals(place, 2)
    assert 0 == place.run("edit", "--delete", "acme", one["source_id"]).code
    edit(place, other["source_id"], "description=x")
    told = place.run("push", "plan")
    assert (0, True) == (told.code, "It deletes 1 deal of acme, and `limits: {max_deletes: 0}` allows 0" in told.out)
    told = place.run("push", "apply", "--yes")
    assert (2, True) == (told.code, "max_deletes: 0" in told.err)
    assert [] == writes(crms)


def test_what_is_no_name_for_a_plan_is_refused(desk: Desk) -> None:
    """Before anything is read; and a folder that is not there."""
    place, crms = desk
    asked = len(crms["capsule"].log)
    for name in ("plan.xlsx", "plan", "nowhere/plan.json"):
        assert 2 == place.run("push", "plan", "-o", str(place.folder / name)).code
    assert asked == len(crms["capsule"].log)


# --- its files


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = '</td><script>alert(1)</script><img src=x onerror="alert(1)">'


def test_a_page_tells_a_manager_everything() -> None:
    """The deal with its link, its owner, old and new with the currency, who asks for it and why, in plain words."""
    item = replace(ITEM, url="https://acme.example/43?a=1&b=2", notes=("Moving it creates an invoice",))
    shown = Page(page.as_html(made(item)))
    assert {"href": "https://acme.example/43?a=1&b=2", "rel": "noopener noreferrer"} in [told for _, told in shown.tags]
    for words in ("Roof", "owner Ann", "100.00 EUR", "120.00 EUR", "is changed", "bob: signed", "creates an invoice"):
        assert words in shown.text


def test_a_page_holds_nothing_that_runs_or_is_fetched() -> None:
    """Whatever a deal, a reason or an address holds is text; no address but a web page's can be followed."""
    hostile = dict.fromkeys(("name", "owner", "who", "why", "reason", "connection", "source_id"), HOSTILE)
    fields = {HOSTILE: replace(FIELD, base=HOSTILE, ours=HOSTILE, theirs=HOSTILE, reason=HOSTILE)}
    asks = {HOSTILE: replace(fields[HOSTILE], decision="conflict")}
    sent = (Request("PUT", HOSTILE, HOSTILE), Request("POST", "/", {HOSTILE: HOSTILE}))
    items = [
        Item(draft=None, op="update", decision="write", fields=fields, requests=sent, url="javascript:alert(1)",
             notes=(HOSTILE,), **hostile),
        Item(draft=None, op="update", decision="conflict", fields=asks, url='https://x/" onclick="alert(1)', **hostile),
    ]  # fmt: skip
    plan = replace(made(*items), errors={HOSTILE: {"message": HOSTILE}})
    shown = Page(page.as_html(plan))
    assert shown.text.count(HOSTILE) > 20
    assert set() == {tag for tag, _ in shown.tags} & {"script", "img", "link", "iframe", "object", "svg", "form"}
    every = [(name, value or "") for tag, told in shown.tags for name, value in told.items()]
    assert [] == [name for name, _ in every if name.startswith("on") or name == "src"]
    assert ['https://x/" onclick="alert(1)'] == [value for name, value in every if name == "href"]
    policies = [told["content"] for tag, told in shown.tags if told.get("http-equiv") == "Content-Security-Policy"]
    assert ["default-src 'none'; style-src 'unsafe-inline'"] == policies


def test_new_and_deleted_deals_are_told_as_such() -> None:
    """A new one by the name it is to have; a deletion as the deal's end; what is empty is said to be."""
    name = replace(FIELD, base=None, ours="Shed", theirs=None)
    new = replace(ITEM, source_id=None, draft="d1", op="create", name=None, fields={"name": name})
    end = replace(ITEM, op="delete", fields={})
    clear = replace(ITEM, source_id="44", fields={"amount": replace(FIELD, ours=None)})
    told = Page(page.as_html(made(new, end, clear))).text
    assert all(words in told for words in ("Shed", "a new deal", "is set in the new deal", "the deal is deleted"))
    assert all(words in told for words in ("is emptied", "(empty)"))
    assert ["to be sent: 3 changes in 3 deals"] == sheet.sums(made(new, end, clear))


def test_a_sheet_has_a_line_for_each_field() -> None:
    """As text, with letters of every alphabet; what a spreadsheet would carry out is a text, a number stays one."""
    fields = {
        "name": replace(FIELD, ours='=HYPERLINK("http://x","y")', theirs="@SUM(1)"),
        "amount": replace(FIELD, ours="-120.00"),
        "description": replace(FIELD, base=None, ours='a "b"\nc', theirs="Straße", decision="conflict", reason="-1+1"),
    }
    text = sheet.as_csv(made(replace(ITEM, fields=fields)))
    assert text.startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    assert ["name", "amount", "description"] == [row["field"] for row in rows]
    assert ['\'=HYPERLINK("http://x","y")', "-120.00", 'a "b"\nc'] == [row["new"] for row in rows]
    assert ["'@SUM(1)", "100.00", "Straße"] == [row["in the CRM"] for row in rows]
    assert ["is changed", "is changed", "you decide"] == [row["what happens"] for row in rows]
    assert "'-1+1" == rows[2]["because"]


def test_beside_a_conflict_what_is_sound_goes(desk: Desk) -> None:
    """A deal may be in two groups; one that is refused sends nothing, whatever its fields came to."""
    fields = {"amount": FIELD, "name": replace(FIELD, decision="conflict")}
    groups = [line.group for line in sheet.lines(made(replace(ITEM, decision="conflict", fields=fields)))]
    assert ["to be sent", "needs you"] == groups
    groups = [line.group for line in sheet.lines(made(replace(ITEM, decision="refused")))]
    assert ["needs you"] == groups


def test_line_items_are_told_as_people_say_them() -> None:
    """And what cannot be read so is shown as it stands."""
    items = '[{"name": "Nut", "quantity": "3", "unit_amount": "0.10"}, {"item_id": "7"}]'
    assert "3 x Nut at 0.10, 7" == sheet.readable("line_items", items)
    assert "a, b" == sheet.readable("tags", '["a", "b"]')
    for odd in ("no list", "[1]", "7", "{}"):
        assert sheet.readable("line_items", odd) in (odd, None)


# --- applying


def test_nothing_is_sent_unless_somebody_agreed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can be asked it is exit 2 and says how; on a terminal the plan is shown and asked about."""
    place, crms = desk
    one = deals(place, 1)[0]["source_id"]
    edit(place, one, "description=Call Ann first")
    for words in ((), ("--json",)):
        told = place.run("push", "apply", *words)
        assert (2, "", True) == (told.code, told.out, "--yes" in told.err)
    told = on_terminal(place, "n")
    assert (1, True) == (told.code, "Nothing was sent; the edits wait." in told.err)
    assert "To be sent: 1 change in 1 deal" in told.out
    assert [] == writes(crms)
    told = on_terminal(place, "y")
    assert (0, True) == (told.code, "Done: 1 deal" in told.out), told.err
    assert [f"PUT /api/opportunity/{one}"] == [told.replace("/capsule", "") for told in writes(crms)]


def on_terminal(place: Place, answer: str) -> Told:
    """`push apply`, where stdin is a terminal on which somebody answers."""
    ours, theirs = os.openpty()
    with place.start("push", "apply", stdin=theirs) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        out, err = process.communicate(timeout=60)
    os.close(ours)
    return Told(process.returncode, out, err)


@pytest.mark.long
def test_what_was_sent_is_told_and_published(desk: Desk) -> None:
    """One item a record, with every value; the warehouse shows it before the command ends."""
    place, _ = desk
    one = deals(place, 1)[0]
    edit(place, one["source_id"], "description=Call Ann first", "amount=77.50", "--reason", "signed")
    done = applied(place)
    (item,) = done["items"]
    assert ("complete", "acme", one["source_id"], "update", "done") == (
        done["status"],
        *(item[key] for key in ("connection", "source_id", "op", "state")),
    )
    told = item["fields"]["amount"]
    assert ("done", "77.50", told["base"], "77.50") == tuple(told[key] for key in ("state", "ours", "theirs", "now"))
    (now,) = deals(place, 1, f"source_id = '{one['source_id']}'")
    assert ("Call Ann first", 77.5) == (now["description"], now["amount"])
    assert [] == waiting(place)
    again = place.run("push", "apply", "--yes")
    assert (0, "No edit waits: nothing was sent.\n") == (again.code, again.out)


@pytest.mark.long
def test_a_kept_plan_is_applied_exactly(desk: Desk) -> None:
    """What was queued since is left; what changed since in the CRM is stale, with both values; the rest goes."""
    place, crms = desk
    one, other, third = deals(place, 3)
    plan = place.folder / "plan.json"
    for deal in (one, other):
        edit(place, deal["source_id"], "description=Call Ann first")
    told = place.run("push", "plan", "-o", str(plan))
    assert (0, True) == (told.code, f"`onepipe push apply {plan}` sends exactly this" in told.out)
    edit(place, third["source_id"], "description=Later")
    crms["capsule"].update(int(other["source_id"]), description="Bob was here")
    told = place.run("push", "apply", str(plan), "--yes")
    assert 1 == told.code
    assert [f"PUT /api/opportunity/{one['source_id']}"] == [told.replace("/capsule", "") for told in writes(crms)]
    assert all(words in told.out for words in ("Done: 1 deal", "Needs you: 1 deal", "stale", "Bob was here"))
    assert "make a new plan with `onepipe push plan`" in told.out
    assert {other["source_id"], third["source_id"]} == {row["source_id"] for row in waiting(place)}


def test_what_is_no_plan_is_refused(desk: Desk) -> None:
    """A page, a sheet, another JSON, no file, a connection's name: exit 2, each with what to do."""
    place, crms = desk
    edit(place, deals(place, 1)[0]["source_id"], "description=x")
    html, other = place.folder / "plan.html", place.folder / "other.json"
    assert 0 == place.run("push", "plan", "-o", str(html)).code
    other.write_text(json.dumps({"items": []}))
    for file, words in ((html, ".json"), (other, "no plan"), (Path("gone.json"), "gone.json")):
        told = place.run("push", "apply", str(file), "--yes")
        assert (2, True) == (told.code, words in told.err), told.err
    told = place.run("push", "apply", "acme", "--yes")
    assert (2, True) == (told.code, "--connection acme" in told.err)
    assert [] == writes(crms)


@pytest.mark.long
def test_the_groups_say_what_is_whose_to_do(desk: Desk) -> None:
    """What the CRM refuses has failed, with its words; what both sides changed needs you; exit 1."""
    place, crms = desk
    good, bad, both = deals(place, 3)
    for deal in (good, bad, both):
        edit(place, deal["source_id"], "description=Call Ann first")
    refused = "<errors><error>the deal is locked</error></errors>"
    path = f"/api/opportunity/{bad['source_id']}"
    crms["capsule"].faults.add("status", status=422, body=refused, method="PUT", path=path, count=None)
    crms["capsule"].update(int(both["source_id"]), description="Bob was here")
    write(place.folder, acme(crms, limits={"canary": 0}))
    told = place.run("push", "apply", "--yes")
    assert 1 == told.code
    for words in ("Done: 1 deal", "Needs you: 1 deal", "Failed: 1 deal", "1 done, 1 needs you, 1 failed"):
        assert words in told.out
    assert "the deal is locked" in told.out
    assert "rejected: edit again with another value." in told.out
    assert "conflict: `onepipe conflicts list`" in told.out


def test_a_connection_held_by_another_process_is_left_alone(desk: Desk) -> None:
    """Exit 75, naming it; nothing is sent."""
    place, crms = desk
    edit(place, deals(place, 1)[0]["source_id"], "description=x")
    with Control(place.folder / ".onepipe", command="onepipe sync") as control, control.lease("connection:acme"):
        told = place.run("push", "apply", "--yes")
    assert (75, True) == (told.code, "onepipe sync" in told.out + told.err)
    assert [] == writes(crms)


# --- how it stands, and back again


@pytest.mark.long
def test_status_and_show_tell_what_happened(desk: Desk) -> None:
    """What waits by connection, what the last run came to, and one push from its wish to the warehouse."""
    place, _ = desk
    assert "No edit waits." in place.run("push", "status").out
    one, other = deals(place, 2)
    edit(place, one["source_id"], "description=Call Ann first", "--reason", "she asked")
    run = applied(place)
    edit(place, other["source_id"], "description=Later")
    told = place.run("push", "status")
    assert 0 == told.code
    assert all(words in told.out for words in ("acme", f"The last run, {run['run_id']}: 1 done.", "onepipe push apply"))
    (standing,) = place.run("push", "status", "--json").json["connections"]
    assert ("acme", "on", 1) == (standing["connection"], standing["mode"], standing["edits"])
    push_id = str(run["items"][0]["push_id"])
    told = place.run("push", "show", push_id)
    assert 0 == told.code, told.err
    for words in ("she asked", "PUT /api/opportunity", "answered", "read back", "landed", "Fields"):
        assert words in told.out
    assert {"at", "what", "detail"} <= place.run("push", "show", push_id, "--json").json["lines"][0].keys()
    told = place.run("push", "show", "99")
    assert (2, True) == (told.code, "onepipe push status" in told.err)


@pytest.mark.long
def test_a_run_is_taken_back(desk: Desk) -> None:
    """The opposite is queued, with why; --apply sends it, and nothing else that waits; what is unknown is refused."""
    place, _ = desk
    one, other = deals(place, 2)
    edit(place, one["source_id"], "description=Call Ann first")
    run = applied(place)["run_id"]
    edit(place, other["source_id"], "description=Later")
    told = place.run("push", "revert", run, "--reason", "wrong deal")
    assert (0, True) == (told.code, "1 edit queued" in told.out), told.err
    assert f"revert of {run}: wrong deal" in {row["reason"] for row in waiting(place)}
    assert 2 == place.run("push", "revert", run, "--apply").code
    told = place.run("push", "revert", run, "--apply", "--yes")
    assert (0, True) == (told.code, "Done: 1 deal" in told.out), told.err
    (now,) = deals(place, 1, f"source_id = '{one['source_id']}'")
    assert one["description"] == now["description"]
    assert [other["source_id"]] == [row["source_id"] for row in waiting(place)]
    assert 2 == place.run("push", "revert", "nope").code


@pytest.mark.long
def test_a_later_change_is_not_taken_back_unasked(desk: Desk) -> None:
    """What somebody changed since is a conflict; the documents of both steps are in one."""
    place, crms = desk
    one = deals(place, 1)[0]
    edit(place, one["source_id"], "description=Call Ann first")
    run = applied(place)["run_id"]
    crms["capsule"].update(int(one["source_id"]), description="Bob was here")
    told = place.run("push", "revert", run, "--apply", "--yes", "--json")
    assert (1, "conflict") == (told.code, told.json["applied"]["items"][0]["state"])
    assert [one["source_id"]] == [row["source_id"] for row in told.json["queued"]]
    assert "Bob was here" == crms["capsule"].rows[int(one["source_id"])]["description"]
