"""What must hold between any two steps, after a push has landed, and at the end."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from onepipe.control import Control
from onepipe.merge import states
from onepipe.push.words import Plan
from onepipe.sandbox.crm import Crm
from onepipe.warehouse.database import Database
from onepipe.warehouse.work import published
from tests.push.machine.ledger import OURS
from tests.push.machine.wishes import Wishes
from tests.push.machine.world import World
from tests.truth import canonical
from tests.truth.desk import take
from tests.truth.ledger import chain, unlike

ON_ITS_WAY = ("sending", "unknown", "ambiguous")


def hold(world: World, wishes: Wishes, control: Control, made: list[str], called: list[str]) -> None:
    """Write down whatever is not as it must be."""
    world.wrong += _twice(world, made, called)
    world.wrong += _disagreeing(world, control)
    world.wrong += _fighting(world, wishes, control)


def _twice(world: World, made: list[str], called: list[str]) -> list[str]:
    """No deal is made twice, no action is carried out twice."""
    names = Counter(name for _, name, hand in world.ledger.made)
    wrong = [f"{name!r} was made {names[name]} times" for name in made if names[name] > 1]
    done = {text: sum(text in body for body in world.executed) for text in called}
    return wrong + [f"{text!r} was called {count} times" for text, count in done.items() if count > 1]


def _disagreeing(world: World, control: Control) -> list[str]:
    """Edits, pushes and conflicts agree."""
    edits, waiting = control.edits.open(), control.outbox.waiting()
    carried = {one for push in waiting if push.state in ON_ITS_WAY for one in push.edits}
    wrong = [f"{one} is on its way, and no push carries it" for one in edits
             if one.state == "pushing" and one.edit_id not in carried]  # fmt: skip
    wrong += [f"{push} is final, and open" for push in waiting if states.STATES[push.state].final]
    slots = {(one.source_id or one.draft, one.slot) for one in edits}
    fields = [one for one in control.conflicts.open() if one.kind == "field"]
    return wrong + [
        f"{one.field} of {one.source_id} is in conflict, and no edit waits for it"
        for one in fields
        if (one.source_id or one.draft, one.slot) not in slots
    ]


def _fighting(world: World, wishes: Wishes, control: Control) -> list[str]:
    """Nobody is asked to decide between us and ourselves, but where a run is taken back over what a later one wrote."""
    wrong = []
    back = {(one.source_id, one.field) for one in control.edits.open() if (one.reason or "").startswith("revert of ")}
    for one in control.conflicts.open():
        history = world.ledger.history.get((one.source_id or "", one.field), [])
        seen = [entry for entry in history if one.record is not None and entry.at <= one.record.read_at]
        if (one.source_id, one.field) in back and any(entry.value == one.base for entry in seen[:-1]):
            continue
        if one.kind == "field" and seen and seen[-1].hand == OURS:
            wrong.append(f"{one.field} of {one.source_id}: theirs is ours ({one.base}, {one.ours}, {one.theirs})")
    return wrong


def planned(plan: Plan | None) -> Mapping[tuple[str, str], str | None] | None:
    """What a plan would write, with the CRM's value that it was made for."""
    if plan is None:
        return None
    return {
        (item.record, name): one.theirs or None
        for item in plan.items
        if item.decision in ("write", "conflict")
        for name, one in item.fields.items()
        if one.decision == "write"
    }


def landed(world: World) -> None:
    """Every line of the journal is in the warehouse, once; its pushes and conflicts are those of the control file."""
    with world.project() as project, published(world.warehouse) as db:
        control = project.control
        lines = control.outbox.journal(after=0, limit=100_000)
        rows = db.run("SELECT push_id, state, message FROM pushes ORDER BY push_id::INTEGER")
        mark = db.one("SELECT max(journal_id) FROM store.landed")
        conflicts = db.run("SELECT conflict_id, state FROM conflicts ORDER BY conflict_id::INTEGER")
        reads = db.one("SELECT count(*) FROM raw.records WHERE origin = 'push' AND resource = 'opportunity'")
        changes = [one for _, one in control.conflicts.changed(0, limit=100_000)]
    last = {line.push_id: line.told["push"] for line in lines if line.told["push"]}  # what did nothing tells nothing
    expected = [(str(one), told["state"], told["message"]) for one, told in sorted(last.items())]
    if expected != rows:
        world.wrong.append(f"the table of pushes is {rows}, not {expected}")
    if lines and mark != lines[-1].journal_id:
        world.wrong.append(f"landed up to line {mark} of {lines[-1].journal_id}")
    if sorted((int(one.conflict_id), one.state) for one in changes) != [(int(key), state) for key, state in conflicts]:
        world.wrong.append("the table of conflicts is not that of the control file")
    most = sum(line.read is not None or line.told.get("gone_at") is not None for line in lines)
    if reads > most:
        world.wrong.append(f"{reads} raw rows of pushes, and {most} lines that read a record")


def versions(world: World) -> list[tuple[Any, ...]]:
    """Every version of every record."""
    with published(world.warehouse) as db:
        told = "source_id, version, change_origin, changed_fields"
        return db.run(f"SELECT {told} FROM opportunity_history ORDER BY source_id, version")


def unlike_the_crm(db: Database, crm: Crm, currency: str | None = None) -> list[str]:
    """In what a warehouse is not what the CRM holds, its history whole."""
    picture, truth = take(db), canonical.opportunities(crm, currency)
    rows = {key: row for (_, key), row in picture.opportunities.items()}
    alive = {key for key, row in rows.items() if not row["is_deleted"]}
    wrong = [f"{key}: missing or too much" for key in sorted(alive ^ truth.keys())]
    wrong += [f"{key}: {line}" for key in alive & truth.keys() for line in unlike(rows[key], truth[key])]
    history = {key: versions for (_, key), versions in picture.history.items()}
    return wrong + [f"{key}: {line}" for key, row in rows.items() for line in chain(row, history[key])]
