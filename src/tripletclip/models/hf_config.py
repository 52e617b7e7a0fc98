"""The sizes of a CLIP as Hugging Face's configurations say them and as open_clip's ``model_cfg`` does."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.models.tokenizers import CLIP_WORDS

ACTIVATIONS = {"quick_gelu": True, "gelu": False}
VISION: dict[str, Any] = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "num_channels": 3,
    "projection_dim": 512,
}  # fmt: skip
TEXT: dict[str, Any] = {
    "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8,
    "vocab_size": CLIP_WORDS, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
    "eos_token_id": CLIP_WORDS - 1, "projection_dim": 512,
}  # fmt: skip
"""What a configuration leaves out:
https://github.com/huggingface/transformers/blob/v4.57.0/src/transformers/models/clip/configuration_clip.py"""

_OLD_END = 2
"""Configurations before transformers 4.31 name this end token, and the model then takes the place of the highest id:
https://github.com/huggingface/transformers/pull/24773"""
_HEAD_WIDTH = 64


def part_of(config: Mapping[str, Any], part: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """One tower of a ``CLIPModel`` configuration; ``PART_dict`` of old files wins, as it does in transformers."""
    return dict(defaults) | dict(config.get(part) or {}) | dict(config.get(f"{part}_dict") or {})


def open_clip_cfg(vision: Mapping[str, Any], text: Mapping[str, Any], width: int, where: str) -> dict[str, Any]:
    """open_clip's ``model_cfg`` of two complete towers that meet in ``width`` features.

    Raises :class:`UserError` for what open_clip's ``CLIP`` cannot be.
    """
    return {
        "embed_dim": width,
        "quick_gelu": activation_of(vision, text, where),
        "vision_cfg": _vision_cfg(vision, where),
        "text_cfg": _text_cfg(text, where),
    }


def activation_of(vision: Mapping[str, Any], text: Mapping[str, Any], where: str) -> bool:
    """Whether both towers use QuickGELU; open_clip has one switch for both."""
    acts = {str(vision["hidden_act"]), str(text["hidden_act"])}
    if len(acts) != 1 or not acts <= set(ACTIVATIONS):
        raise UserError(
            f"{where} uses {' and '.join(sorted(acts))}; only quick_gelu or gelu, the same in both towers, is known"
        )
    return ACTIVATIONS[acts.pop()]


def _vision_cfg(vision: Mapping[str, Any], where: str) -> dict[str, Any]:
    _check_norm(vision, where)
    if vision["num_channels"] != 3:
        raise UserError(f"{where} takes images of {vision['num_channels']} channels; only 3 are known")
    return {
        "image_size": vision["image_size"],
        "patch_size": vision["patch_size"],
        "width": vision["hidden_size"],
        "layers": vision["num_hidden_layers"],
        "head_width": vision["hidden_size"] // vision["num_attention_heads"],
        "mlp_ratio": vision["intermediate_size"] / vision["hidden_size"],
    }


def _text_cfg(text: Mapping[str, Any], where: str) -> dict[str, Any]:
    _check_norm(text, where)
    last = text["vocab_size"] - 1
    if text["eos_token_id"] not in (_OLD_END, last):
        raise UserError(
            f"{where} ends texts with token {text['eos_token_id']}; open_clip takes the feature at the highest id, "
            f"here {last}. Convert it to an open_clip folder"
        )
    return {
        "context_length": text["max_position_embeddings"],
        "vocab_size": text["vocab_size"],
        "width": text["hidden_size"],
        "heads": text["num_attention_heads"],
        "layers": text["num_hidden_layers"],
        "mlp_ratio": text["intermediate_size"] / text["hidden_size"],
    }


def _check_norm(tower: Mapping[str, Any], where: str) -> None:
    if float(tower["layer_norm_eps"]) != 1e-5:
        raise UserError(f"{where} has layer_norm_eps {tower['layer_norm_eps']}; only 1e-5 is known")


def vision_sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The sizes of an image tower as its tensors have them, for configurations that do not say them.

    The number of heads leaves no trace in a tensor; heads are taken to be 64 wide, as in every CLIP of OpenAI's.
    """
    patch = weights["vision_model.embeddings.patch_embedding.weight"]
    places = len(weights["vision_model.embeddings.position_embedding.weight"]) - 1
    return {
        "hidden_size": patch.shape[0],
        "num_channels": patch.shape[1],
        "patch_size": patch.shape[2],
        "image_size": round(places**0.5) * patch.shape[2],
        "num_hidden_layers": _layers(weights),
        "num_attention_heads": patch.shape[0] // _HEAD_WIDTH,
        "intermediate_size": len(weights["vision_model.encoder.layers.0.mlp.fc1.bias"]),
    }


def text_sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The sizes of a text tower as its tensors have them; see :func:`vision_sizes`."""
    words, hidden = weights["text_model.embeddings.token_embedding.weight"].shape
    return {
        "hidden_size": hidden,
        "vocab_size": words,
        "max_position_embeddings": len(weights["text_model.embeddings.position_embedding.weight"]),
        "num_hidden_layers": _layers(weights),
        "num_attention_heads": hidden // _HEAD_WIDTH,
        "intermediate_size": len(weights["text_model.encoder.layers.0.mlp.fc1.bias"]),
        "eos_token_id": words - 1,
    }


def _layers(weights: Mapping[str, Tensor]) -> int:
    return 1 + max(int(name.split(".")[3]) for name in weights if ".encoder.layers." in name)
