"""What a training run is: one frozen config, which is also what a resumed run must be equal to."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tripletclip.errors import UserError, unknown_name
from tripletclip.models import ModelConfig
from tripletclip.objectives.losses import HardNegatives, Objective, objective_named, refuse_settings
from tripletclip.training.settings import Feed, Hard, Retain, Tune

TRACKERS = ("tensorboard", "wandb")
PRECISIONS = ("fp32", "bf16")
PLAIN_FORM = {"siglip": "siglip", "siglip-triplet": "siglip", "cyclip": "cyclip", "cyclip-triplet": "cyclip"}
"""What an objective becomes on pairs without negatives; the others become plain CLIP."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run. Compute is given in *passes* (images plus texts encoded), so equal numbers mean equal compute.

    data             folder of shards
    keep             a selection made by screening: rows whose keys are not in it are left out; none: all rows
    out              folder of the run: metrics.jsonl, state.pt, and at the end the model as an open_clip local-dir
    objective        a name of ``OBJECTIVES``: clip, negclip, negimage, tripletclip, clip-on-triplets, ...
    init             model to start from, anything that ``load_clip`` takes; none: fresh weights from ``seed``
    model            architecture of a fresh model: sizes of a small one, or a name of open_clip
    feed, hard       what a batch is made of, and how much its hard negatives count
    steps            optimizer steps
    passes_per_step  images plus texts encoded in a step on all ranks together; a step has
                     passes_per_step / (passes of one pair) pairs
    micro_batch      pairs encoded at a time on a rank, with the gradients of the whole step; none: all at once
    recompute        compute activations again in the backward pass instead of keeping them
    shard            divide the towers' blocks among the processes (see sharded.py), for models that do not fit
    learning_rate    peak of a linear warm-up over ``warmup`` steps and a cosine decay to zero
    weight_decay     not applied to norms, biases and logit_scale, unless ``tune`` says so
    chunk            rows of logits that exist at a time in the loss; none keeps them all
    precision        fp32, or bf16 to run the towers under autocast (the loss stays fp32)
    tune, retain     which weights move, and what holds them back
    skip_spikes      skip a step whose gradient norm is above this many times its running mean; none: take every step
    workers          processes that decode images, a rank
    log_every        steps between two lines of metrics.jsonl; save_every: between two states on disk
    keep_last        states on disk: state.pt is the newest, state-STEP.pt are older ones
    trackers         where the metrics go beside metrics.jsonl: tensorboard, wandb
    """

    data: Path
    out: Path
    objective: str = "tripletclip"
    keep: Path | None = None
    init: Path | str | None = None
    model: ModelConfig | str = field(default_factory=ModelConfig)
    feed: Feed = field(default_factory=Feed)
    hard: Hard = field(default_factory=Hard)
    steps: int = 1000
    passes_per_step: int = 192
    micro_batch: int | None = None
    recompute: bool = False
    shard: bool = False
    learning_rate: float = 2e-3
    warmup: int = 200
    betas: tuple[float, float] = (0.9, 0.98)
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip_gradient: float = 1.0
    chunk: int | None = None
    precision: str = "fp32"
    tune: Tune = field(default_factory=Tune)
    retain: Retain = field(default_factory=Retain)
    skip_spikes: float | None = None
    device: str = "cpu"
    seed: int = 0
    workers: int = 0
    log_every: int = 20
    save_every: int = 500
    keep_last: int = 1
    trackers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.tune.check()
        self.retain.check()
        for name in ("steps", "passes_per_step", "micro_batch", "chunk", "log_every", "save_every", "keep_last"):
            number = vars(self)[name]
            if number is not None and number < 1:
                raise UserError(f"{name} is {number}; give at least 1")
        for name in ("clip_gradient", "epsilon"):
            if not 0 < vars(self)[name] < math.inf:
                raise UserError(f"{name} is {vars(self)[name]}; give a positive number")
        for name in ("learning_rate", "warmup", "weight_decay", "workers"):
            if not 0 <= vars(self)[name] < math.inf:
                raise UserError(f"{name} is {vars(self)[name]}; give 0 or more")
        if self.passes_per_step % self.goal.passes:
            raise UserError(
                f"passes_per_step is {self.passes_per_step}; {self.objective} encodes {self.goal.passes} images and "
                f"texts a pair, so give a multiple of {self.goal.passes} (of 12 to compare all objectives)"
            )
        refuse_settings(self.goal, self.hard_negatives, has_bias=self.goal.needs_bias)
        if self.precision not in PRECISIONS:
            raise UserError(f"precision is '{self.precision}'; give {' or '.join(PRECISIONS)}")
        if self.skip_spikes is not None and self.skip_spikes <= 1:
            raise UserError(f"skip_spikes is {self.skip_spikes}; give a factor above 1")
        for name in self.trackers:
            if name not in TRACKERS:
                raise unknown_name("tracker", name, TRACKERS)
        if self.retain.l2 and self.tune.lora:
            raise UserError("l2 holds weights near their start, and adapters have none; choose one of the two")
        if self.shard and (self.tune.lora or self.retain.distill or self.retain.l2):
            raise UserError("shard divides weights that adapters, distill and l2 need whole; leave out one of them")

    @property
    def goal(self) -> Objective:
        """The objective itself."""
        return objective_named(self.objective, neg_captions=self.feed.neg_count)

    @property
    def plain_goal(self) -> Objective:
        """What the objective becomes on pairs without negatives."""
        return objective_named(PLAIN_FORM.get(self.objective, "clip"))

    @property
    def hard_negatives(self) -> HardNegatives:
        """``hard`` as the objectives take it."""
        return HardNegatives(**asdict(self.hard))

    @property
    def pairs_per_step(self) -> int:
        """Positive pairs in a step, on all ranks together."""
        return self.passes_per_step // self.goal.passes

    @property
    def plain_pairs_per_step(self) -> int:
        """Pairs in a step without negatives, which has as many passes."""
        return self.passes_per_step // self.plain_goal.passes

    def identity(self) -> dict[str, object]:
        """What must be equal for a run to go on: all but where and how files are written, and who does the work."""
        free = (
            *("out", "data", "keep", "init", "log_every", "save_every", "keep_last", "trackers"),
            *("workers", "micro_batch", "recompute", "shard"),
        )
        said = {name: value for name, value in asdict(self).items() if name not in free}
        said["device"] = self.device.partition(":")[0]  # which of several GPUs is no part of what a run is
        return said | ({"keep": self.keep.name} if self.keep else {})
