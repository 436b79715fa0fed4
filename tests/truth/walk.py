"""A seeded walk of what people do in their CRMs between two runs.

Each edit says when at the latest its effect must be seen: by the next "run", by a "sweep", or by a "full" read (what
only sub-requests tell, where nobody touches the record itself).
"""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from tests.truth.desk import Desk, Key

Edit = tuple[Key, str]

NAMES = ("Straße 12", "世界", "  padded ", "line\nbreak", 'say "hi" & <go>', "null", "0", "🚀", "back\\slash", "O'Neil")
AMOUNTS = (None, Decimal("0"), Decimal("0.01"), Decimal("1234.5"), Decimal("99999999.99"), Decimal("70"))
CURRENCIES = ("EUR", "USD", "GBP")


def step(desk: Desk, random: Random) -> Edit:
    """One edit in one of the CRMs."""
    name = random.choice(desk.crms)
    crm: Any = desk.sandbox[name]
    live = [key for key in crm.rows if name != "tactile" or str(key) in desk.known]
    what = random.choices(("insert", "update", "silent", "delete", "special"), (2, 6, 2, 1, 5))[0]
    if what == "insert" or len(live) < 8:
        return (name, str(crm.insert(**fields(crm, random)))), "run"
    key = random.choice(live)
    hidden = name == "tactile" and crm.rows[key]["archived"]
    if what == "special":
        return (name, str(key)), random.choice(SPECIAL[name])(crm, key, random)
    if what == "delete":
        crm.delete(key)
        return (name, str(key)), "run" if name == "capsule" else "sweep"
    changes = fields(crm, random)
    crm.update(key, silently=what == "silent", **changes)
    if what == "silent":
        return (name, str(key)), "full" if "lost_reasons" in changes else "sweep"
    return (name, str(key)), "sweep" if hidden else "run"


def fields(crm: Any, random: Random) -> dict[str, Any]:
    """A few fields of a record, set anew."""
    choices = FIELDS[crm.name](crm, random)
    return {name: choices[name] for name in random.sample(sorted(choices), random.randint(1, 3))}


def someday(random: Random) -> str:
    """A calendar date of this or the next year."""
    return (date(2026, 1, 1) + timedelta(days=random.randrange(700))).isoformat()


def administrate(crm: Any, random: Random) -> dict[str, Any]:
    """Relations go by id."""
    return {
        "name": random.choice(NAMES),
        "value": random.choice(AMOUNTS),
        "closing_date": random.choice((None, someday(random))),
        "currency": random.choice((None, {"id": random.choice(CURRENCIES)})),
        "step": {"id": random.randint(1, 6)},
        "user": {"id": random.randint(1, 4)},
        "contact": {"id": random.choice(list(crm.people))},
        "source_type": {"id": random.choice(list(crm.sources))},
        "external_id": random.choice((None, "EXT-1", "")),
        "attributes": random.choice(({}, {"Priority": "High", "Seats": 12, "Signed": True, "Été": None})),
    }


def tactile(crm: Any, random: Random) -> dict[str, Any]:
    """Status, type and organisation by name."""
    return {
        "name": random.choice(NAMES),
        "description": random.choice((None, "", *NAMES)),
        "cost": random.choice(AMOUNTS),
        "probability": random.choice((0, 35, 37, 100)),
        "status": random.choice((None, "New", "Negotiation", "Won", "Lost", "Dropped")),
        "type": random.choice((None, "R&D", "New Business")),
        "enddate": someday(random),
        "assigned_to": random.choice((None, "greg", "zoë")),
        "organisation": random.choice(list(crm.organisations.values())),
    }


def capsule(crm: Any, random: Random) -> dict[str, Any]:
    """A price per period, or in all."""
    periods = {"durationBasis": random.choice(("DAY", "MONTH")), "duration": random.randint(1, 30)}
    basis = random.choice(({"durationBasis": "FIXED", "duration": None}, periods))
    return {
        "name": random.choice(NAMES),
        "description": random.choice((None, "", *NAMES)),
        "value": random.choice(AMOUNTS),
        **basis,
        "currency": random.choice((None, *CURRENCIES)),
        "milestone": random.choice([one["name"] for one in crm.milestones.values()]),
        "probability": random.choice((0, 15, 100)),
        "owner": random.choice((None, "jdoe")),
        "expectedCloseDate": random.choice((None, f"{someday(random)}T00:00:00Z")),
    }


def onautomate(crm: Any, random: Random) -> dict[str, Any]:
    """The contact is edited through the deal."""
    contact = {"name": random.choice(NAMES), "tags": random.sample(("b", "a", "été", "a"), random.randint(0, 4))}
    return {
        "name": random.choice(NAMES),
        "monetaryValue": random.choice(AMOUNTS),
        "status": random.choice(("open", "won", "lost", "abandoned")),
        "assignedTo": random.choice((None, *crm.users)),
        "source": random.choice((None, "form ", "")),
        "contact": contact | {"companyName": random.choice((None, "Ørsted"))},
    }


def overplane(crm: Any, random: Random) -> dict[str, Any]:
    """Children are set together with the record."""
    return {
        "title": random.choice(NAMES),
        "opportunity_amount": random.choice(AMOUNTS),
        "status": random.choice(("Open", "Quotation", "Converted", "Lost", "Replied", "Closed")),
        "sales_stage": random.choice(("Prospecting", "Negotiation/Review", "Own stage")),
        "probability": random.choice((0, 12.5, 100)),
        "currency": random.choice(CURRENCIES),
        "lost_reasons": random.sample(("Price", "R&D delay", "Went silent"), random.randint(0, 3)),
        "order_lost_reason": random.choice((None, "", "too dear")),
        "phone": random.choice((None, "+32 2 555")),
    }


def embedded(crm: Any, key: Any, random: Random) -> str:
    """Interests, delegates, quotes and documents come, change and go; sometimes no stamp moves."""
    person = {"first_name": random.choice(NAMES), "last_name": "Oto", "email": f"{random.random()}@example.org"}
    line: dict[str, Any] = {
        "price": random.choice(AMOUNTS),
        "quantity": random.choice((None, 1, 3)),
        "notes": random.choice(NAMES),
    }
    line["course"] = random.choice((None, {"id": 7, "title": random.choice(NAMES)}))
    letter = {"document_template": {"id": 1}, "name": random.choice(NAMES), "body": random.choice(("", *NAMES))}
    silently = random.random() < 0.5
    with crm.lock:
        row = crm.rows[key]
        held = row["interests"]
        quote: dict[str, Any] = {
            "id": 900 + random.randrange(10**6),
            "value": random.choice(AMOUNTS),
            "currency": {"id": "EUR"},
        }
        quote |= {"created_at": "2026-01-31T10:00:00Z", "expires_at": random.choice((None, someday(random)))}
        quotes = [one for one in row["quotes"] if random.random() < 0.6]
        for part in ("interests", "documents"):
            row[part] = [one for one in row[part] if random.random() < 0.7]
        known = [{**line, "id": one["id"]} for one in held[:1] if one in row["interests"]]
        new = [{**line, "delegates": [person] * random.randint(0, 2)}] * random.randint(0, 2)
        crm.update(key, silently=silently, interests=known + new, documents=[letter] * random.randint(0, 2))
        crm.update(key, silently=silently, quotes=[*quotes, quote])
    return "sweep" if silently else "run"


def noted(crm: Any, key: Any, random: Random) -> str:
    """Notes come, change and go; nothing else tells."""
    with crm.lock:
        held = (crm.history if crm.name == "capsule" else crm.notes).setdefault(key, [])
        if held and random.random() < 0.4:
            held.pop(random.randrange(len(held)))
        if held and random.random() < 0.4:
            random.choice(held)["note"] = random.choice(NAMES)
    for _ in range(random.choice((0, 1, 1, 60))):
        crm.write_note(key, random.choice(NAMES))
    return "full"


def joined(crm: Any, key: Any, random: Random) -> str:
    """Additional parties come and go."""
    with crm.lock:
        crm.extra_parties[key] = random.sample(list(crm.parties), random.randint(0, 3))
    return "full"


def itemised(crm: Any, key: Any, random: Random) -> str:
    """Items are set anew, or put in another order; where only their words change, no other field tells."""
    with crm.lock:
        held = crm.children["opportunity-item"].get(key, [])
        if held and random.random() < 0.5:
            for place, one in enumerate(random.sample(held, len(held)), 1):
                one["idx"] = place
            random.choice(held)["description"] = random.choice(NAMES)
            return "full"
    items = [
        {"item_code": random.choice(("SKU-1", "ÜX")), "qty": random.choice((1, Decimal("2.5"))), "rate": amount}
        for amount in random.sample(AMOUNTS[1:], random.randint(0, 3))
    ]
    crm.update(key, items=items)
    return "run"


def archived(crm: Any, key: Any, random: Random) -> str:
    """A row leaves the list, or comes back to it."""
    away = not crm.rows[key]["archived"]
    crm.update(key, archived=away)
    return "sweep" if away else "run"


def tagged(crm: Any, key: Any, random: Random) -> str:
    """Tags change and nothing else tells."""
    with crm.lock:
        crm.tags[key] = random.sample(("VIP", "été", "50%+"), random.randint(0, 3))
    return "full"


def moved(crm: Any, key: Any, random: Random) -> str:
    """Dragged to another pipeline."""
    crm.update(key, pipelineId=random.choice(list(crm.pipelines)))
    return "run"


def lost(crm: Any, key: Any, random: Random) -> str:
    """Lost reasons are set and the parent's stamp stays."""
    crm.update(key, silently=True, lost_reasons=random.sample(("Price", "No budget"), random.randint(0, 2)))
    return "full"


FIELDS: dict[str, Callable[[Any, Random], dict[str, Any]]] = {
    "administrate": administrate,
    "tactile": tactile,
    "capsule": capsule,
    "onautomate": onautomate,
    "overplane": overplane,
}
SPECIAL: dict[str, tuple[Callable[[Any, Any, Random], str], ...]] = {
    "administrate": (embedded,),
    "tactile": (archived, noted),
    "capsule": (tagged, noted, joined),
    "onautomate": (moved,),
    "overplane": (lost, itemised),
}
