"""Whom a person's right to be forgotten was used for: markers that later reads are held against, without the data."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import msgspec

import onepipe.control.blanking as blanking
import onepipe.control.veil as veil
from onepipe.control.credentials import key_of
from onepipe.control.file import ControlFile, Row
from onepipe.control.stored import present
from onepipe.redaction import BLANKED, Addresses, Kept, Redaction, fingerprint


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """One marker: a deal, or an address (`source_id` None), in one connection or in all (None).

    `fingerprint` is that of the address, as hex; `cause` the erasure of an address that a deal was found by. Instants
    are texts in UTC; `done_at` None: begun, and not yet carried out everywhere.
    """

    erasure_id: str
    connection: str | None
    source_id: str | None
    fingerprint: str | None
    cause: str | None
    erased_at: str
    actor: str
    reason: str
    done_at: str | None

    @property
    def fields(self) -> tuple[str, ...]:
        """What a marked deal lost, and loses whenever it is read; nothing of its own for an address."""
        return BLANKED if self.source_id is not None else ()


class Erased:
    """The markers in a control file."""

    def __init__(self, file: ControlFile, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock

    def rows(self) -> list[Erasure]:
        """Every marker, oldest first."""
        with self._file.reading() as db:
            return [erasure(row) for row in db.execute("SELECT * FROM erased ORDER BY erased_at, rowid").fetchall()]

    def changes(self) -> int:
        """The number of the newest change to any; 0 where nobody was ever erased."""
        with self._file.reading() as db:
            return veil.next_change(db) - 1

    def mark_deals(
        self, deals: Collection[tuple[str, str]], actor: str, reason: str, cause: str | None = None
    ) -> list[str]:
        """Mark deals (connection, source_id), durably from now on; the ids of their markers, old ones begun again."""
        with self._file.writing() as db:
            now = present(self._clock)
            return [veil.mark(db, (*one, None), now, actor, reason, cause) for one in sorted(deals)]

    def fingerprinted(self, address: str) -> Addresses:
        """An address by its fingerprint, before anything is written down."""
        key = key_of(self._file)
        return Addresses(key, frozenset([fingerprint(key, address)]))

    def mark_address(self, address: str, connections: Sequence[str], actor: str, reason: str) -> list[str]:
        """Mark an address in these connections, in all for none, durably from now on; its fingerprint alone is kept."""
        print_, now = fingerprint(key_of(self._file), address), present(self._clock)
        places: list[str | None] = list(dict.fromkeys(connections)) or [None]
        with self._file.writing() as db:
            return [veil.mark(db, (name, None, print_), now, actor, reason) for name in places]

    def begun(self, connection: str) -> tuple[bool, bool]:
        """Whether deals of a connection were marked and not everything is done yet, and whether an address was."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT DISTINCT source_id IS NULL AS address FROM erased WHERE done_at IS NULL "
                "AND coalesce(connection, ?) = ?",
                (connection, connection),
            ).fetchall()
        found = {bool(row["address"]) for row in rows}
        return False in found, True in found

    def done(self, erasure_ids: Collection[str]) -> None:
        """Note that these are carried out everywhere."""
        with self._file.writing() as db:
            for one in erasure_ids:
                db.execute(
                    "UPDATE erased SET done_at = ?, change = ? WHERE erasure_id = ? AND done_at IS NULL",
                    (present(self._clock), veil.next_change(db), one),
                )

    def redaction(self, connection: str, kept: Kept | None = None) -> Redaction | None:
        """How a connection's answers are redacted; None where nobody was erased, which one look tells.

        `kept` is how its mapping reads them now; how it did when last that was told, where it is not given.
        """
        if not self.changes():
            return None
        if kept is not None:
            self.learn(connection, kept)
        with self._file.reading() as db:
            found = veil.veil_of(db, connection, present(self._clock))
        if found is None:
            return None
        return Redaction(found.kept, found.deals, found.addresses, lambda deal: self._met(connection, deal))

    def learn(self, connection: str, kept: Kept) -> None:
        """Note what stays of a connection's deals, by the mapping that reads them."""
        text = msgspec.json.encode(kept).decode()
        with self._file.writing() as db:
            told = db.execute("SELECT kept FROM erased_kept WHERE connection = ?", (connection,)).fetchone()
            if told is None or told["kept"] != text:
                db.execute("INSERT OR REPLACE INTO erased_kept VALUES (?, ?)", (connection, text))

    def blank(self, connection: str) -> None:
        """Take out of this file what a connection's erased deals and addresses have left in it. Raises DiskTrouble."""
        blanking.blank(self._file, connection, self._clock)

    def scrub(self) -> None:
        """Write the file anew, so that nothing is left of what was taken out. Raises DiskTrouble."""
        blanking.scrub(self._file)

    def rename(self, before: str, after: str) -> None:
        """A connection's rows are called otherwise from now on: its markers go with them."""
        with self._file.writing() as db:
            values = (after, veil.next_change(db), before)
            db.execute("UPDATE OR IGNORE erased SET connection = ?, change = ? WHERE connection = ?", values)
            db.execute("UPDATE OR REPLACE erased_kept SET connection = ? WHERE connection = ?", (after, before))

    def take(self, rows: Sequence[Erasure]) -> None:
        """Take over markers that this file does not have, as after it was lost or an older one was put back."""
        with self._file.writing() as db:
            for one in rows:
                print_ = bytes.fromhex(one.fingerprint) if one.fingerprint else None
                db.execute(
                    "INSERT OR IGNORE INTO erased VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(one.erasure_id, one.connection, one.source_id, print_, one.cause, one.erased_at),
                        *(one.actor, one.reason, one.done_at, veil.next_change(db)),
                    ),
                )

    def _met(self, connection: str, source_id: str) -> None:
        with self._file.writing() as db:
            veil.met(db, connection, source_id, present(self._clock))


def erasure(row: Row) -> Erasure:
    """A marker, as a row of the table is."""
    names = ("erasure_id", "connection", "source_id", "cause", "erased_at", "actor", "reason", "done_at")
    return Erasure(
        fingerprint=row["fingerprint"].hex() if row["fingerprint"] else None, **{name: row[name] for name in names}
    )
