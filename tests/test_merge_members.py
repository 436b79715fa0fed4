"""Tags and line items are merged member by member."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onepipe.merge import MISSING, Habits, Policy, Step, merge, seen, settled, steps
from onepipe.merge.members import merge_items, merge_tags

TAGS = st.lists(st.sampled_from("abcdef"), unique=True).map(sorted)
ROWS = [{"item_id": "1", "name": "Bolt", "quantity": Decimal(2), "unit_amount": Decimal(5), "amount": Decimal(10)}]
ROWS.append({"item_id": "2", "name": "Nut", "quantity": Decimal(1), "unit_amount": Decimal(3), "amount": Decimal(3)})


def one(field: str, base: Any, ours: Any, theirs: Any, policy: Policy = "ask") -> Any:
    made = merge({field: base}, {field: ours}, {field: theirs}, lambda _: policy).fields[field]
    return made.decision if made.decision != "write" else made.value


def changed(number: int, **columns: Any) -> list[dict[str, Any]]:
    return [row | columns if index == number else row for index, row in enumerate(ROWS)]


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        (["a"], ["a", "b"], ["a", "c"], ["a", "b", "c"]),  # both added
        (["a", "b"], ["a"], ["a", "b", "c"], ["a", "c"]),  # we removed, they added
        (["a", "b"], ["a"], ["a"], "converged"),
        (["a", "b"], ["a"], ["b"], []),  # each removed another
        (["a"], ["a", "b"], ["a", "b", "c"], "converged"),  # they added ours, too
        (["a"], ["a"], ["b"], "take"),
        (["a"], None, ["a", "b"], ["b"]),  # cleared: what we knew of goes
        (None, ["a"], None, ["a"]),
    ],
)
def test_tags_of_both_sides_are_kept(base: Any, ours: Any, theirs: Any, expected: Any) -> None:
    """What we added and removed is done to theirs, whatever else became of it."""
    assert expected == one("tags", base, ours, theirs)


def test_a_tag_in_theirs_keeps_its_form() -> None:
    """A CRM that does not keep case is not sent its own tags in another one."""
    habits = Habits(caseless=frozenset({"tags"}))
    assert ["b", "vip"] == merge_tags(["VIP"], ["VIP", "b"], ["vip"], habits).ours
    assert ["B", "VIP", "b"] == merge_tags(["VIP"], ["VIP", "b"], ["B", "VIP"]).ours


@given(TAGS, TAGS, TAGS, TAGS)
def test_tags_merge_commutes_with_changes_of_other_tags(
    base: list[str], ours: list[str], added: list[str], gone: list[str]
) -> None:
    """Whether somebody adds and removes other tags before our write or after it, the same tags are there in the end."""
    touched = set(base) ^ set(ours)
    others = {tag.upper() for tag in added} | set(added) - touched
    less = set(gone) - touched - others

    def elsewhere(tags: list[str]) -> list[str]:
        return sorted((set(tags) | others) - less)

    before = merge_tags(base, ours, elsewhere(base)).ours
    after = elsewhere(merge_tags(base, ours, base).ours)
    assert sorted(before) == sorted(after)


@given(TAGS, TAGS, TAGS)
def test_a_write_of_tags_that_arrived_is_known_for_done(base: list[str], ours: list[str], theirs: list[str]) -> None:
    """Even if somebody else added a tag meanwhile; and if nothing changed, it was not applied."""
    wanted = merge_tags(base, ours, theirs).ours
    assert "done" == settled("tags", theirs, wanted, sorted([*wanted, "z"]))
    if set(wanted) != set(theirs):
        assert "not_applied" == settled("tags", theirs, wanted, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([{"item_id": "1", "quantity": Decimal(3)}, ROWS[1]], ROWS, [("change", "1", {"quantity": Decimal(3)})]),
        ([ROWS[0]], ROWS, [("remove", "2", {})]),
        ([*ROWS, {"name": "Nail"}], ROWS, [("add", None, {"name": "Nail"})]),
        ([*ROWS, {"name": "Nail"}], changed(0, name="Screw"), [("add", None, {"name": "Nail"})]),
        ([ROWS[0]], [*ROWS, {"item_id": "3", "name": "Nail"}], [("remove", "2", {})]),
    ],
)
def test_line_items_of_both_sides_are_kept(ours: Any, theirs: Any, expected: Any) -> None:
    """Only the rows that we changed are touched, each by its own request."""
    wanted = one("line_items", ROWS, ours, theirs)
    assert [Step(*step) for step in expected] == steps(theirs, wanted)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (changed(0, quantity=Decimal(3)), changed(0, quantity=Decimal(4))),
        (changed(0, quantity=Decimal(3)), changed(0, name="Screw")),  # a row is one thing: 3 of something else
        ([ROWS[1]], changed(0, name="Screw")),
        (changed(0, name="Screw"), [ROWS[1]]),
    ],
)
def test_a_row_that_both_sides_changed_is_a_conflict(ours: Any, theirs: Any) -> None:
    """The policy decides on that row alone; a person who has seen both may decide for ours."""
    assert "conflict" == one("line_items", ROWS, ours, theirs)
    assert "take" == one("line_items", ROWS, ours, theirs, "remote_wins")
    won = one("line_items", ROWS, ours, theirs, "local_wins")
    known = seen({"line_items": ROWS}, {"line_items": theirs}, "line_items")
    assert won == merge(known, {"line_items": ours}, {"line_items": theirs}, lambda _: "ask").writes["line_items"]
    assert len(ours) == len(won)


def test_deciding_for_ours_leaves_rows_that_others_added() -> None:
    """A person who decides on a clash has not decided on rows that ours never spoke of."""
    ours, nail = changed(0, quantity=Decimal(3)), {"item_id": "3", "name": "Nail"}
    theirs = [*changed(0, quantity=Decimal(4)), nail]
    known = seen({"line_items": ROWS}, {"line_items": theirs}, "line_items")
    made = merge(known, {"line_items": ours}, {"line_items": theirs}, lambda _: "ask")
    assert [Step("change", "1", {"quantity": Decimal(3)})] == steps(theirs, made.writes["line_items"])


def test_deciding_for_ours_over_rows_that_were_never_read_is_about_all_of_them() -> None:
    """Nothing was known of them until that person saw them: the wanted list is written, once, and asks no more."""
    ours, theirs = changed(0, quantity=Decimal(3))[:1], ROWS
    assert "conflict" == one("line_items", MISSING, ours, theirs)
    known = seen({}, {"line_items": theirs}, "line_items")
    made = merge(known, {"line_items": ours}, {"line_items": theirs}, lambda _: "ask")
    assert ["remove", "change"] == [step.do for step in steps(theirs, made.writes["line_items"])]


def test_remote_wins_in_one_row_leaves_our_other_rows() -> None:
    """Theirs is kept where both changed, and ours is written elsewhere."""
    ours = [ROWS[0] | {"quantity": Decimal(3)}, ROWS[1] | {"quantity": Decimal(7)}]
    theirs = changed(0, quantity=Decimal(4))
    wanted = one("line_items", ROWS, ours, theirs, "remote_wins")
    assert [Step("change", "2", {"quantity": Decimal(7)})] == steps(theirs, wanted)


def test_a_new_row_that_is_there_already_is_not_added_again() -> None:
    """A lost answer does not double a line; two rows that are the same are two."""
    nail = {"name": "Nail", "quantity": Decimal(4)}
    there = [*ROWS, nail | {"item_id": "3", "amount": Decimal(8)}]
    assert "converged" == one("line_items", ROWS, [*ROWS, nail], there)
    wanted = one("line_items", ROWS, [*ROWS, nail, nail], there)
    assert [Step("add", None, nail)] == steps(there, wanted)
    assert "converged" == one("line_items", ROWS, [{"name": "Bolt"}, {"name": "Nut"}], ROWS)


def test_an_amount_that_the_crm_computes_stands_in_nobodys_way() -> None:
    """A list exported whole and changed in one column has converged once that column is there."""
    ours = changed(0, quantity=Decimal(3))
    wanted = one("line_items", ROWS, ours, ROWS)
    assert [Step("change", "1", {"quantity": Decimal(3)})] == steps(ROWS, wanted)
    assert "amount" not in wanted[0]
    computed = changed(0, quantity=Decimal(3), amount=Decimal(15))
    assert "done" == settled("line_items", ROWS, wanted, computed)
    assert "converged" == one("line_items", ROWS, ours, computed)


def test_rows_without_ids_are_one_value() -> None:
    """They cannot be told apart, so a change on both sides is a conflict, and no request can name one."""
    base = [{"name": "Bolt"}]
    assert "conflict" == one("line_items", base, [{"name": "Nut"}], [{"name": "Nail"}])
    assert [{"name": "Nut"}] == one("line_items", base, [{"name": "Nut"}], base)
    with pytest.raises(ValueError, match="without an id"):
        steps(base, [{"name": "Nut"}])


QUANTITIES = st.dictionaries(st.sampled_from("1234"), st.integers(1, 3), min_size=1)


def rows(quantities: dict[str, int]) -> list[dict[str, Any]]:
    return [{"item_id": key, "quantity": Decimal(quantities[key])} for key in sorted(quantities)]


@given(QUANTITIES, QUANTITIES, QUANTITIES)
def test_no_change_of_a_row_is_lost(base: dict[str, int], ours: dict[str, int], theirs: dict[str, int]) -> None:
    """Each row ends as the side that changed it wants it, or is named as a clash."""
    ours = {key: ours.get(key, base[key]) for key in base if key in ours or base[key] > 1}
    made = merge_items(rows(base), rows(ours), rows(theirs))
    got = {row.get("item_id"): row["quantity"] for row in made.ours}
    for key in (*base, *theirs):
        if key in made.clashes:
            assert ours.get(key) != base.get(key) != theirs.get(key)
        elif ours.get(key) == base.get(key):
            assert theirs.get(key) == got.get(key)
        else:
            assert ours.get(key) == got.get(key)


@given(QUANTITIES, QUANTITIES, QUANTITIES)
def test_applied_line_items_have_converged(base: dict[str, int], ours: dict[str, int], theirs: dict[str, int]) -> None:
    """Merging again after the write finds nothing to do, and its read-back is done."""
    ours = {key: ours.get(key, base[key]) for key in base}
    wanted = merge_items(rows(base), [*rows(ours), {"quantity": Decimal(9)}], rows(theirs)).ours
    written = [{"item_id": f"new{place}"} | row for place, row in enumerate(wanted)]
    assert "done" == settled("line_items", rows(theirs), wanted, written)
    assert written == merge_items(written, wanted, written).ours
    assert [] == steps(written, merge_items(rows(base), wanted, written).ours)
