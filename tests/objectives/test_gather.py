"""Two and three gloo processes equal one process: the average of losses, report and gradients, in fp64.

One spawn of three runs every case (processes.py), two of them again as a group; the tests read what they wrote.
"""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import CHUNKS, PAIRS, SPLITS, Result, cases, label, step, work
from torch.multiprocessing.spawn import spawn

from tripletclip.objectives.losses import HardNegatives, objective_named

LIMIT_SECONDS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where three processes have written their results; one that fails or hangs ends all of them."""
    folder = tmp_path_factory.mktemp("ranks")
    context = spawn(work, args=(folder,), nprocs=3, join=False)  # type: ignore[no-untyped-call]
    assert context is not None
    deadline = time.monotonic() + LIMIT_SECONDS
    try:
        while not context.join(timeout=1):
            assert time.monotonic() < deadline, f"the processes are not done after {LIMIT_SECONDS} s"
    finally:
        for process in context.processes:
            process.kill()
            process.join()
    return folder


@pytest.fixture(scope="module", params=sorted(SPLITS))
def ranks(request: pytest.FixtureRequest, folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{request.param}-{place}.pt") for place in range(request.param)]


def one_process(name: str, captions: int, hard: HardNegatives) -> Result:
    return step(objective_named(name, neg_captions=captions), hard, slice(0, PAIRS), None, None)


@pytest.mark.parametrize(("name", "captions", "hard"), cases())
def test_processes_equal_one(ranks: list[dict[str, Any]], name: str, captions: int, hard: HardNegatives) -> None:
    expected = one_process(name, captions, hard)
    for split in SPLITS[len(ranks)]:
        for chunk in CHUNKS:
            found: list[Result] = [rank["results"][label(name, captions, hard, split, chunk)] for rank in ranks]
            assert all(result.keys() == expected.keys() for result in found)
            for key, value in expected.items():
                mean = torch.stack([result[key] for result in found]).mean(0)
                torch.testing.assert_close(mean, value, rtol=0, atol=1e-12)


def test_every_process_is_told_why_it_is_refused(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        cut, unlike, empty = rank["refused"]
        assert "gathered without gradients has a wrong gradient" in cut
        assert unlike.startswith("features of the processes do not fit") and "[[4, 1, 2, 4], [5, 1, 2, 4]" in unlike
        assert "the batch is empty on every process" in empty
