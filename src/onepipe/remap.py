"""Mappings in use: the SQL they become, and reading everything again after an edit, without a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onepipe import registry
from onepipe.account import mapping_path, open_account, utc_now
from onepipe.compile import show as compiled
from onepipe.mapping import load_mapping
from onepipe.project import Project
from onepipe.publish import guard, publish, restore
from onepipe.report import Watch
from onepipe.warehouse import books
from onepipe.warehouse.rebuild import rebuild


@dataclass(frozen=True, slots=True)
class Applied:
    """One connection read again: its versions, and which mapping read them before and reads them now."""

    connection: str
    versions: int
    before: str
    now: str


def show(connector: str, project: Path | None) -> str:
    """The SQL a connector's mapping becomes, as one script."""
    return compiled(load_mapping(registry.find("mappings", connector, project).path))


def waiting(project: Project, words: Sequence[str] = ()) -> list[tuple[str, str, str]]:
    """Connections whose mapping was edited since it was applied: name, applied version, version of the file."""
    found = []
    with project.warehouse.look() as db:
        for connection in project.choose(words):
            kept = books.mapping(db, connection.name)
            version = load_mapping(mapping_path(project.config, connection)).version
            if kept is not None and kept[0] != version:
                found.append((connection.name, kept[0], version))
    return found


def apply(project: Project, words: Sequence[str] = (), watch: Watch | None = None) -> list[Applied]:
    """Read the chosen connections again with the mapping as it is in its file, and publish.

    Each connection is one transaction: its rows are all read the old way, or all the new. Raises ConfigError.
    """
    watch = watch or Watch()
    restore(project.warehouse, project.config.warehouse, lambda text: watch.say("", text))
    guard(project.warehouse, project.config.warehouse)
    changes = {name: versions for name, *versions in waiting(project, words)}
    done = []
    for connection in project.choose(list(changes)) if changes else []:
        path = mapping_path(project.config, connection)
        mapping = load_mapping(path)
        with project.control.lease(f"connection:{connection.name}", wait=0.0) as lease:
            account = open_account(project.config, connection, mapping, lease=lease)
            with project.warehouse.commit("mapping") as db:
                account.fence(db)
                versions = rebuild(db, account.reading)
                books.keep_mapping(db, connection.name, mapping.version, path.read_text(encoding="utf-8"), utc_now())
        watch.say(connection.name, f"{versions} versions read again")
        done.append(Applied(connection.name, versions, *changes[connection.name]))
    publish(project.warehouse, project.config.warehouse, project.views, lambda text: watch.say("", text))
    return done
