"""What holds for every merge, whatever both sides did."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from onepipe.merge import MISSING, Merged, Policy, merge, merge_delete, same, seen, settled, value_of
from onepipe.merge.units import UNITS, groups

MONEY = st.sampled_from([None, *map(Decimal, ("0", "100", "120.50"))])
LABEL = st.sampled_from([None, "", "a", "b", " b ", "a\r\nb", "a\nb"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": LABEL,
    "description": LABEL,
    "amount": MONEY,
    "currency": st.sampled_from([None, "EUR", "USD"]),
    "unit_amount": MONEY,
    "stage_id": st.sampled_from(["1", "2", "3"]),
    "status": st.sampled_from(["open", "won"]),
    "probability": st.sampled_from([None, Decimal("0.5"), Decimal(1)]),
    "contact_id": st.sampled_from(["1", "2"]),
    "contact_email": st.sampled_from([None, "a@example.org", "A@example.org", "b@example.org"]),
    "tags": st.none() | st.lists(st.sampled_from("abcd"), unique=True).map(sorted),
    "custom.ARR": st.sampled_from([None, "5", 5, "x", True]),
}
RECORD = st.fixed_dictionaries({}, optional=VALUES)
EDIT = st.fixed_dictionaries({}, optional=VALUES)
POLICY = st.fixed_dictionaries(
    dict.fromkeys(VALUES, st.sampled_from(["ask", "remote_wins", "local_wins", "fill_if_blank"]))
)
Edit = dict[str, Any]
Policies = dict[str, Policy]


def applied(theirs: Edit, made: Merged) -> Edit:
    """The record in the CRM after the write."""
    return theirs | made.writes


def decisions(made: Merged) -> dict[str, str]:
    return {name: one.decision for name, one in made.fields.items()}


@given(RECORD, EDIT, RECORD, POLICY)
def test_no_edit_is_lost(base: Edit, ours: Edit, theirs: Edit, policies: Policies) -> None:
    """Each of our edits is in the CRM afterwards, or somebody is told why it is not."""
    made = merge(base, ours, theirs, policies.__getitem__)
    after = applied(theirs, made)
    assert list(ours) == list(made.fields)
    for name, one in made.fields.items():
        if one.decision == "converged" or (one.decision == "write" and name != "tags"):
            assert same(name, ours[name], after[name]) or name == "tags"
        elif one.decision == "take":
            ours_is_old = same(name, ours[name], value_of(base, name))
            unit = {policies[other] for other in next(group for group in groups(ours) if name in group)}
            assert ours_is_old or unit & {"remote_wins", "fill_if_blank"}
        else:
            assert one.decision == "write" or one.reason


@given(RECORD, EDIT, RECORD, POLICY)
def test_no_change_in_the_crm_is_lost(base: Edit, ours: Edit, theirs: Edit, policies: Policies) -> None:
    """What somebody set in the CRM stays, or local_wins laid over it and it is kept beside."""
    made = merge(base, ours, theirs, policies.__getitem__)
    after = applied(theirs, made)
    for name, value in theirs.items():
        old = value_of(base, name)
        if old is MISSING:
            assert name not in made.laid_over
        elif name == "tags":
            assert set(value or []) - set(after[name] or []) <= set(old or [])
        elif not same(name, old, value) and not same(name, after[name], value):
            assert value in (None, "") or made.laid_over[name] == value


@given(RECORD, EDIT, RECORD, POLICY)
def test_merging_again_after_the_write_sends_nothing(base: Edit, ours: Edit, theirs: Edit, policies: Policies) -> None:
    """What was written has converged, even if we died before we knew; what was not keeps its decision."""
    first = merge(base, ours, theirs, policies.__getitem__)
    again = merge(base, ours, applied(theirs, first), policies.__getitem__)
    assert {} == again.writes
    expected = {name: "converged" if word == "write" else word for name, word in decisions(first).items()}
    assert expected == decisions(again)


@given(RECORD, EDIT, EDIT)
def test_convergence_is_symmetric(base: Edit, ours: Edit, theirs: Edit) -> None:
    """Both sides would find the same fields equal."""
    both = [name for name in ours if name in theirs]
    one, other = {name: ours[name] for name in both}, {name: theirs[name] for name in both}
    there = decisions(merge(base, one, other, lambda _: "ask"))
    back = decisions(merge(base, other, one, lambda _: "ask"))
    equal = [name for name in both if name != "tags"]
    assert [there[name] == "converged" for name in equal] == [back[name] == "converged" for name in equal]


@given(RECORD, EDIT, RECORD, POLICY)
def test_units_are_never_torn(base: Edit, ours: Edit, theirs: Edit, policies: Policies) -> None:
    """Of one unit, all that is not equal yet shares one decision; an amount never lands in a currency unseen."""
    made = merge(base, ours, theirs, policies.__getitem__)
    for unit in UNITS:
        assert len({one.decision for name, one in made.fields.items() if name in unit} - {"converged"}) <= 1
    if "amount" in made.writes and "currency" in base and "currency" in theirs:
        assert same("currency", base["currency"], theirs["currency"]) or "currency" in ours


@given(RECORD, EDIT, RECORD)
def test_with_ask_nothing_is_written_over_an_unseen_change(base: Edit, ours: Edit, theirs: Edit) -> None:
    """A field is written only where base says what the CRM holds."""
    made = merge(base, ours, theirs, lambda _: "ask")
    assert {} == made.laid_over
    assert all(same(name, value_of(base, name), theirs[name]) for name in made.writes if name != "tags")


@given(RECORD, EDIT, RECORD)
def test_one_who_has_seen_both_sides_can_always_write_ours(base: Edit, ours: Edit, theirs: Edit) -> None:
    """After `seen` a conflict is none any more, unless the CRM changes again."""
    for name, one in merge(base, ours, theirs, lambda _: "ask").fields.items():
        if one.decision == "conflict":
            known = seen(base, theirs, name)
            assert "write" == merge(known, {name: ours[name]}, theirs, lambda _: "ask").fields[name].decision


@given(RECORD, EDIT, RECORD)
def test_what_was_written_and_read_back_is_done(base: Edit, ours: Edit, theirs: Edit) -> None:
    """A CRM that keeps what it is sent is never suspected, and one that ignores it never believed."""
    made = merge(base, ours, theirs, lambda _: "local_wins")
    for name, value in made.writes.items():
        assert "done" == settled(name, theirs[name], value, value)
        assert "not_applied" == settled(name, theirs[name], value, theirs[name])


@given(RECORD, RECORD)
def test_a_delete_is_sent_only_over_what_was_seen(base: Edit, theirs: Edit) -> None:
    """Every column that both reads know is equal."""
    made = merge_delete(base, theirs)
    differ = any(name in base and not same(name, base[name], theirs[name]) for name in theirs if "." not in name)
    assert ("conflict" if differ else "write") == made.decision
