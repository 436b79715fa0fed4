"""Invented companies, people and deals in many scripts: the same seed and base instant give the same data."""

# ruff: noqa: RUF001 - letters of many scripts are the point

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

SPAN_DAYS = 548  # eighteen months
MONEY_ODD = (
    *(None, Decimal(0), Decimal("12345678901234.5678"), Decimal("0.01"), Decimal("99999999.99"), Decimal("1000000000")),
    *(Decimal("1450.5"), Decimal("0.10"), Decimal("19.99")),
)
CURRENCIES = ("EUR", "USD", "GBP", "JPY", "CHF", "SEK")
TAGS = (
    "VIP",
    "renewal",
    "R&D",
    "a/b test",
    "50%+",
    "été",
    "世界",
    "🚀 hot",
    "O'Neil",
    'say "hi"',
    "<urgent>",
    "two words",
)
SOURCES = ("Google", "Newsletters", " Website", "R&D fair", "Word of Mouth", "Telemarketing (Internal)")
COMPANIES_ODD = (
    *("Müller & Söhne GmbH", "Große Straße AG", "世界貿易株式会社", "شركة النور للتجارة", "O'Malley's <Tools> Ltd"),
    *(
        "Ørsted Våben A/S",
        "אור בע״מ",
        '"Quoted" Partners LLP',
        "🚀 Launchpad Inc",
        "ООО «Ромашка»",
        "Café Zoë S.à r.l.",
    ),
    *(
        "Ο Ήλιος Α.Ε.",
        "Dvořák ≠ Dvorak s.r.o.",
        "Tab\tand  spaces Co",
        "अनन्या उद्योग",
        "北京云海科技有限公司",
        "null",
        "0",
    ),
)
_PLACES = (
    "Northwind",
    "Harbour",
    "Blue Ridge",
    "Vallée",
    "Fjord",
    "Sierra",
    "Eastgate",
    "Lakeside",
    "Polar",
    "Granite",
)
_TRADES = ("Logistics", "Foods", "Energy", "Textiles", "Robotics", "Clinics", "Media", "Freight", "Optics", "Timber")
_FORMS = ("Ltd", "GmbH", "Inc", "SA", "BV", "AB", "Oy", "Pty", "SpA", "LLC")
_PEOPLE = (
    (("Zoë", "Jürgen", "Anja", "Götz"), ("Strauß", "Müller", "Groß", "von der Heide")),
    (("Renée", "Étienne", "Maëlle"), ("Lefèvre", "D'Arcy", "Béranger")),
    (("José", "Íñigo", "Nuria"), ("Núñez", "Ibáñez", "Ruiz")),
    (("Łukasz", "Zdeněk", "Małgorzata"), ("Wiśniewski", "Dvořák", "Żak")),
    (("伟", "芳", "世界"), ("王", "李", "张")),
    (("محمد", "فاطمة"), ("الحسن", "النجار")),
    (("Ольга", "Иван"), ("Иванова", "Щукин")),
    (("Νίκος", "Ελένη"), ("Παπαδόπουλος", "Γεωργίου")),
    (("Sinéad", "Ruth", "Bob", "Grace", "Ravi", "Aiko"), ("O'Brien", "O’Neill", "Smith", "Ito", "Patel", "Okafor")),
)
_NAMES_ODD = (
    *(
        "Straße & Café – Phase 1",
        "世界 rollout",
        "‏עסקה גדולה",
        'They said "yes" & then < or > ≠',
        "🚀🌍 launch",
        "  padded  ",
    ),
    *(
        "O'Reilly's renewal",
        "Ελλάδα ανανέωση",
        "line\nbreak",
        "NULL",
        "12,5 % discount",
        "back\\slash / slash",
        "é (composed) é (not)",
    ),
    *("صفقة توريد",),
)
_PRODUCTS = ("Annual licence", "Safety training", "Website redesign", "Data migration", "Support contract", "Pilot")
_TAILS = ("", ", 40 seats", " 2025", " – renewal", " (phase 2)", ", EMEA", " for HQ")
_NOTES = (
    None,
    "Scope and design the shopping cart",
    "Wants a demo before Friday.\nCall back.",
    "Prix négocié & validé",
    "次回は来週",
)


@dataclass(slots=True)
class Deal:
    """One invented deal, before a CRM gives it its own form. Instants are UTC; `created <= updated <= now`."""

    number: int
    name: str
    note: str | None
    company: int
    amount: Decimal | None
    currency: str
    created: datetime
    updated: datetime
    closed: datetime | None
    expected: date
    stage: int  # 0..3: how far it came; 3 if won
    outcome: str  # open, won, lost, abandoned
    owner: int
    tags: list[str]
    dice: float  # 0 <= dice < 1, for whatever a CRM wants to vary


class Invent:
    """A deterministic source of made-up sales data for one CRM."""

    def __init__(self, seed: int, salt: str, now: datetime) -> None:
        self.random = random.Random(f"{seed}/{salt}")  # noqa: S311 - invented data, nothing secret
        self.now = now.astimezone(UTC).replace(microsecond=0)

    def deals(self, count: int) -> list[Deal]:
        """`count` deals, oldest first: odd names and amounts, same-second stamps, open and closed ones."""
        ages = sorted((self.random.random() ** 1.2 * SPAN_DAYS * 86400 for _ in range(count)), reverse=True)
        deals = [self._deal(number, age) for number, age in enumerate(ages)]
        self._same_second(deals)
        return deals

    def _deal(self, number: int, age: float) -> Deal:
        roll = self.random.random
        created = self.now - timedelta(milliseconds=int(age * 1000))
        if number == 3:
            created = created.replace(hour=0, minute=0, second=0, microsecond=0)
        cycle = (10 + 110 * roll()) * 86400 * (0.2 + roll())
        updated = created + timedelta(milliseconds=int(min(age, cycle) * roll() * 1000))
        days = age / 86400
        outcome = _outcome(roll()) if roll() < min(0.9, days / 240) else "open"
        expected = (created + timedelta(seconds=cycle)).date()
        if outcome == "open" and roll() < 0.8:
            expected = max(expected, (self.now + timedelta(days=int(90 * roll()) + 1)).date())
        tags = [TAGS[int(roll() * len(TAGS))] for _ in range(int(roll() * 3))]
        return Deal(
            number=number,
            name=self._name(number),
            note=_NOTES[int(roll() * len(_NOTES))],
            company=int(roll() * 1_000_000),
            amount=self._amount(number),
            currency=CURRENCIES[int(roll() ** 2 * len(CURRENCIES))],
            created=created,
            updated=updated,
            closed=updated if outcome != "open" else None,
            expected=expected,
            stage=3 if outcome == "won" else int(roll() ** 1.4 * 4),
            outcome=outcome,
            owner=int(roll() * 4),
            tags=list(dict.fromkeys(tags)),
            dice=roll(),
        )

    def _name(self, number: int) -> str:
        if number < len(_NAMES_ODD):
            return _NAMES_ODD[number]
        roll = self.random.random
        return _PRODUCTS[int(roll() * len(_PRODUCTS))] + _TAILS[int(roll() * len(_TAILS))]

    def _amount(self, number: int) -> Decimal | None:
        if number < len(MONEY_ODD):
            return MONEY_ODD[number]
        roll = self.random.random
        if roll() < 0.04:
            return None
        return (
            Decimal(int(25 * 10 ** (1 + 3 * roll())) * 50) if roll() < 0.8 else Decimal(int(roll() * 9_000_000)) / 100
        )

    def _same_second(self, deals: list[Deal]) -> None:
        """A bulk import: a run of deals shares one created and one updated instant; a few more share a second."""
        start = len(deals) * 2 // 5
        block = deals[start : start + max(4, len(deals) // 60)]
        for deal in block[1:]:
            deal.created, deal.updated, deal.closed = (
                block[0].created,
                block[0].updated,
                block[0].closed and block[0].updated,
            )
            deal.outcome, deal.stage = block[0].outcome, block[0].stage
        for one, other in zip(deals[5::20], deals[6::20], strict=False):
            other.updated = max(one.updated, other.created)

    def companies(self, count: int) -> list[str]:
        """`count` different company names, the odd ones first."""
        made = [*COMPANIES_ODD[:count]]
        for number in range(count - len(made)):
            place, trade, form = _PLACES[number % 10], _TRADES[number // 10 % 10], _FORMS[number // 100 % 10]
            made.append(f"{place} {trade} {form}" + (f" {number // 1000}" if number >= 1000 else ""))
        return made

    def person(self, number: int) -> tuple[str, str]:
        """First and last name of the invented person with that number."""
        firsts, lasts = _PEOPLE[number % len(_PEOPLE)]
        turn = number // len(_PEOPLE)
        return firsts[turn % len(firsts)], lasts[turn // len(firsts) % len(lasts)]

    def letters(
        self, length: int, alphabet: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    ) -> str:
        """A random text such as an id, `length` characters of `alphabet`."""
        return "".join(self.random.choices(alphabet, k=length))


def _outcome(roll: float) -> str:
    return "won" if roll < 0.42 else "lost" if roll < 0.9 else "abandoned"


def secret(seed: int, salt: str) -> str:
    """64 hexadecimal digits that stand for a credential of one sandbox."""
    return hashlib.sha256(f"onepipe sandbox {seed} {salt}".encode()).hexdigest()
