"""Which of many like cases every run of the tests tries; the others are `long`, for `make test-long` and `.ci/run`."""

from collections.abc import Iterable
from typing import Any

import pytest


def some(values: Iterable[Any], every: int = 3, first: int = 0) -> list[Any]:
    """All of them for `parametrize`, of which one in `every`, from the `first` on, belongs to each run of the tests."""
    return [one if n % every == first else _long(one) for n, one in enumerate(values)]


def _long(value: Any) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.long)
