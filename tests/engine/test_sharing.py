"""What may be shared: what config.yaml leaves out of the published file is in no byte of it, and all else works."""

from pathlib import Path
from typing import Any

import pytest

from onepipe.errors import ConfigError
from onepipe.project import Project
from onepipe.publish import publish
from onepipe.sandbox import Sandbox
from onepipe.warehouse.work import published
from tests.engine.conftest import Shop

LONG = "".join(f"{n:05d} a long way round the houses; " for n in range(40))
HIDDEN = ["contact_email", "contact", "description", "company", "custom", "extra", "tags"]
SECRETS = ("zq@x.io", f"{'very.' * 60}long@example.org", "Zebedee Quux", "Qx", "harpsichord")


@pytest.fixture
def private(tmp_path: Path, sandbox: Sandbox) -> Shop:
    """Two accounts, whose published file lacks what is about people."""
    shop = Shop(tmp_path, sandbox, ["onautomate", "capsule"])
    shop.connections["capsule"]["settings"] = {"details": False}
    shop.more["publish"] = {"exclude": HIDDEN}
    return shop


def spoil(sandbox: Sandbox) -> list[str]:
    """Lay what must not be shared over some deals, long and short; the words of it."""
    crm = sandbox["onautomate"]
    ids = list(crm.rows)[:4]
    for n, (row, email) in enumerate(zip(ids, (*SECRETS[:2], *SECRETS[:2]), strict=True)):
        contact = {"email": email, "name": SECRETS[2], "companyName": f"{SECRETS[3]}{n}zz"}
        crm.update(row, contact=contact)
    capsule = sandbox["capsule"]
    for row, text in zip(list(capsule.rows)[:2], (SECRETS[4], LONG), strict=True):
        capsule.update(row, description=text)
    return [*SECRETS[:3], *(f"{SECRETS[3]}{n}zz" for n in range(4)), SECRETS[4], LONG[:100]]


def found(words: list[str], path: Path) -> list[str]:
    """Those of some words that a file holds anywhere."""
    data = path.read_bytes()
    return [word for word in words if word.encode() in data]


@pytest.mark.long
def test_no_byte_of_the_published_file_holds_what_was_left_out(private: Shop) -> None:
    """After several publishes, with values of every length, changed and overwritten; the whole copy holds them."""
    private.sync()
    words = spoil(private.sandbox)
    private.sync()
    for row in list(private.sandbox["onautomate"].rows)[:2]:
        private.sandbox["onautomate"].update(row, contact={"email": "other@example.org"})
    for _ in range(2):
        assert private.sync().published is None
    whole = private.folder / ".onepipe" / "whole.duckdb"
    assert words == found(words, whole)
    assert [] == found(words, private.warehouse)
    nulls = ", ".join(f"count({name})" for name in HIDDEN)
    for table in ("opportunities", "opportunity_history", "deals"):
        assert [(0,) * len(HIDDEN)] == private.sql(f"SELECT {nulls} FROM {table}")


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What a file answers."""
    with published(path) as db:
        return db.run(query)


ALIKE = (
    "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
    "SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal "
    "ORDER BY ALL",
    "SELECT function_name, comment, macro_definition FROM duckdb_functions() WHERE NOT internal ORDER BY ALL",
    *(
        f"SELECT count(*), sum(hash(COLUMNS(*)::VARCHAR)) FROM {place}"
        for place in (
            *("pipeline_by_stage", "forecast", "win_rate", "sync_runs", "coverage", "connections", "stages"),
            "pipeline_as_of('2999-12-31')",
        )
    ),
    'SELECT count(*) FROM "user".big',
    "SELECT connection, source_id, version, amount, valid_from::VARCHAR FROM opportunity_history ORDER BY ALL",
    "SELECT connection, source_id, field, old, new, run_id FROM field_changes "
    "WHERE split_part(field, '.', 1) NOT IN ('contact_email', 'contact', 'description', 'company', 'extra') "
    "ORDER BY ALL",
)


@pytest.mark.long
def test_everything_else_is_as_in_the_whole_file(private: Shop) -> None:
    """Rows, figures, views, macros, comments and the user's views; raw is there and empty."""
    (private.folder / "views").mkdir()
    (private.folder / "views" / "big.sql").write_text("SELECT * FROM deals WHERE amount > 1000")
    private.sync()
    spoil(private.sandbox)
    private.sync()
    whole = private.folder / ".onepipe" / "whole.duckdb"
    for query in ALIKE:
        assert ask(whole, query) == private.sql(query), query
    assert [(0,)] == private.sql("SELECT count(*) FROM raw.records")
    assert ask(whole, "SELECT count(*) FROM raw.records") > [(100,)]
    assert [(0,)] == private.sql("SELECT count(*) FROM field_changes WHERE field = 'contact_email'")
    named = "SELECT count(*) > 0 FROM opportunity_history WHERE list_contains(changed_fields, 'contact_email')"
    assert [(True,)] == private.sql(named)
    lacks = ", ".join(["raw", *sorted(HIDDEN)])
    assert [(lacks, "onepipe")] == private.sql("SELECT left_out, product FROM about")
    assert [0o444, 0o400] == [path.stat().st_mode & 0o777 for path in (private.warehouse, whole)]
    assert [] == [path.name for path in private.folder.rglob("*.part*")]


def test_a_file_of_which_something_was_left_out_never_becomes_the_work_file(private: Shop) -> None:
    """With the whole copy at hand a lost work file comes back from that; without it the run is refused, and says so."""
    private.sync()
    state = private.folder / ".onepipe"
    before = private.work("SELECT count(*), count(payload) FROM raw.records")
    (state / "work.duckdb").unlink()
    assert "complete" == private.sync().status
    assert any("restored from" in text and "whole.duckdb" in text for text in private.notes.said)
    assert before == private.work("SELECT count(*), count(payload) FROM raw.records")
    (state / "work.duckdb").unlink()
    private.warehouse.unlink()
    assert "complete" == private.sync().status
    assert before == private.work("SELECT count(*), count(payload) FROM raw.records")
    for name in ("work.duckdb", "whole.duckdb"):
        (state / name).unlink()
    published_before = private.warehouse.read_bytes()
    with pytest.raises(ConfigError, match=r"was published without raw, company, contact, .*; nothing was read"):
        private.sync()
    assert (False, published_before) == ((state / "work.duckdb").exists(), private.warehouse.read_bytes())


@pytest.mark.long
def test_what_is_left_out_follows_config_in_both_directions(private: Shop) -> None:
    """Leaving out more, or nothing any more, makes the file anew, though no run brought news."""
    count = "SELECT count(contact_email), count(name) > 0, (SELECT count(*) > 0 FROM raw.records) FROM opportunities"
    private.more.pop("publish")
    private.sync()
    ((emails, named, raw),) = private.sql(count)
    assert (True, True, True) == (emails > 0, named, raw)
    for wanted, expected in (
        ({"raw": False}, (emails, True, False)),
        ({"exclude": ["name"]}, (emails, False, False)),
        ({"exclude": ["contact_email"]}, (0, True, False)),
        ({"raw": True}, (emails, True, True)),
    ):
        private.more["publish"] = wanted
        with Project(private.config, "test") as project:
            assert publish(project.warehouse, private.warehouse, project.views, private.notes.said.append)
            assert not publish(project.warehouse, private.warehouse, project.views, private.notes.said.append)
        assert [expected] == private.sql(count)
    assert not (private.folder / ".onepipe" / "whole.duckdb").exists()


def test_a_column_that_no_table_has_is_named(private: Shop) -> None:
    """A word that leaves nothing out is not passed over in silence."""
    private.more["publish"] = {"exclude": ["x_nowhere"]}
    private.sync()
    assert any("leaves out x_nowhere" in text for text in private.notes.said)


@pytest.mark.long
def test_what_took_longer_to_make_never_replaces_something_newer(private: Shop) -> None:
    """While the file is made of the whole copy others may commit and publish; theirs stays."""
    private.more["publish"] = {"exclude": ["x_nowhere"]}
    private.sync()
    before = private.sql("SELECT generation FROM about")
    private.sync(publishing=False)
    between: list[tuple[Any, ...]] = []

    def said(_: str) -> None:  # in the middle of it: the file is made, and not yet in place
        if not between:
            between.append(())
            private.sync()
            between[:] = private.sql("SELECT generation FROM about")

    with Project(private.config, "test") as project:
        publish(project.warehouse, private.warehouse, project.views, said)
    assert before < between
    assert between == private.sql("SELECT generation FROM about")
    assert between == ask(private.folder / ".onepipe" / "whole.duckdb", "SELECT generation FROM about")
