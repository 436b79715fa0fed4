"""Stamps at the ends of time."""

import pytest

from tests.behaviours.conftest import Make
from tests.behaviours.desk import rows_of


@pytest.mark.parametrize("stamp", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+01:00"])
def test_04_a_stamp_beyond_all_years_is_no_instant(desk: Make, stamp: str) -> None:
    """4. Given a stamp that in UTC is before the year 1 or past 9999, then its row loads and the run is complete."""
    made = desk("administrate", rows=3)
    made.rewrite(lambda body: rows_of(body, lambda rows: [rows[0] | {made.stamp: stamp}, *rows[1:]]))
    assert "complete" == made.sync().status
    assert made.truth() == made.held()
    assert "complete" == made.sync(sweep=True).status
