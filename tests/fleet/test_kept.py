"""What thousands of connections share is read once, and read again as soon as a file says something else."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from onepipe import registry
from onepipe.errors import ConfigError
from onepipe.mapping import kept_mapping
from onepipe.publish import guard, looked_at, publish
from onepipe.warehouse.work import Warehouse
from tests.fleet.test_turns import opened
from tests.test_registry import CONNECTOR

PLAIN = "key: id\nfields:\n  name: title\n"


def test_a_mapping_is_read_again_when_any_of_its_files_was_edited(tmp_path: Path) -> None:
    """Its own, the one it extends, or another one that takes that one's place."""
    own, base, nearer = (tmp_path / name for name in ("own.yaml", "base.yaml", "nearer.yaml"))
    own.write_text("extends: base\nfields:\n  description: text\n")
    base.write_text(PLAIN)

    def resolve(_: str) -> Sequence[Path]:
        return [one for one in (nearer, base) if one.exists()]

    first = kept_mapping(own, resolve)
    assert first is kept_mapping(own, resolve)
    base.write_text(PLAIN.replace("title", "label"))
    second = kept_mapping(own, resolve)
    assert ["title", "label"] == [one.fields["name"].sources[0].text for one in (first, second)]
    nearer.write_text(PLAIN.replace("title", "other"))
    assert "other" == kept_mapping(own, resolve).fields["name"].sources[0].text
    own.write_text("fields: 3\n")
    with pytest.raises(ConfigError):
        kept_mapping(own, resolve)


def test_a_connector_is_one_class_as_long_as_its_file_says_the_same(tmp_path: Path) -> None:
    """An edit is seen at once, also one of the same length within the same moment."""
    (tmp_path / "connectors").mkdir()
    path = tmp_path / "connectors" / "own.py"
    path.write_text(CONNECTOR.replace("{title}", "One"))
    first = registry.load("own", tmp_path)
    assert first is registry.load("own", tmp_path)
    path.write_text(CONNECTOR.replace("{title}", "Two"))
    assert ["One", "Two"] == [first.facts.title, registry.load("own", tmp_path).facts.title]


def published(folder: Path) -> tuple[Warehouse, Path]:
    warehouse, _ = opened(folder / "state")
    with warehouse.commit("run"):
        pass
    target = folder / "warehouse.duckdb"
    assert publish(warehouse, target, folder / "views", print)
    return warehouse, target


def test_a_published_file_that_is_replaced_is_looked_at_again(tmp_path: Path) -> None:
    """One that is not ours is refused, however often ours was seen there before."""
    warehouse, target = published(tmp_path)
    for _ in range(2):
        there = looked_at(target)
        assert there is not None
        assert 1 == there.generation
        guard(warehouse, target)
    (tmp_path / "other").mkdir()
    _, foreign = published(tmp_path / "other")
    target.unlink()
    foreign.rename(target)
    with pytest.raises(ConfigError, match="of another onepipe project"):
        guard(warehouse, target)
    target.unlink()
    target.write_text("not ours")
    with pytest.raises(ConfigError, match="never replaced"):
        guard(warehouse, target)
