"""Settings of a run that stand for one idea each. Nothing heavy is imported here: --help shows them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tripletclip.errors import UserError

Blocks = int | Literal["all"]
"""Transformer blocks counted from the input, or the whole tower."""


@dataclass(frozen=True, kw_only=True)
class Tune:
    """How much of the model moves, and how fast which part. The default: everything, alike."""

    freeze_image: Blocks = 0
    """Blocks of the image tower that stay as they are, with what lies before them; `all`: the tower (LiT, Table 8)."""
    freeze_text: Blocks = 0
    """The same of the text tower."""
    fresh_image: bool = False
    """Draw the weights of the image tower anew before the first step."""
    fresh_text: bool = False
    """The same of the text tower."""
    lora_image: int = 0
    """Rank of low-rank adapters in the image tower, whose own weights then stay; 0: none. Needs the extra hf."""
    lora_text: int = 0
    """The same in the text tower."""
    lora_alpha: int = 16
    """The adapters' output is multiplied by lora_alpha / rank."""
    layer_decay: float = 1.0
    """Factor on the learning rate from a block to the one before it; 1: all blocks learn alike."""
    decay_everything: bool = False
    """Weight decay on norms, biases and logit_scale too, as in the paper. Deviation: off by default."""

    def check(self) -> None:
        """Raise :class:`UserError` for settings that make no sense; the command line's parser would box it."""
        for tower in ("image", "text"):
            frozen, rank = vars(self)[f"freeze_{tower}"], vars(self)[f"lora_{tower}"]
            if frozen != "all" and frozen < 0:
                raise UserError(f"freeze_{tower} is {frozen}; give a number of blocks, or all")
            if rank < 0:
                raise UserError(f"lora_{tower} is {rank}; give a rank, or 0 for no adapters")
            if rank and frozen:
                raise UserError(f"lora_{tower} and freeze_{tower} exclude each other: adapters freeze the tower's own")
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"layer_decay is {self.layer_decay}; give a factor above 0 and at most 1")
        if self.lora_alpha <= 0:
            raise UserError(f"lora_alpha is {self.lora_alpha}; give a positive number")

    @property
    def lora(self) -> bool:
        """Whether any tower has adapters."""
        return bool(self.lora_image or self.lora_text)


@dataclass(frozen=True, kw_only=True)
class Retain:
    """Keeping what the model knew at the start. The default: nothing is done."""

    distill: float = 0.0
    """Weight of 2 - cos(image, teacher's) - cos(text, teacher's), the mean over positive pairs; the teacher is a moving
    average of the model itself."""
    momentum: float = 0.999
    """Share of the teacher that stays at each step; 1: the teacher is the model at the start."""
    l2: float = 0.0
    """Weight of the squared distance of all trained weights from where they started."""

    def check(self) -> None:
        """Raise :class:`UserError` for settings that make no sense; the command line's parser would box it."""
        for name in ("distill", "l2"):
            if vars(self)[name] < 0:
                raise UserError(f"{name} is {vars(self)[name]}; give 0 or more")
        if not 0 <= self.momentum <= 1:
            raise UserError(f"momentum is {self.momentum}; give a share between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What a batch is made of. The default: each row's caption and its one negative, the middle of its picture."""

    captions: tuple[str, ...] = ("caption",)
    """Columns that each visit draws its caption from, such as `caption rewritten_caption` (LaCLIP)."""
    neg_captions: tuple[str, ...] = ("neg_caption",)
    """Columns of negative captions."""
    neg_count: int = 1
    """Negative captions a pair; more than one for negclip only."""
    plain_share: float = 0.0
    """Share of the steps that are plain pairs, of as many passes as the others."""
    plain_data: Path | None = None
    """Shards that those pairs are drawn from; none: the same rows."""
    crop: Literal["centre", "random"] = "centre"
    """random: open_clip's random resized crop, drawn from (seed, position)."""
    resize: Literal["exact", "fast"] = "exact"
    """fast: in half of the time, pixels within 2 of 255 of open_clip's."""
    max_bad_fraction: float = 0.01
    """Stop where more of the rows have a picture that does not decode."""


@dataclass(frozen=True, kw_only=True)
class Hard:
    """How much hard negatives count; the default is the paper's. Formulas: docs/deviations.md."""

    weight: float = 1.0
    """A hard negative's share of a softmax denominator."""
    margin: float = 0.0
    """Cosine that is added to hard negatives."""
    temperature: float = 1.0
    """Divides the logits of hard negatives once more."""
    pair_weight: float = 1.0
    """Weight of the terms that the negative pairs ask themselves."""
