"""The command `fleet`: what each list of accounts in config.yaml makes, and what is wrong with it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Json, app, door, end, examples

if TYPE_CHECKING:
    from onepipe.config import Config

HEADINGS = ("entry", "names", "list", "accounts", "faulty", "new", "gone")
SHOWN = 10  # names of a kind that are told; --json has all


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of `connections_from:`: what it makes now, against what the published warehouse knows of."""

    entry: str
    names: str
    source: str
    accounts: int = 0
    faults: dict[str, str] = field(default_factory=dict)  # by connection
    added: Sequence[str] = ()
    gone: Sequence[str] = ()

    @property
    def cells(self) -> list[str | None]:
        """Its line in the table."""
        numbers = (self.accounts, len(self.faults), len(self.added), len(self.gone))
        return [self.entry, self.names, self.source, *(screen.count(number) for number in numbers)]


@app.command(epilog=examples("onepipe fleet", "onepipe fleet --json", "onepipe fleet --accept"))
def fleet(
    ctx: typer.Context,
    accept: Annotated[
        bool,
        typer.Option("--accept", help="Believe the lists as they are now, also where most accounts are gone from one."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the lists of accounts in config.yaml: how many connections each makes, new and gone ones, mistakes.

    Asks no CRM. New are those never synced, gone those that were and are in no list any more: they are retired and keep
    their rows. A running daemon takes over what --accept believes within a minute. Ends with 1 where a row is wrong.
    """
    config = door(ctx).load(credentials=True, believing=accept)
    found = [_entry(config, number) for number in range(len(config.connections_from))]
    if as_json:
        told = [asdict(one) | {"added": list(one.added), "gone": list(one.gone)} for one in found]
        screen.document({"entries": told, "notices": list(config.notices)})
    else:
        _tell(found, config.notices)
    end(exits.FAILED if any(one.faults for one in found) else 0)


def _tell(found: Sequence[Entry], notices: Iterable[str]) -> None:
    if not found:
        screen.say(
            "config.yaml names no list of accounts; `connections_from:` in docs/config.md says how one is written."
        )
        return
    for line in screen.table(HEADINGS, (one.cells for one in found), right=range(3, 7)):
        screen.say(line)
    for one in found:
        for word, names in (("new", one.added), ("gone", one.gone)):
            if names:
                more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
                screen.tell(f"{one.entry}: {word}: {', '.join(names[:SHOWN])}{more}.")
        for text in list(one.faults.values())[:SHOWN]:
            screen.tell(exits.stopped(text))
    for text in notices:
        screen.tell(exits.sentence(text))


def _entry(config: "Config", number: int) -> Entry:
    import onepipe.warehouse.ledger as ledger

    one, place = config.connections_from[number], f"connections_from[{number}]"
    made = [connection for connection in config.connections.values() if connection.entry == place]
    known = set(ledger.connections(config.warehouse))
    pattern = named_by(one.name or f"{one.connector}-{{}}")
    return Entry(
        entry=place,
        names=one.name or f"{one.connector}-...",
        source=one.file.name if one.file else f"output of {one.command[0] if one.command else ''}",
        accounts=len(made),
        faults={connection.name: str(connection.fault) for connection in made if connection.fault},
        added=[connection.name for connection in made if connection.name not in known],
        gone=sorted(name for name in known - config.connections.keys() if pattern.fullmatch(name)),
    )


def named_by(template: str) -> "re.Pattern[str]":
    """What the names that a template makes look like."""
    parts: list[Any] = re.split(r"\{[^{}]*\}", template)
    return re.compile(".+".join(re.escape(part) for part in parts))
