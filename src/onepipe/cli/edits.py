"""The command `edit`: queue what a CRM should hold, see what waits, give it up."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Json, app, door, examples
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from onepipe.config import Config
    from onepipe.control import Control
    from onepipe.edit import Outcome, Row, Told

USAGE = (
    "onepipe edit CONNECTION ID field=value... [--clear FIELD], --new CONNECTION field=value..., "
    "--delete CONNECTION ID, --from FILE, --sql QUERY, list, or drop ID"
)
HEADINGS = ("edit", "connection", "id", "name", "field", "base", "value", "by", "since (UTC)")
MODES = {
    "off": "Nothing is sent: the write mode of {names} is off in config.yaml. `write: {{mode: plan}}` there lets "
    '`onepipe push plan` show what would be sent, `write: {{mode: "on"}}` lets `onepipe push apply` send it.',
    "disabled": "Nothing is planned or sent for {names} before `enabled: true` in config.yaml: until then it waits.",
    "plan": "`onepipe push plan` shows what would be sent to {names}. Nothing can be sent: the write mode is plan in "
    'config.yaml; `write: {{mode: "on"}}` there lets `onepipe push apply` do it.',
    "on": "`onepipe push plan` shows what would be sent to {names}; `onepipe push apply` sends it.",
}
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CONNECTION ID field=value... | list | drop ID]", show_default=False),
]
Clear = Annotated[
    list[str] | None, typer.Option("--clear", metavar="FIELD", help="Empty this field; may be given again.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the change.")]
From = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="FILE", help="A CSV or Parquet file: connection, source_id, field, value [, op, reason]."
    ),
]
Sql = Annotated[
    str | None, typer.Option("--sql", metavar="QUERY", help="A query on the warehouse that answers with such rows.")
]
New = Annotated[bool, typer.Option("--new", help="A new record: CONNECTION field=value...")]
Delete = Annotated[bool, typer.Option("--delete", help="Delete the record: CONNECTION ID.")]


@app.command(
    epilog=examples(
        'onepipe edit acme 43 amount=120.00 stage=Won --reason "signed"',
        "onepipe edit acme 43 custom.Region=North --clear description",
        "onepipe edit --from edits.csv",
        "onepipe edit --sql \"SELECT connection, source_id, 'owner' AS field, 'ann' AS value FROM open_deals\"",
        "onepipe edit --new acme name='Roof repair' company_id=2 stage=New",
        "onepipe edit --delete acme 43",
        "onepipe edit list --json",
        "onepipe edit drop 17",
    )
)
def edit(
    ctx: typer.Context,
    words: Words = None,
    clear: Clear = None,
    reason: Reason = "",
    file: From = None,
    sql: Sql = None,
    new: New = False,
    delete: Delete = False,
    as_json: Json = False,
) -> None:
    """Queue changes to deals; `onepipe push` sends them.

    An edit is kept with what was known of the deal when it was made, so that a change in the CRM meanwhile is seen
    before anything is written over. All edits of a command are queued, or none. `edit list` shows what waits, `edit
    drop` gives it up, `push plan` shows what would be sent. Fields are the columns of `opportunities`, custom.KEY,
    extra.NAME and line_items.
    """
    given = Given(words or [], clear or [], reason, file, sql, new=new, delete=delete)
    given.check()
    config = door(ctx).load()
    if given.verb == "list":
        _list(config, given.words[1:], as_json)
    elif given.verb == "drop":
        _drop(config, given.words[1:], as_json)
    else:
        _tell(_queued(config, given), as_json)


@dataclass(frozen=True)
class Given:
    """The words and options of one command."""

    words: list[str]
    clear: list[str]
    reason: str
    file: Path | None
    sql: str | None
    new: bool
    delete: bool

    @property
    def verb(self) -> str:
        """`list`, `drop`, or nothing: an edit."""
        return next((word for word in self.words[:1] if word in ("list", "drop")), "")

    def check(self) -> None:
        """One way at a time. Raises UsageError."""
        options = {"--from": self.file, "--sql": self.sql, "--new": self.new, "--delete": self.delete}
        ways = [name for name, given in options.items() if given]
        if len(ways) > 1 or (self.verb and (ways or self.clear)):
            told = exits.listed([*ways, *(["--clear"] if self.clear else []), *filter(None, [self.verb])])
            raise UsageError(f"{told} exclude each other; nothing was queued", f"usage: {USAGE}")
        if (self.file or self.sql) and (self.words or self.clear):
            raise UsageError(f"{ways[0]} says all there is to edit; nothing was queued", f"usage: {USAGE}")
        if not (self.verb or self.file or self.sql or self._enough):
            raise UsageError("There is nothing to edit", f"usage: {USAGE}")

    @property
    def _enough(self) -> bool:
        count = len(self.words)
        if self.delete:
            return count == 2 and not self.clear
        return count >= 1 if self.new else count > 2 or (count == 2 and bool(self.clear))


def _queued(config: "Config", given: Given) -> "Outcome":
    import onepipe.edit as editing

    if given.delete:
        with _control(config) as control:
            return editing.delete(config, control, given.words[0], given.words[1], given.reason)
    rows = _rows(config, given)
    with _control(config) as control:
        if given.new:
            return editing.create(config, control, given.words[0], rows)
        return editing.queue(config, control, rows)


def _rows(config: "Config", given: Given) -> "list[Row]":
    import onepipe.edit as editing

    if given.file:
        return editing.from_file(given.file, given.reason)
    if given.sql:
        return editing.from_query(given.sql, config.snapshot, given.reason)
    known = 1 if given.new else 2
    source_id = None if given.new else given.words[1]
    return editing.from_words(given.words[0], source_id, given.words[known:], given.clear, given.reason)


def _control(config: "Config") -> "Control":
    """The control file, once there is something to edit. Raises ConfigError where nothing was ever published."""
    from onepipe.control import Control
    from onepipe.warehouse.work import published

    with published(config.warehouse):
        return Control(config.state, command="onepipe edit")


def _tell(outcome: "Outcome", as_json: bool) -> None:
    if as_json:
        keys = ("edit_id", "connection", "source_id", "op", "field", "base", "value", "note", "instead", "place")
        screen.document(
            {
                "queued": [{key: getattr(one, key) or None for key in keys} for one in outcome.queued],
                "nothing": [
                    {key: getattr(one, key) or None for key in (*keys[1:], "reason")} for one in outcome.nothing
                ],
                "write_mode": dict(outcome.modes),
            }
        )
        return
    tell_queued(outcome.queued, outcome.nothing, outcome.modes)


def tell_queued(queued: "Sequence[Told]", nothing: "Sequence[Told]", modes: "Mapping[str, str]") -> None:
    """What was queued, what there was nothing to do for, and what comes next."""
    for one in queued:
        screen.say(screen.plain(_line(one)))
    for one in nothing:
        screen.say(screen.plain(f"{_about(one)}: nothing to do: {one.reason}"))
    count = screen.counted(len(queued), "edit") if queued else "Nothing"
    screen.tell(f"{count} queued; `onepipe edit list` shows what waits.")
    for mode, text in MODES.items():
        names = [name for name, theirs in modes.items() if theirs == mode]
        if names:
            screen.tell(text.format(names=exits.listed(names)))


def _about(one: "Told") -> str:
    place = f"{one.place}: " if one.place else ""
    return place + " ".join(filter(None, (one.connection, one.source_id or "(new)", one.field)))


def _line(one: "Told") -> str:
    """One edit that was queued: `acme 43 amount: 100.00 -> 120.00 (edit 17)`."""
    remarks = [f"edit {one.edit_id}"]
    remarks += [f"instead of edit {one.instead}"] if one.instead else []
    remarks += [one.note] if one.note else []
    if one.op == "delete":
        change = f"to be deleted: {one.base or 'a deal without a name'}"
    else:
        change = f"{_shown(one.base)} -> {_shown(one.value)}" if one.op == "update" else _shown(one.value)
    return f"{_about(one)}: {change} ({'; '.join(remarks)})"


def _shown(text: str | None) -> str:
    return "nothing" if text is None else text


def _list(config: "Config", names: list[str], as_json: bool) -> None:
    import onepipe.edit as editing

    found: list[dict[str, Any]] = []
    if (config.state / "control.sqlite").is_file():
        chosen = [one.name for one in config.select(names)] if names else []
        with _control(config) as control:
            found = editing.waiting(config, control, chosen)
    if as_json:
        screen.document({"edits": found})
        return
    for line in screen.table(HEADINGS, _cells(found)) if found else ["No edit waits."]:
        screen.say(line)


def _cells(found: list[dict[str, Any]]) -> "Iterator[list[str | None]]":
    for one in found:
        wanted = "(deleted)" if one["op"] == "delete" else "(empty)" if one["clear"] else one["value"]
        yield [
            *(one["edit_id"], one["connection"], one["source_id"] or "(new)", one["name"], one["field"]),
            *(one["base"], wanted, one["actor"], screen.when(one["created_at"])),
        ]


def _drop(config: "Config", edit_ids: list[str], as_json: bool) -> None:
    if not edit_ids:
        raise UsageError("There is no ID to drop", "`onepipe edit list` shows them")
    with _control(config) as control:
        dropped = control.edits.drop(edit_ids)
    if as_json:
        screen.document({"dropped": dropped})
    else:
        screen.say(f"Dropped: {exits.listed(dropped)}.")
