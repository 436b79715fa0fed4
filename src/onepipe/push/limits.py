"""What may be pushed at all: the mode of each connection, and the limits on a run. Refused before any request."""

from collections.abc import Mapping, Sequence

from onepipe.config import Connection
from onepipe.control import Edit
from onepipe.errors import UsageError

UNSENT = "nothing was sent"


def records(edits: Sequence[Edit]) -> dict[str, set[str]]:
    """Connection -> the records that have edits."""
    found: dict[str, set[str]] = {}
    for edit in edits:
        found.setdefault(edit.connection, set()).add(edit.source_id or edit.draft or "")
    return found


def refuse_modes(chosen: Mapping[str, Connection], least: str) -> None:
    """Raise UsageError where no connection that something waits for may be pushed to, or planned for (`least`)."""
    allowed = ("on",) if least == "on" else ("on", "plan")
    if not chosen or any(one.write.mode in allowed for one in chosen.values()):
        return
    told = ", ".join(f"{name} is {one.write.mode}" for name, one in chosen.items())
    raise UsageError(
        f"The write mode of {told} in config.yaml; {UNSENT}, and the edits wait.",
        f'`write: {{mode: "{least}"}}` for the connection allows it',
    )


def refuse_limits(chosen: Mapping[str, Connection], rows: Mapping[str, int], deletes: Mapping[str, int]) -> None:
    """Raise UsageError where a connection is to get more records, or more deletions, than config.yaml allows."""
    faults = []
    for name, connection in chosen.items():
        limits = connection.write.limits
        for what, count, most in (
            ("records", rows.get(name, 0), limits.max_rows),
            ("deletions", deletes.get(name, 0), limits.max_deletes),
        ):
            if count > most:
                key = "max_rows" if what == "records" else "max_deletes"
                things = what.removesuffix("s") if count == 1 else what
                faults.append(f"{name}: {count} {things}, and `limits: {{{key}: {most}}}` allows {most}")
    if faults:
        raise UsageError(
            "\n".join([*faults, f"The run is refused whole; {UNSENT}."]),
            "push a plan with fewer items, `onepipe edit drop` some, or raise the limit in config.yaml",
        )
