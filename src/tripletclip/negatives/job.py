"""A job: a source, the stages that its rows go through, and the folder of shards that comes of it.

One shard is one task. :class:`Worker` holds the stages and makes any task by its number, in this process or in another;
both engines run this very class. What is finished is never made again: shards by their done-marker, rows of an
unfinished shard by its journal, and of a finished one all but those that failed.
"""

import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tripletclip.data.index import shard_paths
from tripletclip.data.own import OwnChunk, OwnShards, read_rows
from tripletclip.data.pairs import Chunk, Pair, Source
from tripletclip.data.shards import finished_shards, write_shard
from tripletclip.data.triplet import ACCEPTED, FAILED, REJECTED, Triplet
from tripletclip.errors import UserError
from tripletclip.negatives.contract import OTHER_CAPTIONS, Cost
from tripletclip.negatives.journal import Journal, with_image_of
from tripletclip.negatives.stages import Stage

BROKEN_AFTER = 3
"""So many blocks in a row without one answer mean that the server or the device is gone: the rest is not tried."""


MOST_PASSED = 32
"""Chunks that are kept for threads that come late."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """``block_rows`` rows go through the stages together; at most so many are lost when a worker is killed.

    ``limit`` stops after so many rows, in the order of the source, where its parts have ``shard_rows`` rows; parts of
    another size (tars) give at most so many.
    """

    source: Source | OwnShards
    out: Path
    make_stages: Callable[[], Sequence[Stage]]
    shard_rows: int = 1000
    block_rows: int = 64
    limit: int | None = None

    def __post_init__(self) -> None:
        numbers = {"shard_rows": self.shard_rows, "block_rows": self.block_rows, "limit": self.limit}
        for name, number in numbers.items():
            if number is not None and number < 1:
                raise UserError(f"{name} is {number}; give at least 1")


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What became of rows: their number by status, and by reason for those that did not get through.

    ``made`` counts those that went through the stages in this run; the others were there already.
    """

    statuses: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    made: int = 0

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.statuses.values())

    def of(self, status: str) -> int:
        """Rows of a status."""
        return self.statuses.get(status, 0)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            statuses=dict(Counter(self.statuses) + Counter(other.statuses)),
            reasons=dict(Counter(self.reasons) + Counter(other.reasons)),
            made=self.made + other.made,
        )


def tally(rows: Iterable[Triplet], *, made: bool) -> Tally:
    """Count ``rows``; ``made`` says whether this run made them."""
    seen = list(rows)
    return Tally(
        made=len(seen) if made else 0,
        statuses=dict(Counter(row.status for row in seen)),
        reasons=dict(Counter(row.reason for row in seen if row.status != ACCEPTED)),
    )


def finished_tally(folder: Path, number: int) -> Tally:
    """The tally of a finished shard, from its done-marker."""
    path = shard_paths(folder, number).stats
    try:
        stats: dict[str, Any] = json.loads(path.read_text("utf8"))
        statuses = {status: int(stats.get(status, 0)) for status in (ACCEPTED, REJECTED, FAILED)}
        return Tally(statuses=statuses, reasons={**stats["reasons"], **stats.get("failures", {})})
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a shard's record ({error}); remove the shard and run again") from error


# ---- what there is to do ---------------------------------------------------------------------------------------------


def tasks(job: Job) -> Iterator[int]:
    """The numbers of all shards that the job will have, ascending; nothing is listed in memory."""
    most = None if job.limit is None else -(-job.limit // job.shard_rows)
    if isinstance(job.source, OwnShards):
        yield from itertools.islice(job.source.numbers(), most)
    else:
        chunks = itertools.islice(job.source.chunks(job.shard_rows), most)
        yield from (number for number, _ in enumerate(chunks))


def is_done(folder: Path, number: int) -> bool:
    """Whether the shard is there without failed rows."""
    return shard_paths(folder, number).stats.exists() and finished_tally(folder, number).of(FAILED) == 0


# ---- making one shard ------------------------------------------------------------------------------------------------

Tell = Callable[[Tally, Mapping[str, Cost]], None]
"""Hears the tally of every block as it is done, and what each stage has spent so far."""


def hear_nothing(done: Tally, spent: Mapping[str, Cost]) -> None:
    """For those who do not watch."""


class Stopped(Exception):
    """A thread was asked to end; what it had done is in the journal."""


class UnreadableError(Exception):
    """The source of one shard cannot be read: a file vanished, a network refuses. A later run tries again."""


class Worker:
    """Makes shards of a job. Threads may share one, each at another shard."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._stages = tuple(job.make_stages())
        self._chunks: Iterator[tuple[int, Chunk]] = iter(())
        self._next = 0
        self._passed: dict[int, Chunk] = {}
        self._reading = threading.Lock()
        self._empty_blocks = 0
        self._broken = ""
        self._stopping = False

    def stop(self) -> None:
        """Let every thread end after the block that it is in."""
        self._stopping = True

    @property
    def broken(self) -> str:
        """Why the rest is not tried any more; empty as long as answers come."""
        return self._broken

    def cost(self) -> dict[str, Cost]:
        """Spent so far by each stage."""
        return {stage.name: stage.cost() for stage in self._stages}

    def make(self, number: int, tell: Tell = hear_nothing) -> Tally:
        """Make shard ``number`` unless it is done; its tally."""
        out = self._job.out
        journal = Journal(out / f".{number:05d}.journal")
        for left_by_the_dead in out.glob(f".{number:05d}.*.*"):
            left_by_the_dead.unlink(missing_ok=True)
        if is_done(out, number):
            journal.remove()
            there = finished_tally(out, number)
            tell(there, self.cost())
            return there
        try:
            rows = list(self._rows(number))
        except UserError as error:
            raise UnreadableError(str(error)) from error
        done = self._done_before(number, journal)
        if done:
            tell(tally((done[row.key] for row in rows if row.key in done), made=False), self.cost())
        todo = [row for row in rows if row.key not in done]
        for start in range(0, len(todo), self._job.block_rows):
            if self._stopping:
                raise Stopped(f"stopped in shard {number} after {len(done)} of {len(rows)} rows")
            block = self._through_stages(todo[start : start + self._job.block_rows])
            journal.append(block)
            done |= {row.key: row for row in block}
            tell(tally(block, made=True), self.cost())
        finished = [with_image_of(done[row.key], row) for row in rows]
        write_shard(out, number, finished, overwrite=True)
        journal.remove()
        return replace(tally(finished, made=False), made=len(todo))

    def _done_before(self, number: int, journal: Journal) -> dict[str, Triplet]:
        """Rows that an earlier run finished, without those that failed."""
        done = {}
        if number in finished_shards(self._job.out):
            done = {row.key: row for row in read_rows(self._job.out, number) if row.status != FAILED}
        return done | journal.rows()

    def _rows(self, number: int) -> Iterator[Triplet]:
        limit = self._job.limit
        most = None if limit is None else max(0, limit - number * self._job.shard_rows)
        return itertools.islice(self._all_rows(number), most)

    def _all_rows(self, number: int) -> Iterator[Triplet]:
        chunk = self._chunk(number)
        if isinstance(chunk, OwnChunk):
            return (replace(row, status=ACCEPTED, reason="") if row.status == FAILED else row for row in chunk.rows())
        return (row_of(pair) for pair in chunk.read())

    def _chunk(self, number: int) -> "Chunk | OwnChunk":
        """Tasks come nearly in order: a few passed chunks are kept for threads that come late; others walk again."""
        if isinstance(self._job.source, OwnShards):
            return self._job.source.chunk(number)
        with self._reading:
            if number in self._passed:
                return self._passed.pop(number)
            if number < self._next or self._next == 0:
                self._chunks, self._next = enumerate(self._job.source.chunks(self._job.shard_rows)), 0
            for found, chunk in self._chunks:
                self._next = found + 1
                if found == number:
                    return chunk
                self._passed[found] = chunk
                if len(self._passed) > MOST_PASSED:
                    del self._passed[min(self._passed)]
        raise UserError(f"{self._job.source.title} has no part {number} any more; it changed since the job began")

    def _through_stages(self, block: Sequence[Triplet]) -> list[Triplet]:
        if self._broken:
            return [_failed(row, f"not tried: {self._broken}") if row.status == ACCEPTED else row for row in block]
        rows = list(block)
        for stage in self._stages:
            rows = stage.run(rows)
        self._watch_for_a_break(block, rows)
        return rows

    def _watch_for_a_break(self, before: Sequence[Triplet], after: Sequence[Triplet]) -> None:
        entered = [row.key for row in before if row.status == ACCEPTED]
        failures = [row for row in after if row.status == FAILED]
        if entered and len(failures) == len(entered):
            self._empty_blocks += 1
            if self._empty_blocks >= BROKEN_AFTER:
                self._broken = failures[0].reason
        elif entered:
            self._empty_blocks = 0


def row_of(pair: Pair) -> Triplet:
    """A pair from a source as the row that enters the first stage."""
    extra = dict(pair.extra)
    if pair.other_captions:
        extra[OTHER_CAPTIONS] = json.dumps(pair.other_captions)
    return Triplet(
        key=pair.key,
        caption=pair.caption,
        image=pair.image,
        neg_caption=pair.neg_caption,
        neg_image=pair.neg_image,
        status=REJECTED if pair.problem else ACCEPTED,
        reason=pair.problem,
        extra=extra,
    )


def _failed(row: Triplet, reason: str) -> Triplet:
    return replace(row, status=FAILED, reason=reason)
