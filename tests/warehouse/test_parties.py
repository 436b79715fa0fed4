"""Owners, companies and pipelines against an independent computation, and what they and stages were called."""

import random
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import onepipe.warehouse.staged as staged
from onepipe.warehouse.database import Database
from tests.warehouse.test_example import PAGE, cells
from tests.warehouse.world import STATES, Row, World, ask, invent, put, stored

Held = tuple[Database, World]
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", params=[1, 2, 3])
def held(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """Random deals whose owners and companies change their names, now and then told of out of order."""
    world = named(invent(request.param, "Europe/London", date(2024, 3, 1)), random.Random(request.param))
    with stored(world, tmp_path_factory.mktemp("parties")) as db:
        yield db, world


def named(world: World, rng: random.Random) -> World:
    """Give each version an owner and a company. Versions are fetched in the order of their time, or nearly so."""
    rows = sorted(every(world), key=lambda row: row["valid_from"] + timedelta(hours=rng.choice([0, 0, 0, 0, 90])))
    for n, row in enumerate(rows):
        late = timedelta(rng.randint(0, 3))
        row |= {"payload_seq": n, "seq": n, "recorded_at": row["valid_from"] + late, "first_seen_at": row["valid_from"]}
        for key, label, ids in (("owner_id", "owner", 4), ("company_id", "company", 9)):
            number = rng.randrange(ids)
            name = f"{label} {number}" + "'" * (n * (number % 3) // len(rows))
            row |= rng.choice(
                [{key: str(number), label: name}] * 8 + [{key: None, label: name}, {key: "x", label: None}]
            )
    return world


def every(world: World) -> Iterator[Row]:
    """All versions of all deals."""
    return (row for versions in world.deals.values() for row in versions)


def same(row: Row, key: str, label: str) -> tuple[Any, ...]:
    """What makes two rows of one party: the id, or the name where there is none."""
    return (row["connection"], row[key], None if row[key] else row[label])


@pytest.mark.parametrize(
    ("view", "key", "label"), [("owners", "owner_id", "owner"), ("companies", "company_id", "company")]
)
def test_parties_are_everybody_ever_named(held: Held, view: str, key: str, label: str) -> None:
    """One line each, with the name of the payload fetched last, and the deals of now."""
    db, world = held
    told: dict[tuple[Any, ...], list[Row]] = {}
    for row in every(world):
        if row[key] or row[label]:
            told.setdefault(same(row, key, label), []).append(row)
    expected = []
    for party, rows in told.items():
        labels = [row[label] for row in sorted(rows, key=lambda row: row["payload_seq"]) if row[label]]
        deals = [row for row in world.now() if same(row, key, label) == party and not row["is_deleted"]]
        counted = [row for row in deals if row["status"] == "open" and not row["is_archived"]]
        expected.append(
            {
                "connection": party[0],
                key: party[1],
                label: labels[-1] if labels else None,
                "first_seen_at": min(row["recorded_at"] for row in rows),
                "last_seen_at": max(row["recorded_at"] for row in rows),
                "deals": len(deals),
                "open_deals": len(counted) if STATES[party[0]] != "retired" else 0,
            }
        )
    found = [{name: row[name] for name in expected[0]} for row in ask(db, f"FROM {view}")]
    assert sorted(expected, key=str) == sorted(found, key=str)


@pytest.mark.parametrize(
    ("view", "key", "label"), [("owner_history", "owner_id", "owner"), ("company_history", "company_id", "company")]
)
def test_names_of_the_past(held: Held, view: str, key: str, label: str) -> None:
    """At each time an id has the name of what was fetched last of all that held by then, in lines back to back."""
    db, world = held
    shown: dict[tuple[str, str], list[Row]] = {}
    for row in every(world):
        if row[key] and row[label]:
            shown.setdefault((row["connection"], row[key]), []).append(row)
    expected = []
    for (connection, id_), rows in shown.items():
        turns: list[tuple[datetime, str]] = []
        for at in sorted({row["valid_from"] for row in rows}):
            by_then = [row for row in rows if row["valid_from"] <= at]
            name = max(by_then, key=lambda row: row["payload_seq"])[label]
            if not turns or turns[-1][1] != name:
                turns.append((at, name))
        for (since, name), until in zip(turns, [*(at for at, _ in turns[1:]), None], strict=True):
            line = {"connection": connection, "id": id_, "label": name, "valid_from": since, "valid_to": until}
            expected.append(line)
    assert len(expected) > len(shown)
    assert sorted(expected, key=str) == sorted(ask(db, f"FROM {view}"), key=str)


def test_pipelines_are_those_of_lists_and_of_deals(held: Held) -> None:
    """One line each; a CRM without pipelines has none, and a pipeline without deals is there all the same."""
    db, world = held
    put(db, world)
    db.run("INSERT INTO stages (connection, stage_id, pipeline_id, pipeline) VALUES ('acme', 's9', 'p9', 'New')")
    expected = {("acme", "p9", "New"): (1, 0, 0)}
    for row in every(world):
        if row["pipeline_id"]:
            deals = [
                one
                for one in world.now()
                if (one["connection"], one["pipeline_id"]) == (row["connection"], row["pipeline_id"])
                and not one["is_deleted"]
            ]
            counted = [one for one in deals if one["status"] == "open" and not one["is_archived"]]
            key = (row["connection"], row["pipeline_id"], row["pipeline"])
            expected[key] = (4, len(deals), 0 if row["connection"] == "old" else len(counted))
    rows = ask(db, "FROM pipelines")
    assert expected == {
        (row["connection"], row["pipeline_id"], row["pipeline"]): (row["stages"], row["deals"], row["open_deals"])
        for row in rows
    }
    assert len(expected) == len(rows)


def test_a_clock_that_stands_or_is_set_back_makes_no_lines_of_stages_that_overlap(held: Held) -> None:
    """Lines begin one after the other, in the order in which they arrived; a place in the list alone begins none."""
    db, _ = held
    db.run("DELETE FROM store.stage_versions")
    told = [("A", 1, 0), ("B", 1, 9), ("B", 2, 9), ("C", 1, 9), ("D", 1, 4), ("E", 1, 60)]
    for seq, (label, place, minutes) in enumerate(told):
        db.run(
            "INSERT INTO store.stage_versions (connection, stage_id, stage, position, seq, valid_from) "
            "VALUES ('acme', '1', $label, $place, $seq, $at::TIMESTAMPTZ)",
            {"label": label, "place": place, "seq": seq, "at": (START + timedelta(minutes=minutes)).isoformat()},
        )
    tick, nine, end = timedelta(microseconds=1), START + timedelta(minutes=9), START + timedelta(minutes=60)
    times = [START, nine, nine + tick, nine + 2 * tick, end, None]
    rows = ask(db, "FROM stage_history ORDER BY valid_from")
    assert [*zip("ABCDE", times[:-1], times[1:], strict=True)] == [
        (row["stage"], row["valid_from"], row["valid_to"]) for row in rows
    ]


# --- the example of docs/warehouse.md


def test_the_example_of_names_shows_what_its_queries_answer(tmp_path: Path) -> None:
    """Each query of the example, on the deals and the lists of the example, answers with the table below it."""
    example = PAGE.partition("\n## An example of names\n")[2].partition("\n## ")[0]
    versions, lists = (cells(block) for block in re.findall(r"((?:^\|.*\n)+)", example, re.MULTILINE)[:2])
    shown = re.findall(r"```sql\n((?s:.*?));\n```\n\n((?:^\|.*\n)+)", example, re.MULTILINE)
    assert 6 == len(shown)
    world = World("UTC", 1, [], date(2026, 3, 1), datetime(2026, 3, 1, 12, tzinfo=UTC))
    for n, (deal, since, fetched, status, *names) in enumerate(versions):
        told = dict(zip(("owner_id", "owner", "company_id", "company"), [name or None for name in names], strict=True))
        row = {"connection": "acme", "source_id": deal, "is_deleted": False, "is_archived": False, "status": status}
        row |= {"valid_from": instant(since), "recorded_at": instant(fetched), "payload_seq": n, "changed_fields": []}
        rows = world.deals.setdefault(("acme", deal), [])
        rows.append({**row, **told, "version": len(rows) + 1})
    with stored(world, tmp_path) as db:
        for table in ("stages", "store.raw"):
            db.run(f"DELETE FROM {table}")
        rules = staged.Rules(connection="acme", resource="list", sql=AS_TOLD, values={})
        for seq, fetched in enumerate(sorted({row[0] for row in lists})):
            fields = "unnest($ids::VARCHAR[]) AS source_id, unnest($told::VARCHAR[]) AS payload"
            told_then = [row[1:] for row in lists if row[0] == fetched]
            db.run(
                f"CREATE OR REPLACE TEMP TABLE listed AS SELECT {fields}, 1 AS position, "
                "$at::TIMESTAMPTZ AS fetched_at",
                {"ids": [row[0] for row in told_then], "told": [";".join(row) for row in told_then], "at": fetched},
            )
            db.run("CREATE OR REPLACE TEMP TABLE changed AS FROM listed")
            db.run("INSERT INTO store.raw (connection, seq) VALUES ('acme', ?)", [seq])
            staged.take_list(db, rules)
        for query, block in shown:
            answers = db.run(f"SELECT COLUMNS(*)::VARCHAR FROM ({query})")
            assert cells(block) == [["" if value is None else str(value) for value in row] for row in answers], query


AS_TOLD = """SELECT landing, place, 'acme' AS connection, p[1] AS stage_id, p[2] AS stage, p[3] AS pipeline_id,
    p[4] AS pipeline, 1::BIGINT AS position, p[5]::DECIMAL(5,4) AS probability, p[6] AS status
    FROM (SELECT *, string_split(payload, ';') AS p FROM source)"""


def instant(text: str) -> datetime:
    """An instant of the page."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
