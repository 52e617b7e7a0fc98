"""A Hugging Face ``CLIPModel`` folder as the same model in open_clip's shape; transformers is not needed.

Both write the same network under other names: ``q_proj``, ``k_proj`` and ``v_proj`` stand in one matrix, and the two
output projections are transposed. Names and places of one:
https://github.com/huggingface/transformers/blob/v4.57.0/src/transformers/models/clip/modeling_clip.py
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.models.build import build_model
from tripletclip.models.clip import Clip, Preprocessing, preprocessing
from tripletclip.models.folder import readable
from tripletclip.models.tokenizers import CLIP_WORDS, clip_tokenizer

HF_CONFIG, HF_WEIGHTS, HF_PIXELS = "config.json", "model.safetensors", "preprocessor_config.json"
BICUBIC, BILINEAR = 3, 2
"""Pillow's numbers of the filters, as ``resample`` has them."""

_ACTIVATIONS = {"quick_gelu": True, "gelu": False}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "vision_config": {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
        "image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "num_channels": 3,
    },
    "text_config": {
        "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8,
        "vocab_size": CLIP_WORDS, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
    },
}  # fmt: skip
"""What a configuration leaves out (``configuration_clip.py`` beside the file named above)."""

_IN_LAYER = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_OUTSIDE = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "logit_scale": "logit_scale",
}
_PROJECTIONS = {"text_projection.weight": "text_projection", "visual_projection.weight": "visual.proj"}
_LAYER = re.compile(r"(text|vision)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_IDLE = re.compile(r".*\.position_ids")


def is_hf_folder(folder: Path) -> bool:
    """Whether ``folder`` holds a ``config.json`` of Hugging Face's CLIP."""
    try:
        config = json.loads((folder / HF_CONFIG).read_text("utf8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == "clip"


def load_hf_folder(folder: Path) -> Clip:
    """The model of ``config.json`` and ``model.safetensors``, with CLIP's tokenizer and the folder's preprocessing.

    Raises :class:`UserError` for a missing or torn file and for what open_clip's ``CLIP`` cannot be: two different
    activations, a layer norm with another epsilon, a vocabulary that is not CLIP's.
    """
    if not (folder / HF_WEIGHTS).is_file():
        raise UserError(f"{folder} is no model folder: {HF_WEIGHTS} is missing; save the model as safetensors")
    with readable(folder / HF_CONFIG):
        cfg = open_clip_cfg(json.loads((folder / HF_CONFIG).read_text("utf8")), folder)
        model = build_model(cfg)
    with readable(folder / HF_PIXELS):
        pixels = _pixels(folder / HF_PIXELS)
    with readable(folder / HF_WEIGHTS):
        model.load_state_dict(open_clip_names(load_file(folder / HF_WEIGHTS)))
    return Clip(model=model, cfg=cfg, tokenizer=clip_tokenizer(cfg), **pixels)


def open_clip_cfg(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """open_clip's ``model_cfg`` of a Hugging Face configuration."""
    vision, text = (defaults | dict(config.get(part) or {}) for part, defaults in _DEFAULTS.items())
    acts = {str(vision["hidden_act"]), str(text["hidden_act"])}
    if len(acts) != 1 or not acts <= set(_ACTIVATIONS):
        raise UserError(f"{folder} uses {' and '.join(sorted(acts))}; only quick_gelu or gelu in both towers is known")
    epsilons = {float(vision["layer_norm_eps"]), float(text["layer_norm_eps"])}
    if epsilons != {1e-5}:
        raise UserError(f"{folder} has layer_norm_eps {sorted(epsilons)}; only 1e-5 is known")
    if text["vocab_size"] != CLIP_WORDS or vision["num_channels"] != 3:
        raise UserError(
            f"{folder} has {text['vocab_size']} words and {vision['num_channels']} channels; only models with CLIP's "
            f"{CLIP_WORDS} words and 3 channels can be read. Convert it to an open_clip folder"
        )
    return {
        "embed_dim": config.get("projection_dim", 512),
        "quick_gelu": _ACTIVATIONS[acts.pop()],
        "vision_cfg": {
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "width": vision["hidden_size"],
            "layers": vision["num_hidden_layers"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "mlp_ratio": vision["intermediate_size"] / vision["hidden_size"],
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "width": text["hidden_size"],
            "heads": text["num_attention_heads"],
            "layers": text["num_hidden_layers"],
            "mlp_ratio": text["intermediate_size"] / text["hidden_size"],
        },
    }


def open_clip_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under open_clip's names. Raises ``ValueError`` for a name that no CLIP has."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if name in _OUTSIDE:
            renamed[_OUTSIDE[name]] = tensor
        elif name in _PROJECTIONS:
            renamed[_PROJECTIONS[name]] = tensor.T.contiguous()
        elif match := _LAYER.fullmatch(name):
            tower, number, module, kind = match.groups()
            block = f"{'visual.' if tower == 'vision' else ''}transformer.resblocks.{number}"
            if module in _IN_LAYER:
                renamed[f"{block}.{_IN_LAYER[module]}.{kind}"] = tensor
            elif module == "self_attn.q_proj":
                parts = [weights[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
                renamed[f"{block}.attn.in_proj_{kind}"] = torch.cat(parts)
            elif module not in ("self_attn.k_proj", "self_attn.v_proj"):
                raise ValueError(f"no CLIP has '{name}'")
        elif not _IDLE.fullmatch(name):
            raise ValueError(f"no CLIP has '{name}'")
    return renamed


def _pixels(path: Path) -> Preprocessing:
    """OpenAI's preprocessing, or that of ``preprocessor_config.json`` where there is one."""
    if not path.is_file():
        return preprocessing({})
    saved = json.loads(path.read_text("utf8"))
    resample, size = saved.get("resample", BICUBIC), saved.get("size", {"shortest_edge": 224})
    if resample not in (BICUBIC, BILINEAR):
        raise UserError(f"{path} resizes with Pillow's filter {resample}; only bicubic (3) and bilinear (2) are known")
    square = isinstance(size, dict) and "shortest_edge" not in size
    return preprocessing(
        {
            "mean": saved.get("image_mean"),
            "std": saved.get("image_std"),
            "interpolation": "bicubic" if resample == BICUBIC else "bilinear",
            "resize_mode": "squash" if square else "shortest",
        }
    )
