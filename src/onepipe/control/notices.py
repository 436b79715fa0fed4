"""Who was told of what: an event that lasts is told once; and the messages that are still to be delivered.

A notice is something worth telling: begun at `since`, met `times` times, told at `told_at` or not yet. One that lasts
stays until it is over, so that a restart tells nothing twice; any other goes once it was told. Messages are what is
made of them, one for each way of telling, and stay until they were delivered or given up.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from onepipe.control.file import ControlFile, Row

MOST_MESSAGES = 1_000  # that wait for their delivery; beyond it the oldest are given up


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something worth telling; `body` is the event as JSON, instants are epoch seconds."""

    event: str
    connection: str
    what: str = ""
    since: float
    times: int = 1
    told_at: float | None = None
    body: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others."""
        return self.event, self.connection, self.what


@dataclass(frozen=True, kw_only=True)
class Message:
    """What one way of telling is given; `id` is the same for all ways, and for every try."""

    id: str
    way: str
    body: str
    tries: int = 0
    next_at: float = 0.0


class Alerts:
    """The notices and messages in a control file. Every method raises DiskTrouble."""

    def __init__(self, file: ControlFile, clock: Callable[[], float]) -> None:
        self._file = file
        self.clock = clock

    def notices(self) -> list[Notice]:
        """All that stands, by event and connection."""
        with self._file.reading() as db:
            return [_notice(row) for row in db.execute("SELECT * FROM alert ORDER BY event, connection, what")]

    def keep(
        self,
        notices: Iterable[Notice] = (),
        over: Iterable[tuple[str, str, str]] = (),
        messages: Sequence[Message] = (),
    ) -> int:
        """All of it in one step: notices as they stand now, the keys of those that are over, messages to be delivered.

        Returns how many older messages were given up for it.
        """
        with self._file.writing() as db:
            db.executemany("DELETE FROM alert WHERE event = ? AND connection = ? AND what = ?", list(over))
            rows = [(*one.key, one.since, one.times, one.told_at, one.body) for one in notices]
            db.executemany("INSERT OR REPLACE INTO alert VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            sent = [(one.id, one.way, one.body, one.tries, one.next_at) for one in messages]
            db.executemany("INSERT OR REPLACE INTO alert_message VALUES (?, ?, ?, ?, ?)", sent)
            if not messages:
                return 0
            return db.execute(
                "DELETE FROM alert_message WHERE rowid NOT IN "
                "(SELECT rowid FROM alert_message ORDER BY rowid DESC LIMIT ?)",
                (MOST_MESSAGES,),
            ).rowcount

    def mark(self, name: str) -> int:
        """How far something was told: the number of the last conflict, or generation; 0 before the first."""
        with self._file.reading() as db:
            row = db.execute("SELECT value FROM alert_mark WHERE name = ?", (name,)).fetchone()
        return int(row["value"]) if row else 0

    def keep_mark(self, name: str, value: int) -> None:
        """It was told up to this number."""
        with self._file.writing() as db:
            db.execute("INSERT OR REPLACE INTO alert_mark VALUES (?, ?)", (name, value))

    def due(self, now: float, limit: int = 20) -> list[Message]:
        """Messages whose time has come, oldest first."""
        with self._file.reading() as db:
            query = "SELECT * FROM alert_message WHERE next_at <= ? ORDER BY next_at, rowid LIMIT ?"
            return [Message(**dict(row)) for row in db.execute(query, (now, limit))]

    def waiting(self) -> tuple[int, float | None]:
        """How many messages wait for their delivery, and when the next is due."""
        with self._file.reading() as db:
            row = db.execute("SELECT count(*) AS n, min(next_at) AS at FROM alert_message").fetchone()
        return int(row["n"]), row["at"]

    def delivered(self, message: Message) -> None:
        """It arrived, or was given up."""
        with self._file.writing() as db:
            db.execute("DELETE FROM alert_message WHERE id = ? AND way = ?", (message.id, message.way))

    def again(self, message: Message, at: float) -> None:
        """It did not arrive, and is tried again."""
        with self._file.writing() as db:
            change = "UPDATE alert_message SET tries = tries + 1, next_at = ? WHERE id = ? AND way = ?"
            db.execute(change, (at, message.id, message.way))

    def volumes(self) -> dict[str, str]:
        """What is kept of how much each connection usually brings, as JSON."""
        with self._file.reading() as db:
            return dict(db.execute("SELECT connection, seen FROM volume").fetchall())

    def keep_volumes(self, seen: Mapping[str, str]) -> None:
        """Replace what is kept of these connections."""
        with self._file.writing() as db:
            db.executemany("INSERT OR REPLACE INTO volume VALUES (?, ?)", list(seen.items()))


def _notice(row: Row) -> Notice:
    return Notice(**dict(row))
