"""A project whose published file holds a random history, or a few deals of the test's own."""

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from onepipe.reports.frame import Frame, framed
from onepipe.warehouse.database import Database
from tests.cli.place import Place
from tests.warehouse.world import World, stored

STANDING = {
    "state": "complete",
    "stale": False,
    "complete_through": "2026-03-01T06:00:00Z",
    "behind_seconds": 3600,
    **dict.fromkeys(("last_success_at", "last_sweep_at", "live_count", "source_count", "details_owed", "late_rows")),
    **dict.fromkeys(("problems", "failing_since", "error_message", "error_kind", "suspect_since", "suspect_rows")),
    "held_why": None,
}


def standings(*names: str, **changed: Any) -> list[dict[str, Any]]:
    """Connections as `status` judges them: all is well with them, but for what is told."""
    return [STANDING | {"connection": name} | changed for name in names]


def opened(db: Database, day: date | None = None) -> Frame:
    """A frame over a work file; what is retired in it is told so."""
    rows = db.run("SELECT connection, state FROM connections ORDER BY connection")
    known = [
        one for name, state in rows for one in standings(name, state="retired" if state == "retired" else "complete")
    ]
    return framed(db, known, day)


def deal(world: World, source_id: str, **values: Any) -> None:
    """Put an open deal with one version into a world: 100 pounds of acme, in stage First, but for what is told."""
    row = {
        "connection": "acme",
        "source_id": source_id,
        "name": f"Deal {source_id}",
        "is_deleted": False,
        "is_archived": False,
        "pipeline_id": "p1",
        "pipeline": "Pipeline p1",
        "stage_id": "s1",
        "stage": "First",
        "status": "open",
        "amount": 100,
        "currency": "GBP",
        "probability": "0.5",
        "expected_close_date": "2026-04-30",
        "closed_on": None,
        "closed_on_evidence": None,
        "created_at": datetime(2026, 1, 5, 10, tzinfo=UTC),
        "valid_from": datetime(2026, 1, 5, 10, tzinfo=UTC),
        "version": 1,
        "changed_fields": [],
    }
    key = (values.get("connection", "acme"), source_id)
    world.deals[key] = [row | values]


def small() -> World:
    """A world without deals, of March 1 2026 in London."""
    return World("Europe/London", 1, [], date(2026, 3, 1), datetime(2026, 3, 1, 12, tzinfo=UTC))


def project(world: World, folder: Path, *connections: str) -> Place:
    """A project folder with a world published, and these connections in its config.yaml."""
    with stored(world, folder) as db:
        db.run("UPDATE about SET generation = 1, run_id = 'r1'")
    shutil.move(folder / "work.duckdb", folder / "warehouse.duckdb")
    entry = {"connector": "capsule", "base_url": "https://acme.capsulecrm.com", "credentials": {"token": "x"}}
    told = {"timezone": world.zone, "connections": dict.fromkeys(connections or ("acme",), entry)}
    (folder / "config.yaml").write_text(json.dumps(told))
    return Place(folder)
