"""What differs from a frozen day: every deal with its reason, and sums that add up, whatever happened since."""

import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import onepipe.reports.compared as compared
import onepipe.reports.difference as difference
import onepipe.warehouse.frozen as frozen
import onepipe.warehouse.layout as layout
from onepipe.errors import UsageError
from onepipe.reports.compared import Difference
from onepipe.reports.reasons import REASONS
from onepipe.reports.words import document
from onepipe.warehouse.database import Database
from tests.reports.published import deal, small, standings
from tests.warehouse.world import COMPARED, Row, World, invent, put, stored

DAY = date(2026, 1, 31)
AT = datetime(2026, 2, 1, 9, tzinfo=UTC)  # when it was frozen
LATER = datetime(2026, 2, 3, 9, tzinfo=UTC)


def number(world: World) -> None:
    """Give every version without one its row of raw, in the order of arrival, and a mapping that read it."""
    known = [one for versions in world.deals.values() for one in versions]
    newest = max((one["seq"] for one in known if "seq" in one), default=0)
    fresh = sorted((one for one in known if "seq" not in one), key=lambda one: one["valid_from"])
    for seq, one in enumerate(fresh, newest + 1):
        one.update(
            seq=seq,
            mapping_version=one.get("mapping_version", "m1"),
            recorded_at=one.get("recorded_at", one["valid_from"]),
        )
        for name in ("deleted_at", "deleted_evidence", "change_origin"):
            one.setdefault(name, "source" if name == "change_origin" else None)


def landed(db: Database, world: World) -> None:
    """Put a world in place, numbered, with its raw rows as far as freezing asks for them."""
    number(world)
    put(db, world)
    newest = max((one["seq"] for versions in world.deals.values() for one in versions), default=0)
    db.run("DELETE FROM store.raw")
    db.run("INSERT INTO store.raw (connection, seq) VALUES ('acme', ?)", [newest])


@contextmanager
def kept(world: World, folder: Path, day: date = DAY, now: datetime = AT) -> Iterator[Database]:
    """A work file with a world in it of which a day is frozen under the name board."""
    with stored(small(), folder) as db:
        db.run(
            "INSERT INTO store.mappings SELECT name, 'm1', '', now() FROM (VALUES ('acme'), ('late'), ('old')) v(name)"
        )
        landed(db, world)
        with db.transaction():
            frozen.keep(db, "board", day, "for the board", now)
        yield db


def found(db: Database) -> Difference:
    """What differs by now."""
    return compared.find(db, frozen.one(db, "board"))


def told(db: Database) -> dict[str, Any]:
    """The same as JSON tells it."""
    document_: dict[str, Any] = json.loads(json.dumps(document(difference.report(found(db), standings("acme")))))
    return document_


def later(world: World, source_id: str, at: str = "2026-01-20T10:00:00Z", **values: Any) -> None:
    """A change that the CRM dates before the day's end, and that came after it was frozen."""
    versions = world.deals["acme", source_id]
    row = {key: value for key, value in versions[-1].items() if key != "seq"} | values
    row |= {"valid_from": datetime.fromisoformat(at), "recorded_at": LATER, "version": len(versions) + 1}
    row["changed_fields"] = [name for name in COMPARED if row[name] != versions[-1][name]]
    versions.append(row)


def reasons(db: Database) -> dict[str, Decimal]:
    """What each reason adds, in pounds."""
    (block,) = [one for one in told(db)["sums"] if one["currency"] == "GBP"]
    return {one["reason"]: Decimal(one["amount"]) for one in block["reasons"]}


def test_nothing_differs_says_so(tmp_path: Path) -> None:
    """The answer names the sums; there is no deal and no reason."""
    world = small()
    deal(world, "1")
    with kept(world, tmp_path) as db:
        answer = told(db)
    assert "Nothing differs: every deal of 2026-01-31 is as it was frozen, 100.00 GBP." in answer["first"]
    assert (False, 0, []) == (answer["differs"], answer["deals_that_differ"], answer["deals"])


def test_a_change_seen_later_is_told_with_both_times(tmp_path: Path) -> None:
    """When the CRM changed it, when we saw it, what it was and is."""
    world = small()
    deal(world, "1")
    with kept(world, tmp_path) as db:
        later(world, "1", amount=70)
        landed(db, world)
        answer = told(db)
        assert {"changed": Decimal(-30)} == reasons(db)
    (one,) = answer["deals"]
    assert (["changed"], "100.0000", "70.0000") == (one["reasons"], one["amount_before"], one["amount_now"])
    assert [
        "changed in the CRM on 2026-01-20 10:00 UTC (amount), seen on 2026-02-03 09:00 UTC, after it was frozen"
    ] == one["why"]
    assert [{"field": "amount", "before": "100.0000", "now": "70.0000"}] == one["changes"]
    assert "GBP: 100.00 was frozen; 2026-01-31 is 70.00 by what is known now" in answer["first"]


def test_a_change_after_the_day_is_none_of_that_day(tmp_path: Path) -> None:
    """It belongs to what happened since, which leads to today's figure."""
    world = small()
    deal(world, "1")
    deal(world, "2")
    with kept(world, tmp_path) as db:
        later(world, "1", at="2026-02-02T10:00:00Z", status="won")
        landed(db, world)
        answer = told(db)
    assert (False, 0) == (answer["differs"], answer["deals_that_differ"])
    (block,) = answer["sums"]
    assert [("won", "-100.0000")] == [(one["step"], one["amount"]) for one in block["since"]]
    assert "100.0000" == block["today"]["amount"]
    assert "today is 100.00 for what happened since (won -100.00)" in answer["first"]


def test_a_deletion_is_told_with_its_evidence(tmp_path: Path) -> None:
    """When, how we know, and when we found out."""
    world = small()
    deal(world, "1")
    with kept(world, tmp_path) as db:
        gone = {"deleted_at": datetime(2026, 1, 20, 10, tzinfo=UTC), "deleted_evidence": "tombstone"}
        later(world, "1", is_deleted=True, change_origin="deletion", **gone)
        landed(db, world)
        assert {"deleted": Decimal(-100)} == reasons(db)
        (one,) = told(db)["deals"]
    assert one["why"] == [
        "deleted in the CRM on 2026-01-20 10:00 UTC (the CRM lists it as deleted), found on 2026-02-03 09:00 UTC, "
        "after it was frozen"
    ]


def test_a_deal_first_seen_later_is_told(tmp_path: Path) -> None:
    """It was in the CRM, and not here; a later change of it is part of that."""
    world = small()
    deal(world, "1")
    with kept(world, tmp_path) as db:
        deal(world, "2", recorded_at=LATER)
        landed(db, world)
        assert {"first_seen": Decimal(100)} == reasons(db)
        (one,) = told(db)["deals"]
    assert (False, True, ["first_seen"]) == (one["was_there"], one["is_there"], one["reasons"])


def test_our_own_write_is_told_with_who_wanted_it(tmp_path: Path) -> None:
    """A push is no change of the CRM's."""
    world = small()
    deal(world, "1")
    with kept(world, tmp_path) as db:
        later(world, "1", amount=120, change_origin="push")
        landed(db, world)
        db.run(
            "INSERT INTO store.pushed VALUES ('acme', ?, '7', NULL, 'signed', 'ann')",
            [world.deals["acme", "1"][-1]["seq"]],
        )
        assert {"pushed": Decimal(20)} == reasons(db)
        (one,) = told(db)["deals"]
    assert "written by us on 2026-01-20 10:00 UTC (amount) for ann: signed" in one["why"][0]


def test_another_mapping_is_told_with_both_versions(tmp_path: Path) -> None:
    """The same version of the deal, read otherwise."""
    world = small()
    deal(world, "1")
    with kept(world, tmp_path) as db:
        db.run("UPDATE store.current SET amount = 80, mapping_version = 'm2'")
        assert {"mapping": Decimal(-20)} == reasons(db)
        (one,) = told(db)["deals"]
    assert ["read by another mapping now (m2 instead of m1)"] == one["why"]


def test_a_column_of_another_type_is_another_reading(tmp_path: Path) -> None:
    """A mapping may be applied that reads a column of its own as text from now on, where it was a number."""
    world = small()
    deal(world, "1")
    with kept(world, tmp_path) as db:
        db.run("ALTER TABLE frozen.board ADD COLUMN x_arr DECIMAL(18,4) DEFAULT 1.5")
        for table in ("current", "closed"):
            db.run(f"ALTER TABLE store.{table} ADD COLUMN x_arr VARCHAR DEFAULT 'low'")
        db.run("UPDATE store.current SET mapping_version = 'm2'")
        layout.dress(db)
        (one,) = told(db)["deals"]
    assert [{"field": "x_arr", "before": "1.5000", "now": "low"}] == one["changes"]
    assert ["mapping"] == one["reasons"]


def test_stages_csv_deciding_otherwise_is_told(tmp_path: Path) -> None:
    """A status or a weight that people gave a stage since; people.csv by itself changes no sum."""
    world = small()
    for n in range(3):
        deal(world, str(n), stage=f"Stage {n}", stage_id=f"s{n}", owner_id="7")
    with kept(world, tmp_path) as db:
        db.run("INSERT INTO store.stage_statuses VALUES ('acme', NULL, 'Stage 0', 'lost')")
        db.run("UPDATE store.current SET status = 'lost' WHERE stage = 'Stage 0'")
        db.run("INSERT INTO store.stage_decisions VALUES ('acme', NULL, 'Stage 1', 'Early', NULL, 0.1)")
        assert {"stages": Decimal(-100)} == reasons(db)
        (block,) = told(db)["sums"]
        assert Decimal("-50") - Decimal("40") == Decimal(block["reasons"][0]["weighted"])
        assert {("0", "stages"), ("1", "stages")} == {(one["source_id"], *one["reasons"]) for one in told(db)["deals"]}
        db.run("INSERT INTO store.people VALUES ('acme', '7', 'Ann', 'North')")
        assert {"stages": Decimal(-100)} == reasons(db)
        assert ["people"] == [one for row in told(db)["deals"] if row["source_id"] == "2" for one in row["reasons"]]


def test_another_currency_moves_an_amount_from_one_sum_to_the_other(tmp_path: Path) -> None:
    """Neither sum is told what the other lost."""
    world = small()
    deal(world, "1", currency=None)
    with kept(world, tmp_path) as db:
        db.run("UPDATE store.current SET currency = 'EUR'")
        sums = {one["currency"]: one["reasons"] for one in told(db)["sums"]}
    assert {"EUR": [("currency", "100.0000")], None: [("currency", "-100.0000")]} == {
        name: [(one["reason"], one["amount"]) for one in found] for name, found in sums.items()
    }


def test_a_retired_connection_is_told(tmp_path: Path) -> None:
    """Its deals are there as they were, and in no figure."""
    world = small()
    deal(world, "1")
    with kept(world, tmp_path) as db:
        db.run("UPDATE connections SET state = 'retired' WHERE connection = 'acme'")
        assert {"connection": Decimal(-100)} == reasons(db)
        (one,) = told(db)["deals"]
    assert ["acme is retired: it is not in config.yaml any more"] == one["why"]


def test_another_rate_is_told_in_the_reporting_currency(tmp_path: Path) -> None:
    """No deal differs then; the converted figure does, and says why."""
    world = small()
    deal(world, "1", currency="EUR")
    with stored(small(), tmp_path) as db:
        landed(db, world)
        db.run("UPDATE store.reporting SET currency = 'GBP'")
        db.run("INSERT INTO store.day_rates VALUES (?, 'EUR', 0.5)", [str(DAY)])
        with db.transaction():
            frozen.keep(db, "board", DAY, None, AT)
        assert found(db).is_nothing
        db.run("UPDATE store.day_rates SET rate = 0.6")
        answer = told(db)
    assert (True, 0) == (answer["differs"], answer["deals_that_differ"])
    told_ = answer["converted"]
    assert (Decimal(50), Decimal(60)) == (Decimal(told_["before"]), Decimal(told_["now"]))
    assert [("rate", Decimal(10))] == [(one["reason"], Decimal(one["amount"])) for one in told_["reasons"]]


def test_rates_by_themselves_are_told_in_the_answer(tmp_path: Path) -> None:
    """The sums of amounts are what they were, and the one in the reporting currency is not."""
    world = small()
    deal(world, "1", currency="EUR")
    with stored(small(), tmp_path) as db:
        landed(db, world)
        db.run("UPDATE store.reporting SET currency = 'GBP'")
        db.run("INSERT INTO store.day_rates VALUES (?, 'EUR', 0.5)", [str(DAY)])
        with db.transaction():
            frozen.keep(db, "board", DAY, None, AT)
        db.run("UPDATE store.day_rates SET rate = 0.6")
        answer = told(db)["first"].splitlines()
    assert [
        "The sums of amounts of 2026-01-31, each in its own currency, are as they were frozen.",
        "In the reporting currency, GBP: 50.00 was frozen; 2026-01-31 is 60.00 by what is known now "
        "(rates.csv has another rate for that day: +10.00).",
    ] == answer


def test_a_weighted_sum_that_moved_is_told_in_the_answer(tmp_path: Path) -> None:
    """By itself, where no amount did; and beside the amounts, where they did as well."""
    world = small()
    deal(world, "1")
    with kept(world, tmp_path) as db:
        db.run("INSERT INTO store.stage_decisions VALUES ('acme', NULL, 'First', NULL, NULL, 0.8)")
        answer = told(db)["first"].splitlines()
        later(world, "1", amount=70)
        landed(db, world)
        both = told(db)["first"].splitlines()
    assert [
        "The sums of amounts of 2026-01-31, each in its own currency, are as they were frozen; "
        "1 deal differs in what adds nothing to them.",
        "GBP, weighted: 50.00 was frozen; 2026-01-31 is 80.00 by what is known now "
        "(stages.csv decides otherwise: +30.00).",
    ] == answer
    assert ["GBP: 100.00 was frozen", "GBP, weighted: 50.00 was frozen"] == [line.partition(";")[0] for line in both]


def test_amounts_of_unknown_currencies_are_told_by_connection(tmp_path: Path) -> None:
    """Two CRMs that tell no currency need not mean the same one; their amounts are never added up."""
    world = small()
    deal(world, "1", currency=None)
    deal(world, "2", currency=None, connection="late", amount=7)
    with kept(world, tmp_path) as db:
        later(world, "1", amount=90)
        landed(db, world)
        answer = told(db)
    assert [("acme", None, "90.0000"), ("late", None, "7.0000")] == [
        (one["connection"], one["currency"], one["now"]["amount"]) for one in answer["sums"]
    ]
    assert answer["first"].startswith("no currency (acme): 100.00 was frozen; 2026-01-31 is 90.00")


def test_without_amounts_in_the_file_no_sum_is_told(tmp_path: Path) -> None:
    """What is left out is not 0.00: the deals that differ in the rest are told, and JSON has no number."""
    world = small()
    deal(world, "1", amount=None)
    with kept(world, tmp_path) as db:
        db.run("UPDATE about SET left_out = 'raw, amount'")
        later(world, "1", name="Other")
        landed(db, world)
        made = difference.report(found(db), standings("acme"))
        answer = document(made)
    assert "The published file has no amounts, so no sum of 2026-01-31 is told; 1 deal differs" in made.first
    assert "The published file was made without raw, amount, see `publish:` in config.yaml." in made.about
    assert ["Deal by deal"] == [section.title for section in made.sections]
    (block,) = answer["sums"]
    assert [None] * 4 == [block[side][key] for side in ("before", "now") for key in ("amount", "weighted")]


def test_steps_that_were_rounded_say_so(tmp_path: Path) -> None:
    """A change below a cent is told with every digit; sums of more digits than shown say that they have them."""
    world = small()
    deal(world, "1", amount=Decimal("100.0010"))
    with kept(world, tmp_path) as db:
        later(world, "1", amount=Decimal("100.0040"))
        landed(db, world)
        made = difference.report(found(db), standings("acme"))
    (bridge,) = [one for one in made.sections if one.title.startswith("From the frozen figure")]
    assert any("rounded to the cent" in text for text in bridge.texts)
    (row,) = made.sections[-1].tables[0].rows
    assert "amount: 100.0010 -> 100.0040" in row[3]


def test_the_reporting_currency_leads_to_today_where_rates_do(tmp_path: Path) -> None:
    """Rates that moved since are a step of their own; without a rate of today there is no figure of today."""
    world = small()
    deal(world, "1", currency="EUR")
    with stored(small(), tmp_path) as db:
        landed(db, world)
        db.run("UPDATE store.reporting SET currency = 'GBP'")
        db.run("INSERT INTO store.day_rates VALUES (?, 'EUR', 0.5)", [str(DAY)])
        with db.transaction():
            frozen.keep(db, "board", DAY, None, AT)
        assert told(db)["converted"]["today"] is None
        db.run("INSERT INTO store.day_rates VALUES (DATE '2026-03-01', 'EUR', 0.7)")
        one = told(db)["converted"]
    assert (Decimal(50), Decimal(70)) == (Decimal(one["now"]), Decimal(one["today"]))
    assert [("fx", Decimal(20))] == [(line["step"], Decimal(line["amount"])) for line in one["since"]]


def figures(db: Database, lines: str) -> dict[str, Decimal]:
    """The amounts of a pipeline's lines, by currency, and by connection where there is none."""
    purse = "coalesce(currency, 'no currency (' || connection || ')')"
    return dict(db.run(f"SELECT {purse}, sum(amount) FROM {lines} WHERE observed AND deals > 0 GROUP BY 1"))


def _happens(rng: random.Random, world: World, day: date) -> None:
    """All sorts of things that come to be known after a day was frozen."""
    end = world.end(day)
    for (connection, source_id), versions in list(world.deals.items()):
        what = rng.choice(["", "", "amount", "status", "deleted", "currency", "archived", "twice", "read", "dated"])
        if what == "read":  # another mapping reads what there was
            for one in versions:
                one |= {"amount": Decimal(rng.randint(0, 10**6)) / 100, "mapping_version": "m2"}
        elif what == "dated" and len(versions) == 1:  # another mapping dates it otherwise
            versions[-1]["valid_from"] = end + timedelta(hours=rng.choice([-500, 500]))
        elif what not in ("", "dated"):
            at = end - timedelta(hours=rng.choice([1, 200, -300]))
            _add(versions, at, _other(rng, what, versions[-1]))
        if what == "twice":
            _add(versions, end, {"status": "lost"})
        if rng.random() < 0.1:
            born = {key: value for key, value in versions[0].items() if key != "seq"}
            world.deals[connection, f"new-{source_id}"] = [
                born | {"source_id": f"new-{source_id}", "recorded_at": LATER}
            ]


def _other(rng: random.Random, what: str, last: Row) -> Row:
    """What a change makes of a deal."""
    return {
        "amount": {"amount": Decimal(rng.randint(0, 10**6)) / 100},
        "twice": {"amount": Decimal(rng.randint(0, 10**6)) / 100},
        "status": {"status": rng.choice(["open", "won", None])},
        "currency": {"currency": rng.choice(["GBP", "EUR", None])},
        "deleted": {"is_deleted": not last["is_deleted"], "change_origin": "deletion"},
        "archived": {"is_archived": not last["is_archived"]},
    }[what]


def _add(versions: list[Row], at: datetime, values: Row) -> None:
    """A version that came in after the day was frozen, dated as the CRM says, but never before the one it follows."""
    last = versions[-1]
    row = {key: value for key, value in last.items() if key != "seq"} | values
    since = max(last["valid_from"] + timedelta(microseconds=1), at)
    row |= {"valid_from": since, "recorded_at": LATER, "version": last["version"] + 1}
    versions.append(row | {"changed_fields": [name for name in COMPARED if row[name] != last[name]]})


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happened_the_steps_add_up(tmp_path: Path, seed: int) -> None:
    """In each currency: as frozen, reasons, that day as known now, what happened since, today; to the last digit."""
    world = invent(seed, "Europe/London", date(2025, 9, 1))
    rng, day = random.Random(seed), world.days[50]
    with kept(world, tmp_path, day, world.end(world.days[-2])) as db:
        assert found(db).is_nothing
        then = figures(db, "frozen.board_figures")
        _happens(rng, world, day)
        landed(db, world)
        db.run("UPDATE connections SET state = 'retired' WHERE connection = 'late'")
        db.run("UPDATE connections SET state = 'active' WHERE connection = 'old'")
        db.run("UPDATE about SET published_at = ?", [world.published.isoformat()])
        now, today = (figures(db, f"pipeline_as_of(DATE '{one}')") for one in (day, world.today))
        what = found(db)
    assert what.deals and what.blocks
    for block in what.blocks:
        name = block["currency"]
        assert (then.get(name) or 0, now.get(name) or 0) == (block["before"]["amount"], block["now"]["amount"])
        for key in ("deals", "amount", "weighted"):
            assert block["now"][key] - block["before"][key] == sum(line[key] for line in block["reasons"])
        assert block["today"]["amount"] - block["now"]["amount"] == sum(line["amount"] for line in block["since"])
        assert (today.get(name) or 0) == block["today"]["amount"]
    assert all(difference.deal_facts(one, what.kept)["why"] for one in what.deals)


@pytest.mark.parametrize("name", ["", "-x", "a b", "x" * 61, 'a"b', "frozen", "Frozen", "é", "a.b", "board", "BOARD"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    """Or one that is in use, in whatever case: what is frozen is never replaced."""
    with kept(small(), tmp_path) as db, pytest.raises(UsageError, match="nothing was frozen"):
        frozen.keep(db, name, DAY, None, AT)


def test_a_name_may_not_be_the_figures_of_another(tmp_path: Path) -> None:
    """`board_figures` is a table already; and `x` is none where `x_figures` is taken for a name."""
    with kept(small(), tmp_path) as db:
        with pytest.raises(UsageError, match="in use"):
            frozen.keep(db, "board_figures", DAY, None, AT)
        frozen.keep(db, "x_figures", DAY, None, AT)
        with pytest.raises(UsageError, match="in use"):
            frozen.keep(db, "x", DAY, None, AT)


def test_a_day_to_come_is_refused(tmp_path: Path) -> None:
    """Nobody knows it yet; today is the day in the reporting zone."""
    with kept(small(), tmp_path) as db, pytest.raises(UsageError, match="still to come"):
        frozen.keep(db, "next", date(2026, 2, 2), None, AT)


def test_a_frozen_day_has_the_columns_of_deals_and_their_comments(tmp_path: Path) -> None:
    """All of them, in their order, then what tells how they came to be so."""
    world = small()
    deal(world, "1")
    with kept(world, tmp_path) as db:
        columns = db.names("FROM frozen.board")
        assert [*db.names("FROM deals"), *(one.name for one in frozen.BESIDE)] == columns
        bare = "SELECT count(*) FROM duckdb_columns() WHERE schema_name = 'frozen' AND coalesce(comment, '') = ''"
        assert 0 == db.one(bare)
        assert db.names("FROM pipeline_as_of('2026-01-31')") == db.names("FROM frozen.board_figures")


def test_the_pages_explain_every_reason_and_column() -> None:
    """docs/reports.md has a row for each reason, docs/warehouse.md one for each column of frozen.frozen."""
    docs = Path(__file__).parent.parent.parent / "docs"
    lines = (docs / "reports.md").read_text("utf-8").splitlines()
    told = {name for line in lines if line.startswith("| `") for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert set(REASONS) <= told
    section = (docs / "warehouse.md").read_text("utf-8").partition("\n## Frozen days\n")[2].partition("\n## ")[0]
    rows = [tuple(line.strip("| ").split(" | ")) for line in section.splitlines() if line.startswith("| `")]
    assert rows == [(f"`{one.name}`", one.type, one.meaning) for one in (*frozen.BESIDE, *frozen.KEPT)]
