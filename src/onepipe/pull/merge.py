"""Segments of one slice into the warehouse, behind the fetching and at its end."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from onepipe.pull.job import OPPORTUNITY, Job, lies_ahead
from onepipe.pull.pages import place
from onepipe.report import Counts
from onepipe.spool import Segment, forget, segments
from onepipe.warehouse import books, coverage, landing, lateness, pieces, seen, verdicts
from onepipe.warehouse.books import Slice
from onepipe.warehouse.database import Database

AT_ROWS = 10_000  # segments wait until there are so many rows, or
AT_SECONDS = 10.0  # until they have waited so long
AT_MOST = 50_000  # rows in one transaction

UNKEPT = "unkept"  # the fact that proved wrong: every record can be kept

Tombstones = list[tuple[str, str, datetime | None, datetime]]


class Merging:
    """How far a slice is merged. `executor` is the one merging thread that the connections of a run share."""

    def __init__(self, job: Job, piece: Slice, executor: ThreadPoolExecutor) -> None:
        self.job = job
        self.slice = piece
        self.executor = executor
        self.folder = place(job, piece.name)
        self.gone: Tombstones = []
        self.met = False
        """Whether this slice met records that could not be kept, known ones included."""
        self.unkept = 0
        """Records met for the first time that could not be kept: the cursor stays, so that they are asked for again."""
        self.source_count: int | None = None
        self.waiting = 0
        self.since = time.monotonic()
        self.pending: Future[None] | None = None

    def begins(self, hi: datetime) -> None:
        """Note where the cursor will stand; called before the first page is spooled."""
        self.slice = replace(self.slice, hi=hi)

    def fetched(self, rows: int, whole: bool) -> None:
        """Rows went into the spool; hand whole segments to the merging thread when there are enough and it is free."""
        self.waiting += rows
        if self.pending is not None and self.pending.done():
            self.wait()
        ripe = self.waiting >= AT_ROWS or time.monotonic() - self.since >= AT_SECONDS
        if whole and ripe and self.pending is None:
            self.waiting, self.since = 0, time.monotonic()
            self.pending = self.executor.submit(self._merge, list(segments(self.folder)))

    def wait(self) -> None:
        """Wait for the merging thread; raises what it met."""
        if self.pending is not None:
            pending, self.pending = self.pending, None
            pending.result()

    def keep(self) -> None:
        """Merge what was fetched of a scan that did not come to its end; the slice stays open."""
        self.wait()
        self._merge(list(segments(self.folder)))

    def close(self, cursor: datetime | None, *, moves: bool = True) -> None:
        """Merge what is left, end the slice and move the cursor, in one transaction.

        `cursor` is where it stands; it stays there where not `moves`, since the same is about to be read once more.
        """
        self.wait()
        self._merge(list(segments(self.folder)), closing=True, cursor=cursor, moves=moves)
        forget(self.folder)

    def _merge(
        self, waiting: list[Segment], *, closing: bool = False, cursor: datetime | None = None, moves: bool = False
    ) -> None:
        waiting = [segment for segment in waiting if segment.number > self.slice.merged_to]
        while waiting or closing:
            batch = _some(waiting)
            del waiting[: len(batch)]
            with self.job.commit() as db:
                piece, counts = self._land(db, batch)
                if closing and not waiting:
                    kept = not (self.unkept or any(count.unkept for _, count in counts))
                    counts.append(self._end(db, piece, cursor, moves=moves and kept))
                else:
                    books.keep_slice(db, piece)
                    if self.met:  # a later run that goes on behind these pages does not meet it
                        books.distrust(db, self.job.name, UNKEPT, self.job.account.now())
            self.slice = piece
            for resource, count in counts:
                self.job.report.of(resource).counts.add(count)
                self.unkept += count.unkept
            for segment in batch:
                segment.remove()
            if not waiting:
                return

    def _land(self, db: Database, batch: list[Segment]) -> tuple[Slice, list[tuple[str, Counts]]]:
        reading, run_id = self.job.account.reading, self.job.run_id
        piece, counts = self.slice, []
        for resource, group in groupby(batch, key=lambda segment: segment.meta.resource):
            part = list(group)
            last = part[-1].meta
            self.met |= resource == OPPORTUNITY and any(segment.meta.unreadable for segment in part)
            if resource == OPPORTUNITY:
                count = landing.land(db, reading, run_id, part)
                self._note_late(db, piece, count)
                verdicts.met(db, self.job.name)
                piece = replace(piece, resume=last.resume, fetched=piece.fetched + count.fetched)
                if piece.kind == "full":
                    seen.note(db, self.job.name, piece.name)
            else:
                count = landing.land_reference(db, reading, run_id, resource, part)
            hi = piece.hi or (datetime.fromisoformat(last.hi) if last.hi else None)
            piece = replace(piece, merged_to=part[-1].number, hi=hi)
            counts.append((resource, count))
        return piece, counts

    def _note_late(self, db: Database, piece: Slice, count: Counts) -> None:
        if count.new or count.changed:
            stamped = self.job.account.facts.stamp is not None
            lateness.note(db, self.job.name, self.job.run_id, piece.kind, piece.hi, stamped=stamped)

    def _end(self, db: Database, piece: Slice, cursor: datetime | None, *, moves: bool) -> tuple[str, Counts]:
        pieces.ended(db, self.job.name, piece.kind, piece.fetched, piece.started_at, self.job.account.now())
        books.drop_slice(db, self.job.name)
        latest = self.job.their_now()
        counts = landing.land_deletions(db, self.job.account.reading, self.job.run_id, self.gone, latest=latest)
        if counts.deleted:
            verdicts.marked(db, self.job.name)
        if piece.kind != "backfill" and moves:
            known = None if piece.kind == "full" and lies_ahead(cursor, piece.hi) else cursor
            through = max(filter(None, (piece.hi, known)), default=None)
            coverage.cover(db, self.job.name, complete_through=through)
            self.job.report.of(OPPORTUNITY).complete_through = through
        if self.source_count is not None:
            coverage.cover(db, self.job.name, source_count=self.source_count)
        shifting = piece.resumed and not self.job.account.facts.order
        if piece.kind == "first" and not shifting:
            coverage.cover(db, self.job.name, last_sweep_at=piece.started_at)
        return OPPORTUNITY, counts


def _some(waiting: list[Segment]) -> list[Segment]:
    """The first segments that together stay within one transaction."""
    batch, rows = waiting[:1], sum(segment.meta.rows for segment in waiting[:1])
    for segment in waiting[1:]:
        rows += segment.meta.rows
        if rows > AT_MOST:
            break
        batch.append(segment)
    return batch
