"""`onepipe init` and `connectors new`: what they write works as written, and what exists is left alone."""

import re
from pathlib import Path

import pytest

from onepipe import config, contract, registry, scaffold
from onepipe.config import Config
from onepipe.contract.rig import rig_beside
from onepipe.errors import DiskTrouble, UsageError
from onepipe.mapping import load_mapping

FILES = {
    "config.yaml",
    ".env.example",
    ".gitignore",
    "connectors/README.md",
    "connectors/example.py",
    "connectors/example.fake.py",
    "mappings/README.md",
    "mappings/example.yaml",
}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_new_project_has_every_file(tmp_path: Path) -> None:
    """Config, secrets, git, and a README and an example in each folder; the folder itself is made."""
    made = scaffold.project(tmp_path / "new" / "project")
    assert (
        FILES
        == files(tmp_path / "new" / "project")
        == {str(p.relative_to(tmp_path / "new/project")) for p in made.written}
    )
    assert () == made.left


def test_what_exists_is_left_as_it_is(tmp_path: Path) -> None:
    """A second init adds what is missing and says what it left."""
    scaffold.project(tmp_path)
    (tmp_path / "config.yaml").write_text("mine")
    (tmp_path / ".gitignore").unlink()
    made = scaffold.project(tmp_path)
    assert (tmp_path / ".gitignore",) == made.written
    assert FILES - {".gitignore"} == {str(path.relative_to(tmp_path)) for path in made.left}
    assert "mine" == (tmp_path / "config.yaml").read_text()


def test_the_new_config_loads_as_written(tmp_path: Path) -> None:
    """Nothing needs to be edited before the first command; there is just no connection yet."""
    scaffold.project(tmp_path)
    assert {} == config.load(tmp_path / "config.yaml", {}).connections


def test_every_example_in_the_new_config_is_valid(tmp_path: Path) -> None:
    """With the # taken away, every key of a config is there, one connection for each CRM, secrets from .env."""
    scaffold.project(tmp_path)
    text = (tmp_path / "config.yaml").read_text()
    head, connections = text.split("connections:\n")
    says, keys = head.split("\nwarehouse:")
    keys = re.sub(r"^# (?=(reporting|publish|daemon|connections_from):|  )", "", keys, flags=re.MULTILINE)
    head = f"{says}\nwarehouse:{keys}"
    (tmp_path / "config.yaml").write_text(head + "connections:\n" + connections.replace("\n# ", "\n  "))
    (tmp_path / "accounts.csv").write_text("account\nacme\n")
    (tmp_path / ".env").write_text(
        re.sub(r"=$", "=secret", (tmp_path / ".env.example").read_text(), flags=re.MULTILINE) + "TOKEN_ACME=secret\n"
    )
    cfg = config.load(tmp_path / "config.yaml", {})
    shipped = {found.name for found in registry.every("connectors", None)}
    assert shipped == {connection.connector for connection in cfg.connections.values()}
    for connection in cfg.connections.values():
        facts = registry.load(connection.connector, None).facts
        assert set(facts.credentials) == set(connection.credentials), connection.name
        assert set(connection.settings) <= set(facts.settings), connection.name
    assert set(Config.model_fields) == cfg.model_fields_set
    assert set(type(cfg.connections["acme"]).model_fields) == cfg.connections["acme"].model_fields_set


@pytest.mark.parametrize(("name", "title"), [("example", "Example"), ("my_crm", "MyCrm"), ("x2", "X2")])
def test_a_new_connector_works_as_written(tmp_path: Path, name: str, title: str) -> None:
    """The connector loads under its name, and its mapping is valid."""
    scaffold.connector(tmp_path, name)
    assert {f"connectors/{name}.py", f"connectors/{name}.fake.py", f"mappings/{name}.yaml"} == files(tmp_path)
    loaded = registry.load(name, tmp_path)
    assert (title, f"https://api.{name}.com") == (loaded.__name__, loaded.facts.base_url)
    mapping = load_mapping(tmp_path / "mappings" / f"{name}.yaml")
    assert name == mapping.name
    assert 1 == len(mapping.examples)


def test_a_new_connector_keeps_every_promise(tmp_path: Path) -> None:
    """The contract suite passes before the user has written a line, so that what fails later is the user's own."""
    made = scaffold.connector(tmp_path, "my_crm")
    loaded = registry.load("my_crm", tmp_path)
    results = contract.run(loaded, rig_beside(loaded, made.written[0]))
    assert [] == [str(result) for result in results if result.outcome == "failed"]
    assert 40 < sum(result.outcome == "passed" for result in results)


@pytest.mark.parametrize("name", ["", "My", "2x", "a-b", "a/b", "../x", "a b"])
def test_a_connector_has_a_simple_name(tmp_path: Path, name: str) -> None:
    """A name becomes a file, a module and a column's value: small letters, digits and _."""
    with pytest.raises(UsageError, match="cannot name a connector"):
        scaffold.connector(tmp_path, name)
    assert set() == files(tmp_path)


@pytest.mark.parametrize("name", ["capsule", "mine", "mapped"])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, name: str) -> None:
    """Neither ours nor a file of the user's is hidden or overwritten by a scaffold."""
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "mapped.yaml").write_text("key: id\n")
    (tmp_path / "connectors").mkdir()
    (tmp_path / "connectors" / "mine.fake.py").write_text("")
    before = files(tmp_path)
    with pytest.raises(UsageError, match="Nothing was written"):
        scaffold.connector(tmp_path, name)
    assert before == files(tmp_path)


def test_a_folder_that_cannot_be_made_is_trouble(tmp_path: Path) -> None:
    """A file where a folder should be is told in a sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskTrouble, match="file in its place"):
        scaffold.project(tmp_path / "file")
    with pytest.raises(DiskTrouble):
        scaffold.project(tmp_path / "file" / "below")
