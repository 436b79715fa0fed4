"""Pages that are sure to be wanted are fetched by threads while the ones before them are used."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from onepipe.errors import BadPayload
from onepipe.records import Page

Place = TypeVar("Place")

SLOW = 0.015
"""Seconds. A page that comes faster than this is dearer to hand between threads than to wait for."""


class Ahead(Generic[Place]):
    """Fetches pages, up to `depth` at once while answers are slow. An error surfaces when its page's turn comes."""

    def __init__(
        self, fetch: Callable[[Place], Page], depth: int, tick: Callable[[], float] = time.perf_counter
    ) -> None:
        self._fetch, self._depth, self._tick = fetch, depth, tick
        self._coming: dict[Place, Future[Page]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._slow = False

    def page(self, place: Place, following: Sequence[Place]) -> Page:
        """Return the page at `place`; `following` are the places that will be asked for next, as far as known."""
        following = following[: self._depth - 1]
        self._keep((place, *following))
        coming = self._coming.pop(place, None)
        if self._slow:
            self._order(following)
        return self._timed(place) if coming is None else coming.result()

    def forget(self) -> None:
        """Drop what was fetched ahead: the list has moved."""
        self._keep(())

    def close(self) -> None:
        """Give up what is still coming."""
        self.forget()
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _order(self, following: Sequence[Place]) -> None:
        for place in following:
            if place not in self._coming:
                self._pool = self._pool or ThreadPoolExecutor(self._depth, thread_name_prefix="page")
                self._coming[place] = self._pool.submit(self._timed, place)

    def _keep(self, places: Sequence[Place]) -> None:
        for place in self._coming.keys() - set(places):
            self._coming.pop(place).cancel()

    def _timed(self, place: Place) -> Page:
        began = self._tick()
        try:
            return self._fetch(place)
        except BadPayload:
            return self._fetch(place)  # a body can be cut so that only decoding it tells; once more, then it is so
        finally:
            self._slow = self._tick() - began >= SLOW
