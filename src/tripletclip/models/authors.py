"""The checkpoints of TripletCLIP's authors: one folder a tower.

``vision-encoder/`` and ``text-encoder/``, each with ``config.json`` and ``model.safetensors``, hold transformers'
``CLIPVisionModelWithProjection`` and ``CLIPTextModelWithProjection`` (87.8 and 63.4 million parameters), which a class
of the authors' own may wrap: their tensors then begin with ``model.``, and ``config.json`` has a ``model_type`` of
theirs and, for images, no sizes. The text tower's file:
https://huggingface.co/TripletCLIP/CC12M_TripletCLIP_ViTB12/commit/1f8b01920bccf9bb33d6ae51f12d3f1c2fc90845
Their code is not run.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.models.activation import checked_activation, origins
from tripletclip.models.build import build_model
from tripletclip.models.clip import Clip
from tripletclip.models.folder import TEXT_FOLDER as TEXT_FOLDER
from tripletclip.models.folder import VISION_FOLDER as VISION_FOLDER
from tripletclip.models.folder import readable
from tripletclip.models.hf_config import TEXT, VISION, open_clip_cfg, text_sizes, vision_sizes
from tripletclip.models.hf_names import open_clip_names
from tripletclip.models.hf_tokenizer import hf_folder_tokenizer
from tripletclip.models.huggingface import HF_CONFIG, HF_PIXELS, HF_WEIGHTS, pixels_of

NO_SCALE = "logit_scale is CLIP's first value, ln(1/0.07): the two towers hold none, and no cosine depends on it"

_WRAPPED = "model."


def is_authors_folder(folder: Path) -> bool:
    """Whether ``folder`` holds one of the two towers; the error for a missing one comes when it is loaded."""
    return (folder / VISION_FOLDER).is_dir() or (folder / TEXT_FOLDER).is_dir()


def load_authors_folder(folder: Path, *, mend_gelu: bool = False) -> Clip:
    """Both towers as one model, with CLIP's tokenizer and preprocessing unless the folder brings its own.

    Raises :class:`UserError` for a missing or torn file, and for towers that disagree in width or activation.
    """
    vision, images = _tower(folder / VISION_FOLDER, VISION, vision_sizes)
    text, texts = _tower(folder / TEXT_FOLDER, TEXT, text_sizes)
    widths = (_width(images, "visual_projection", folder), _width(texts, "text_projection", folder))
    if widths[0] != widths[1]:
        raise UserError(
            f"the towers of {folder} disagree: {VISION_FOLDER} gives {widths[0]} features and {TEXT_FOLDER} "
            f"{widths[1]}; take both from one model"
        )
    cfg = open_clip_cfg(vision, text, widths[0], str(folder))
    named = [name for tower in (vision, text) if tower.get("pretrained") is not False for name in origins(tower)]
    cfg["quick_gelu"] = checked_activation(cfg["quick_gelu"], named, str(folder), mend=mend_gelu)
    model = build_model(cfg)
    weights = {"logit_scale": model.state_dict()["logit_scale"]} | images | texts
    with readable(folder):
        model.load_state_dict(open_clip_names(weights))
    places = [path for path in (folder, folder / VISION_FOLDER) if (path / HF_PIXELS).is_file()]
    pixels_file = (places or [folder])[0] / HF_PIXELS
    with readable(pixels_file):
        pixels = pixels_of(pixels_file)
    tokenizer = hf_folder_tokenizer(folder / TEXT_FOLDER, cfg)
    notes = () if "logit_scale" in images | texts else (NO_SCALE,)
    return Clip(model=model, cfg=cfg, tokenizer=tokenizer, notes=notes, **pixels)


def _tower(folder: Path, defaults: Mapping[str, Any], sizes_of: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors of one tower; sizes that the configuration leaves out are those of the tensors."""
    for name in (HF_CONFIG, HF_WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder.parent} is no model folder: {folder.name}/{name} is missing; a model of two towers has "
                f"{HF_CONFIG} and {HF_WEIGHTS} in both {VISION_FOLDER} and {TEXT_FOLDER}"
            )
    with readable(folder / HF_CONFIG):
        saved = json.loads((folder / HF_CONFIG).read_text("utf8"))
        if saved.get("lora"):
            raise UserError(f"{folder / HF_CONFIG} has an adapter (lora); merge it into the weights first")
    with readable(folder / HF_WEIGHTS):
        weights = load_file(folder / HF_WEIGHTS)
        if all(name.startswith(_WRAPPED) for name in weights):
            weights = {name.removeprefix(_WRAPPED): tensor for name, tensor in weights.items()}
        config = dict(defaults) | sizes_of(weights) | saved
    return config, weights


def _width(weights: Mapping[str, Tensor], projection: str, folder: Path) -> int:
    if f"{projection}.weight" not in weights:
        raise UserError(f"{folder} has a tower without {projection}; only CLIP towers with projection can be read")
    return len(weights[f"{projection}.weight"])
