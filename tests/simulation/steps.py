"""The steps of a run at which a test may stop it: product functions, wrapped from outside by name.

Nothing in the product knows of this. A step that was renamed there makes these tests fail with an AttributeError.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Act = Callable[[], None]


@dataclass(frozen=True)
class Step:
    """A function of the product: its module, its name there, and whether to act before or after its work is done."""

    module: str
    name: str
    when: str = "after"


# In the order in which a run comes by.
STEPS: dict[str, Step] = {
    "after the slice was noted": Step("onepipe.warehouse.books", "keep_slice"),
    "after a page was spooled": Step("onepipe.spool", "Spool.add"),
    "before a spool flush": Step("onepipe.spool", "Spool.flush", "before"),
    "after a spool flush": Step("onepipe.spool", "Spool.flush"),
    "before the raw write": Step("onepipe.warehouse.landing", "land", "before"),
    "after the raw write": Step("onepipe.warehouse.landing", "become_versions", "before"),
    "after the merge": Step("onepipe.warehouse.landing", "land"),
    "after the deletions": Step("onepipe.warehouse.landing", "land_deletions"),
    "after the details": Step("onepipe.warehouse.landing", "land_details"),
    "before a commit": Step("onepipe.warehouse.work", "Warehouse.commit", "before"),
    "after a commit": Step("onepipe.warehouse.work", "Warehouse.commit"),
    "before a merged segment is forgotten": Step("onepipe.spool", "Segment.remove", "before"),
    "in the sweep": Step("onepipe.warehouse.seen", "missing"),
    "while the books are settled": Step("onepipe.warehouse.coverage", "settle"),
    "after the marker": Step("onepipe.warehouse.snapshot", "prepare"),
    "before the copy": Step("onepipe.publish", "copied", "before"),
    "after the copy": Step("onepipe.publish", "copied"),
    "before the rename": Step("onepipe.publish", "_put_in_place", "before"),
    "after the rename": Step("onepipe.publish", "_put_in_place"),
}

# Where a full disk shows: every write of ours ends in one of these.
WRITES: dict[str, Step] = {
    "a file is made durable": Step("os", "fsync", "before"),
    "a statement runs": Step("onepipe.warehouse.database", "Database.run", "before"),
    "the file is checkpointed": Step("onepipe.warehouse.database", "_detach", "before"),
    "the snapshot is copied": Step("onepipe.publish", "copied", "before"),
}


@contextmanager
def acting(name: str, nth: int, act: Act) -> Iterator[Callable[[], int]]:
    """While inside, the `nth` time (from 1) a run comes by the step, `act` is called; gives how often it came by."""
    met = [0]

    def come() -> None:
        met[0] += 1
        if met[0] == nth:
            act()

    with wrapped((STEPS | WRITES)[name], come):
        yield lambda: met[0]


@contextmanager
def wrapped(step: Step, come: Act) -> Iterator[None]:
    """While inside, `come` is called before or after the step's own work."""
    owner: Any = import_module(step.module)
    *path, last = step.name.split(".")
    for part in path:
        owner = getattr(owner, part)
    own = getattr(owner, last)
    with swapped(owner, last, _transaction(own, step.when, come) if last == "commit" else _call(own, step.when, come)):
        yield


def _call(own: Callable[..., Any], when: str, come: Act) -> Callable[..., Any]:
    def around(*args: Any, **named: Any) -> Any:
        if when == "before":
            come()
        result = own(*args, **named)
        if when == "after":
            come()
        return result

    return around


def _transaction(own: Callable[..., Any], when: str, come: Act) -> Callable[..., Any]:
    """Before: everything of the transaction was done but the COMMIT. After: it was committed, and the file closed."""

    @contextmanager
    def around(*args: Any, **named: Any) -> Iterator[Any]:
        with own(*args, **named) as db:
            yield db
            if when == "before":
                come()
        if when == "after":
            come()

    return around


@contextmanager
def swapped(owner: Any, name: str, value: Any) -> Iterator[None]:
    """While inside, `owner.name` is something else."""
    own = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, own)
