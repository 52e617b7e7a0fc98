"""``tripletclip train`` and ``tripletclip interpolate`` on the command line."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tripletclip.training.settings import Feed, Hard, Retain, Tune


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a CLIP on a folder of shards, under torchrun on many devices; the run is an open_clip local-dir."""

    data: Path | None = None
    """Folder of shards."""
    out: Path | None = None
    """Folder of the run."""
    recipe: str | None = None
    """Begin with the settings of a recipe (--list names them); what else is given changes them."""
    list: bool = False
    """Show the recipes with what they reproduce and cost, and stop."""
    dry_run: bool = False
    """Show settings, model size, compute and memory of a step, check the data, and stop."""

    objective: str = "tripletclip"
    """clip, clip-on-triplets, negclip, negimage, tripletclip, cyclip, cyclip-triplet, siglip or siglip-triplet."""
    keep: Path | None = None
    """A selection made by `triplets screen`: rows whose keys are not in it are left out."""
    init: str | None = None
    """Model to start from: a folder, NAME:TAG of open_clip, hf-hub:ORG/MODEL; none: fresh weights."""
    model: str | None = None
    """Architecture of a fresh model by open_clip's name; none: the small one of the embedded world."""
    steps: int = 1000
    passes_per_step: int = 192
    """Images plus texts encoded in a step, on all devices together: equal numbers are equal compute for every
    objective."""
    micro_batch: int | None = None
    """Pairs encoded at a time on a device, with the exact gradients of the whole step; none: all at once."""
    recompute: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, a third more time."""
    shard: bool = False
    """Divide the towers' weights among the processes (FSDP2), for models that one device cannot hold."""
    learning_rate: float = 2e-3
    warmup: int = 200
    betas: tuple[float, float] = (0.9, 0.98)
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip_gradient: float = 1.0
    """Largest norm of the gradient."""
    chunk: int | None = None
    """Rows of logits that exist at a time in the loss; none keeps them all."""
    precision: str = "fp32"
    """fp32, or bf16 for the towers (the loss stays fp32)."""
    tune: Tune = field(default_factory=Tune)
    retain: Retain = field(default_factory=Retain)
    feed: Feed = field(default_factory=Feed)
    hard: Hard = field(default_factory=Hard)
    skip_spikes: float | None = None
    """Skip a step whose gradient norm is above this many times its running mean."""
    device: str = "cpu"
    seed: int = 0
    workers: int = 0
    """Processes that decode images, a device."""
    log_every: int = 20
    save_every: int = 500
    keep_last: int = 1
    """States that stay on disk."""
    trackers: tuple[str, ...] = ()
    """tensorboard, wandb: where metrics go beside metrics.jsonl."""
    validation: tuple[Path, ...] = ()
    """Benchmark folders: the model with the highest mean over them, measured at each save, is kept in best/."""
    resume: bool = False
    """Go on with the run in --out."""
    overwrite: bool = False
    """Replace the run in --out."""


@dataclass(frozen=True, kw_only=True)
class Interpolate:
    """Weights between two models (WiSE-FT): what is gained and what is kept at each mixture, best trade-offs marked."""

    start: Annotated[str, tyro.conf.Positional]
    """Model at alpha 0, usually the one that fine-tuning began with."""
    end: Annotated[str, tyro.conf.Positional]
    """Model at alpha 1."""
    out: Path
    """Folder of the mixtures and of their results."""
    data: tuple[Path, ...]
    """Benchmark folders: of pairs for composition, of classes or retrieval for what is kept."""
    alphas: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    keep: Literal["zeroshot", "retrieval"] = "zeroshot"
    """The benchmark that stands for what the model knew."""
    device: str = "cpu"
    overwrite: bool = False
