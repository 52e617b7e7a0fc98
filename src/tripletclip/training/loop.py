"""The training loop: batches in order, metrics as JSON lines, states on disk; resumable at every step."""

import contextlib
import json
import math
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from tripletclip.data.loader import Batch
from tripletclip.files import write_atomic
from tripletclip.models import Clip, flops_known, forward_flops, save_clip
from tripletclip.training.config import TrainConfig
from tripletclip.training.distributed import all_ranks, others_needed
from tripletclip.training.log import bound_by
from tripletclip.training.optim import learning_rate, set_learning_rate
from tripletclip.training.prepare import Run, StepReport, prepared
from tripletclip.training.state import DONE_FILE, refuse_other_run, save_state
from tripletclip.training.step import batch_halves, batch_objective, train_step

BEST_FOLDER = "best"
"""Where the best model so far lies, inside the folder of a run that has a judge."""


class Interrupted(Exception):
    """A signal asked the run to stop; its state was saved after a whole step."""


def train(
    config: TrainConfig,
    *,
    words: list[str],
    resume: bool = False,
    overwrite: bool = False,
    watch: Callable[[StepReport], None] = lambda report: None,
    judge: Callable[[Clip], float] | None = None,
) -> Path:
    """Train and return the folder of the run, which is then an open_clip ``local-dir``.

    ``words`` are the vocabulary of a fresh model. ``watch`` is called after every step, on the first rank. ``judge``
    gives a model a value whenever the state is saved; the model with the highest is kept in ``best/``. Under
    ``torchrun`` every process calls this with the same arguments, and a step's pairs are shared among them.

    Raises:
        UserError: bad data or settings, a folder that holds another run, a loss that is not finite.
        Interrupted: SIGINT or SIGTERM came; the run goes on with ``resume=True``.
    """
    if resume and not overwrite:
        refuse_other_run(config)
        if (config.out / DONE_FILE).exists():
            return config.out
    with all_ranks(config.device) as ranks, _stop_signals() as stopped:
        config = replace(config, device=str(ranks.device))
        run = prepared(config, ranks, words, watch, judge, resume=resume, overwrite=overwrite)
        remains = f"the last state is in {config.out}, and the same command with --resume goes on"
        try:
            with others_needed(ranks, remains):
                _run_steps(run, stopped)
        finally:
            if run.journal is not None:
                run.journal.close()
        bad_images = dict(Counter(ranks.joined(run.loader.bad_keys).values()))
        clip = run.plain_clip()
        if ranks.is_first:
            _finish(run, clip, bad_images)
        ranks.wait()
    return config.out


def _run_steps(run: Run, stopped: list[int]) -> None:
    config, progress, ranks = run.config, run.progress, run.learner.ranks
    for batch in run.loader.batches(progress.step, config.steps):
        set_learning_rate(run.learner.optimizer, learning_rate(config, progress.step))
        run.learner.step = progress.step
        values = train_step(run.learner, batch)
        progress.step += 1
        _spend(run, batch)
        last = progress.step == config.steps
        note = _log(run, values, last=last)
        if ranks.is_first:
            clip = run.learner.clip
            run.watch(StepReport(step=progress.step, values=values, clip=clip, budget=progress.budget, note=note))
        # One rank's signal stops all, after the same step.
        stop = bool(ranks.worst([float(bool(stopped))])[0])
        if progress.step % config.save_every == 0 or stop or last:
            _save(run, judged=not stop or last)
        if stop and not last:
            raise Interrupted(f"stopped after step {progress.step} of {config.steps}; the state is in {config.out}")


def _log(run: Run, values: dict[str, float], *, last: bool) -> str:
    """Write the line that is due, and return the sentence at the end of an epoch."""
    if run.journal is None:
        return ""
    config, step = run.config, run.progress.step
    if step % config.log_every == 0 or last:
        rate = {"learning_rate": learning_rate(config, step - 1)}
        skipped = {"skipped": float(run.learner.skipped)} if config.skip_spikes else {}
        run.journal.write(step, {**values, **rate, **skipped, **run.watches["log"].read(run.peak)})
    if step % run.epoch_steps and not last:
        return ""
    return f"epoch {step / run.epoch_steps:.3g}, {bound_by(run.watches['epoch'].read(None))}"


def _save(run: Run, *, judged: bool) -> None:
    """The state, by the first rank; before it the best model, so that a state never knows a best that is not there."""
    first = run.learner.ranks.is_first
    if not first and not run.config.shard:
        return
    progress = run.progress
    progress.usual_norm, progress.skipped = run.learner.usual_norm, run.learner.skipped
    if run.judge is not None and judged:
        clip = run.plain_clip()
        value = run.judge(clip) if first else -math.inf
        if first and (progress.best is None or value > progress.best):
            progress.best, progress.best_step = value, progress.step
            save_clip(clip, run.config.out / BEST_FOLDER)
    save_state(run.config, run.parts, progress, first=first)


def _finish(run: Run, clip: Clip, bad_images: dict[str, int]) -> None:
    """The model, then the marker that the run is done, then the states go."""
    out, progress = run.config.out, run.progress
    save_clip(clip, out)
    best = {} if progress.best is None else {"best": progress.best, "best_step": progress.best_step}
    skipped = {"skipped_steps": progress.skipped} if progress.skipped else {}
    done = {"budget": asdict(progress.budget), "bad_images": bad_images, **best, **skipped}
    write_atomic(out / DONE_FILE, json.dumps(done).encode())
    for path in out.glob("state*.pt"):
        path.unlink()


def _spend(run: Run, batch: Batch) -> None:
    """Count what a step cost, on all ranks together."""
    size = run.learner.ranks.size
    images, texts = batch_halves(batch_objective(run.config, batch), batch)
    count_images, count_texts = size * sum(map(len, images)), size * sum(map(len, texts))
    cfg = run.learner.clip.cfg
    image_flops, text_flops = forward_flops(cfg, texts[0].shape[1]) if flops_known(cfg) else (0.0, 0.0)
    flops = 3 * (count_images * image_flops + count_texts * text_flops)
    budget = run.progress.budget
    budget.steps += 1
    budget.pairs += size * len(batch.keys)
    budget.images += count_images
    budget.texts += count_texts
    budget.tokens += count_texts * texts[0].shape[1]
    budget.flops += flops
    for stopwatch in run.watches.values():
        stopwatch.pairs += size * len(batch.keys)
        stopwatch.flops += flops / size
        stopwatch.ranks += run.learner.ranks_seconds
        stopwatch.data += run.loader.waited
    run.learner.ranks_seconds = run.loader.waited = 0.0


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that fills when SIGINT or SIGTERM comes: the loop ends after a whole step instead of in the middle."""
    received: list[int] = []
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in previous:
            signal.signal(number, lambda got, frame: received.append(got))
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
