"""Where connectors and mappings are found, in which order, and what a broken file says."""

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from onepipe import registry
from onepipe.connector import Connector
from onepipe.errors import ConfigError

CONNECTOR = '''"""A CRM."""
from onepipe.connector import Connector, Facts

class Mine(Connector):
    facts = Facts(title="{title}", api="v1", verified="x", base_url="https://x.io", credentials=("key",), page_size=10)
    def open(self, door): return door()
    def count(self): return None
    def pull(self, resource, window): return iter(())
    def get(self, record_id, payload): raise NotImplementedError
'''
FIVE = ["administrate", "capsule", "onautomate", "overplane", "tactile"]


def write(folder: Path, name: str, text: str = CONNECTOR) -> Path:
    """A connector file in a project's folder."""
    path = folder / "connectors" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("{title}", name))
    return path


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that brings the connector `plugged` and its mapping; answers the package's folder."""
    package = tmp_path / "site" / "a_plugin"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "plugged.py").write_text(CONNECTOR.replace("{title}", "Plugged"))
    (package / "plugged.yaml").write_text("fields: {}\n")
    monkeypatch.syspath_prepend(str(package.parent))
    entries = EntryPoints([EntryPoint("plugged", "a_plugin.plugged", registry.GROUP)])
    monkeypatch.setattr(registry, "entry_points", lambda **_: entries)
    yield package
    for name in [name for name in sys.modules if name.startswith("a_plugin")]:
        del sys.modules[name]


def test_a_checkout_brings_the_five() -> None:
    """The five connectors are found without any project, and say where they come from."""
    found = registry.every("connectors", None)
    assert FIVE == [one.name for one in found]
    assert {"checkout"} == {one.origin for one in found} or {"shipped"} == {one.origin for one in found}


def test_a_project_file_wins_over_ours(tmp_path: Path) -> None:
    """A file beside config.yaml replaces the connector of the same name, and only that one."""
    path = write(tmp_path, "capsule")
    found = registry.find("connectors", "capsule", tmp_path)
    assert (path, "project") == (found.path, found.origin)
    assert "capsule" == registry.load("capsule", tmp_path).facts.title
    assert "Tactile CRM" == registry.load("tactile", tmp_path).facts.title
    assert FIVE == [one.name for one in registry.every("connectors", tmp_path)]


def test_the_wheels_files_come_before_the_checkouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the wheel carries is found under the package, before a checkout's top-level folder."""
    shipped = tmp_path / "src" / "onepipe"
    (shipped / "_shipped").mkdir(parents=True)
    (shipped / "registry.py").write_text("")
    carried, top = write(shipped / "_shipped", "mycrm"), write(tmp_path, "mycrm")
    monkeypatch.setattr(registry, "PACKAGE", shipped)
    assert (carried, "shipped") == (
        registry.find("connectors", "mycrm", None).path,
        registry.find("connectors", "mycrm", None).origin,
    )
    carried.unlink()
    assert (top, "checkout") == (
        registry.find("connectors", "mycrm", None).path,
        registry.find("connectors", "mycrm", None).origin,
    )


def test_a_plugin_brings_connector_and_mapping(plugin: Path, tmp_path: Path) -> None:
    """An entry point adds a CRM: its class, and the mapping file beside its module; a project's file still wins."""
    found = registry.find("connectors", "plugged", None)
    assert (plugin / "plugged.py", "plugin") == (found.path, found.origin)
    assert "Plugged" == registry.load("plugged", None).facts.title
    assert plugin / "plugged.yaml" == registry.find("mappings", "plugged", None).path
    write(tmp_path, "plugged")
    assert "project" == registry.find("connectors", "plugged", tmp_path).origin


def test_a_plugin_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken plugin is listed and fails only when it is used."""
    entries = EntryPoints([EntryPoint("lost", "no_such_package.lost", registry.GROUP)])
    monkeypatch.setattr(registry, "entry_points", lambda **_: entries)
    assert "lost" in [one.name for one in registry.every("connectors", None)]
    with pytest.raises(ConfigError, match="no_such_package"):
        registry.load("lost", None)


def test_an_unknown_name_says_what_there_is() -> None:
    """A misspelt connector is answered with the nearest name and the list of those known."""
    with pytest.raises(ConfigError, match="did you mean 'capsule'") as raised:
        registry.load("capsul", None)
    assert "tactile" in str(raised.value.hint)


@pytest.mark.parametrize("name", ["../capsule", "Capsule", "", "a/b", "capsule.py"])
def test_a_name_is_never_a_path(name: str, tmp_path: Path) -> None:
    """Only plain lower-case names are looked for, so no config reaches another folder."""
    with pytest.raises(ConfigError):
        registry.load(name, tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('"""Doc."""\n\ndef broken(:\n', 3, "SyntaxError"),
        ('"""Doc."""\nimport no_such_module\n', 2, "no_such_module"),
        ('"""Doc."""\nX = 1\nY = X / 0\n', 3, "ZeroDivisionError"),
        ('"""Doc."""\n', 1, "exactly one Connector class"),
        (CONNECTOR + "\n\n" + CONNECTOR.split("\n", 3)[3].replace("Mine", "Other"), 12, "Mine, Other"),
        ("from onepipe.connector import Connector\n\nclass Empty(Connector):\n    pass\n", 3, "facts"),
        (CONNECTOR.replace("    def count(self): return None\n", ""), 4, "does not define: count"),
        (CONNECTOR.replace('credentials=("key",), ', ""), 5, "credentials"),
    ],
)
def test_a_broken_file_is_named_with_its_line(text: str, line: int, words: str, tmp_path: Path) -> None:
    """Whatever is wrong with a file is one ConfigError that names the file, the line and the reason."""
    path = write(tmp_path, "mycrm", text)
    with pytest.raises(ConfigError, match="mycrm") as raised:
        registry.load("mycrm", tmp_path)
    (fault,) = raised.value.faults
    assert (path.resolve(), line) == (fault.file, fault.line)
    assert words in fault.message


def test_a_file_may_build_on_classes_of_its_own(tmp_path: Path) -> None:
    """A base class in the same file is no second connector."""
    text = CONNECTOR + "\n\nclass Final(Mine):\n    pass\n"
    write(tmp_path, "mycrm", text)
    assert "Final" == registry.load("mycrm", tmp_path).__name__


def test_loading_leaves_no_trace(tmp_path: Path) -> None:
    """A connector is loaded under a private module name, and no compiled file lands in the user's folder."""
    path = write(tmp_path, "json")
    before = sys.modules["json"]
    cls = registry.load("json", tmp_path)
    assert before is sys.modules["json"]
    assert cls.__module__.startswith("_onepipe_connectors.")
    assert [path] == list(path.parent.iterdir())


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    """An edit within the same second is seen by the next load."""
    path = write(tmp_path, "mycrm", CONNECTOR.replace("{title}", "One"))
    assert "One" == registry.load("mycrm", tmp_path).facts.title
    path.write_text(CONNECTOR.replace("{title}", "Two"))
    assert "Two" == registry.load("mycrm", tmp_path).facts.title


def test_private_files_and_fakes_are_no_connectors(tmp_path: Path) -> None:
    """A fake beside a connector, a private helper and other files are not listed."""
    for name in ("_shared", "mycrm.fake", "Mycrm"):
        write(tmp_path, name)
    assert FIVE == [one.name for one in registry.every("connectors", tmp_path)]


def test_every_connector_defines_what_it_can() -> None:
    """`can` is derived from the class: only Capsule has tombstones."""
    classes: dict[str, type[Connector]] = {
        one.name: registry.load_found(one) for one in registry.every("connectors", None)
    }
    with_tombstones = [name for name, cls in classes.items() if cls("https://x.example", {}).can("deleted")]
    assert ["capsule"] == with_tombstones
