"""A model to score with: whatever ``load_clip`` loads, with the preprocessing that belongs to it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tripletclip.data.transforms import decode_image
from tripletclip.data.transforms import decode_rgb as decode_rgb
from tripletclip.models import Clip, load_clip, weights_hash


@dataclass(frozen=True, kw_only=True)
class ScoreModel:
    """A model in eval mode on its device.

    ``name``      tells weights apart: with a hash of them for a folder
    ``tokenize``  strings to int64 [B, L]
    ``prepare``   encoded bytes to float [3, H, W], normalised; :class:`ImageError` for what does not decode
    ``width``     number of features D
    """

    name: str
    model: nn.Module
    tokenize: Callable[[list[str]], Tensor]
    prepare: Callable[[bytes], Tensor]
    width: int


def load_score_model(spec: str, device: torch.device) -> ScoreModel:
    """A model by any word that :func:`~tripletclip.models.load_clip` takes; QuickGELU is set where the weights want it.

    Raises :class:`UserError` that says what is known.
    """
    clip = load_clip(spec, mend_gelu=True)
    clip.model.to(device).eval()
    folder = Path(spec.removeprefix("local-dir:"))
    return ScoreModel(
        name=f"{folder.name}@{weights_hash(folder)[:16]}" if folder.is_dir() else spec,
        model=clip.model,
        tokenize=clip.tokenizer,
        prepare=lambda image: _normal(image, clip),
        width=int(clip.cfg["embed_dim"]),
    )


def _normal(image: bytes, clip: Clip) -> Tensor:
    """Pixels as the model takes them, float [3, H, W]."""
    return clip.pixels(decode_image(image, clip.image_size, clip.transform)[None], "cpu")[0]
