"""The daemon's place: one for each state folder, held by a lease, and only as long as that folder is there."""

from collections.abc import Iterator
from contextlib import contextmanager

from onepipe.control import Control, Lease
from onepipe.errors import DiskTrouble, LeaseHeld, OnepipeError

LEASE_LOOK = 10.0  # seconds between two looks whether our place is still ours


@contextmanager
def held(control: Control) -> Iterator["Place"]:
    """Hold the daemon's place for a `with`. Raises LeaseHeld, which names who has it."""
    owner = control.owner("daemon")
    if owner:
        raise LeaseHeld(
            f"A daemon is already at work on this project: {owner}. Nothing was started",
            "stop that one first, if this one is to take its place",
        )
    with control.lease("daemon") as lease:
        yield Place(control, lease)


class Place:
    """The place while we have it."""

    def __init__(self, control: Control, lease: Lease) -> None:
        self._control, self._lease = control, lease
        self._looked = 0.0

    def lost(self, tick: float) -> OnepipeError | None:
        """Why we cannot go on, if so: the state folder is gone, or a machine that slept found its place taken."""
        try:
            self._control.stands()
        except DiskTrouble as error:
            return error
        if 0 <= tick - self._looked < LEASE_LOOK:
            return None
        self._looked = tick
        try:
            self._lease.check()
        except LeaseHeld as error:
            return error
        except DiskTrouble:  # a full disk: the lease is ours as long as nobody took it
            return None
        return None
