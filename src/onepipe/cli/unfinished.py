"""Unfinished backfills that no sync goes on with: those beside what is loaded, and those of a part of the history."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onepipe.warehouse.database import Database

Standing = dict[str, Any]
Backfill = dict[str, Any]

_IN_SLICES = "SELECT connection, count(*), count(done_at), {since}, {until} FROM store.pieces GROUP BY connection"
_IN_ONE = "SELECT connection, 1, 0, {since}, {until} FROM store.slices WHERE kind = 'backfill'"


def backfills(db: "Database", known: dict[str, Standing]) -> dict[str, Backfill]:
    """Each of them by its connection: how many `slices` it has, how many are `done`, and the `command` to type.

    `known` are the standings. Content with a file that an older onepipe published.
    """
    if not any(one["open_slices"] for one in known.values()):
        return {}
    from onepipe.warehouse.ledger import ISO

    rows = {name: row for name, *row in db.run(_IN_ONE.format(since=ISO.format("lo"), until=ISO.format("until")))}
    if db.one("SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'store' AND table_name = 'pieces'"):
        first, last = (ISO.format(f"{end} ORDER BY place)") for end in ("first(lo", "last(until"))
        rows |= {name: row for name, *row in db.run(_IN_SLICES.format(since=first, until=last))}  # one of them is open
    found = {}
    for name, (slices, done, *bounds) in rows.items():
        if name in known and (any(bounds) or known[name]["complete_through"]):
            found[name] = {"slices": slices, "done": done, "command": _command(name, *bounds)}
    return found


def _command(name: str, since: str | None, until: str | None) -> str:
    bounds = [f"--{word} {at}" for word, at in (("since", since), ("until", until)) if at]
    return " ".join(["onepipe backfill", name, *bounds])


def sentence(backfill: Backfill) -> str:
    """What is unfinished, and what goes on with it."""
    done = f" ({backfill['done']} of {backfill['slices']} slices are done)" if backfill["slices"] > 1 else ""
    return (
        f"a backfill is unfinished{done}: only `{backfill['command']}` goes on with it, neither `onepipe sync` nor the "
        "daemon does"
    )


def again(one: Standing) -> str:
    """The command that makes the last run of a connection once more: a backfill's own where no sync does that."""
    left = one.get("backfill") if one.get("last_command") == "backfill" else None
    return left["command"] if left else f"onepipe sync {one['connection']}"
