"""What a forward pass costs, from the configuration alone."""

from collections.abc import Mapping
from typing import Any

import open_clip

from tripletclip.errors import UserError


def forward_flops(cfg: Mapping[str, Any], tokens: float) -> tuple[float, float]:
    """FLOPs of one image and of one text of ``tokens`` tokens through their towers (a multiply-add counts as two).

    Matrix products alone: (8 + 4 m) L W^2 + 4 L^2 W a layer for L tokens of width W and an MLP m times as wide (4
    unless the configuration says otherwise), and the patch embedding. A training step costs three times as much.
    Raises :class:`UserError` for towers that are no plain transformers: ResNets, timm's and Hugging Face's.
    """
    reason = _unknown(cfg)
    if reason:
        raise UserError(
            f"the FLOPs of this model are not known: {reason}; FLOPs are counted for open_clip's ViTs alone"
        )
    vision = open_clip.CLIPVisionCfg(**cfg["vision_cfg"])
    text = open_clip.CLIPTextCfg(**cfg["text_cfg"])
    size = vision.image_size[0] if isinstance(vision.image_size, (tuple, list)) else vision.image_size
    patches = (size // vision.patch_size) ** 2
    stem = 2 * patches * 3 * vision.patch_size**2 * vision.width
    image = stem + _tower(patches + 1, vision.width, vision.layers, vision.mlp_ratio)
    return image, _tower(tokens, text.width, text.layers, text.mlp_ratio)


def flops_known(cfg: Mapping[str, Any]) -> bool:
    """Whether :func:`forward_flops` can tell."""
    return not _unknown(cfg)


def _tower(length: float, width: int, layers: int, mlp_ratio: float) -> float:
    return layers * ((8 + 4 * mlp_ratio) * length * width**2 + 4 * length**2 * width)


def _unknown(cfg: Mapping[str, Any]) -> str:
    vision, text = cfg["vision_cfg"], cfg["text_cfg"]
    if vision.get("timm_model_name"):
        return f"its image tower is timm's {vision['timm_model_name']}"
    if isinstance(vision.get("layers", 0), (list, tuple)):
        return "its image tower is a ResNet"
    if vision.get("attentional_pool"):
        return "its image tower pools by attention"
    if text.get("hf_model_name"):
        return f"its text tower is Hugging Face's {text['hf_model_name']}"
    return ""
