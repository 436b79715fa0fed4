"""Mapping life: an edit waits, is applied from raw without a request, and gives what a fresh pull would give."""

import shutil
from pathlib import Path

from onepipe import registry, remap
from onepipe.project import Project
from tests.engine.conftest import Shop

COLUMNS = "connection, source_id, name, amount, status, stage, probability, custom::VARCHAR, extra::VARCHAR, closed_on"


def _own_mapping(shop: Shop, crm: str) -> Path:
    path = shop.folder / "mappings" / f"{crm}.yaml"
    path.parent.mkdir(exist_ok=True)
    shutil.copy(registry.find("mappings", crm, None).path, path)
    return path


def test_an_edited_mapping_waits_until_it_is_applied(shop: Shop) -> None:
    """A sync reads with the applied mapping and says that an edited one waits; apply reads everything again."""
    path = _own_mapping(shop, "administrate")
    shop.sync()
    names = shop.sql("SELECT DISTINCT lead_source IS NULL FROM opportunities ORDER BY 1")
    assert [(False,), (True,)] == names
    version = shop.sql("SELECT DISTINCT mapping_version FROM opportunities")
    lines = [line for line in path.read_text().splitlines() if not line.strip().startswith("lead_source")]
    path.write_text("\n".join(lines) + "\n")
    shop.sync()
    assert version == shop.sql("SELECT DISTINCT mapping_version FROM opportunities")
    assert any("was edited" in text for text in shop.notes.said)
    asked = len(shop.sandbox["administrate"].log)
    with Project(shop.config, "test") as project:
        (applied,) = remap.apply(project, force=True)  # a column is emptied on purpose
    assert asked == len(shop.sandbox["administrate"].log), "no request"
    assert 60 == applied.versions
    assert version != shop.sql("SELECT DISTINCT mapping_version FROM opportunities")
    assert [(True,)] == shop.sql("SELECT DISTINCT lead_source IS NULL FROM opportunities")


def test_a_rebuild_by_the_same_rules_gives_the_same_rows(five: Shop) -> None:
    """History with changes and deletions, read again from raw by an equal mapping: every row and version as before."""
    for crm in five.connections:
        _own_mapping(five, crm)
    five.sync()
    for name in five.connections:
        crm = five.sandbox[name]
        first, second, third = list(crm.records)[:3]
        crm.update(first, **{"title" if name == "overplane" else "name": f"Changed in {name}"})
        crm.delete(second)
        crm.update(third, **{"title" if name == "overplane" else "name": "Changed once"})
    five.sync(sweep=True)
    history = (
        f"SELECT {COLUMNS}, version, changed_fields, change_origin, valid_from::VARCHAR, valid_to::VARCHAR, "
        "is_deleted, deleted_evidence, first_seen_at::VARCHAR, recorded_at::VARCHAR FROM opportunity_history "
        "ORDER BY connection, source_id, version"
    )
    before = five.sql(history)
    problems = five.sql("SELECT connection, source_id, field, value FROM problems ORDER BY ALL")
    stages = five.sql("SELECT * FROM stages ORDER BY ALL")
    for path in (five.folder / "mappings").glob("*.yaml"):
        path.write_text(path.read_text() + "\n# edited, to the same effect\n")
        with Project(five.config, "test") as project:
            _force(project, path.stem)
    assert before == five.sql(history)
    assert problems == five.sql("SELECT connection, source_id, field, value FROM problems ORDER BY ALL")
    assert stages == five.sql("SELECT * FROM stages ORDER BY ALL")


def _force(project: Project, connection: str) -> None:
    """Apply although the effective mapping is the same."""
    with project.warehouse.commit("test") as db:
        db.run("UPDATE store.mappings SET version = 'older' WHERE connection = ?", [connection])
    assert [connection] == [one.connection for one in remap.apply(project, [connection])]
