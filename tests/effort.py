"""Which of many like cases every run of the tests tries; the others are `long`, for `make test-long` and `.ci/run`."""

from collections.abc import Iterable
from typing import Any

import pytest


def some(values: Iterable[Any], every: int = 3, first: int = 0) -> list[Any]:
    """All of them for `parametrize` of one name, of which one in `every`, from the `first` on, is in each run."""
    return [one if n % every == first else pytest.param(one, marks=pytest.mark.long) for n, one in enumerate(values)]


def some_rows(rows: Iterable[tuple[Any, ...]], every: int = 3, first: int = 0) -> list[Any]:
    """The same for `parametrize` of several names."""
    return [one if n % every == first else pytest.param(*one, marks=pytest.mark.long) for n, one in enumerate(rows)]
