"""A Hugging Face ``CLIPModel`` folder as the same model in open_clip's shape; transformers is not needed."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from tripletclip.errors import UserError
from tripletclip.models.activation import checked_activation, origins
from tripletclip.models.build import build_model
from tripletclip.models.clip import Clip, Preprocessing, preprocessing
from tripletclip.models.folder import readable
from tripletclip.models.hf_config import TEXT, VISION, open_clip_cfg, part_of
from tripletclip.models.hf_names import open_clip_names
from tripletclip.models.hf_tokenizer import hf_folder_tokenizer

HF_CONFIG, HF_WEIGHTS, HF_PIXELS = "config.json", "model.safetensors", "preprocessor_config.json"
BICUBIC, BILINEAR = 3, 2
"""Pillow's numbers of the filters, as ``resample`` has them."""


def model_type(folder: Path) -> str:
    """What ``config.json`` says that the folder holds, or "" where there is none that can be read."""
    try:
        config = json.loads((folder / HF_CONFIG).read_text("utf8"))
    except (OSError, ValueError):
        return ""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""


def load_hf_folder(folder: Path, *, origin: str = "", mend_gelu: bool = False) -> Clip:
    """The model of ``config.json`` and ``model.safetensors``, with its tokenizer and the folder's preprocessing.

    ``origin`` names the repository that the folder is a copy of. Raises :class:`UserError` for a missing or torn file,
    for an activation that the origin's weights were not trained with, and for what open_clip's ``CLIP`` cannot be: two
    different activations, a layer norm with another epsilon, a vocabulary whose tokenizer we cannot read.
    """
    if not (folder / HF_WEIGHTS).is_file():
        raise UserError(f"{folder} is no model folder: {HF_WEIGHTS} is missing; save the model as safetensors")
    with readable(folder / HF_CONFIG):
        config = json.loads((folder / HF_CONFIG).read_text("utf8"))
        cfg = hf_model_cfg(config, str(folder))
        named = [*([origin] if origin else []), *origins(config)]
        cfg["quick_gelu"] = checked_activation(cfg["quick_gelu"], named, origin or str(folder), mend=mend_gelu)
        tokenizer = hf_folder_tokenizer(folder, cfg)
        model = build_model(cfg)
    with readable(folder / HF_PIXELS):
        pixels = pixels_of(folder / HF_PIXELS)
    with readable(folder / HF_WEIGHTS):
        model.load_state_dict(open_clip_names(load_file(folder / HF_WEIGHTS)))
    return Clip(model=model, cfg=cfg, tokenizer=tokenizer, **pixels)


def hf_model_cfg(config: dict[str, Any], where: str) -> dict[str, Any]:
    """open_clip's ``model_cfg`` of a ``CLIPModel`` configuration."""
    vision, text = part_of(config, "vision_config", VISION), part_of(config, "text_config", TEXT)
    return open_clip_cfg(vision, text, int(config.get("projection_dim", 512)), where)


def pixels_of(path: Path) -> Preprocessing:
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
