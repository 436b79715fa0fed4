"""The command `erase`: a person taken out of everything that is kept here, for good."""

import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.screen as screen
from onepipe.cli.app import Json, app, complete_connection, door, examples
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.control import Erasure
    from onepipe.erase import Found, Wanted
    from onepipe.project import Project

HEADINGS = ("erasure", "connection", "deal", "erased (UTC)", "by", "reason", "state")
AT_MOST = 10  # deals that are named before one is asked


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the options said."""

    plan: bool
    yes: bool
    reason: str
    wait: float
    as_json: bool


@app.command(
    epilog=examples(
        "onepipe erase acme 4711 --plan",
        'onepipe erase acme 4711 --reason "request of 3 March" --yes',
        "onepipe erase --email ana@example.org --plan",
        "onepipe erase --email - acme beta --yes < address.txt",
        "onepipe erase --list",
        "onepipe erase --resume",
    )
)
def erase(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONNECTION ID]",
            help="The deal whose person is to be erased; with --email connections to look in, all if none is given.",
            autocompletion=complete_connection,
            show_default=False,
        ),
    ] = None,
    email: Annotated[
        str | None, typer.Option("--email", metavar="ADDR", help="Whoever has this address; - reads it from stdin.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only look who and what would be erased.")] = False,
    every: Annotated[bool, typer.Option("--list", help="List who was erased, without a word of who it was.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="End what was begun and not ended.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Erase without asking.")] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept, so name nobody in it.")] = "",
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for a run that is at work.")
    ] = 30.0,
    as_json: Json = False,
) -> None:
    """Erase a person from raw, history, the control file, kept copies and our own backups, for good.

    Of a deal its figures stay: amount, stage, status, days, owner. Whatever is read later stays blank, too.
    """
    if [bool(words) or email is not None, every, resume].count(True) != 1:
        raise UsageError("Give CONNECTION ID, --email ADDR, --list or --resume; nothing was done")
    asked = _Asked(plan, yes, reason, wait, as_json)
    with door(ctx).project("erase") as project:
        if every:
            _list(project, as_json)
        elif resume:
            _resume(project, asked)
        else:
            _erase(project, _wanted(project, words or [], email), asked)


def _wanted(project: "Project", words: list[str], email: str | None) -> "Wanted":
    from onepipe.erase import Wanted

    if email is None:
        if len(words) != 2:
            raise UsageError("Give one connection and one deal, or --email ADDR; nothing was done")
        return Wanted(deal=(words[0], words[1]))
    address = (sys.stdin.readline() if email == "-" else email).strip()
    name, at, domain = address.partition("@")
    if not (name and at and domain) or any(one.isspace() or one in '<>"@' for one in name + domain):
        raise UsageError("That is no e-mail address; nothing was done", "one is written ana@example.org")
    return Wanted(address=address, connections=tuple(one.name for one in project.choose(words)) if words else ())


def _erase(project: "Project", wanted: "Wanted", asked: _Asked) -> None:
    import onepipe.erase as erasing
    from onepipe.edit import actor

    found = erasing.look(project, wanted)
    if asked.plan or not (found.deals or asked.yes):
        _show(found, "would be erased", asked.as_json)
        return
    if not asked.yes:
        _confirm(found)
    done = erasing.erase(project, wanted, actor(), asked.reason, wait=asked.wait)
    _show(done, "erased", asked.as_json)


def _resume(project: "Project", asked: _Asked) -> None:
    import onepipe.erase as erasing

    done = erasing.resume(project, wait=asked.wait)
    if not done.erasures and not asked.as_json:
        screen.say("Nothing was begun that is not ended.")
        return
    _show(done, "erased", asked.as_json)


def _confirm(found: "Found") -> None:
    """Ask on a terminal; refuse elsewhere. Raises UsageError."""
    if not sys.stdin.isatty():
        raise UsageError(
            f"this would erase for good what is personal of {screen.counted(len(found.deals), 'deal')}; "
            "nothing was changed",
            "look with --plan, and add --yes to erase without being asked",
        )
    for line in _lines(found, "would be erased"):
        screen.note(line)
    screen.note("What is erased cannot be brought back, and stays blank in whatever is read later.")
    typer.confirm("Erase it?", abort=True, err=True)


def _show(found: "Found", what: str, as_json: bool) -> None:
    if as_json:
        screen.document(_document(found, what))
        return
    for line in _lines(found, what):
        screen.say(line)


def _lines(found: "Found", what: str) -> list[str]:
    deals = screen.counted(len(found.deals), "deal")
    lines = [f"{deals}, {screen.counted(found.versions, 'version')}: what is personal of them {what}."]
    if not found.deals:
        lines = [_nobody(what)]
    lines += [f"  {name} {source_id}" for name, source_id in found.deals[:AT_MOST]]
    if len(found.deals) > AT_MOST:
        lines.append(f"  and {len(found.deals) - AT_MOST:,} more")
    verb = "is removed, for it holds what was" if what == "erased" else "would be removed, for it holds what is now"
    lines += [f"{path} {verb}." for path in found.files]
    lines += [f"{path} is a backup that is not there any more: erase or destroy it by hand." for path in found.missing]
    if found.files and what == "erased":
        lines.append("`onepipe backup PATH` makes a new backup.")
    return lines


def _nobody(what: str) -> str:
    """An address that is no deal's; a person may stand elsewhere, and may come later."""
    if what == "erased":
        return "Nobody had this address: no deal was erased. It stays blank in whatever is read later."
    return (
        "Nobody has this address: no deal would be erased, and nothing was changed. With --yes it is taken out of "
        "whatever else it stands in (an owner, a list, a note), and stays blank in whatever is read later."
    )


def _document(found: "Found", what: str) -> dict[str, Any]:
    return {
        "erased": what == "erased",
        "deals": [{"connection": name, "source_id": source_id} for name, source_id in found.deals],
        "versions": found.versions,
        "payloads": found.payloads,
        "removed": [str(path) for path in found.files],
        "missing": [str(path) for path in found.missing],
        "erasures": list(found.erasures),
    }


def _list(project: "Project", as_json: bool) -> None:
    import onepipe.erase as erasing

    found = erasing.listed(project)
    if as_json:
        screen.document({"erasures": [asdict(one) | {"fields": list(one.fields)} for one in found]})
    elif not found:
        screen.say("Nobody was erased.")
    else:
        for line in screen.table(HEADINGS, map(_row, found)):
            screen.say(line)


def _row(one: "Erasure") -> list[str | None]:
    who = one.source_id or "(an address)"
    state = "done" if one.done_at else "begun: `onepipe erase --resume`"
    minute = one.erased_at[:16].replace("T", " ")
    return [one.erasure_id, one.connection or "(all)", who, minute, one.actor, one.reason, state]
