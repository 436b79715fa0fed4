"""What people do in a simulated CRM, one edit at a time, each written down in the chronicle."""

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from tests.simulation.chronicle import Chronicle
from tests.simulation.world import World
from tests.truth.walk import SPECIAL, fields

STAMPS = {"administrate": "updated_at", "tactile": "lastupdated", "capsule": "updatedOn"}
STAMPS |= {"onautomate": "updatedAt", "overplane": "updated_at"}
FEWEST = 6  # rows that are left when deletions stop
DELETIONS = 3  # in one story: more would be suspect

KINDS = ("insert", "update", "update", "silent", "delete", "delete", "special", "special", "twice", "back", "late")
KINDS += ("late", "future", "rename", "bring_back", "burst")


class Editor:
    """Edits one world. `random` decides what, the world's clock when."""

    def __init__(self, world: World, chronicle: Chronicle, random: Random) -> None:
        self.world, self.crm, self.chronicle, self.random = world, world.crm, chronicle, random
        self.told: list[str] = []
        self.removed: dict[Any, dict[str, Any]] = {}
        self.deletions = 0
        self.unseen = {key for key, row in self.crm.rows.items() if row.get("archived")}

    def edit(self, kind: str) -> None:
        """One edit; an impossible one becomes an update."""
        with self.crm.lock:
            keys = sorted(self.crm.rows.keys() - self.unseen, key=str)  # what was archived before is not looked for
            key = self.random.choice(keys)
            doing: Callable[[Any], None] = getattr(self, kind)
            doing(key)
            self.told.append(f"{self.world.passed:.1f}s {kind} {key}")

    def note(self, key: Any, level: str) -> None:
        """Into the chronicle; lists may see it later than by-id reads do."""
        lag = getattr(self.crm.options, "index_lag_seconds", 0)
        self.chronicle.note(key, level, self.world.passed + lag)

    def level(self, key: Any) -> str:
        """What must see an ordinary edit of a record: no list shows Tactile's archived ones."""
        return "sweep" if self.crm.name == "tactile" and self.crm.rows[key]["archived"] else "run"

    def insert(self, _: Any) -> None:
        """A new record."""
        self.note(self.crm.insert(**fields(self.crm, self.random)), "run")

    def update(self, key: Any) -> None:
        """Some fields are set anew, the stamp moves."""
        self.crm.update(key, **fields(self.crm, self.random))
        self.note(key, self.level(key))

    def silent(self, key: Any) -> None:
        """Some fields are set anew, the stamp does not move."""
        changes = fields(self.crm, self.random)
        self.crm.update(key, silently=True, **changes)
        self.note(key, "full" if set(changes) == {"lost_reasons"} else "sweep")

    def delete(self, key: Any) -> None:
        """A record is removed."""
        if len(self.crm.rows) <= FEWEST or self.deletions == DELETIONS:
            return self.update(key)
        self.deletions += 1
        self.removed[key] = dict(self.crm.rows[key])
        self.crm.delete(key)
        tombstones = self.crm.name == "capsule" and self.crm.options.deleted
        return self.note(key, "run" if tombstones else "sweep")

    def special(self, key: Any) -> None:
        """What only this CRM can do: archive, move, tag, nested objects, children."""
        self.note(key, SPECIAL[self.crm.name][0](self.crm, key, self.random))

    def twice(self, key: Any) -> None:
        """Two edits within the same second."""
        self.update(key)
        self.update(key)

    def back(self, key: Any) -> None:
        """An edit that is undone at once: the same content under a new stamp."""
        name = "title" if self.crm.name == "overplane" else "name"
        own = self.crm.rows[key][name]
        self.crm.update(key, **{name: "for a moment"})
        self.note(key, self.level(key))
        self.crm.update(key, **{name: own})
        self.note(key, self.level(key))

    def late(self, key: Any) -> None:
        """An edit that is stamped some time ago, as by a transaction that took long to commit."""
        ago = self.random.choice((5, 60, 110, 3000))
        stamp = self.world.at(self.world.passed) - timedelta(seconds=ago)
        self.crm.update(key, **fields(self.crm, self.random), **{STAMPS[self.crm.name]: stamp})
        ahead = max(0.0, self.crm.options.date_skew_seconds)  # the cursor, and what reads back from it, go by the Date
        self.note(key, self.level(key) if ago + ahead < 120 else "set back")

    def future(self, key: Any) -> None:
        """An edit stamped far ahead of any clock."""
        if self.level(key) == "sweep":
            return self.update(key)
        stamp = self.world.at(self.world.passed) + timedelta(days=400)
        self.crm.update(key, **fields(self.crm, self.random), **{STAMPS[self.crm.name]: stamp})
        return self.note(key, self.level(key))

    def rename(self, key: Any) -> None:
        """A stage gets another name, which shows on all its records and moves no stamp."""
        name = f"Stage {self.random.randrange(100)}"
        if self.crm.name == "capsule":
            self.crm.rename_milestone(self.random.choice(list(self.crm.milestones)), name)
        elif self.crm.name == "onautomate":
            pipeline = self.random.choice(list(self.crm.pipelines.values()))
            self.random.choice([pipeline, *pipeline["stages"]])["name"] = name
        else:
            self.update(key)

    def bring_back(self, key: Any) -> None:
        """A record that was removed is there again, under its own id."""
        if not self.removed:
            return self.update(key)
        key, row = self.removed.popitem()
        self.crm.rows[key] = row
        if self.crm.name == "capsule":
            self.crm.tombstones.pop(key, None)
        return self.update(key)

    def burst(self, _: Any) -> None:
        """Somebody imports a list: several new records within one second."""
        for _ in range(5):
            self.insert(None)
