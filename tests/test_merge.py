"""What is done with an edit, given base, ours and theirs."""

from collections.abc import Callable
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from onepipe.merge import CLEAR, MISSING, Habits, Merged, Policy, Scale, merge, merge_delete, merge_new, seen

POLICIES: tuple[Policy, ...] = ("ask", "remote_wins", "local_wins", "fill_if_blank")

# Letters are values, - is blank, ? was not fetched. One line for every way three values can stand to each other.
TABLE = """
base ours theirs | ask       remote_wins local_wins fill_if_blank
a    a    a      | converged converged   converged  converged
a    b    a      | write     write       write      take
a    -    a      | write     write       write      take
a    a    b      | take      take        take       take
a    a    -      | take      take        take       take
a    b    b      | converged converged   converged  converged
a    -    -      | converged converged   converged  converged
a    b    c      | conflict  take        write      take
a    b    -      | conflict  take        write      write
a    -    b      | conflict  take        write      take
-    -    -      | converged converged   converged  converged
-    a    -      | write     write       write      write
-    -    a      | take      take        take       take
-    a    a      | converged converged   converged  converged
-    a    b      | conflict  take        write      take
?    a    a      | converged converged   converged  converged
?    -    -      | converged converged   converged  converged
?    a    b      | conflict  conflict    conflict   take
?    -    a      | conflict  conflict    conflict   take
?    a    -      | conflict  conflict    conflict   write
a    a    ?      | refused   refused     refused    refused
a    b    ?      | refused   refused     refused    refused
a    -    ?      | refused   refused     refused    refused
-    a    ?      | refused   refused     refused    refused
-    -    ?      | refused   refused     refused    refused
?    a    ?      | refused   refused     refused    refused
?    -    ?      | refused   refused     refused    refused
"""
ROWS = {tuple(line.split("|")[0].split()): line.split("|")[1].split() for line in TABLE.strip().splitlines()[1:]}
BLANKS = {"-": None, "?": MISSING}


def always(policy: Policy) -> Callable[[str], Policy]:
    return lambda _: policy


def decisions(made: Merged) -> dict[str, str]:
    return {name: one.decision for name, one in made.fields.items()}


def pattern(*values: Any) -> tuple[str, ...]:
    """The same three values with the letters that the table would give them."""
    letters: dict[Any, str] = {}
    marks = {None: "-", MISSING: "?"}
    return tuple(marks.get(one) or letters.setdefault(one, "abc"[len(letters)]) for one in values)


def test_the_table_has_a_line_for_every_combination() -> None:
    """Nothing that three values can be to each other is left out."""
    every = {pattern(*three) for three in product([*"xyz", None, MISSING], [*"xyz", None], [*"xyz", None, MISSING])}
    assert every == set(ROWS)


@pytest.mark.parametrize("three", ROWS, ids=" ".join)
@pytest.mark.parametrize("policy", POLICIES)
def test_every_combination_is_decided_as_the_table_says(three: tuple[str, ...], policy: Policy) -> None:
    """Equal is converged, one side's change is that side's, and only where both changed a policy is asked."""
    base, ours, theirs = (BLANKS.get(letter, letter) for letter in three)
    edit = {"name": CLEAR if ours is None else ours}
    made = merge({"name": base}, edit, {"name": theirs}, always(policy)).fields["name"]
    expected = ROWS[three][POLICIES.index(policy)]
    assert (expected, ours if expected == "write" else theirs) == (made.decision, made.value)
    overwrites = expected == "write" and policy == "local_wins" and base != theirs
    assert overwrites == made.laid_over


def test_a_field_that_is_not_in_the_record_was_not_fetched() -> None:
    """Absent is never NULL: neither is a custom field of a record whose custom fields were not asked for."""
    made = merge({}, {"custom.ARR": "5", "amount": Decimal(1)}, {"custom": None}, always("ask"))
    assert {"custom.ARR": "refused", "amount": "refused"} == decisions(made)
    made = merge({"custom": None}, {"custom.ARR": "5"}, {"custom": {}}, always("ask"))
    assert {"custom.ARR": "conflict"} == decisions(made)


def test_a_custom_field_is_merged_by_itself() -> None:
    """Somebody's change of one custom field is no conflict with ours of another."""
    base, theirs = {"custom": {"ARR": 5, "Region": "North"}}, {"custom": {"ARR": 5, "Region": "South"}}
    assert {"custom.ARR": "6"} == merge(base, {"custom.ARR": "6"}, theirs, always("ask")).writes
    assert {"custom.Region": "conflict"} == decisions(merge(base, {"custom.Region": CLEAR}, theirs, always("ask")))


OPEN = {"pipeline_id": "1", "stage_id": "2", "stage": "Bid", "status": "open", "probability": Decimal("0.5")}
WON = OPEN | {"stage_id": "9", "stage": "Won", "status": "won", "probability": Decimal(1)}
EUR = {"amount": Decimal(100), "currency": "EUR", "unit_amount": Decimal(10), "period": "month", "periods": Decimal(10)}


@pytest.mark.parametrize(
    ("base", "ours", "change"),
    [
        (OPEN, {"stage_id": "3"}, {"probability": Decimal("0.9")}),
        (OPEN, {"probability": Decimal("0.7")}, {"stage_id": "3", "stage": "Offer"}),
        (OPEN, {"status": "lost"}, {"pipeline_id": "2"}),
        (EUR, {"amount": Decimal(120)}, {"currency": "USD"}),
        (EUR, {"currency": "USD"}, {"amount": Decimal(120)}),
        (EUR, {"unit_amount": Decimal(12)}, {"periods": Decimal(6)}),
        (EUR, {"unit_amount": Decimal(12)}, {"currency": "USD"}),
        ({"contact_id": "1", "contact_email": None}, {"contact_email": "a@example.org"}, {"contact_id": "2"}),
    ],
)
def test_a_change_of_one_member_counts_for_the_whole_unit(base: Any, ours: Any, change: Any) -> None:
    """An edit is not written into a record whose other half somebody changed meanwhile."""
    made = merge(base, ours, base | change, always("ask"))
    assert "conflict" == made.decision
    assert {} == made.writes
    assert set(change) <= set(made.fields[next(iter(ours))].together)


@pytest.mark.parametrize("policy", ["local_wins", "fill_if_blank"])
def test_no_policy_writes_an_amount_into_another_currency(policy: Policy) -> None:
    """120 was meant in euros; only an edit that says the currency as well may win."""
    base = EUR | {"amount": None}
    theirs = base | {"currency": "USD"}
    assert "conflict" == merge(base, {"amount": Decimal(120)}, theirs, always(policy)).decision
    both = {"amount": Decimal(120), "currency": "EUR"}
    assert {"amount": Decimal(120), "currency": "EUR"} == merge(EUR, both, EUR | theirs, always("local_wins")).writes


def test_local_wins_keeps_what_it_lays_over() -> None:
    """What somebody set in the CRM and we write over can be told afterwards, and nothing else is counted as such."""
    ours = {"stage_id": "3", "name": "New"}
    made = merge(OPEN | {"name": "Old"}, ours, WON | {"name": "Old"}, always("local_wins"))
    assert ours == made.writes
    assert {"stage_id": "9"} == made.laid_over


def test_the_most_careful_policy_of_a_unit_decides() -> None:
    """Where one of the edited fields asks, no other of its unit is written."""
    policies: dict[str, Policy] = {"stage_id": "local_wins", "probability": "ask"}
    ours = {"stage_id": "3", "probability": Decimal("0.7")}
    assert {"stage_id": "conflict", "probability": "conflict"} == decisions(
        merge(OPEN, ours, WON, policies.__getitem__)
    )


def test_other_units_of_a_record_with_a_conflict_are_written() -> None:
    """A conflict stops its own unit, not the record."""
    base = {"name": "Old", "amount": Decimal(100), "currency": "EUR"}
    made = merge(base, {"name": "New", "amount": Decimal(120)}, base | {"amount": Decimal(90)}, always("ask"))
    assert ("conflict", {"name": "New"}) == (made.decision, made.writes)


def test_a_refused_field_refuses_its_unit_alone() -> None:
    """Half a unit is never sent; what has nothing to do with it is."""
    ours = {"stage_id": "77", "probability": Decimal("0.7"), "name": "New"}
    base = OPEN | {"name": "Old"}
    made = merge(base, ours, base, always("ask"), refusals={"stage_id": "there is no stage 77"})
    assert {"stage_id": "refused", "probability": "refused", "name": "write"} == decisions(made)
    assert "there is no stage 77" == made.fields["stage_id"].reason


def test_a_renamed_stage_or_owner_is_no_change_of_the_deal() -> None:
    """The id decides where both sides know it, else the label."""
    assert "write" == merge(OPEN, {"stage_id": "3"}, OPEN | {"stage": "Proposal"}, always("ask")).decision
    assert "write" == merge(OPEN | {"stage_id": None}, {"stage_id": "3"}, OPEN, always("ask")).decision
    owner = {"owner_id": "1", "owner": "R. Ito"}
    assert "write" == merge(owner, {"owner_id": "2"}, owner | {"owner": "R. Ito-Smith"}, always("ask")).decision
    assert "conflict" == merge(owner, {"owner_id": "2"}, {"owner_id": "3", "owner": "Bo"}, always("ask")).decision


def test_both_sides_moving_to_the_same_stage_is_no_clash() -> None:
    """What converged does not count against the rest of its unit."""
    theirs = OPEN | {"stage_id": "3", "stage": "Offer"}
    made = merge(OPEN, {"stage_id": "3", "probability": Decimal("0.7")}, theirs, always("ask"))
    assert {"stage_id": "converged", "probability": "write"} == decisions(made)


def test_what_a_crm_cannot_hold_apart_has_converged() -> None:
    """A value that the CRM would round to what it holds is not sent."""
    habits = Habits(scales={"amount": Scale(Decimal("0.01"))})
    made = merge(
        {"amount": Decimal(1)}, {"amount": Decimal("2.004")}, {"amount": Decimal("2.00")}, always("ask"), habits
    )
    assert "converged" == made.decision


def test_an_edit_of_a_record_that_is_gone_is_refused() -> None:
    """Nothing is created in its place."""
    made = merge({"name": "Old"}, {"name": "New"}, None, always("local_wins"))
    assert (True, "refused", {}) == (made.gone, made.decision, made.writes)


def test_an_edit_without_fields_is_nothing() -> None:
    """Nor is one whose fields only the CRM's side changed."""
    assert "nothing" == merge({}, {}, {}, always("ask")).decision
    assert "nothing" == merge({"name": "a"}, {"name": "a"}, {"name": "b"}, always("ask")).decision


def test_a_delete_over_an_unseen_change_is_a_conflict() -> None:
    """What nobody here has seen is not deleted; fields that drift by themselves hide nothing."""
    base = {"name": "a", "updated_at": None, "extra": {"age": 1, "note": "x"}}
    habits = Habits(drifting=frozenset({"age"}))
    older = base | {"extra": {"age": 2, "note": "x"}}
    assert "write" == merge_delete(base, older, habits).decision
    assert ("conflict", ("name",)) == (
        (made := merge_delete(base, older | {"name": "b"}, habits)).decision,
        made.changed,
    )
    assert ("extra",) == merge_delete(base, base | {"extra": {"age": 1, "note": "y"}}, habits).changed
    assert "conflict" == merge_delete(None, base).decision
    assert (True, "converged") == ((made := merge_delete(base, None)).gone, made.decision)


def test_a_new_record_is_written_whole_or_not_at_all() -> None:
    """One field that may not be written stops the record."""
    assert {"name": "New", "amount": None} == merge_new({"name": "New", "amount": CLEAR}, always("ask")).writes
    made = merge_new({"name": "New", "stage": "?"}, always("ask"), {"stage": "is not there"})
    assert ("refused", {}) == (made.decision, made.writes)


def test_a_person_who_has_seen_both_sides_may_decide_for_ours() -> None:
    """After that it is a plain write, and a change that nobody has seen is a conflict again."""
    known = seen(OPEN, WON, "stage_id")
    assert {"stage_id": "3"} == merge(known, {"stage_id": "3"}, WON, always("ask")).writes
    newer = WON | {"probability": Decimal("0.9")}
    assert "conflict" == merge(known, {"stage_id": "3"}, newer, always("ask")).decision
    custom = {"custom": {"ARR": 1, "Region": "N"}}, {"custom": {"ARR": 2, "Region": "S"}}
    known = seen(*custom, "custom.ARR")
    made = merge(known, {"custom.ARR": "3", "custom.Region": "W"}, custom[1], always("ask"))
    assert {"custom.ARR": "write", "custom.Region": "conflict"} == decisions(made)
