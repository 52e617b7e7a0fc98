"""A model as the files of a Hugging Face folder: one ``CLIPModel``, or the two towers of TripletCLIP's authors.

What Hugging Face's ``CLIPModel`` cannot hold is said before anything is written. Its shape:
https://github.com/huggingface/transformers/blob/v4.57.0/src/transformers/models/clip/modeling_clip.py
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import open_clip
from safetensors.torch import save
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.models.authors import TEXT_FOLDER, VISION_FOLDER
from tripletclip.models.clip import Clip
from tripletclip.models.hf_names import hf_names
from tripletclip.models.hf_tokenizer import end_of, tokenizer_files
from tripletclip.models.huggingface import BICUBIC, BILINEAR, HF_CONFIG, HF_PIXELS, HF_WEIGHTS

_VISION_FREE = {"layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "patch_dropout",
                "final_ln_after_pool", "attn_pooler_queries", "attn_pooler_heads", "output_tokens",
                "timm_model_pretrained", "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop"}  # fmt: skip
_TEXT_FREE = {"context_length", "vocab_size", "tokenizer_kwargs", "width", "heads", "layers", "mlp_ratio", "pad_id",
              "eos_id", "output_tokens", "final_ln_after_pool", "hf_model_pretrained", "hf_proj_type",
              "hf_pooler_type"}  # fmt: skip
"""Fields that Hugging Face has too, or that change nothing in a model whose other fields are plain: of one token, the
norm before and after pooling are the same."""

_TOWERS = {"vision": ("vision_model.", "visual_projection."), "text": ("text_model.", "text_projection.")}


def hf_files(clip: Clip, name: str) -> dict[str, bytes]:
    """The files of a ``CLIPModel`` folder by name. Raises :class:`UserError` for a model that it cannot hold."""
    _refuse(clip, name)
    vision, text = _configs(clip)
    weights = _weights(clip, name)
    config = {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": clip.cfg["embed_dim"],
        "logit_scale_init_value": float(weights["logit_scale"]),
        "vision_config": {"model_type": "clip_vision_model"} | vision,
        "text_config": {"model_type": "clip_text_model"} | text,
        "torch_dtype": _dtype(weights),
    }
    return {
        HF_WEIGHTS: save(weights, metadata={"format": "pt"}),
        HF_PIXELS: _json(_pixels(clip)),
        **tokenizer_files(clip.tokenizer, name),
        HF_CONFIG: _json(config),
    }


def authors_files(clip: Clip, name: str) -> dict[str, bytes]:
    """The files of the two folders by their path; ``logit_scale`` has no place in them."""
    _refuse(clip, name)
    vision, text = _configs(clip)
    weights = _weights(clip, name)
    files = {f"{TEXT_FOLDER}/{file}": content for file, content in tokenizer_files(clip.tokenizer, name).items()}
    for folder, tower, config in ((VISION_FOLDER, "vision", vision), (TEXT_FOLDER, "text", text)):
        mine = {key: value for key, value in weights.items() if key.startswith(_TOWERS[tower])}
        described = {
            "architectures": [f"CLIP{tower.capitalize()}ModelWithProjection"],
            "model_type": f"clip_{tower}_model",
            "torch_dtype": _dtype(weights),
        }
        files[f"{folder}/{HF_WEIGHTS}"] = save(mine, metadata={"format": "pt"})
        files[f"{folder}/{HF_CONFIG}"] = _json(described | config)
    return files | {f"{VISION_FOLDER}/{HF_PIXELS}": _json(_pixels(clip))}


def obstacles(clip: Clip) -> list[str]:
    """What a model has that Hugging Face's ``CLIPModel`` has not, in words; empty where it has everything."""
    if type(clip.model) is not open_clip.CLIP:
        return [f"it is open_clip's {type(clip.model).__name__}, not CLIP"]
    found = _unlike(clip.cfg["vision_cfg"], open_clip.CLIPVisionCfg, _VISION_FREE, "image tower")
    found += _unlike(clip.cfg["text_cfg"], open_clip.CLIPTextCfg, _TEXT_FREE, "text tower")
    if clip.model.logit_bias is not None:
        found.append("a logit_bias")
    if clip.resize_mode not in ("shortest", "squash"):
        found.append(f"pictures resized by their longest side ({clip.resize_mode})")
    return found


def _refuse(clip: Clip, name: str) -> None:
    found = obstacles(clip)
    if found:
        raise UserError(
            f"{name} cannot be written for Hugging Face's CLIPModel, which has no place for: {', '.join(found)}; "
            f"export it with --to open_clip"
        )


def _unlike(cfg: Mapping[str, Any], kind: type[Any], free: set[str], tower: str) -> list[str]:
    """Fields of a tower that are not what a plain CLIP has."""
    plain = {entry.name: None if entry.default is MISSING else entry.default for entry in fields(kind)}
    odd = [name for name, value in cfg.items() if name not in free and (value or None) != (plain.get(name) or None)]
    if isinstance(cfg.get("layers"), (list, tuple)):
        odd.append("layers")
    return [f"{name}={cfg[name]} of the {tower}" for name in odd]


def _configs(clip: Clip) -> tuple[dict[str, Any], dict[str, Any]]:
    """Hugging Face's configurations of the image tower and of the text tower."""
    state = clip.model.state_dict()
    vision = open_clip.CLIPVisionCfg(**clip.cfg["vision_cfg"])
    text = open_clip.CLIPTextCfg(**clip.cfg["text_cfg"])
    pad, start, end = end_of(clip.tokenizer)
    shared = {
        "hidden_act": "quick_gelu" if clip.cfg.get("quick_gelu") else "gelu",
        "layer_norm_eps": 1e-5,
        "projection_dim": clip.cfg["embed_dim"],
    }
    images = {
        "hidden_size": vision.width,
        "intermediate_size": len(state["visual.transformer.resblocks.0.mlp.c_fc.bias"]),
        "num_hidden_layers": vision.layers,
        "num_attention_heads": vision.width // vision.head_width,
        "num_channels": 3,
        "image_size": clip.image_size,
        "patch_size": vision.patch_size,
    }
    texts = {
        "hidden_size": text.width,
        "intermediate_size": len(state["transformer.resblocks.0.mlp.c_fc.bias"]),
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.heads,
        "vocab_size": text.vocab_size,
        "max_position_embeddings": text.context_length,
        "pad_token_id": pad,
        "bos_token_id": start,
        "eos_token_id": end,
    }
    return images | shared, texts | shared


def _weights(clip: Clip, name: str) -> dict[str, Tensor]:
    state = {key: tensor for key, tensor in clip.model.state_dict().items() if key != "attn_mask"}
    try:
        return hf_names(state)
    except ValueError as error:
        raise UserError(f"{name} cannot be written for Hugging Face's CLIPModel: {error}") from error


def _dtype(weights: Mapping[str, Tensor]) -> str:
    return str(weights["visual_projection.weight"].dtype).removeprefix("torch.")


def _pixels(clip: Clip) -> dict[str, Any]:
    square = {"height": clip.image_size, "width": clip.image_size}
    squash = clip.resize_mode == "squash"
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": square if squash else {"shortest_edge": clip.image_size},
        "resample": BILINEAR if clip.interpolation == "bilinear" else BICUBIC,
        "do_center_crop": not squash,
        "crop_size": square,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(clip.mean),
        "image_std": list(clip.std),
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode()
