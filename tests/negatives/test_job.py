"""Every row once, whatever happens: killed runs, dead servers, second runs."""

import os
import random
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from fake_stages import FakeChunk, FakeSource, FakeStage

from tripletclip.data.own import OwnShards, read_rows
from tripletclip.data.pairs import Pair
from tripletclip.data.shards import Shards, finished_shards
from tripletclip.data.triplet import ACCEPTED, FAILED, REJECTED, Triplet
from tripletclip.errors import UserError
from tripletclip.negatives.contract import Cost
from tripletclip.negatives.engine import EngineConfig, run
from tripletclip.negatives.job import Job, Tally, Worker, is_done, tally

ROWS = 23


def job_of(out: Path, stage: FakeStage, rows: int = ROWS) -> Job:
    return Job(source=FakeSource(rows=rows), out=out, make_stages=lambda: [stage], shard_rows=10, block_rows=4)


def all_rows(folder: Path) -> list[Triplet]:
    return [row for number in finished_shards(folder) for row in read_rows(folder, number)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_rows_keep_their_order_their_status_and_their_reason(tmp_path: Path) -> None:
    heard: list[Tally] = []
    ran = run(job_of(tmp_path, FakeStage()), EngineConfig(workers=2), lambda done, spent: heard.append(done))
    rows = all_rows(tmp_path)
    assert [row.key for row in rows] == [f"k{index:04d}" for index in range(ROWS)]
    bad = {3, 10, 17}  # every seventh, from the source
    unchanged = {0, 5, 15, 20}  # every fifth, less the one that was bad already
    assert [int(row.key[1:]) for row in rows if row.status == REJECTED] == sorted(bad | unchanged)
    assert ran.tally.statuses == {ACCEPTED: 16, REJECTED: 7}
    assert ran.tally.reasons == {"image: truncated": 3, "caption: unchanged": 4}
    assert sum(heard, Tally()) == ran.tally
    assert ran.costs["fake"].calls == ROWS - len(bad)
    assert all(row.neg_caption == f"not {row.caption}" for row in rows if row.status == ACCEPTED)
    assert [path.name for path in tmp_path.iterdir() if "journal" in path.name] == []


def test_a_second_run_makes_nothing(tmp_path: Path) -> None:
    first = run(job_of(tmp_path, FakeStage()), EngineConfig())
    before = contents(tmp_path)
    stage = FakeStage()
    again = run(job_of(tmp_path, stage), EngineConfig())
    assert (again.tally.statuses, again.tally.reasons) == (first.tally.statuses, first.tally.reasons)
    assert (first.tally.made, again.tally.made) == (ROWS, 0)
    assert (stage.seen, contents(tmp_path)) == ([], before)


def test_failed_rows_alone_are_tried_again(tmp_path: Path) -> None:
    run(job_of(tmp_path / "good", FakeStage()), EngineConfig())
    ran = run(job_of(tmp_path / "out", FakeStage(fails={"k0002", "k0013"})), EngineConfig())
    assert ran.tally.of(FAILED) == 2 and ran.tally.reasons["server gone"] == 2
    assert not is_done(tmp_path / "out", 0) and not is_done(tmp_path / "out", 1) and is_done(tmp_path / "out", 2)
    stage = FakeStage()
    assert run(job_of(tmp_path / "out", stage), EngineConfig()).tally.of(FAILED) == 0
    assert sorted(stage.seen) == ["k0002", "k0013"]
    assert contents(tmp_path / "out") == contents(tmp_path / "good")


def test_a_server_that_is_gone_ends_the_run_soon_and_a_later_one_completes_it(tmp_path: Path) -> None:
    stage = FakeStage(fails={"all"})
    ran = run(job_of(tmp_path / "out", stage, rows=100), EngineConfig(workers=1))
    assert ran.broken == "server gone"
    assert len(stage.seen) <= 12 and len(finished_shards(tmp_path / "out")) <= 2
    run(job_of(tmp_path / "good", FakeStage(), rows=100), EngineConfig())
    assert run(job_of(tmp_path / "out", FakeStage(), rows=100), EngineConfig()).broken == ""
    assert contents(tmp_path / "out") == contents(tmp_path / "good")


def test_twenty_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    run(job_of(tmp_path / "good", FakeStage(), rows=120), EngineConfig())
    rng, kills = random.Random(0), 0
    while kills < 20:
        child = os.fork()
        if child == 0:
            # 120 rows take about half a second on two threads: nearly every kill hits the middle of something
            run(job_of(tmp_path / "out", FakeStage(seconds_a_row=0.008), rows=120), EngineConfig())
            os._exit(0)
        time.sleep(rng.uniform(0.01, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
    stage = FakeStage()
    run(job_of(tmp_path / "out", stage, rows=120), EngineConfig())
    keys = [row.key for row in all_rows(tmp_path / "out")]
    assert len(keys) == len(set(keys)) == 120
    assert contents(tmp_path / "out") == contents(tmp_path / "good")  # and no temporary file of the dead is left


def test_rows_of_a_killed_shard_are_not_made_again(tmp_path: Path) -> None:
    job = job_of(tmp_path, FakeStage())
    stopped: list[Tally] = []

    def die(done: Tally, spent: Mapping[str, Cost]) -> None:
        stopped.append(done)
        if len(stopped) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Worker(job).make(0, die)
    stage = FakeStage()
    Worker(job_of(tmp_path, stage)).make(0)
    assert stage.seen == ["k0008", "k0009"]  # two blocks of four were in the journal


def test_shards_in_shards_out(tmp_path: Path) -> None:
    plain = Job(source=FakeSource(rows=ROWS), out=tmp_path / "in", make_stages=lambda: [], shard_rows=10)
    run(plain, EngineConfig())
    assert len(Shards(tmp_path / "in")) == ROWS - 3
    second = Job(source=OwnShards(folder=tmp_path / "in"), out=tmp_path / "out", make_stages=lambda: [FakeStage()])
    run(second, EngineConfig())
    run(job_of(tmp_path / "at-once", FakeStage()), EngineConfig())
    assert contents(tmp_path / "out") == contents(tmp_path / "at-once")


def test_a_limit_takes_the_first_rows(tmp_path: Path) -> None:
    job = Job(source=FakeSource(rows=ROWS), out=tmp_path, make_stages=lambda: [FakeStage()], shard_rows=10, limit=14)
    assert run(job, EngineConfig()).tally.rows == 14
    assert [row.key for row in all_rows(tmp_path)] == [f"k{index:04d}" for index in range(14)]


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="shard_rows is 0"):
        Job(source=FakeSource(rows=1), out=tmp_path, make_stages=list, shard_rows=0)
    with pytest.raises(UserError, match="workers is 0"):
        EngineConfig(workers=0)
    with pytest.raises(UserError, match="did you mean 'local'"):
        EngineConfig(engine="locl")


def test_tally_counts_reasons_of_what_did_not_get_through() -> None:
    rows: Sequence[Triplet] = [
        Triplet(key="a", caption=""),
        Triplet(key="b", caption="", status=REJECTED, reason="x"),
        Triplet(key="c", caption="", status=FAILED, reason="x"),
    ]
    assert tally(rows, made=True) == Tally(statuses={ACCEPTED: 1, REJECTED: 1, FAILED: 1}, reasons={"x": 2}, made=3)


def test_a_source_that_cannot_be_read_costs_its_shard_alone(tmp_path: Path) -> None:
    class Refused(FakeSource):
        def chunks(self, rows: int) -> Iterator[FakeChunk]:
            for number, chunk in enumerate(super().chunks(rows)):
                yield Vanished(first=0, last=0) if number == 1 else chunk

    class Vanished(FakeChunk):
        def read(self) -> Iterator[Pair]:
            raise UserError("the network refuses")

    job = Job(source=Refused(rows=ROWS), out=tmp_path, make_stages=lambda: [FakeStage()], shard_rows=10)
    ran = run(job, EngineConfig())
    assert ran.unreadable == ("the network refuses",)
    assert finished_shards(tmp_path) == [0, 2]
