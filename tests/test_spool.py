"""The spool: what a bad disk or a power cut leaves of it is fetched again, or told as a trouble of the disk."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from onepipe.decode import Record
from onepipe.errors import DiskTrouble
from onepipe.spool import Spool, segments

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def filled(folder: Path, *ids: str, after: int = 0) -> Spool:
    """A slice with a segment for each id."""
    spool = Spool(folder, after)
    for one in ids:
        spool.add("opportunity", [Record(one, b"{}")], at=NOW, resume=["next", one])
        spool.flush()
    return spool


def numbers(folder: Path) -> list[int]:
    return [one.number for one in segments(folder)]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", None])
def test_the_list_of_segments_ends_where_one_is_broken(tmp_path: Path, content: bytes | None) -> None:
    """What follows is fetched again: a run that goes on behind it would miss rows, and one that fails, fails always."""
    filled(tmp_path, "a", "b", "c")
    broken = tmp_path / "00002.meta"
    broken.unlink() if content is None else broken.write_bytes(content)
    assert [1] == numbers(tmp_path)


def test_a_broken_segment_that_was_merged_gives_no_number_twice(tmp_path: Path) -> None:
    """What is fetched anew counts on from what was merged: a smaller number would never be."""
    filled(tmp_path, "a", "b")
    (tmp_path / "00002.meta").write_bytes(b"")
    filled(tmp_path, "c", after=2)
    assert (tmp_path / "00003.rows").exists()


def test_a_disk_that_does_not_answer_is_told_as_such(tmp_path: Path) -> None:
    """Neither reading nor removing ends as an error that nobody foresaw."""
    filled(tmp_path, "a")
    (one,) = segments(tmp_path)
    one.path.with_suffix(".meta").unlink()
    one.path.with_suffix(".meta").mkdir()
    with pytest.raises(DiskTrouble, match="could not be read"):
        numbers(tmp_path)
    with pytest.raises(DiskTrouble, match="could not be changed"):
        one.remove()
