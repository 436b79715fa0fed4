"""A full disk, or one that fails, wherever a run writes: said as such, nothing lost, nothing half visible."""

import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import pytest

from onepipe.errors import OnepipeError
from onepipe.project import Project
from onepipe.report import RunReport
from onepipe.run import Options, sync
from tests.effort import some
from tests.simulation.conftest import Shed, moved, told
from tests.simulation.steps import WRITES, Step, acting, wrapped
from tests.truth.ledger import chain

PLACES: dict[str, Step] = WRITES | {
    "a page is spooled": Step("onepipe.spool", "Spool._write", "before"),
    "the snapshot is put in place": Step("onepipe.publish", "_put_in_place", "before"),
    "the applied mapping is copied": Step("onepipe.account", "Path.write_text", "before"),
}
ROOMS = (1, 10_000, 60_000, 300_000, 1_000_000, 2_000_000)


def refused(error: BaseException) -> None:
    """The disk says no."""
    raise error


def full(place: str) -> BaseException:
    """A full disk, as the part that writes there gets to know of it."""
    text = "No space left on device"
    ours = place not in ("a statement runs", "the file is checkpointed")
    return OSError(errno.ENOSPC, text) if ours else duckdb.IOException(f"Could not write file: {text}")


def run(one: Shed) -> tuple[RunReport | None, OnepipeError | None]:
    """A sweeping run, and what kept it from being complete."""
    config = one.folder / "config.yaml"
    try:
        with Project(config if config.exists() else one.desk.config(), "test") as project:
            report = sync(project, (), Options(sweep=True))
    except OnepipeError as error:
        return None, error
    error = report.connections[0].error or report.published
    assert (0 if error is None else 1) == report.exit_code
    return report, error


def whole(one: Shed) -> None:
    """The published file is a run's whole state, and nothing half made stands beside it."""
    assert one.readable() in (14, 15)
    picture = one.desk.picture()
    assert [] == [line for key, row in picture.opportunities.items() for line in chain(row, picture.history[key])]
    assert [] == list(one.folder.glob(".w.duckdb*"))


def disk(error: OnepipeError | None) -> None:
    """It is the disk, and it is said what is safe and what to do."""
    assert error is not None, "the disk was full and nobody noticed"
    assert "disk" == error.kind, error
    assert any(word in f"{error.message} {error.hint}" for word in ("free", "space", "room")), error
    assert error.hint


def heals(one: Shed) -> None:
    """With room again everything is completed, and is what the CRM holds."""
    assert "complete" == one.desk.sync(sweep=True).status
    assert [] == one.wrong()


@pytest.mark.parametrize("number", some([1, 9], every=2))
@pytest.mark.parametrize("place", some(PLACES, every=7))
def test_every_write(loaded: Shed, tmp_path: Path, place: str, number: int) -> None:
    """Whichever write finds no room: kind disk, exit code 1, the snapshot one run's whole state, all made up for."""
    one = moved(loaded, tmp_path / "p")
    come, met = _nth(number, partial(refused, full(place)))
    with wrapped(PLACES[place], come):
        _, error = run(one)
    if error is None:
        assert met[0] < number or "a statement runs" == place, "the disk was full and nobody noticed"
    else:
        disk(error)
    whole(one)
    heals(one)


def _nth(number: int, act: Callable[[], None]) -> tuple[Callable[[], None], list[int]]:
    met = [0]

    def come() -> None:
        met[0] += 1
        if met[0] == number:
            act()

    return come, met


@pytest.mark.long
@pytest.mark.parametrize("room", some(ROOMS, every=6, first=1))
def test_no_file_may_grow(loaded: Shed, tmp_path: Path, room: int) -> None:
    """A real limit of the operating system, at several sizes: the control file, the work file and the copy meet it."""
    one = moved(loaded, tmp_path / "p")
    code, said = one.drive("room", str(room), "sweep=true")
    if code != 0:
        assert 1 == code, said
        document = told(said)
        errors = [document.get("error"), document.get("publish", {}).get("error")]
        errors += [connection["error"] for connection in document.get("connections", [])]
        assert {"disk"} == {error["kind"] for error in errors if error}, said
        assert "Traceback" not in said
    assert code == 1 or room > 1_000_000
    whole(one)
    heals(one)


@pytest.mark.parametrize("number", some(range(1, 40, 9), first=1))
def test_a_first_run_without_room(loaded: Shed, tmp_path: Path, number: int) -> None:
    """The disk is full while the work file is made: the next run makes it."""
    one = Shed(type(loaded.desk)(tmp_path, loaded.desk.sandbox, loaded.desk.crms))
    with acting("a statement runs", number, partial(refused, full("a statement runs"))):
        _, error = run(one)
    disk(error)
    heals(one)


def test_a_snapshot_that_cannot_be_copied_back(loaded: Shed, tmp_path: Path) -> None:
    """The work file is lost and the disk full: said as such; with room it comes back from the snapshot."""
    one = moved(loaded, tmp_path / "p")
    (one.folder / ".onepipe" / "work.duckdb").unlink()
    with acting("the snapshot is copied", 1, partial(refused, full("the snapshot is copied"))):
        _, error = run(one)
    disk(error)
    heals(one)
