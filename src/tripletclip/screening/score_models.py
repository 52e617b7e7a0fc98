"""Load whatever open_clip can load, with the preprocessing that belongs to it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor, nn

from tripletclip.data.index import first_line
from tripletclip.data.transforms import decode_image
from tripletclip.data.transforms import decode_rgb as decode_rgb
from tripletclip.errors import UserError, unknown_name
from tripletclip.models import CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE, load_clip, weights_hash

HUB = "hf-hub:"


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
    """A folder of ours, any open_clip ``local-dir``, ``NAME:TAG`` or ``hf-hub:ORG/MODEL``.

    Weights are read as safetensors or with ``weights_only``. Raises :class:`UserError` that says what is known.
    """
    folder = Path(spec.removeprefix("local-dir:"))
    if folder.is_dir():
        loaded = _our_folder(folder) if _has_word_tokenizer(folder) else _open_clip_folder(folder, device)
    elif spec.startswith(HUB):
        loaded = _open_clip(spec, spec, None, device)
    else:
        loaded = _named(spec, device)
    loaded.model.to(device).eval()
    return loaded


def _has_word_tokenizer(folder: Path) -> bool:
    """Whether the tokenizer is one of ours; Hugging Face's files have the same name."""
    try:
        saved = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(saved, dict) and saved.get("type") == "words"


def _our_folder(folder: Path) -> ScoreModel:
    clip = load_clip(folder)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (clip.mean, clip.std))
    return ScoreModel(
        name=f"{folder.name}@{weights_hash(folder)[:16]}",
        model=clip.model,
        tokenize=clip.tokenizer,
        prepare=lambda image: (decode_image(image, clip.image_size).float() / 255 - mean) / std,
        width=int(clip.cfg["embed_dim"]),
    )


def _open_clip_folder(folder: Path, device: torch.device) -> ScoreModel:
    if not (folder / CONFIG_FILE).is_file():
        raise UserError(f"{folder} is no model folder: {CONFIG_FILE} is missing")
    hashed = f"@{weights_hash(folder)[:16]}" if (folder / WEIGHTS_FILE).is_file() else ""
    return _open_clip(f"local-dir:{folder}", f"{folder.name}{hashed}", None, device)


def _named(spec: str, device: torch.device) -> ScoreModel:
    name, _, tag = spec.partition(":")
    if name not in open_clip.list_models():
        if "/" in spec or spec.startswith("."):
            raise UserError(f"model folder {spec} does not exist; give a folder or NAME:TAG such as ViT-L-14:openai")
        raise unknown_name("open_clip model", name, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not tag:
        raise UserError(f"model '{name}' has no weights without a tag; write {name}:TAG, one of {', '.join(tags)}")
    if tag not in tags and not Path(tag).is_file():
        raise unknown_name(f"tag of {name}", tag, tags)
    return _open_clip(name, spec, tag, device)


def _open_clip(name: str, title: str, tag: str | None, device: torch.device) -> ScoreModel:
    """Weights trained with QuickGELU get it: with the plain one every score is lower, and nothing says so."""
    quick_gelu = bool((open_clip.get_pretrained_cfg(name, tag) or {}).get("quick_gelu")) if tag else False
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            name, pretrained=tag, device=device, force_quick_gelu=quick_gelu
        )
        tokenizer = open_clip.get_tokenizer(name)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot load the model '{title}': {first_line(error)}; check the name and network") from error
    return ScoreModel(
        name=title,
        model=model,
        tokenize=tokenizer,
        prepare=lambda image: _tensor(preprocess(decode_rgb(image))),
        width=_width(model),
    )


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value


def _width(model: nn.Module) -> int:
    """Features of a text, found by one: open_clip's classes do not agree on where they say it."""
    with torch.inference_mode():
        device = next(model.parameters()).device
        encode: Any = model.encode_text
        return int(encode(torch.zeros(1, int(model.context_length), dtype=torch.long, device=device)).shape[-1])  # type: ignore[arg-type]
