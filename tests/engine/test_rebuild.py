"""Reading again: rows are changed in place or put in anew, and nobody can tell which."""

import pytest

from onepipe import registry, remap
from onepipe.project import Project
from onepipe.warehouse.rebuild import IN_PLACE
from tests.engine.conftest import Shop

HISTORY = "SELECT COLUMNS(*)::VARCHAR FROM opportunity_history ORDER BY ALL"


def applied(shop: Shop, text: str) -> list[tuple[str | None, ...]]:
    """The history as a mapping of this text reads it."""
    (shop.folder / "mappings" / "administrate.yaml").write_text(text)
    with Project(shop.config, "test") as project:
        assert 1 == len(remap.apply(project, force=True))
    return shop.sql(HISTORY)


@pytest.mark.long
def test_few_columns_or_many_taken_back_leave_history_as_it_was(shop: Shop) -> None:
    """One column, then more than are changed in place; with what changed in each version, and a deleted deal."""
    (shop.folder / "mappings").mkdir()
    whole = registry.find("mappings", "administrate", None).path.read_text()
    (shop.folder / "mappings" / "administrate.yaml").write_text(whole)
    shop.sync()
    crm = shop.sandbox["administrate"]
    first, second = list(crm.records)[:2]
    crm.update(first, name="Renamed")
    crm.delete(second)
    shop.sync(sweep=True)
    before = shop.sql(HISTORY)
    lines = whole.splitlines(keepends=True)
    fields = lines[lines.index("fields:\n") + 1 : lines.index("children:\n")]
    for dropped in (fields[:1], fields[: IN_PLACE + 2]):
        edited = applied(shop, "".join(line for line in lines if line not in dropped))
        assert len(before) == len(edited)
        assert before != edited
        assert before == applied(shop, whole)
