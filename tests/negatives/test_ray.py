"""The Ray engine gives the same shards as threads do, also when a worker dies."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import fake_stages
import pytest
from fake_stages import DyingStage, FakeSource, FakeStage

from tripletclip.data.triplet import FAILED
from tripletclip.negatives.engine import EngineConfig, run
from tripletclip.negatives.job import Job

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def two_cores() -> Iterator[None]:
    """One Ray for all tests: starting it is what takes long."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    ray.cloudpickle.register_pickle_by_value(fake_stages)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    yield
    ray.shutdown()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_ray_makes_what_threads_make(tmp_path: Path) -> None:
    def job(out: Path) -> Job:
        return Job(source=FakeSource(rows=35), out=out, make_stages=one_stage, shard_rows=10, block_rows=4)

    one_stage = functools.partial(FakeStage.listed)
    local = run(job(tmp_path / "local"), EngineConfig())
    spread = run(job(tmp_path / "ray"), EngineConfig(engine="ray", workers=2))
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert (spread.tally, spread.costs["fake"].calls) == (local.tally, local.costs["fake"].calls)
    again = run(job(tmp_path / "ray"), EngineConfig(engine="ray", workers=2))
    assert again.tally.made == 0 and again.tally.statuses == local.tally.statuses


def test_a_dead_worker_costs_its_block_and_not_the_job(tmp_path: Path) -> None:
    def job(out: Path, make_stages: functools.partial[list[FakeStage]]) -> Job:
        return Job(source=FakeSource(rows=35), out=out, make_stages=make_stages, shard_rows=10, block_rows=4)

    dying = functools.partial(DyingStage.listed, at="k0016", once=tmp_path / "died")
    ran = run(job(tmp_path / "ray", dying), EngineConfig(engine="ray", workers=2))
    assert (tmp_path / "died").exists()
    assert ran.tally.of(FAILED) == 0
    run(job(tmp_path / "local", functools.partial(FakeStage.listed)), EngineConfig())
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
