"""What a training run is: one frozen config, which is also what a resumed run must be equal to."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from tripletclip.errors import UserError
from tripletclip.models import ModelConfig
from tripletclip.objectives.losses import objective_named


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run. Compute is given in *passes* (images plus texts encoded), so equal numbers mean equal compute.

    data             folder of shards
    keep             a selection made by screening: rows whose keys are not in it are left out; none: all rows
    out              folder of the run: metrics.jsonl, state.pt, and at the end the model as an open_clip local-dir
    objective        clip, negclip, negimage, tripletclip, clip-on-triplets
    init             folder of a model to start from; none: fresh weights of ``model`` drawn from ``seed``
    steps            optimizer steps
    passes_per_step  images plus texts encoded in a step; a step has passes_per_step / (passes of one pair) pairs
    learning_rate    peak of a linear warm-up over ``warmup`` steps and a cosine decay to zero
    weight_decay     not applied to norms, biases and logit_scale. Deviation: the paper decays with 0.5
    chunk            rows of logits that exist at a time in the loss; none keeps them all
    precision        fp32, or bf16 to run the towers under autocast (the loss stays fp32)
    """

    data: Path
    out: Path
    objective: str = "tripletclip"
    keep: Path | None = None
    init: Path | None = None
    model: ModelConfig = field(default_factory=ModelConfig)
    steps: int = 1000
    passes_per_step: int = 192
    learning_rate: float = 2e-3
    warmup: int = 200
    betas: tuple[float, float] = (0.9, 0.98)
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip_gradient: float = 1.0
    chunk: int | None = None
    precision: str = "fp32"
    device: str = "cpu"
    seed: int = 0
    workers: int = 0
    log_every: int = 20
    save_every: int = 500

    def __post_init__(self) -> None:
        passes = objective_named(self.objective).passes
        for name in ("steps", "passes_per_step", "log_every", "save_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; give at least 1")
        if self.passes_per_step % passes:
            raise UserError(
                f"passes_per_step is {self.passes_per_step}; {self.objective} encodes {passes} images and texts "
                f"a pair, so give a multiple of {passes} (of 12 to compare all objectives)"
            )
        if self.chunk is not None and self.chunk < 1:
            raise UserError(f"chunk is {self.chunk}; give at least 1, or leave it out")
        if self.precision not in ("fp32", "bf16"):
            raise UserError(f"precision is '{self.precision}'; give fp32 or bf16")

    @property
    def pairs_per_step(self) -> int:
        """Positive pairs in a batch."""
        return self.passes_per_step // objective_named(self.objective).passes

    def identity(self) -> dict[str, object]:
        """What must be equal for a run to go on: all but where and how often files are written, and the workers."""
        free = ("out", "data", "keep", "init", "log_every", "save_every", "workers")
        said = {name: value for name, value in asdict(self).items() if name not in free}
        return said | ({"keep": self.keep.name} if self.keep else {})
