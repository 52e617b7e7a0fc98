"""Fresh models: the small ones of the embedded world, and any architecture that open_clip names."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import open_clip
import torch
from torch import nn

from tripletclip.data.index import first_line
from tripletclip.errors import UserError, unknown_name
from tripletclip.extras import require
from tripletclip.models.clip import Clip, preprocessing
from tripletclip.models.tokenizers import WordTokenizer


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A small CLIP: two transformers over patches and words. The defaults are those of the embedded world."""

    embed_dim: int = 64
    image_size: int = 48
    patch_size: int = 16
    vision_width: int = 64
    vision_layers: int = 3
    text_width: int = 64
    text_layers: int = 2
    heads: int = 4
    context_length: int = 32
    init_scale: float = 14.3


def open_clip_config(config: ModelConfig, vocab_size: int) -> dict[str, Any]:
    """The ``model_cfg`` that open_clip builds the same model from."""
    return {
        "embed_dim": config.embed_dim,
        "vision_cfg": {
            "image_size": config.image_size,
            "layers": config.vision_layers,
            "width": config.vision_width,
            "head_width": config.vision_width // config.heads,
            "patch_size": config.patch_size,
            "pool_type": "avg",
            "pos_embed_type": "sin_cos_2d",
            "final_ln_after_pool": True,
        },
        "text_cfg": {
            "context_length": config.context_length,
            "vocab_size": vocab_size,
            "width": config.text_width,
            "heads": config.heads,
            "layers": config.text_layers,
        },
    }


def build(config: ModelConfig, vocab_size: int, seed: int) -> open_clip.CLIP:
    """A model with fresh weights; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cfg = open_clip_config(config, vocab_size)
        model = open_clip.CLIP(**cfg, init_logit_scale=float(torch.tensor(config.init_scale).log()))
        # open_clip's 0.01 suits width 512 and 77 places; for few words the place must weigh as much as the word.
        torch.nn.init.normal_(model.token_embedding.weight, std=0.1)
        torch.nn.init.normal_(model.positional_embedding, std=0.1)
    return model


def new_clip(config: ModelConfig, words: Sequence[str], seed: int) -> Clip:
    """A fresh model with a tokenizer of ``words``."""
    tokenizer = WordTokenizer(words, config.context_length)
    model = build(config, tokenizer.vocab_size, seed)
    return Clip(model=model, cfg=open_clip_config(config, tokenizer.vocab_size), tokenizer=tokenizer)


def fresh_clip(name: str, seed: int = 0) -> Clip:
    """An open_clip architecture such as ``ViT-B-32`` with fresh weights, as open_clip initialises them.

    The same seed gives the same weights; torch's global random state is left alone. Pixels are normalised as open_clip
    does where no weights say otherwise (OpenAI's mean and deviation). Raises :class:`UserError` for unknown names, and
    for a tokenizer that has to be fetched (SigLIP's) and cannot be.
    """
    if name not in open_clip.list_models():
        raise unknown_name("open_clip model", name, open_clip.list_models())
    cfg = open_clip.get_model_config(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(cfg)
    try:
        tokenizer = open_clip.get_tokenizer(name)
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot load the tokenizer of {name}, '{cfg['text_cfg'].get('hf_tokenizer_name')}' of the Hugging Face "
            f"Hub: {first_line(error)}; check the network"
        ) from error
    return Clip(model=model, cfg=cfg, tokenizer=tokenizer, **preprocessing({}))


def build_model(cfg: Mapping[str, Any]) -> nn.Module:
    """The module that open_clip builds from a ``model_cfg``, with weights drawn from torch's random state.

    ``CLIP``, or ``CustomTextCLIP`` where the configuration has ``custom_text`` or a Hugging Face text tower, whose own
    pretrained weights are left out. CoCa is refused: its captioner has a loss of its own.
    """
    settings = copy.deepcopy(dict(cfg))
    check_extras(settings)
    if "multimodal_cfg" in settings:
        raise UserError("the model is a CoCa, whose captioner we do not train; choose a CLIP or SigLIP model")
    custom = bool(settings.pop("custom_text", False)) or "hf_model_name" in settings["text_cfg"]
    if "timm_model_name" in settings["vision_cfg"]:
        settings["vision_cfg"]["timm_model_pretrained"] = False
    if "hf_model_name" in settings["text_cfg"]:
        settings["text_cfg"]["hf_model_pretrained"] = False
    model: nn.Module = open_clip.CustomTextCLIP(**settings) if custom else open_clip.CLIP(**settings)
    return model


def check_extras(cfg: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` where text tower or tokenizer are Hugging Face's and transformers is not installed."""
    if "hf_model_name" in cfg["text_cfg"] or "hf_tokenizer_name" in cfg["text_cfg"]:
        require("hf", "this model's text tower or tokenizer", "transformers")


FIRST_BIAS = -10.0
"""``logit_bias`` at the start: most pairs are no match (Zhai et al. 2023, arXiv 2303.15343, section 3.2)."""


def with_bias(clip: Clip) -> Clip:
    """``clip`` with a trainable ``logit_bias``, which the sigmoid objectives add to every logit; one that is there
    stays."""
    if clip.model.logit_bias is not None:
        return clip
    clip.model.logit_bias = nn.Parameter(torch.tensor(FIRST_BIAS))
    return replace(clip, cfg={**clip.cfg, "init_logit_bias": FIRST_BIAS})
