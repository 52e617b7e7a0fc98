"""Everything that a run needs before its first step, in the state that it goes on from."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from tripletclip.data.loader import Loader
from tripletclip.data.shards import Shards
from tripletclip.errors import UserError
from tripletclip.files import write_atomic
from tripletclip.models import Clip, flops_known, fresh_clip, load_clip, new_clip, with_bias
from tripletclip.training.config import TrainConfig
from tripletclip.training.distributed import Ranks
from tripletclip.training.log import Journal, Stopwatch, peak_flops
from tripletclip.training.optim import make_optimizer
from tripletclip.training.retain import Keeper
from tripletclip.training.sharded import shard_blocks, whole_tensors
from tripletclip.training.state import (
    CONFIG_FILE,
    METRICS_FILE,
    STATE_FILE,
    Budget,
    Parts,
    Progress,
    forget_later_metrics,
    load_state,
)
from tripletclip.training.step import Learner
from tripletclip.training.tune import add_adapters, draw_anew, freeze, without_adapters


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


def prepared(
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
    if config.shard and ranks.group is None:
        raise UserError("shard divides a model among processes, and there is one; start several with torchrun")
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
    progress = _progress(config, shards, parts)
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


def _progress(config: TrainConfig, shards: Shards, parts: Parts) -> Progress:
    """Where the run goes on, with the state put into ``parts``; refused where the rows are others than before."""
    data = data_digest(config, shards)
    progress = load_state(config, parts) if (config.out / STATE_FILE).exists() else Progress(data=data)
    if progress.data != data:
        raise UserError(
            f"the rows of {config.data} are not those that {config.out} was trained on so far: its shards have "
            f"changed; bring them back, or start again with --overwrite"
        )
    return progress


def _shard(clip: Clip, ranks: Ranks) -> Clip | None:
    """Divide the model among the ranks; the first keeps an empty whole one on the CPU, to save and judge."""
    assert ranks.group is not None
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
