"""The training loop: batches in order, metrics as JSON lines, states on disk; resumable at every step."""

import contextlib
import copy
import json
import math
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tripletclip.data.loader import Batch, Loader
from tripletclip.data.shards import Shards
from tripletclip.errors import UserError
from tripletclip.files import write_atomic
from tripletclip.models import Clip, flops_known, forward_flops, fresh_clip, load_clip, new_clip, save_clip, with_bias
from tripletclip.training.config import TrainConfig
from tripletclip.training.distributed import Ranks, all_ranks, others_needed
from tripletclip.training.log import Journal, Stopwatch, bound_by, peak_flops
from tripletclip.training.optim import learning_rate, make_optimizer, set_learning_rate
from tripletclip.training.retain import Keeper
from tripletclip.training.sharded import shard_blocks, whole_tensors
from tripletclip.training.state import (
    CONFIG_FILE,
    DONE_FILE,
    METRICS_FILE,
    STATE_FILE,
    Budget,
    Parts,
    Progress,
    forget_later_metrics,
    load_state,
    refuse_other_run,
    save_state,
)
from tripletclip.training.step import Learner, batch_halves, batch_objective, train_step
from tripletclip.training.tune import add_adapters, draw_anew, freeze, without_adapters

BEST_FOLDER = "best"
"""Where the best model so far lies, inside the folder of a run that has a judge."""


class Interrupted(Exception):
    """A signal asked the run to stop; its state was saved after a whole step."""


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What a step tells those who watch: its number from 1, the values that are logged, the clip and the budget.

    ``note`` is a sentence at the end of each epoch: what bound it.
    """

    step: int
    values: dict[str, float]
    clip: Clip
    budget: Budget
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What does not change while a run goes on."""

    config: TrainConfig
    learner: Learner
    loader: Loader
    progress: Progress
    parts: Parts
    adapters: Any | None
    journal: Journal | None
    watch: Callable[[StepReport], None]
    judge: Callable[[Clip], float] | None
    epoch_steps: int
    watches: dict[str, Stopwatch]
    peak: float | None

    spare: Clip | None

    def plain_clip(self) -> Clip:
        """The model as anyone loads it: adapters merged into its weights, divided weights put together.

        With divided weights every rank must ask; what ranks but the first get is not whole.
        """
        clip = self.learner.clip
        if self.config.shard:
            weights = whole_tensors(clip.model.state_dict(), keep=self.spare is not None)
            if self.spare is None:
                return clip
            self.spare.model.load_state_dict(weights)
            return self.spare
        return clip if self.adapters is None else without_adapters(clip, self.adapters)


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
        run = _prepared(config, ranks, words, watch, judge, resume=resume, overwrite=overwrite)
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


def _prepared(
    config: TrainConfig,
    ranks: Ranks,
    words: list[str],
    watch: Callable[[StepReport], None],
    judge: Callable[[Clip], float] | None,
    *,
    resume: bool,
    overwrite: bool,
) -> Run:
    """Everything that a run needs, in the state that it goes on from. Checks come before any write."""
    clip = first_clip(config, words)
    shards = Shards(config.data, keep=config.keep)
    loader = make_loader(config, shards, clip, ranks)
    if ranks.is_first:
        _prepare_folder(config, resume=resume, overwrite=overwrite)
    ranks.wait()
    clip.model.to(config.device).train()
    if config.recompute:
        clip.model.set_grad_checkpointing()
    freeze(clip.model, config.tune)
    adapters = add_adapters(clip, config.tune, config.seed) if config.tune.lora else None
    keeper = Keeper(config, clip)
    spare = _shard(clip, ranks) if config.shard else None
    optimizer = make_optimizer(clip.model, config)
    teacher = keeper.teacher.model if keeper.teacher else None
    parts = Parts(model=clip.model, optimizer=optimizer, teacher=teacher)
    data = data_digest(config, shards)
    progress = load_state(config, parts) if (config.out / STATE_FILE).exists() else Progress(data=data)
    if progress.data != data:
        raise UserError(
            f"the rows of {config.data} are not those that {config.out} was trained on so far: its shards have "
            f"changed; bring them back, or start again with --overwrite"
        )
    ranks.wait()
    if ranks.is_first:
        forget_later_metrics(config.out / METRICS_FILE, progress.step)
    learner = Learner(config=config, clip=clip, optimizer=optimizer, ranks=ranks, keeper=keeper)
    learner.usual_norm, learner.skipped = progress.usual_norm, progress.skipped
    return Run(
        config=config,
        learner=learner,
        loader=loader,
        progress=progress,
        parts=parts,
        adapters=adapters,
        spare=spare,
        journal=Journal(config) if ranks.is_first else None,
        watch=watch,
        judge=judge,
        epoch_steps=max(1, len(shards) // config.pairs_per_step),
        watches={"log": Stopwatch(), "epoch": Stopwatch()},
        peak=peak_flops(ranks.device, config.precision) if ranks.is_first and flops_known(clip.cfg) else None,
    )


def _shard(clip: Clip, ranks: Ranks) -> Clip | None:
    """Divide the model among the ranks; the first keeps an empty whole one on the CPU, to save and judge."""
    if ranks.group is None:
        raise UserError("shard divides a model among processes, and there is one; start several with torchrun")
    spare = replace(clip, model=copy.deepcopy(clip.model).cpu()) if ranks.is_first else None
    shard_blocks(clip.model, ranks.device, ranks.group)
    return spare


def first_clip(config: TrainConfig, words: list[str]) -> Clip:
    """The model before its first step: loaded or fresh, with a ``logit_bias`` where the objective needs one."""
    if config.init:
        clip = load_clip(config.init)
    elif isinstance(config.model, str):
        clip = fresh_clip(config.model, config.seed)
    else:
        clip = new_clip(config.model, words, config.seed)
    draw_anew(clip, config.tune, config.seed)
    return with_bias(clip) if config.goal.needs_bias else clip


def data_digest(config: TrainConfig, shards: Shards) -> str:
    """What must not change while a run goes on: position and order say nothing about other rows."""
    plain = [Shards(config.feed.plain_data).digest()] if config.feed.plain_data else []
    return " ".join([shards.digest(), *plain])


def make_loader(config: TrainConfig, shards: Shards, clip: Clip, ranks: Ranks) -> Loader:
    """The batches of one rank. Raises :class:`UserError` for data that the objective cannot use."""
    feed = config.feed
    pairs, plain_pairs = config.pairs_per_step, config.plain_pairs_per_step
    if pairs % ranks.size or (feed.plain_share and plain_pairs % ranks.size):
        raise UserError(
            f"a step has {pairs} pairs ({plain_pairs} without negatives), which {ranks.size} processes cannot share "
            f"evenly; choose passes_per_step such that both are multiples of {ranks.size}"
        )
    return Loader(
        shards,
        tokenize=clip.tokenizer,
        image_size=clip.image_size,
        batch_size=pairs // ranks.size,
        seed=config.seed,
        roles=config.goal.roles,
        transform=replace(clip.transform, crop=feed.crop, resize=feed.resize),
        captions=feed.captions,
        neg_captions=feed.neg_captions,
        neg_count=feed.neg_count,
        plain_share=feed.plain_share,
        plain_data=Shards(feed.plain_data) if feed.plain_data else None,
        plain_size=plain_pairs // ranks.size,
        workers=config.workers,
        rank=ranks.rank,
        world_size=ranks.size,
        device=ranks.device,
        max_bad_fraction=feed.max_bad_fraction,
    )


def _prepare_folder(config: TrainConfig, *, resume: bool, overwrite: bool) -> None:
    holds_run = (config.out / CONFIG_FILE).exists() or (config.out / STATE_FILE).exists()
    if overwrite and holds_run:
        shutil.rmtree(config.out)
    elif config.out.exists() and any(config.out.iterdir()) and not (resume and holds_run):
        hint = "give --resume to go on, --overwrite to replace, or another --out" if holds_run else "give another --out"
        raise UserError(f"{config.out} is not empty; {hint}")
    write_atomic(config.out / CONFIG_FILE, json.dumps(asdict(config), default=str, indent=1).encode())


def _run_steps(run: Run, stopped: list[int]) -> None:
    config, progress, ranks = run.config, run.progress, run.learner.ranks
    for batch in run.loader.batches(progress.step, config.steps):
        set_learning_rate(run.learner.optimizer, learning_rate(config, progress.step))
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
