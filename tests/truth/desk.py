"""A project against simulated CRMs, and its warehouse read back as plain Python values."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from onepipe.project import Project
from onepipe.report import RunReport, Watch
from onepipe.run import Options, sync
from onepipe.sandbox import Sandbox
from onepipe.warehouse.database import Database
from onepipe.warehouse.work import published
from tests.truth import canonical
from tests.truth.children import COLUMNS as CHILDREN
from tests.truth.children import children

Row = dict[str, Any]
Key = tuple[str, str]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = ", ".join(f"to_json({name})::VARCHAR AS {name}" for name in CHILDREN)
LISTS = (
    f"(SELECT connection, source_id, version, {_NAMES} FROM (FROM store.closed UNION ALL BY NAME FROM store.current))"
)
CRMS = ("administrate", "tactile", "capsule", "onautomate", "overplane")


@dataclass(frozen=True)
class Picture:
    """The warehouse at one moment; `children` are the tables of what belongs to a deal, each by the deal's key.

    Each version of `history` has its own under "children", as JSON: NULL where nobody was asked.
    """

    opportunities: dict[Key, Row]
    history: dict[Key, list[Row]]
    raw: list[Row]
    problems: list[Row]
    stages: dict[str, list[Row]]
    children: dict[str, dict[Key, list[Row]]] = field(default_factory=dict)

    def raw_of(self, run_id: str) -> list[Row]:
        """What one run appended."""
        return [row for row in self.raw if row["run_id"] == run_id]


@dataclass
class Desk:
    """One project whose connections are named after their CRMs. `known` are Tactile's rows ever met in a list."""

    folder: Path
    sandbox: Sandbox
    crms: tuple[str, ...] = CRMS
    zone: str = "UTC"
    extras: dict[str, dict[str, Any]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    started: datetime = EPOCH
    finished: datetime = EPOCH
    said: list[str] = field(default_factory=list)

    def config(self) -> Path:
        """config.yaml (JSON is YAML)."""
        connections = {
            crm: {
                "connector": crm,
                "base_url": self.sandbox.urls[crm],
                "credentials": self.sandbox.credentials[crm],
                **self.extras.get(crm, {}),
            }
            for crm in self.crms
        }
        path = self.folder / "config.yaml"
        path.write_text(json.dumps({"warehouse": "w.duckdb", "timezone": self.zone, "connections": connections}))
        return path

    def sync(self, *words: str, publishing: bool = True, **options: Any) -> RunReport:
        """One run; `started` and `finished` are our clock around it."""
        watch = Watch()
        watch.say = lambda connection, text: self.said.append(f"{connection}: {text}")  # type: ignore[method-assign]
        with Project(self.config(), "test") as project:
            self.started = datetime.now(UTC)
            report = sync(project, words, Options(**options), watch, publishing=publishing)
            self.finished = datetime.now(UTC)
        if "tactile" in self.crms:
            crm = self.sandbox["tactile"]
            self.known |= {str(key) for key, row in crm.rows.items() if not row["archived"]}
        return report

    def truth(self) -> dict[Key, Row]:
        """What `opportunities` has to hold of records that are not deleted."""
        rows = {}
        for name in self.crms:
            extras = self.extras.get(name, {})
            details = extras.get("settings", {}).get("details", True)
            told = canonical.opportunities(self.sandbox[name], extras.get("currency"), details)
            for key, row in told.items():
                if name != "tactile" or key in self.known:
                    rows[name, key] = row
        return rows

    def children(self) -> dict[str, dict[Key, list[Row]]]:
        """What the tables of children have to hold of records that are not deleted; of those without any, nothing."""
        found: dict[str, dict[Key, list[Row]]] = {name: {} for name in CHILDREN}
        for name in self.crms:
            crm = self.sandbox[name]
            details = self.extras.get(name, {}).get("settings", {}).get("details", True)
            for key in crm.records:
                for table_name, rows in children(crm, key, canonical.sent(crm, key), details).items():
                    if rows and (name != "tactile" or str(key) in self.known):
                        found[table_name][name, str(key)] = rows
        return found

    def content(self) -> dict[Key, str]:
        """What counts as the content of every record there is."""
        return {(name, key): text for name in self.crms for key, text in canonical.content(self.sandbox[name]).items()}

    def own_closing_day(self, key: Key) -> Any:
        """The CRM's own day of closing, for one record."""
        crm = self.sandbox[key[0]]
        return canonical.own_closing_day(crm, source_key(crm, key[1]), ZoneInfo(self.zone))

    def picture(self) -> Picture:
        """The published warehouse."""
        with published(self.folder / "w.duckdb") as db:
            return take(db)

    def work(self) -> Picture:
        """The work file."""
        with Project(self.config(), "test") as project, project.warehouse.look() as db:
            return take(db)


def source_key(crm: Any, source_id: str) -> Any:
    """The simulated CRM's own key of a record."""
    return next(key for key in crm.rows if str(key) == source_id)


def pause() -> None:
    """Let the clocks of the CRMs, which count whole seconds, move on."""
    time.sleep(1.01 - datetime.now(UTC).microsecond / 1_000_000)


def take(db: Database) -> Picture:
    """Everything a test looks at."""
    history: dict[Key, list[Row]] = {}
    kept = {(row["connection"], row["source_id"], row["version"]): row for row in table(db, LISTS)}
    for row in table(db, "opportunity_history", "ORDER BY version"):
        key = (row["connection"], row["source_id"])
        row["children"] = {name: kept[*key, row["version"]][name] for name in CHILDREN}
        history.setdefault(key, []).append(row)
    stages: dict[str, list[Row]] = {}
    for row in table(db, "stages", "ORDER BY connection, pipeline_id, position, stage_id"):
        stages.setdefault(row.pop("connection"), []).append(row)
    return Picture(
        opportunities={(row["connection"], row["source_id"]): row for row in table(db, "opportunities")},
        history=history,
        raw=table(db, "raw.records", "ORDER BY seq", leave=("payload",)),
        problems=table(db, "problems", "ORDER BY ALL"),
        stages=stages,
        children={name: by_deal(table(db, name, "ORDER BY position")) for name in CHILDREN},
    )


def by_deal(rows: Iterable[Row]) -> dict[Key, list[Row]]:
    """Rows of a table of children, without the deal's key, by that key."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault((row.pop("connection"), row.pop("source_id")), []).append(row)
    return found


def table(db: Database, name: str, order: str = "", leave: Sequence[str] = ()) -> list[Row]:
    """A table's rows as dicts: instants aware and in UTC, JSON as Python values with exact numbers."""
    columns = [(row[0], row[1]) for row in db.run(f"DESCRIBE {name}") if row[0] not in leave]
    wanted = [f'epoch_us("{column}")' if kind.startswith("TIMESTAMP") else f'"{column}"' for column, kind in columns]
    return [
        {column: value_of(kind, value) for (column, kind), value in zip(columns, row, strict=True)}
        for row in db.run(f"SELECT {', '.join(wanted)} FROM {name} {order}")
    ]


def value_of(kind: str, value: Any) -> Any:
    """A fetched value as the truth writes it."""
    if value is None:
        return None
    if kind.startswith("TIMESTAMP"):
        return EPOCH + timedelta(microseconds=value)
    return json.loads(value, parse_float=Decimal) if kind == "JSON" else value
