"""Which fields go together, because merged one by one they would make a record that nobody meant.

A *unit* is decided as one. A *selector* is an id and the label it is chosen by: the label may be renamed in the CRM
without any deal being changed. What a field *rests on* gives it its meaning: an amount is in a currency, an e-mail
address is of one contact.
"""

from collections.abc import Iterable

from onepipe.merge.compare import moved
from onepipe.merge.words import MISSING, Habits, Record, value_of

STAGE = frozenset({"pipeline_id", "pipeline", "stage_id", "stage", "status", "probability"})
UNITS = (
    STAGE,
    frozenset({"amount", "currency"}),
    frozenset({"unit_amount", "period", "periods", "currency"}),  # a price is in a currency, too
    frozenset({"owner_id", "owner"}),
    frozenset({"company_id", "company"}),
)
SELECTORS = {label: f"{label}_id" for label in ("pipeline", "stage", "owner", "company")}
_PARTNER = SELECTORS | {id_: label for label, id_ in SELECTORS.items()}
_OF_A_CONTACT = ("contact", "contact_email", "contact_phone")


def groups(fields: Iterable[str]) -> list[tuple[str, ...]]:
    """The fields, those of one unit together, in the order given."""
    found: list[list[str]] = []
    for name in fields:
        near = [group for group in found if any(_together(name, other) for other in group)]
        joined = [*(other for group in near for other in group), name]
        found = [group for group in found if group not in near] + [joined]
    return [tuple(group) for group in found]


def rests_on(fields: Iterable[str]) -> frozenset[str]:
    """The fields themselves, and every one whose change in the CRM counts as a change of theirs."""
    touched = set(fields)
    for name in tuple(touched):
        touched |= {other for unit in UNITS if name in unit for other in unit}
        touched |= {"contact_id"} if name in _OF_A_CONTACT else set()
    return frozenset(touched)


def changed(name: str, base: Record, theirs: Record, habits: Habits) -> bool:
    """Whether somebody changed a field in the CRM since base, as far as both are known.

    Of an id and its label the id decides where both sides know it; else the label, so that a list of ids that can be
    read again, or no longer, changes no deal.
    """
    label = name if name in SELECTORS else _PARTNER.get(name)
    if label is not None:
        for deciding in (SELECTORS[label], label):
            if not {value_of(base, deciding), value_of(theirs, deciding)} & {None, MISSING}:
                return moved(deciding, base, theirs, habits)
    return moved(name, base, theirs, habits)


def covers(fields: Iterable[str], name: str) -> bool:
    """Whether writing the fields leaves nothing to guess about another that was changed in the CRM.

    Stage, status and probability may stand in any combination; an amount means nothing without its currency.
    """
    return name in STAGE or any(name in (one, _PARTNER.get(one)) for one in fields)


def partner(name: str) -> str | None:
    """The label of an id, the id of a label."""
    return _PARTNER.get(name)


def _together(a: str, b: str) -> bool:
    return any(a in unit and b in unit for unit in UNITS)
