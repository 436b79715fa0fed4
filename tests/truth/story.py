"""A year in five CRMs in five acts; what each run made of them, and what it should have."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from onepipe.report import RunReport
from onepipe.sandbox.tactile import STATUSES
from tests.truth.desk import Desk, Key, Picture, Row, source_key
from tests.truth.ledger import breaches, unlike, unlike_lists

CLEAN = dict(STATUSES)


@dataclass
class Act:
    """One run: the warehouse before and after it, what it broke, and where it differs from the truth."""

    report: RunReport
    old: Picture
    new: Picture
    broken: list[str]
    wrong: list[str]
    asked: dict[str, int]
    expected: dict[Key, set[str]] = field(default_factory=dict)
    deleted: dict[Key, str] = field(default_factory=dict)
    notes: dict[str, Key] = field(default_factory=dict)

    def added(self) -> dict[Key, list[Row]]:
        """The versions this run added, by record."""
        grown = {key: rows[len(self.old.history.get(key, [])) :] for key, rows in self.new.history.items()}
        return {key: rows for key, rows in grown.items() if rows}


@dataclass
class Edits:
    """What was done at the sources: the columns each record must differ in, and the deletions with their evidence."""

    expected: dict[Key, set[str]] = field(default_factory=dict)
    deleted: dict[Key, str] = field(default_factory=dict)
    notes: dict[str, Key] = field(default_factory=dict)

    def update(self, crm: Any, key: Any, columns: str, **changes: Any) -> Key:
        """An ordinary edit, which moves the changed-at stamp."""
        crm.update(key, **changes)
        self.expected[crm.name, str(key)] = {*columns.split(), "updated_at"}
        return crm.name, str(key)

    def silent(self, crm: Any, key: Any, columns: str, **changes: Any) -> Key:
        """An edit that leaves the stamp as it was."""
        crm.update(key, silently=True, **changes)
        self.expected[crm.name, str(key)] = set(columns.split())
        return crm.name, str(key)

    def insert(self, crm: Any, **changes: Any) -> Key:
        """A new record."""
        key = (crm.name, str(crm.insert(**changes)))
        self.expected[key] = set()
        return key

    def delete(self, crm: Any, key: Any, evidence: str) -> Key:
        """A record removed for good."""
        self.deleted[crm.name, str(key)] = evidence
        crm.delete(key)
        return crm.name, str(key)


NOBODY = Picture({}, {}, [], [], {})


def act(desk: Desk, old: Picture, edits: Edits | None = None, **options: Any) -> Act:
    """One run, and everything that is found wrong with it."""
    edits = edits or Edits()
    before = {name: len(desk.sandbox[name].log) for name in desk.crms}
    report = desk.sync(**options)
    asked = {name: len(desk.sandbox[name].log) - before[name] for name in desk.crms}
    new = desk.picture()
    broken = list(breaches(desk, old, new, report))
    return Act(report, old, new, broken, wrong(desk, new), asked, edits.expected, edits.deleted, edits.notes)


def wrong(desk: Desk, picture: Picture) -> list[str]:
    """Where the published rows are not what the CRMs' records say."""
    truth = desk.truth()
    live = {key for key, row in picture.opportunities.items() if not row["is_deleted"]}
    lines = [f"{key}: missing" for key in truth.keys() - live] + [f"{key}: not deleted" for key in live - truth.keys()]
    for key in truth.keys() & live:
        lines += [f"{key}: {line}" for line in unlike(picture.opportunities[key], truth[key])]
    for name, rows in desk.children().items():
        held = {key: told for key, told in picture.children[name].items() if key in live}
        lines += [f"{key}: {line}" for key in truth.keys() & live for line in unlike_lists(name, rows, held, key)]
    return lines


def anyone(_: Row) -> bool:
    """Any record will do."""
    return True


def pick(crm: Any, wanted: Callable[[Row], bool], taken: set[Any]) -> Any:
    """The first record that suits and was not used before."""
    key = next(key for key, row in crm.rows.items() if key not in taken and wanted(row))
    taken.add(key)
    return key


def act_of_edits(desk: Desk, taken: set[Any]) -> Edits:
    """Edits that every run must see."""
    edits, (adm, tac, cap, ona, ove) = Edits(), (desk.sandbox[name] for name in desk.crms)

    edits.notes["new"] = edits.insert(
        adm, name="New", closing_date="2026-12-31", currency={"id": "EUR"}, value=Decimal("1.5")
    )
    edits.update(adm, pick(adm, anyone, taken), "name expected_close_date", name="Än", closing_date="2031-01-31")
    won = pick(adm, lambda row: row["step_id"] < 4, taken)
    edits.notes["observed"] = edits.update(adm, won, "stage_id stage status", step={"id": 5})

    edits.insert(tac, name="New", cost=Decimal("10.01"), status="Discussion", type="R&D", description="")
    shown = [lambda row: not row["archived"] and row["status_id"] in (1, 2, 3)] * 4
    one, two, three, four = (pick(tac, one, taken) for one in shown)
    edits.update(tac, one, "amount probability notes", cost=Decimal("77.07"), probability=85)
    tac.write_note(one, "A call")
    edits.update(tac, two, "stage_id stage status", status="Won")
    edits.notes["archived"] = edits.update(tac, three, "is_archived", archived=True)
    edits.notes["escaped"] = edits.update(tac, four, "is_archived stage_id stage", archived=True, status="R&D trial")

    month = {"durationBasis": "MONTH", "duration": 3, "value": Decimal("19.99")}
    edits.notes["per month"] = edits.insert(cap, name="New", tags=["b", "a", "b"], **month)
    fixed = pick(cap, lambda row: row["durationBasis"] == "FIXED" and row["value"], taken)
    edits.update(cap, fixed, "amount description notes", value=Decimal("0.07"), description="other words")
    cap.write_note(fixed, "They called\nback")
    won = pick(cap, lambda row: row["milestoneId"] == 1 and row["probability"] == 10, taken)
    edits.notes["crm"] = edits.update(cap, won, "stage_id stage status probability closed_at", milestone="Won")
    edits.notes["tombstone"] = edits.delete(cap, pick(cap, anyone, taken), "tombstone")

    pipelines = list(ona.pipelines)
    edits.insert(ona, name="New", contact={"name": "Neu", "email": "neu@example.org", "tags": ["z", "a", "z"]})
    edits.update(ona, pick(ona, lambda row: row["status"] == "open", taken), "amount", monetaryValue=Decimal("3.1415"))
    won = pick(ona, lambda row: row["status"] == "open", taken)
    edits.notes["at"] = edits.update(ona, won, "status closed_at", status="won")
    deal = pick(ona, lambda row: row["pipelineId"] == pipelines[0], taken)
    edits.notes["moved"] = edits.update(ona, deal, "pipeline_id pipeline stage_id stage", pipelineId=pipelines[1])

    lost = {"status": "Lost", "lost_reasons": ["Price", "Competitor"]}
    edits.notes["lost"] = edits.insert(ove, title="New", opportunity_amount=Decimal("0.1"), **lost)
    items = [{"item_code": "SKU-1", "qty": 3, "rate": Decimal("12345678901.2345")}, {"item_code": "X", "qty": 0}]
    edits.update(ove, pick(ove, anyone, taken), "name line_items extra", title="Än", items=items)
    deal = pick(ove, lambda row: row["status"] == "Open", taken)
    edits.update(ove, deal, "status", status="Converted")
    return edits


def act_of_silence(desk: Desk, taken: set[Any], archived: Key) -> Edits:
    """What only a complete read can see: silent edits, and deletions nobody tells of."""
    edits, (adm, tac, cap, ona, ove) = Edits(), (desk.sandbox[name] for name in desk.crms)
    edits.silent(adm, pick(adm, anyone, taken), "name", name="quietly")
    person = {"first_name": "Ann", "last_name": "Oto", "email": "ann@example.org"}
    nested = pick(adm, lambda row: row["interests"], taken)
    interest = adm.rows[nested]["interests"][0]["id"]
    edits.notes["nested"] = edits.silent(adm, nested, "", interests=[{"id": interest, "is_taxable": False}])
    edits.silent(adm, pick(adm, anyone, taken), "contacts line_items", interests=[{"delegates": [person]}])
    edits.silent(tac, pick(tac, lambda row: not row["archived"], taken), "description", description="quietly")
    edits.notes["archived"] = edits.update(tac, int(archived[1]), "description", description="while archived")
    cap.rename_milestone(2, "Offer")
    edits.expected |= {("capsule", str(key)): {"stage"} for key, row in cap.rows.items() if row["milestoneId"] == 2}
    edits.silent(cap, pick(cap, lambda row: row["milestoneId"] != 2, taken), "name", name="quietly")
    contact = pick(ona, anyone, taken)
    edits.silent(ona, contact, "contact_phone tags", contact={"phone": "+32 2 1", "tags": ["quiet", "a"]})
    edits.silent(ove, pick(ove, anyone, taken), "name", title="quietly")
    edits.delete(adm, pick(adm, anyone, taken), "gone")
    edits.delete(tac, pick(tac, lambda row: not row["archived"], taken), "gone")
    edits.delete(ona, pick(ona, anyone, taken), "absent")
    edits.delete(ove, pick(ove, anyone, taken), "gone")
    return edits


def act_of_return(desk: Desk, rows: dict[Key, Row]) -> Edits:
    """Deleted records come back: Administrate's as it was, the others changed."""
    edits = Edits()
    for (name, source_id), row in rows.items():
        crm = desk.sandbox[name]
        with crm.lock:
            crm.rows[row["id"]] = copy.deepcopy(row)
            crm.touched()
        edits.expected[name, source_id] = {"is_deleted"}
        if name != "administrate":
            field_name = "title" if name == "overplane" else "name"
            went = {"capsule": " custom notes", "overplane": " extra line_items"}.get(
                name, ""
            )  # told by children, which were deleted too
            columns = "name is_deleted" + went
            edits.update(crm, row["id"], columns, **{field_name: "back again"})
    return edits


UNREADABLE: dict[str, tuple[Row, Row]] = {  # what is set, and the columns that cannot be read with the value as sent
    "administrate": ({"closing_date": "soon"}, {"expected_close_date": "soon"}),
    "tactile": ({"enddate": "0000-00-00"}, {"expected_close_date": "0000-00-00"}),
    "capsule": (
        {"expectedCloseDate": "2026-13-45T00:00:00Z", "tags": ["x", "a"]},
        {"expected_close_date": "2026-13-45T00:00:00Z"},
    ),
    "onautomate": ({"monetaryValue": "1.000,50"}, {"amount": "1.000,50"}),
    "overplane": (
        {"expected_closing": "next week", "probability": 250, "status": "Dormant"},
        {"expected_close_date": "next week", "probability": "250", "status": "Dormant"},
    ),
}
REPAIRED: dict[str, Row] = {
    "administrate": {"closing_date": "2030-01-01"},
    "tactile": {"enddate": "2030-01-01"},
    "capsule": {"expectedCloseDate": "2030-01-01T00:00:00Z"},
    "onautomate": {"monetaryValue": Decimal("1000.5")},
    "overplane": {"expected_closing": "2030-01-01", "probability": 25, "status": "Open"},
}


def act_of_spoiling(desk: Desk, edits: Edits, taken: set[Any]) -> dict[str, Key]:
    """One record of each CRM gets values that cannot be read."""
    spoilt = {}
    for name in desk.crms:
        crm, (changes, told) = desk.sandbox[name], UNREADABLE[name]
        key = pick(crm, lambda row: not row.get("archived") and row.get("monetaryValue", 1) is not None, taken)
        spoilt[name] = edits.update(crm, key, " ".join([*told, *({"tags"} & changes.keys())]), **changes)
    return spoilt


def act_of_repair(desk: Desk, edits: Edits, spoilt: dict[str, Key]) -> None:
    """And then right ones."""
    for name, key in spoilt.items():
        crm = desk.sandbox[name]
        edits.update(crm, source_key(crm, key[1]), " ".join(UNREADABLE[name][1]), **REPAIRED[name])


@dataclass
class Story:
    """The acts in their order; `spoilt` are the records with unreadable values, read in `edited`, right in `swept`."""

    desk: Desk
    first: Act
    again: Act
    edited: Act
    swept: Act
    returned: Act
    spoilt: dict[str, Key]

    @property
    def acts(self) -> dict[str, Act]:
        """All of them by name."""
        names = ("first", "again", "edited", "swept", "returned")
        return {name: getattr(self, name) for name in names}


def play(desk: Desk) -> Story:
    """All acts, one after the other."""
    try:
        return _play(desk)
    finally:
        STATUSES.clear()  # a status made for a test stays with the simulated Tactile's module
        STATUSES.update(CLEAN)


def _play(desk: Desk) -> Story:
    taken: set[Any] = set()
    first = act(desk, NOBODY)
    again = act(desk, first.new)
    stock = {name: copy.deepcopy(desk.sandbox[name].rows) for name in desk.crms}
    edits = act_of_edits(desk, taken)
    spoilt = act_of_spoiling(desk, edits, taken)
    edited = act(desk, again.new, edits)
    edits = act_of_silence(desk, taken, edited.notes["archived"])
    act_of_repair(desk, edits, spoilt)
    swept = act(desk, edited.new, edits, sweep=True)
    dead = {**edited.deleted, **swept.deleted}
    rows = {key: next(row for one, row in stock[key[0]].items() if str(one) == key[1]) for key in dead}
    returned = act(desk, swept.new, act_of_return(desk, rows), sweep=True)
    return Story(desk, first, again, edited, swept, returned, spoilt)
