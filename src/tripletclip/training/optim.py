"""AdamW with decay where it belongs, and the learning rate of a step."""

import math

import torch
from torch import nn

from tripletclip.training.config import TrainConfig
from tripletclip.training.tune import rates

MAX_LOG_SCALE = math.log(100)
"""``logit_scale`` is clamped to 100, as in CLIP (Radford et al. 2021, section 2.5)."""

RATE = "rate"
"""Name of a group's factor on the learning rate."""


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over what trains. Vectors and scalars (norms, biases, ``logit_scale``) are not decayed unless asked for.

    Parameters that share a decay and a factor on the learning rate share a group. Raises ``ValueError`` if nothing is
    left to train.
    """
    rate_of = rates(model, config.tune.layer_decay)
    if not rate_of:
        raise ValueError("no parameter is left to train")
    parameters = dict(model.named_parameters())
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, rate in rate_of.items():
        decayed = config.tune.decay_everything or parameters[name].ndim >= 2
        groups.setdefault((-rate, not decayed), []).append(parameters[name])
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
