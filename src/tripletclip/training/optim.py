"""AdamW with decay where it belongs, and the learning rate of a step."""

import math

import torch
from torch import nn

from tripletclip.training.config import TrainConfig

MAX_LOG_SCALE = math.log(100)
"""``logit_scale`` is clamped to 100, as in CLIP (Radford et al. 2021, section 2.5)."""


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW. Vectors and scalars (norms, biases, ``logit_scale``) are not decayed."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        fused=True,
    )


def learning_rate(config: TrainConfig, step: int) -> float:
    """A linear warm-up to the peak over ``config.warmup`` steps, then half a cosine to zero at ``config.steps``.

    ``step`` counts from 0. A run that is shorter than its warm-up ends on the way to the peak.
    """
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    through = (step - config.warmup) / (config.steps - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * through))
