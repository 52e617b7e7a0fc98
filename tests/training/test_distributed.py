"""Two processes give what one gives, through torchrun's own launcher; a rank that fails takes the others with it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from made_batches import tiny_clip
from tiny_runs import make_shards, metrics, run, tiny

from tripletclip.data.shards import Shards
from tripletclip.errors import UserError
from tripletclip.models import load_clip
from tripletclip.training.distributed import Ranks
from tripletclip.training.loop import make_loader
from tripletclip.training.settings import Feed

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from tiny_runs import run, tiny
from tripletclip.errors import UserError
from tripletclip.training.settings import Feed
try:
    run(tiny(Path({data!r}), Path({out!r}), **{settings}))
except UserError as error:
    print("refused:", error, flush=True)
    sys.exit(2)
"""


def torchrun(
    processes: int, data: Path, out: Path, settings: str, *, seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    script = out.parent / f"{out.name}.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), data=str(data), out=str(out), settings=settings))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*launcher, str(script)], capture_output=True, text=True, timeout=seconds, env=environment, check=False
    )


def test_two_processes_train_the_model_that_one_trains(tmp_path: Path) -> None:
    """Same losses at every step and the same weights, up to the order of sums; each pair is seen by one process.

    Two rows do not decode: whichever process meets them, both are counted and replaced by the same ones.
    """
    data = make_shards(tmp_path / "data", broken=(3, 9))
    settings = {"passes_per_step": 24, "micro_batch": 2, "keep_last": 2, "feed": Feed(max_bad_fraction=0.5)}
    one = run(tiny(data, tmp_path / "one", **settings))
    ran = torchrun(2, data, tmp_path / "two", repr(settings))
    assert ran.returncode == 0, ran.stderr[-2000:]
    two = tmp_path / "two"
    for first, second in zip(metrics(one), metrics(two), strict=True):
        assert second == pytest.approx(first, rel=2e-4, abs=1e-5)
    assert (two / "done.json").read_bytes() == (one / "done.json").read_bytes()
    assert sum(json.loads((one / "done.json").read_text())["bad_images"].values()) == 2
    pairs = zip(load_clip(one).model.state_dict().items(), load_clip(two).model.state_dict().values(), strict=True)
    for (name, expected), found in pairs:
        if "in_proj_bias" not in name:  # Adam moves what has no gradient but rounding by whole steps
            torch.testing.assert_close(found, expected, rtol=0, atol=2e-4, msg=name)


def test_a_rank_that_fails_stops_the_run_with_a_message(tmp_path: Path) -> None:
    """A loss that is not finite on one rank is an error on all: nobody waits for the other."""
    data = make_shards(tmp_path / "data")
    start = time.monotonic()
    settings = "dict(passes_per_step=24, learning_rate=1e30, clip_gradient=1e30, warmup=0, save_every=100)"
    ran = torchrun(2, data, tmp_path / "two", settings, seconds=100)
    assert ran.returncode != 0 and time.monotonic() - start < 90
    assert ran.stdout.count("refused: the loss is not finite") == 2
    assert not (tmp_path / "two" / "done.json").exists()


def test_pairs_that_do_not_divide_are_refused(data: Path, tmp_path: Path) -> None:
    config = tiny(data, tmp_path / "two", passes_per_step=12)
    ranks = Ranks(rank=1, size=2, device=torch.device("cpu"))
    with pytest.raises(UserError, match=r"a step has 3 pairs \(6 without negatives\), which 2 processes cannot share"):
        make_loader(config, Shards(data), tiny_clip(), ranks)
