"""Which weights move: frozen towers and blocks, low-rank adapters, and learning rates that fall towards the input.

A tower of an open_clip model is a stem (patches or words, and their places), blocks, and a head (the last norm and the
projection). Blocks count from the input.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from tripletclip.errors import UserError
from tripletclip.extras import require
from tripletclip.models import Clip, build_model
from tripletclip.training.settings import Blocks, Tune

Tower = Literal["image", "text"]

STEMS = (
    *("conv1", "class_embedding", "positional_embedding", "ln_pre", "patch_dropout"),
    *("token_embedding", "cls_emb"),
)
"""What open_clip calls the parts before the blocks, in either tower."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a parameter sits: its tower (none: ``logit_scale``), and its depth, the stem being 0, block k k + 1 and the
    head one more than the last block; ``depths`` is the head's."""

    tower: Tower | None
    depth: int
    depths: int


def places(model: nn.Module) -> dict[str, Place]:
    """The place of every parameter of an open_clip ``CLIP`` or ``CustomTextCLIP``, by name."""
    counts = {tower: len(_blocks(model, tower)) for tower in ("image", "text")}
    return {name: _place(name, counts) for name, _ in model.named_parameters()}


def _place(name: str, counts: Mapping[str, int]) -> Place:
    parts = name.split(".")
    if parts[0] in ("logit_scale", "logit_bias"):
        return Place(tower=None, depth=0, depths=0)
    tower: Tower = "image" if parts[0] == "visual" else "text"
    parts = parts[1:] if parts[0] in ("visual", "text") else parts
    head = counts[tower] + 1
    if "resblocks" in parts:
        return Place(tower=tower, depth=int(parts[parts.index("resblocks") + 1]) + 1, depths=head)
    return Place(tower=tower, depth=0 if parts[0] in STEMS else head, depths=head)


def _blocks(model: nn.Module, tower: str) -> list[nn.Module]:
    """The tower's blocks; none where they are not open_clip's (timm, Hugging Face, ResNet)."""
    inside = ("visual.",) if tower == "image" else ("transformer.", "text.")
    found: dict[int, nn.Module] = {}
    for name, module in model.named_modules():
        parent, _, number = name.rpartition(".")
        if parent.endswith("resblocks") and name.startswith(inside) and number.isdigit():
            found[int(number)] = module
    return [found[number] for number in sorted(found)]


def freeze(model: nn.Module, tune: Tune) -> None:
    """Take the frozen blocks' weights out of training.

    Raises :class:`UserError` for more blocks than a tower has, or blocks of a tower that has none of open_clip's.
    """
    asked: dict[Tower, Blocks] = {"image": tune.freeze_image, "text": tune.freeze_text}
    found = places(model)
    for tower, blocks in asked.items():
        depths = max((place.depths for place in found.values() if place.tower == tower), default=1)
        if blocks != "all" and blocks > depths - 1:
            raise UserError(f"freeze_{tower} is {blocks}, and that tower has {depths - 1} blocks; give fewer, or all")
        for name, parameter in model.named_parameters():
            place = found[name]
            if place.tower == tower and blocks and (blocks == "all" or place.depth <= blocks):
                parameter.requires_grad_(False)


def rates(model: nn.Module, layer_decay: float) -> dict[str, float]:
    """The factor on the learning rate of every trained parameter: ``layer_decay`` to the power of the blocks between it
    and its tower's head; adapters stand where their block does, and ``logit_scale`` has 1."""
    found = places(model)
    return {
        name: layer_decay ** (found[name].depths - found[name].depth)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


# ---- adapters ------------------------------------------------------------------------------------------------------


def add_adapters(clip: Clip, tune: Tune, seed: int) -> Any:
    """Put low-rank adapters (Hu et al. 2021, arXiv 2106.09685) beside every linear map in the blocks of the towers that
    ``tune`` names, into ``clip`` itself, and return what :func:`without_adapters` takes.

    Those towers' own weights are frozen; what else trained before still does. An adapter begins at zero, so the model
    computes what it did. Raises :class:`UserError` for a tower without open_clip's blocks, and where peft is missing.
    """
    require("hf", "low-rank adapters", "peft")
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    model = clip.model
    ranks: dict[Tower | None, int] = {"image": tune.lora_image, "text": tune.lora_text, None: 0}
    own = places(model)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    rank_of = {name: rank for tower, rank in ranks.items() if tower and rank for name in _linear_maps(model, tower)}
    config = LoraConfig(
        r=max(ranks.values()),
        lora_alpha=tune.lora_alpha,
        # One expression for whole names: a list would be taken for endings, and the towers' names end alike.
        target_modules="|".join(re.escape(name) for name in rank_of),
        rank_pattern={f"^{re.escape(name)}": rank for name, rank in rank_of.items()},
        bias="none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tuner = LoraModel(model, {"default": config}, "default")
    for name, parameter in model.named_parameters():
        if "lora_" not in name:
            name = name.replace(".base_layer", "")
            parameter.requires_grad_(name in trained and not ranks[own[name].tower])
    return tuner


def without_adapters(clip: Clip, tuner: Any) -> Clip:
    """A copy of ``clip`` whose own weights do what they did with the adapters: an ordinary model again."""
    return replace(clip, model=copy.deepcopy(tuner).merge_and_unload())


def _linear_maps(model: nn.Module, tower: Tower) -> list[str]:
    """Names of the attentions and linear maps in the tower's blocks."""
    inside = ("visual.",) if tower == "image" else ("transformer.", "text.")
    names = [
        name
        for name, module in model.named_modules()
        if name.startswith(inside)
        and ".resblocks." in f".{name}"
        and isinstance(module, nn.Linear | nn.MultiheadAttention)
        and not name.endswith(".out_proj")  # belongs to its attention, which adapts it
    ]
    if not names:
        raise UserError(f"lora_{tower} needs a tower of open_clip's transformer blocks, and this one has none")
    return names


# ---- fresh towers --------------------------------------------------------------------------------------------------


@torch.no_grad()
def draw_anew(clip: Clip, tune: Tune, seed: int) -> None:
    """Give the towers that ``tune`` names fresh weights, as open_clip draws them for the architecture."""
    anew = {"image": tune.fresh_image, "text": tune.fresh_text}
    if not any(anew.values()):
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = dict(build_model(clip.cfg).named_parameters())
    for name, place in places(clip.model).items():
        if place.tower and anew[place.tower]:
            clip.model.get_parameter(name).copy_(fresh[name])
