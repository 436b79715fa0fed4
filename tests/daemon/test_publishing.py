"""Publishing beside the runs: soon after a change, but not all the time, and again where it failed."""

import io
from dataclasses import dataclass, field

from onepipe import logs
from onepipe.daemon.publishing import Publisher
from onepipe.errors import DiskTrouble


@dataclass
class Copies:
    """A clock, and copies that take their time."""

    now: float = 0.0
    took: float = 0.1
    made: list[float] = field(default_factory=list)
    full: bool = False

    def __call__(self) -> float:
        return self.now

    def copy(self) -> bool:
        self.now += self.took
        if self.full:
            raise DiskTrouble("no space left", "free some")
        self.made.append(self.now)
        return True

    def pass_by(self, publisher: Publisher, seconds: int) -> None:
        """Look every half second, as the daemon does."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            if publisher.due():
                publisher.publish()


def test_a_change_is_published_within_ten_seconds() -> None:
    """At once after a quiet time, else after a rest; without a change never."""
    copies = Copies()
    publisher = Publisher(copies.copy, clock=copies)
    copies.pass_by(publisher, 60)
    assert [] == copies.made
    publisher.changed()
    copies.pass_by(publisher, 1)
    publisher.changed()
    copies.pass_by(publisher, 60)
    assert 2 == len(copies.made)
    assert copies.made[1] - copies.made[0] < 10


def test_a_large_warehouse_is_not_copied_all_day() -> None:
    """A copy of 5 seconds rests 50, however many changes come."""
    copies = Copies(took=5.0)
    publisher = Publisher(copies.copy, clock=copies)
    for _ in range(300):
        publisher.changed()
        copies.pass_by(publisher, 1)
    pauses = [later - earlier for earlier, later in zip(copies.made, copies.made[1:], strict=False)]
    assert 50 <= min(pauses) <= max(pauses) < 60


def test_a_publish_that_fails_is_tried_again() -> None:
    """The change is not forgotten because the disk was full."""
    told = io.StringIO()
    logs.configure("json", stream=told)
    copies = Copies(full=True)
    publisher = Publisher(copies.copy, clock=copies)
    publisher.changed()
    copies.pass_by(publisher, 5)
    copies.full = False
    copies.pass_by(publisher, 20)
    assert 1 == len(copies.made)
    assert "no space left" in told.getvalue()


def test_a_fault_of_our_own_does_not_end_publishing() -> None:
    """Whatever it is, it is told, and the change is not forgotten: nobody would publish any more."""
    told = io.StringIO()
    logs.configure("json", stream=told)
    faults = [ZeroDivisionError("ours")]

    def copy() -> bool:
        if faults:
            raise faults.pop()
        return copies.copy()

    copies = Copies()
    publisher = Publisher(copy, clock=copies)
    publisher.changed()
    copies.pass_by(publisher, 20)
    assert 1 == len(copies.made)
    assert "ours" in told.getvalue()
