"""A model with what its inputs need, and its features.

Shapes: B batch, L tokens, D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import open_clip
import torch
from torch import Tensor, nn
from torch.func import functional_call

from tripletclip.data.transforms import TransformConfig
from tripletclip.errors import UserError
from tripletclip.models.tokenizers import Tokenizer

Channels = tuple[float, float, float]


class Preprocessing(TypedDict):
    """Fields of :class:`Clip` that say what happens to pixels."""

    mean: Channels
    std: Channels
    interpolation: str
    resize_mode: str
    fill_color: int


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A model with what its inputs need: the tokenizer and, per channel of pixels in 0..1, the mean and deviation.

    ``cfg`` is the ``model_cfg`` that open_clip builds the model from. ``interpolation``, ``resize_mode`` and
    ``fill_color`` are open_clip's names for how a picture becomes a square; ``transform`` gives them to the loader.
    ``notes`` are sentences that whoever uses the model should read: what its files left open and we chose.
    """

    model: Any
    cfg: Mapping[str, Any]
    tokenizer: Tokenizer
    mean: Channels = (0.5, 0.5, 0.5)
    std: Channels = (0.27, 0.27, 0.27)
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0
    notes: tuple[str, ...] = ()

    @property
    def image_size(self) -> int:
        """Side of the square images that the model takes, in pixels."""
        size = self.model.visual.image_size
        if isinstance(size, tuple) and size[0] != size[1]:
            raise UserError(f"the model takes images of {size[0]} x {size[1]} pixels; only square ones are known here")
        return int(size[0] if isinstance(size, tuple) else size)

    @property
    def transform(self) -> TransformConfig:
        """How a picture becomes a square when this model measures; training may take another crop."""
        return TransformConfig(
            interpolation=self.interpolation, resize_mode=self.resize_mode, fill_color=self.fill_color
        )

    def pixels(self, image_BCHW: Tensor, device: torch.device | str) -> Tensor:
        """uint8 images to normalised float pixels; they travel as bytes and are normalised on ``device``."""
        moved = image_BCHW.to(device, non_blocking=True).float().div_(255)
        mean = torch.tensor(self.mean, device=device).view(1, 3, 1, 1)
        return moved.sub_(mean).div_(torch.tensor(self.std, device=device).view(1, 3, 1, 1))


def preprocessing(saved: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing that a ``preprocess_cfg`` describes; what it leaves out is open_clip's default."""
    whole = open_clip.transform.merge_preprocess_dict(open_clip.transform.PreprocessCfg(), dict(saved))
    return Preprocessing(
        mean=_channels(whole["mean"]),
        std=_channels(whole["std"]),
        interpolation="bilinear" if whole["interpolation"] == "bilinear" else "bicubic",  # as open_clip reads `random`
        resize_mode=str(whole["resize_mode"]),
        fill_color=int(whole["fill_color"]),
    )


def _channels(values: Any) -> Channels:
    """One number for all channels, or one for each."""
    red, green, blue = values if isinstance(values, (list, tuple)) else (values,) * 3
    return float(red), float(green), float(blue)


def image_features(model: nn.Module, image_BCHW: Tensor) -> Tensor:
    """Image features ``[B, D]``, L2-normalised, of normalised pixels ``[B, 3, H, W]``."""
    output = model(image=image_BCHW)
    features: Tensor = output["image_features"] if isinstance(output, dict) else output[0]
    return features


def text_features(model: nn.Module, text_BL: Tensor, length: int) -> Tensor:
    """L2-normalised text features ``[B, D]`` of texts that all end within ``length`` tokens, computed on those alone.

    Attention in CLIP's text tower is causal: nothing after the end token changes its feature, so a batch costs what its
    longest text costs. open_clip's ``CLIP`` adds position embeddings of the full context; they and the mask are swapped
    for their first ``length`` rows during this call. A model whose texts cannot be cut safely (SigLIP's pools at the
    last place and looks both ways) gets all columns of its context; those that were cut are padding, 0.
    """
    positions = dict(model.named_parameters(recurse=False)).get("positional_embedding")
    mask = dict(model.named_buffers(recurse=False)).get("attn_mask")
    if positions is None or mask is None or str(model.text_pool_type) not in ("argmax", "eos", "first"):
        missing = int(model.context_length) - text_BL.shape[1]  # type: ignore[arg-type]
        output = model(text=nn.functional.pad(text_BL, (0, missing)))
    else:
        short = {"positional_embedding": positions[:length], "attn_mask": mask[:length, :length]}
        output = functional_call(model, short, kwargs={"text": text_BL[:, :length]})
    features: Tensor = output["text_features"] if isinstance(output, dict) else output[1]
    return features
