"""AdamW with decay where it belongs, and the learning rate of a step."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tripletclip.training.config import TrainConfig
from tripletclip.training.sharded import is_sharded, placed, whole_tensors
from tripletclip.training.tune import rates

MAX_LOG_SCALE = math.log(100)
"""``logit_scale`` is clamped to 100, as in CLIP (Radford et al. 2021, section 2.5)."""

RATE = "rate"
"""Name of a group's factor on the learning rate."""


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over what trains. Vectors and scalars (norms, biases, ``logit_scale``) are not decayed unless asked for.

    Parameters that share a decay and a factor on the learning rate share a group; those divided among ranks stand
    apart, because one kernel takes no mixture. Raises ``ValueError`` if nothing is left to train.
    """
    rate_of = rates(model, config.tune.layer_decay)
    if not rate_of:
        raise ValueError("no parameter is left to train")
    parameters = dict(model.named_parameters())
    groups: dict[tuple[float, bool, bool], list[nn.Parameter]] = {}
    for name, rate in rate_of.items():
        decayed = config.tune.decay_everything or parameters[name].ndim >= 2
        groups.setdefault((-rate, not decayed, is_sharded(parameters[name])), []).append(parameters[name])
    return torch.optim.AdamW(
        [
            {"params": groups[key], "weight_decay": 0.0 if key[1] else config.weight_decay, RATE: -key[0]}
            for key in sorted(groups)
        ],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        fused=True,
    )


def moments(model: nn.Module, optimizer: torch.optim.Optimizer, *, keep: bool) -> dict[str, Any]:
    """Adam's state by the names of the weights, undivided on the ranks that ``keep`` it; every rank must ask."""
    states = {name: optimizer.state[weight] for name, weight in model.named_parameters() if weight in optimizer.state}
    return whole_tensors(states, keep=keep)


def load_moments(model: nn.Module, optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Put what :func:`moments` gave back. Raises ``ValueError`` where names or shapes are not those of ``model``."""
    trained = {weight for group in optimizer.param_groups for weight in group["params"]}
    parameters = {name: weight for name, weight in model.named_parameters() if weight in trained}
    if saved.keys() - parameters.keys():
        raise ValueError(f"it has moments of {', '.join(sorted(saved.keys() - parameters.keys())[:3])}")
    for name, state in saved.items():
        weight = parameters[name]
        optimizer.state[weight] = {
            key: value.to(weight.device) if value.ndim == 0 else placed(value, weight) for key, value in state.items()
        }


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group its share of ``rate``."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[RATE]


def learning_rate(config: TrainConfig, step: int) -> float:
    """A linear warm-up to the peak over ``config.warmup`` steps, then half a cosine to zero at ``config.steps``.

    ``step`` counts from 0. A run that is shorter than its warm-up ends on the way to the peak.
    """
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    through = (step - config.warmup) / (config.steps - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * through))
