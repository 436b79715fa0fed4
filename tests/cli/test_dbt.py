"""`docs dbt`: sources that dbt reads, with the texts, tests and freshness of the published tables."""

from pathlib import Path
from typing import Any

import yaml

from tests.cli.place import Place


def told(place: Place, folder: Path) -> dict[str, dict[str, Any]]:
    """The tables of the source `onepipe`, by name."""
    assert 0 == place.run("docs", "dbt", "-o", str(folder)).code
    written = yaml.safe_load((folder / "sources.yml").read_text("utf-8"))
    assert (2, ["onepipe", "onepipe_raw"]) == (written["version"], [one["name"] for one in written["sources"]])
    (source, raw) = written["sources"]
    assert ("onepipe", "main", "raw") == (source["database"], source["schema"], raw["schema"])
    return {one["name"]: one for one in source["tables"]}


def test_every_table_and_column_has_its_text(synced: Place, tmp_path: Path) -> None:
    """Tables and views alike; each column with DuckDB's type."""
    tables = told(synced, tmp_path)
    assert {"opportunities", "deals", "line_items", "forecast", "about", "sync_runs"} <= set(tables)
    assert [] == [name for name, one in tables.items() if not one["description"]]
    columns = {one["name"]: one for one in tables["opportunities"]["columns"]}
    assert ("DECIMAL(18,4)", True) == (columns["amount"]["data_type"], bool(columns["amount"]["description"]))


def test_keys_children_and_words_are_tested(synced: Place, tmp_path: Path) -> None:
    """A key of several columns is one text; what belongs to a deal has one; a status is one of four words."""
    tables = told(synced, tmp_path)
    (unique,) = tables["opportunities"]["data_tests"]
    key = "coalesce(connection::varchar, '') || ' ' || coalesce(source_id::varchar, '')"
    assert key == unique["unique"]["column_name"]
    tests = {name: test for one in tables["line_items"]["data_tests"] for name, test in one.items()}
    belongs = {"to": "source('onepipe', 'opportunities')", "field": key}
    assert (key, belongs) == (tests["relationships"]["column_name"], tests["relationships"]["arguments"])
    columns = {one["name"]: one.get("data_tests") for one in tables["opportunities"]["columns"]}
    words = {"accepted_values": {"arguments": {"values": ["open", "won", "lost", "abandoned"]}}}
    assert ([words], ["not_null"], None) == (columns["status"], columns["source_id"], columns["amount"])


def test_freshness_follows_the_schedule(place: Place, tmp_path: Path) -> None:
    """A day where no schedule is written, else twice the longest interval; an error is three times as late."""
    assert 0 == place.run("sync").code
    plain = place.config.read_text()
    for schedule, hours in (("", 26), ("15m", 1), ("6h", 12), ("0 6 * * *", 26)):
        written = f'"schedule": "{schedule}", "connector"' if schedule else '"connector"'
        place.config.write_text(plain.replace('"connector"', written))
        tables = told(place, tmp_path / "d")
        for name, field in (
            ("about", "published_at"),
            ("opportunities", "(SELECT min(complete_through) FROM onepipe."),
        ):
            config = tables[name]["config"]
            assert config["loaded_at_field"].startswith(field)
            assert {"count": hours, "period": "hour"} == config["freshness"]["warn_after"]
            assert {"count": 3 * hours, "period": "hour"} == config["freshness"]["error_after"]


def test_a_profile_opens_the_file_read_only_and_files_of_others_stay(synced: Place, tmp_path: Path) -> None:
    """Written again it replaces what it wrote, and nothing else."""
    for _ in range(2):
        told(synced, tmp_path)
    profile = yaml.safe_load((tmp_path / "profiles.yml").read_text("utf-8"))
    (attached,) = profile["onepipe"]["outputs"]["dev"]["attach"]
    assert {"path": str(synced.folder / "warehouse.duckdb"), "alias": "onepipe", "read_only": True} == attached
    (tmp_path / "profiles.yml").write_text("mine: true\n")
    refused = synced.run("docs", "dbt", "-o", str(tmp_path))
    assert (2, "mine: true\n") == (refused.code, (tmp_path / "profiles.yml").read_text())
