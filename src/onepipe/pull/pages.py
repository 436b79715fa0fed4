"""Where the pages of a run wait: folders that only the holder of one lease writes to."""

from pathlib import Path

from onepipe.errors import DiskTrouble
from onepipe.pull.job import Job
from onepipe.spool import forget, segments


def place(job: Job, name: str) -> Path:
    """The folder of the pages called `name`, under the number of our lease.

    A holder that was paused and overtaken goes on writing where it began: never among the pages of who came after.
    """
    lease = job.account.lease
    return job.warehouse.spool / job.name / (f"{name}-{lease.number}" if lease else name)


def take_over(job: Job, name: str | None) -> None:
    """Make the pages that an earlier holder kept of the slice `name` ours, and forget all others.

    Called inside a commit, so that only the newest holder does. Raises DiskTrouble.
    """
    folders = sorted((job.warehouse.spool / job.name).glob("*"), key=_holder)
    kept = [folder for folder in folders if folder.name.partition("-")[0] == name]
    for folder in folders:
        if folder not in kept[-1:]:
            forget(folder)
    if name is None or not kept or kept[-1] == place(job, name):
        return
    try:
        _rename(kept[-1], place(job, name))
    except OSError as error:
        raise DiskTrouble(f"the pages in {kept[-1]} could not be taken over: {error}") from error


def _rename(before: Path, after: Path) -> None:
    """Rename a folder, and throw away what is not whole in it: its writer may still hold it open."""
    before.rename(after)
    whole = {segment.path.stem for segment in segments(after)}
    for part in after.iterdir():
        if part.stem not in whole:
            part.unlink()


def _holder(folder: Path) -> int:
    number = folder.name.partition("-")[2]
    return int(number) if number.isdecimal() else 0  # folders of before had no numbers
