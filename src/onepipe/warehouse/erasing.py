"""Taking a person out of what is stored: raw and details first, then every version anew from what is left of them.

A version that changed in nothing else stays, with the same number and time: nothing is removed, and none is added.
Everything here runs inside the caller's transaction.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import onepipe.warehouse.wiping as wiping
from onepipe.decode.content import weight
from onepipe.redaction import Redaction
from onepipe.warehouse.arrivals import hashed
from onepipe.warehouse.database import Database
from onepipe.warehouse.rebuild import replace, reread
from onepipe.warehouse.versions import Reading

AT_A_TIME = 5_000  # payloads held in memory
_PLACES = {"store.raw": ("resource", "record_id"), "store.details": ("detail", "source_id")}


@dataclass(frozen=True, slots=True)
class Hints:
    """Texts that every payload holds in which the address stands, in small letters; none: all have to be looked at.

    `deals_alone`: no address is looked for.
    """

    texts: tuple[str, ...] = ()
    deals_alone: bool = False

    def condition(self, column: str) -> str:
        """SQL: whether the address may stand in a column; binds `texts`."""
        if self.deals_alone:
            return "len($texts::VARCHAR[]) < 0"
        return f"len(list_filter($texts::VARCHAR[], lambda t: NOT contains(lower({column}), t))) = 0"


def found(db: Database, connection: str, redaction: Redaction, hints: Hints) -> set[str]:
    """The deals that are an erased address's, by what is stored of them; the redaction is told of each.

    A deal is, too, whose contact is one that goes by the address in another deal.
    """
    for _, resource, record_id, payload, _ in _suspects(db, "store.raw", connection, (), hints):
        redaction.payload(resource, record_id, payload.encode())
    versions = "(SELECT * FROM store.current UNION ALL BY NAME SELECT * EXCLUDE (valid_to) FROM store.closed)"
    contacts = db.run(
        f"SELECT DISTINCT contact_id, contact_email FROM {versions} WHERE connection = $connection "
        "AND contact_id IS NOT NULL AND contact_email IS NOT NULL AND list_contains($deals, source_id)",
        {"connection": connection, "deals": sorted(redaction.deals)},
    )
    ids = [contact for contact, address in contacts if redaction.addresses.known(address)]
    same = db.run(
        f"SELECT DISTINCT source_id FROM {versions} WHERE connection = $connection AND list_contains($ids, contact_id)",
        {"connection": connection, "ids": ids},
    )
    for (source_id,) in same:
        if source_id not in redaction.deals:
            redaction.meet(source_id)
    return set(redaction.met)


def connections(db: Database) -> list[str]:
    """Every connection that anything is stored of, by name."""
    return [name for (name,) in db.run("SELECT DISTINCT connection FROM store.raw ORDER BY 1")]


def there(db: Database, connection: str, source_id: str) -> bool:
    """Whether anything is stored of a deal."""
    return bool(
        db.run("SELECT 1 FROM store.raw WHERE connection = ? AND record_id = ? LIMIT 1", [connection, source_id])
    )


def blank(db: Database, connection: str, redaction: Redaction, reading: Reading | None, hints: Hints) -> int:
    """Take out of a connection what the redaction takes out; how many stored payloads were rewritten.

    `reading` None: it is not in config.yaml any more, so that its versions cannot be read again; they are blanked.
    """
    rewritten = _rewrite(db, connection, redaction, reading, hints)
    deals = db.run(
        "SELECT source_id FROM store.current WHERE connection = ? AND source_id IN (SELECT record_id FROM taken)",
        [connection],
    )
    ids = [source_id for (source_id,) in deals]
    if ids and reading is not None:
        _read_again(db, reading, ids)
    elif ids:
        wiping.versions(db, connection, [one for one in ids if one in redaction.deals])
    wiping.beside(db, connection, sorted(redaction.deals))
    return rewritten


def _rewrite(db: Database, connection: str, redaction: Redaction, reading: Reading | None, hints: Hints) -> int:
    """Raw and details; `taken` (place, resource, record_id, payload, before, payload_hash, weight) is what changed."""
    db.run(
        "CREATE OR REPLACE TEMP TABLE taken (place VARCHAR, row BIGINT, resource VARCHAR, record_id VARCHAR, "
        "payload VARCHAR, before VARCHAR, weight BIGINT, payload_hash VARCHAR)"
    )
    for place in _PLACES:
        taken = []
        for row, kind, key, payload, before in _suspects(db, place, connection, sorted(redaction.deals), hints):
            now = redaction.payload(kind, key, payload.encode())
            if now.decode() != payload:
                taken.append((place, row, kind, key, now.decode(), before, weight(now), None))
        db.fill("taken", taken)
    digest = hashed(reading) if reading else "md5(payload)"
    db.run(f"UPDATE taken SET payload_hash = {digest}")
    for place in _PLACES:
        db.run(
            f"UPDATE {place} o SET payload = t.payload, payload_hash = t.payload_hash FROM taken t "
            "WHERE t.place = $place AND o.rowid = t.row",
            {"place": place},
        )
    _rename(db, connection)
    return int(db.one("SELECT count(*) FROM taken"))


def _suspects(
    db: Database, place: str, connection: str, deals: Sequence[str], hints: Hints
) -> Iterator[tuple[int, str, str, str, str]]:
    """Payloads of these deals, and those that may hold the address: rowid, resource, id, payload and its hash."""
    resource, record = _PLACES[place]
    after = -1
    while rows := db.run(
        f"SELECT rowid, {resource}, {record}, payload, payload_hash FROM {place} WHERE connection = $connection "
        f"AND payload IS NOT NULL AND (list_contains($deals, {record}) OR {hints.condition('payload')}) "
        "AND rowid > $after ORDER BY rowid LIMIT $limit",
        {
            "connection": connection,
            "deals": list(deals),
            "texts": list(hints.texts),
            "after": after,
            "limit": AT_A_TIME,
        },
    ):
        yield from rows
        after = rows[-1][0]


def _rename(db: Database, connection: str) -> None:
    """Wherever a payload is named by its hash, it goes by its new one."""
    values = {"connection": connection}
    new = "(SELECT DISTINCT ON (resource, record_id, before) * FROM taken WHERE place = 'store.raw')"
    for table in ("current", "closed"):
        db.run(
            f"UPDATE store.{table} o SET payload_hash = t.payload_hash, weight = t.weight FROM {new} t "
            "WHERE o.connection = $connection AND t.resource = 'opportunity' AND o.source_id = t.record_id "
            "AND o.payload_hash = t.before",
            values,
        )
    # A deletion has no payload of its own, and goes by that of the record's last one.
    db.run(
        f"UPDATE store.raw o SET payload_hash = t.payload_hash FROM {new} t WHERE o.connection = $connection "
        "AND o.payload IS NULL AND t.resource = o.resource AND o.record_id = t.record_id AND o.payload_hash = t.before",
        values,
    )
    db.run(
        f"UPDATE store.reference o SET payload_hash = t.payload_hash FROM {new} t WHERE o.connection = $connection "
        "AND t.resource = o.resource AND o.record_id = t.record_id AND o.payload_hash = t.before",
        values,
    )
    db.run(
        f"UPDATE problems o SET payload_hash = t.payload_hash FROM {new} t WHERE o.connection = $connection "
        "AND t.resource = 'opportunity' AND o.source_id = t.record_id AND o.payload_hash = t.before",
        values,
    )


def _read_again(db: Database, reading: Reading, ids: Sequence[str]) -> None:
    """The versions of these deals from what is left of their payloads; problems of all others stay as they are."""
    db.run("CREATE OR REPLACE TEMP TABLE again (source_id VARCHAR)")
    db.fill("again", [(one,) for one in ids])
    own = {"connection": reading.connection}
    db.run(
        "CREATE OR REPLACE TEMP TABLE others AS SELECT * FROM problems WHERE connection = $connection "
        "AND source_id IS NOT NULL AND source_id NOT IN (SELECT source_id FROM again)",
        own,
    )
    reread(db, reading, "SELECT source_id FROM again")
    replace(db, reading)
    db.run("INSERT INTO problems SELECT * FROM others")


def counts(db: Database, connection: str, deals: Collection[str]) -> tuple[int, int]:
    """How many versions, and how many stored payloads, there are of these deals."""
    values = {"connection": connection, "deals": sorted(deals)}
    versions = db.one(
        "SELECT coalesce(sum(version), 0) FROM store.current WHERE connection = $connection "
        "AND list_contains($deals, source_id)",
        values,
    )
    payloads = db.one(
        "SELECT count(*) FROM store.raw WHERE connection = $connection AND payload IS NOT NULL "
        "AND list_contains($deals, record_id)",
        values,
    )
    return int(versions), int(payloads)
