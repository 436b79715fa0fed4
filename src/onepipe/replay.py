"""Reading what could not be read once more, from what is stored, with the mapping that is applied.

After an upgrade of onepipe, that is: its transforms may read more than before. Where the mapping was edited instead,
`onepipe mapping apply` is what reads with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from onepipe.account import applied_mapping, mapping_of, open_account, utc_now
from onepipe.config import Connection
from onepipe.control import Lease
from onepipe.project import Project
from onepipe.publish import guard, publish, restore
from onepipe.report import Watch
from onepipe.warehouse import books, unread


@dataclass(frozen=True, slots=True)
class Replayed:
    """One connection: values that could not be read and now can, that no longer can, and that still cannot.

    `edited`: its mapping waits to be applied; it was read with the one before.
    """

    connection: str
    mended: int
    lost: int
    left: int
    edited: bool


def replay(project: Project, words: Sequence[str] = (), watch: Watch | None = None) -> list[Replayed]:
    """Read the deals with problems of the chosen connections again, and publish. Raises ConfigError, LeaseHeld.

    Each connection is one transaction. Those without a problem are left out.
    """
    watch = watch or Watch()
    restore(project.warehouse, project.config.warehouse, lambda text: watch.say("", text))
    guard(project.warehouse, project.config.warehouse)
    chosen, done = project.choose(words), []
    with project.warehouse.look() as db:
        mappings = {one.name: kept for one in chosen if (kept := books.mapping(db, one.name))}
        problems = {one.name: unread.count(db, one.name) for one in chosen}
    with project.leased(one for one in chosen if one.name in mappings and problems[one.name]) as leased:
        for connection, lease in leased:
            kept = mappings[connection.name]
            found = _replay(project, connection, kept, lease)
            edited = mapping_of(project.config, connection).version != kept[0]
            done.append(Replayed(connection.name, found.mended, found.lost, found.left, edited))
            watch.say(connection.name, f"{problems[connection.name]} values that could not be read tried again")
    if any(one.mended or one.lost for one in done):
        publish(project.warehouse, project.config.warehouse, project.views, lambda text: watch.say("", text))
    return done


def _replay(project: Project, connection: Connection, kept: tuple[str, str], lease: Lease) -> unread.Outcome:
    mapping = applied_mapping(project.config, connection, kept)
    account = open_account(project.config, connection, mapping, lease=lease)
    with project.warehouse.commit(None) as db:
        account.fence(db)
        books.note_reread(db, connection.name, utc_now())
        return unread.read_again(db, account.reading)
