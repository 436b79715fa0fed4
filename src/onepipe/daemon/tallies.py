"""What is counted while the daemon works: by connection, or by connector where there are too many connections."""

import threading
from collections import defaultdict
from collections.abc import Collection

Key = tuple[str, str, tuple[str, ...]]  # connection, connector, further labels


class Tally:
    """Sums under labels, which only grow. For several threads.

    What connections counted that are gone is kept under their connector, so that its sum never falls.
    """

    def __init__(self) -> None:
        self._sums: defaultdict[Key, float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, connection: str, connector: str, *more: str, value: float = 1.0) -> None:
        """Count; `more` are the further labels."""
        with self._lock:
            self._sums[connection, connector, more] += value

    def keep_only(self, connections: Collection[str]) -> None:
        """What is counted of others counts for their connector from now on."""
        with self._lock:
            for name, connector, more in [key for key in self._sums if key[0] and key[0] not in connections]:
                self._sums["", connector, more] += self._sums.pop((name, connector, more))

    def rows(self, *, together: bool) -> list[tuple[list[str], float]]:
        """Labels (connection, connector, further ones) and sums; `together`: by connector, without connections."""
        with self._lock:
            sums = list(self._sums.items())
        if not together:
            return [([name, connector, *more], value) for (name, connector, more), value in sums if name]
        added: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for (_, connector, more), value in sums:
            added["", connector, *more] += value
        return [(list(key), value) for key, value in added.items()]
