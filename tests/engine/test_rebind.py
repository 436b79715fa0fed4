"""Names and accounts: a name stays with its account until a person moves it, and rows never change hands."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import onepipe.rebind as rebinding
from onepipe.control import Control, Edits, Erased, Wish
from onepipe.errors import ConfigError, LeaseHeld, UsageError
from onepipe.project import Project
from onepipe.rebind import Rebinding, intended, rebind
from onepipe.sandbox import Sandbox
from tests.effort import some_rows
from tests.engine.conftest import Shop, error, resource
from tests.engine.test_sweeps import DEAD, hide

NOW = datetime.now(UTC) - timedelta(minutes=5)
ROWS = "SELECT connection, count(*) FROM opportunities GROUP BY 1 ORDER BY 1"


@pytest.fixture
def elsewhere() -> Iterator[Sandbox]:
    """The same two accounts, served at another address."""
    with Sandbox(rows=30, seed=7, crms=("administrate", "capsule"), now=NOW) as served:
        yield served


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A project with one Administrate account of 30 deals, synced, that is called acme."""
    with Sandbox(rows=30, seed=7, crms=("administrate", "capsule"), now=NOW) as served:
        shop = Shop(tmp_path, served, ["administrate"])
        shop.connections["acme"] = shop.connections.pop("administrate")
        assert "complete" == shop.sync().status
        yield shop


def point(shop: Shop, served: Sandbox, crm: str = "administrate") -> None:
    """Let config.yaml say that acme is an account of another sandbox."""
    told = {"connector": crm, "base_url": served.urls[crm], "credentials": dict(served.credentials[crm])}
    shop.connections["acme"] = told
    shop.sandbox = served


def rebound(shop: Shop, name: str = "acme", new_account: bool = False) -> Rebinding:
    """`onepipe rebind`."""
    with Project(shop.config, "test") as project:
        plan = intended(project, name, new_account)
        rebind(project, plan, shop.notes)
    return plan


def test_a_name_stays_with_its_account_until_it_is_rebound(shop: Shop, elsewhere: Sandbox) -> None:
    """Refused before anything is read, and the refusal says how to move the name."""
    point(shop, elsewhere)
    with pytest.raises(ConfigError) as caught:
        shop.sync()
    assert "`onepipe rebind acme`" in str(caught.value.hint)
    assert [] == list(elsewhere["administrate"].log)


def test_the_same_account_at_another_address_keeps_its_rows(shop: Shop, elsewhere: Sandbox) -> None:
    """The cursor is forgotten and everything is read again; no version is made of what is as it was."""
    point(shop, elsewhere)
    assert None is rebound(shop).retired
    assert [(None,)] == shop.sql("SELECT complete_through FROM coverage WHERE resource = 'opportunity'")
    report = shop.sync()
    assert ("complete", 30, 0) == (report.status, *(resource(report, "acme")[key] for key in ("fetched", "changed")))
    assert [("acme", 30)] == shop.sql(ROWS)


def test_the_first_sweep_at_another_address_only_reports(shop: Shop, elsewhere: Sandbox) -> None:
    """What the new address does not show is marked by nobody but a person, or a later sweep."""
    point(shop, elsewhere)
    hide(shop, "administrate", 1)
    rebound(shop)
    report = shop.sync()
    assert ("partial", "suspect", [(0,)]) == (report.status, error(report, "acme")["kind"], shop.sql(DEAD))
    assert "the credential or the address is new" in error(report, "acme")["message"]


@pytest.mark.long
@pytest.mark.parametrize("crm", ["administrate", "capsule"])
def test_another_account_starts_afresh_and_the_rows_so_far_are_kept(shop: Shop, elsewhere: Sandbox, crm: str) -> None:
    """Everything stored goes to a retired name, of which no row is open; another connector always means that."""
    before = shop.sql("SELECT source_id, payload_hash, version FROM opportunity_history ORDER BY ALL")
    point(shop, elsewhere, crm)
    plan = rebound(shop, new_account=crm == "administrate")
    assert ("acme-1", 30) == (plan.retired, plan.rows)
    assert [("acme-1", "administrate", "retired")] == shop.sql("SELECT connection, connector, state FROM connections")
    assert [("acme-1", 30)] == shop.sql(ROWS)
    assert "complete" == shop.sync().status
    assert [("acme", 30), ("acme-1", 30)] == shop.sql(ROWS)
    kept = "SELECT source_id, payload_hash, version FROM opportunity_history WHERE connection = 'acme-1' ORDER BY ALL"
    assert before == shop.sql(kept)
    assert [("acme",)] == shop.sql("SELECT DISTINCT connection FROM open_deals")
    assert [("acme",), ("acme-1",)] == shop.sql("SELECT DISTINCT connection FROM sync_runs ORDER BY 1")


@pytest.mark.long
def test_every_table_that_knows_connections_knows_the_retired_name(shop: Shop, elsewhere: Sandbox) -> None:
    """None is forgotten: whatever table is keyed by connection has nothing of the old account under its name."""
    point(shop, elsewhere)
    tables = shop.work(
        "SELECT schema_name || '.' || table_name FROM duckdb_columns() WHERE column_name = 'connection' "
        "AND database_name = 'work' AND table_name IN (SELECT table_name FROM duckdb_tables())"
    )
    rebound(shop, new_account=True)
    assert {"store.raw", "store.current", "main.coverage", "main.sync_runs"} <= {name for (name,) in tables}
    left = [name for (name,) in tables if shop.work(f"SELECT 1 FROM {name} WHERE connection = 'acme' LIMIT 1")]
    assert [] == left


def test_an_account_that_shares_its_address_can_be_exchanged(shop: Shop) -> None:
    """Where only the credential tells accounts apart, --new-account moves the name although config says the same."""
    assert "acme-1" == rebound(shop, new_account=True).retired
    assert "complete" == shop.sync().status
    assert "acme-2" == rebound(shop, new_account=True).retired
    assert [("acme-1", 30), ("acme-2", 30)] == shop.sql(ROWS)


def test_what_need_not_be_moved_is_refused(shop: Shop) -> None:
    """A name that is where config says, one that never ran, one that is not there."""
    shop.connections["globex"] = dict(shop.connections["acme"])
    for name, words in (("acme", "is what config.yaml says"), ("globex", "never ran")):
        with pytest.raises(UsageError, match=words):
            rebound(shop, name)
    with pytest.raises(ConfigError, match="No connection"):
        rebound(shop, "nobody")
    with pytest.raises(UsageError, match="no name of one connection"):
        rebound(shop, "ac*")


def test_a_name_at_work_is_not_moved(shop: Shop) -> None:
    """While another process holds it, nothing is changed."""
    with Project(shop.config, "test") as project, project.control.lease("connection:acme"), pytest.raises(LeaseHeld):
        rebound(shop, new_account=True)
    assert [("acme", 30)] == shop.work(ROWS)


@pytest.mark.long
def test_an_unfinished_read_goes_nowhere_else(shop: Shop, elsewhere: Sandbox) -> None:
    """A scan under way and a finding that waits belong to the old account: neither is gone on with."""
    hide(shop, "administrate", 14)
    assert "partial" == shop.sync(sweep=True).status
    point(shop, elsewhere)
    rebound(shop, new_account=True)
    assert [] == shop.work("SELECT connection FROM store.suspects UNION ALL SELECT connection FROM store.slices")
    assert [(None,)] == shop.sql("SELECT suspect_since FROM coverage WHERE resource = 'opportunity'")
    report = shop.sync()
    assert ("complete", 30) == (report.status, resource(report, "acme")["new"])


def hang(shop: Shop) -> None:
    """Let something hang on the name in the control file."""
    with Project(shop.config, "test") as project:
        edit = Wish(connection="acme", source_id="1", field="name", slot="name", value="Of the old account")
        project.control.edits.put([edit], "operator")
        project.control.erased.mark_deals([("acme", "2")], "operator", "")
        project.control.keep_tokens("acme", {"access": "a"})


def hanging(shop: Shop) -> tuple[list[str | None], list[str | None], dict[str, str]]:
    """What hangs on it: edits that wait, the names that erased persons' deals go by, tokens."""
    with Project(shop.config, "test") as project:
        edits, erased = project.control.edits.open(["acme"]), project.control.erased.rows()
        return [one.value for one in edits], [one.connection for one in erased], project.control.tokens("acme")


def dies(monkeypatch: pytest.MonkeyPatch, place: Any, step: str) -> None:
    """Let it end with Ctrl-C instead of a step."""

    def end(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, step, end)


@pytest.mark.parametrize(
    ("place", "step"),
    some_rows([(rebinding, "_move"), (Erased, "rename"), (Edits, "forget"), (rebinding, "forget")], every=4, first=2),
)
def test_killed_anywhere_running_it_again_ends_it(
    shop: Shop, elsewhere: Sandbox, monkeypatch: pytest.MonkeyPatch, place: Any, step: str
) -> None:
    """Nothing of the old account reaches the new one, also where a sync comes in between: that is refused."""
    hang(shop)
    point(shop, elsewhere)
    (shop.folder / ".onepipe" / "spool" / "acme" / "pages").mkdir(parents=True)
    with monkeypatch.context() as patched:
        dies(patched, place, step)
        with pytest.raises(KeyboardInterrupt):
            rebound(shop, new_account=True)
    if place is not rebinding:
        told = error(shop.sync(), "acme")
        assert ("lease", True) == (told["kind"], "`onepipe rebind acme` was begun" in told["message"])
    if step != "forget" or place is Edits:
        assert "acme-1" == rebound(shop, new_account=step == "_move").retired
    assert ([], ["acme-1"], {}) == hanging(shop)
    assert "complete" == shop.sync().status
    assert [("acme", 30), ("acme-1", 30)] == shop.sql(ROWS)


def test_a_rebinding_of_which_nothing_came_leaves_everything_as_it_was(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the warehouse was changed, and not wanted any more: the edits wait on, and syncs go on."""
    hang(shop)
    with monkeypatch.context() as patched:
        dies(patched, rebinding, "_move")
        with pytest.raises(KeyboardInterrupt):
            rebound(shop, new_account=True)
    before = hanging(shop)
    with Control(shop.folder / ".onepipe") as control, pytest.raises(LeaseHeld), control.lease("connection:acme"):
        pass
    with pytest.raises(UsageError, match="nothing was changed"):
        rebound(shop)
    assert (["Of the old account"], ["acme"], {"access": "a"}) == before == hanging(shop)
    assert "complete" == shop.sync().status
