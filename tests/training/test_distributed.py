"""Two processes give what one gives, through torchrun's own launcher; a rank that fails takes the others with it."""

import json
import os
import signal
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
from tripletclip.training.config import TrainConfig
from tripletclip.training.distributed import Ranks
from tripletclip.training.loop import Interrupted
from tripletclip.training.prepare import StepReport, make_loader
from tripletclip.training.settings import Feed, Retain

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
    sys.stdout.write("refused: %s\\n" % error)  # one write: lines of two processes must not mix
    sys.exit(2)
"""


def torchrun(
    processes: int, data: Path, out: Path, settings: str, *, seconds: float = 120, script: str = SCRIPT
) -> subprocess.CompletedProcess[str]:
    path = out.parent / f"{out.name}.py"
    path.write_text(script.format(tests=str(Path(__file__).parent), data=str(data), out=str(out), settings=settings))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*launcher, str(path)], capture_output=True, text=True, timeout=seconds, env=environment, check=False
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
    assert ran.stdout.count("refused: the loss is not finite") == 2, ran.stderr[-2000:]
    assert not (tmp_path / "two" / "done.json").exists()


def test_pairs_that_do_not_divide_are_refused(data: Path, tmp_path: Path) -> None:
    config = tiny(data, tmp_path / "two", passes_per_step=12)
    ranks = Ranks(rank=1, size=2, device=torch.device("cpu"))
    with pytest.raises(UserError, match=r"a step has 3 pairs \(6 without negatives\), which 2 processes cannot share"):
        make_loader(config, Shards(data), tiny_clip(), ranks)


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import tripletclip.training.loop as loop
from tiny_runs import run, tiny
from tripletclip.errors import Incomplete
step, taken = loop.train_step, []
def counted(learner, batch):
    taken.append(batch)
    if len(taken) == 6 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return step(learner, batch)
loop.train_step = counted
try:
    run(tiny(Path({data!r}), Path({out!r}), passes_per_step=24))
except Incomplete as rest:
    sys.stdout.write("stopped: %s\\n" % rest)
    sys.exit(3)
"""


def test_a_rank_that_is_killed_stops_the_others_and_the_run_goes_on_later(tmp_path: Path) -> None:
    """SIGKILL in step 6, the last state after step 3: the other rank says so at once, and one process ends the run
    with the losses of a run that nobody disturbed."""
    data = make_shards(tmp_path / "data")
    whole = run(tiny(data, tmp_path / "whole", passes_per_step=24))
    killed = tmp_path / "killed"
    start = time.monotonic()
    ran = torchrun(2, data, killed, "", script=KILLED)
    assert ran.returncode != 0 and time.monotonic() - start < 90
    assert "stopped: another process of this run ended, so rank 0 stops; the last state is in" in ran.stdout, ran.stderr
    run(tiny(data, killed, passes_per_step=24), resume=True)
    for first, second in zip(metrics(whole), metrics(killed), strict=True):
        assert second == pytest.approx(first, rel=2e-4, abs=1e-5)


SHARDED = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import tripletclip.training.loop as loop
from tiny_runs import run, tiny
from tripletclip.training.sharded import is_sharded
step = loop.train_step
def measured(learner, batch):
    values = step(learner, batch)
    weights = list(learner.clip.model.parameters())
    here = sum(w.to_local().numel() if is_sharded(w) else w.numel() for w in weights)
    values["held"] = here / sum(w.numel() for w in weights)
    values["divided"] = sum(w.numel() for w in weights if is_sharded(w)) / sum(w.numel() for w in weights)
    return values
loop.train_step = measured
run(tiny(Path({data!r}), Path({out!r}), **{settings}))
"""


def test_divided_weights_train_the_model_that_whole_ones_train(tmp_path: Path) -> None:
    """FSDP2 over two processes, in micro-batches, with clipped gradients: the losses, gradient norms, weights and
    states on disk of one process, which can also go on from the state of the two."""
    data = make_shards(tmp_path / "data")
    settings = {"passes_per_step": 24, "micro_batch": 2, "clip_gradient": 0.5, "steps": 6}
    one = run(tiny(data, tmp_path / "one", **settings))
    two = tmp_path / "two"
    ran = torchrun(2, data, two, repr(settings | {"shard": True}), script=SHARDED)
    assert ran.returncode == 0, ran.stderr[-2000:]
    for first, second in zip(metrics(one), metrics(two), strict=True):
        divided = second.pop("divided")
        assert divided > 0.5
        assert second.pop("held") == pytest.approx(1 - divided / 2, abs=0.01)
        assert second == pytest.approx(first, rel=2e-4, abs=1e-5)
    pairs = zip(load_clip(one).model.state_dict().items(), load_clip(two).model.state_dict().values(), strict=True)
    for (name, expected), found in pairs:
        if "in_proj_bias" not in name:
            torch.testing.assert_close(found, expected, rtol=0, atol=2e-4, msg=name)


def test_a_run_goes_on_divided_or_whole(tmp_path: Path) -> None:
    """One process, then two with divided weights, then one again: the losses of one process alone."""
    data = make_shards(tmp_path / "data")
    whole = run(tiny(data, tmp_path / "whole", passes_per_step=24, steps=10))
    out = tmp_path / "moving"
    assert stopped_after(3, tiny(data, out, passes_per_step=24, steps=10))
    settings = {"passes_per_step": 24, "steps": 10, "shard": True}
    ran = torchrun(2, data, out, repr(settings), script=HALF_WAY)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert [line["step"] for line in metrics(out)] == [1, 2, 3, 4, 5, 6]
    run(tiny(data, out, passes_per_step=24, steps=10), resume=True)
    for first, second in zip(metrics(whole), metrics(out), strict=True):
        assert second == pytest.approx(first, rel=2e-4, abs=1e-5)


HALF_WAY = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from tiny_runs import run, tiny
from tripletclip.training.loop import Interrupted
def watch(report):
    if report.step == 6:
        os.kill(os.getpid(), signal.SIGTERM)
try:
    run(tiny(Path({data!r}), Path({out!r}), **{settings}), resume=True, watch=watch)
except Interrupted:
    sys.exit(0)
sys.exit(5)
"""


def stopped_after(step: int, config: TrainConfig) -> bool:
    """Train until a signal comes after ``step``."""

    def watch(report: StepReport) -> None:
        if report.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        run(config, watch=watch)
    except Interrupted:
        return True
    return False


def test_one_process_has_nothing_to_divide(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="shard divides a model among processes, and there is one; start several"):
        run(tiny(data, tmp_path / "one", shard=True))
    assert not (tmp_path / "one").exists()
    with pytest.raises(UserError, match="shard divides weights that adapters, distill and l2 need whole"):
        tiny(data, tmp_path / "one", shard=True, retain=Retain(l2=0.1))
