"""One optimizer step: encode, compare, backward, update; whole or in micro-batches, on one device or many.

Shapes: B pairs of this rank, H halves, L tokens, D features.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tripletclip.data.loader import Batch
from tripletclip.errors import UserError
from tripletclip.models import Clip, image_features, text_features
from tripletclip.objectives.losses import Features, HardNegatives, Objective, contrastive_losses
from tripletclip.training.config import TrainConfig
from tripletclip.training.distributed import Ranks
from tripletclip.training.optim import MAX_LOG_SCALE, make_optimizer
from tripletclip.training.retain import Keeper
from tripletclip.training.sharded import clip_gradients

NORM_MEMORY = 0.98
"""Share of the running mean of gradient norms that a step leaves; about the last fifty steps count."""


@dataclass(kw_only=True)
class Learner:
    """All that a step changes or needs."""

    config: TrainConfig
    clip: Clip
    optimizer: torch.optim.Optimizer
    ranks: Ranks
    keeper: Keeper
    usual_norm: float | None = None
    skipped: int = 0
    step: int = 0
    ranks_seconds: float = 0.0

    @classmethod
    def alone(cls, config: TrainConfig, clip: Clip) -> "Learner":
        """One process that begins with ``clip`` as it is."""
        ranks = Ranks(device=torch.device(config.device))
        optimizer = make_optimizer(clip.model, config)
        return cls(config=config, clip=clip, optimizer=optimizer, ranks=ranks, keeper=Keeper(config, clip))


def train_step(learner: Learner, batch: Batch) -> dict[str, float]:
    """One optimizer step; returns ``loss``, its terms, the report and the gradient norm as means over the ranks.

    Raises :class:`UserError` on every rank if the loss of one is not finite.
    """
    learner.optimizer.zero_grad(set_to_none=True)
    losses, report = _backward(learner, batch)
    model = learner.clip.model
    start = time.perf_counter()
    learner.ranks.average_gradients(model)
    if learner.ranks.size > 1:
        learner.ranks_seconds += time.perf_counter() - start
    norm = clip_gradients(model, learner.config.clip_gradient, learner.ranks.group)
    if _is_usual(learner, norm):
        learner.optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, MAX_LOG_SCALE)
        learner.keeper.follow(model)
    else:
        learner.skipped += 1
    named = {"loss": torch.stack(list(losses.values())).sum(), **losses, **report}
    return learner.ranks.mean({**named, "gradient_norm": norm, "logit_scale": model.logit_scale.exp()})


def _backward(learner: Learner, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradients of the whole batch, its losses and report.

    With a ``micro_batch``, features come first without gradients, then the loss gives the gradient of every feature,
    then each micro-batch is encoded once more and takes its features' gradients down its tower (Gao et al. 2021,
    arXiv 2101.06983, section 3). The gradient of ``logit_scale`` belongs to the loss alone and is counted once.
    """
    parts = list(_parts(len(batch.keys), learner.config.micro_batch))
    if len(parts) == 1:
        features = encode_batch(learner.config, learner.clip, batch)
        losses, report = _losses(learner, batch, features)
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        return losses, report
    randomness, encoded = [], []
    with torch.no_grad():
        for part in parts:
            randomness.append(_random_states(learner.ranks.device))
            encoded.append(encode_batch(learner.config, learner.clip, batch, part))
    whole = Features(
        images=tuple(torch.cat(half).requires_grad_() for half in zip(*(f.images for f in encoded), strict=True)),
        texts=tuple(torch.cat(half).requires_grad_() for half in zip(*(f.texts for f in encoded), strict=True)),
    )
    losses, report = _losses(learner, batch, whole)
    torch.autograd.backward(torch.stack(list(losses.values())).sum())
    after = _random_states(learner.ranks.device)
    for part, states in zip(parts, randomness, strict=True):
        _set_random_states(states, learner.ranks.device)
        again = encode_batch(learner.config, learner.clip, batch, part)
        _take_gradients((*again.images, *again.texts), (*whole.images, *whole.texts), part)
    _set_random_states(after, learner.ranks.device)
    return losses, report


def _take_gradients(again: Sequence[Tensor], whole: Sequence[Tensor], part: slice) -> None:
    """Backward from the features of one micro-batch; a frozen tower's have nothing to take."""
    moving = [(features, half) for features, half in zip(again, whole, strict=True) if features.requires_grad]
    gradients = [half.grad[part] for _, half in moving if half.grad is not None]
    torch.autograd.backward([features for features, half in moving if half.grad is not None], gradients)


def _losses(learner: Learner, batch: Batch, features: Features) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Every term and the report; :class:`UserError` on all ranks if a loss is not finite on one."""
    config, clip = learner.config, learner.clip
    objective = batch_objective(config, batch)
    losses, report = contrastive_losses(
        objective,
        features,
        clip.model.logit_scale.exp(),
        logit_bias=clip.model.logit_bias if objective.needs_bias else None,
        chunk=config.chunk,
        hard=config.hard_negatives if objective.pattern.has_hard() else HardNegatives(),
        group=learner.ranks.group,
    )
    named = {**losses, **learner.keeper.losses(clip, batch, features)}
    finite = bool(torch.isfinite(torch.stack([loss.detach() for loss in named.values()])).all())
    if learner.ranks.worst([float(not finite)])[0]:
        terms = ", ".join(f"{name} {value.item()}" for name, value in named.items())
        keys = ", ".join(batch.keys[:3])
        raise UserError(
            f"the loss is not finite ({terms}) in step {learner.step + 1} at keys {keys} ...; lower learning_rate"
        )
    return named, dict(report)


def _is_usual(learner: Learner, norm: Tensor) -> bool:
    """Whether the step may be taken; keeps the running mean of the gradient norms, spikes left out."""
    limit = learner.config.skip_spikes
    if limit is None:
        return True
    found = float(norm)
    if learner.usual_norm is not None and not found <= limit * learner.usual_norm:
        return False
    before = found if learner.usual_norm is None else learner.usual_norm
    learner.usual_norm = NORM_MEMORY * before + (1 - NORM_MEMORY) * found
    return True


def batch_objective(config: TrainConfig, batch: Batch) -> Objective:
    """The run's objective, or its plain form for a batch of pairs without negatives."""
    plain = batch.neg_image is None and batch.neg_text is None
    return config.plain_goal if plain else config.goal


def encode_batch(config: TrainConfig, clip: Clip, batch: Batch, part: slice | None = None) -> Features:
    """Features of the pairs in ``part``, or of all; all halves of the objective go through each tower together."""
    images, texts = batch_halves(batch_objective(config, batch), batch)
    if part is not None:
        images, texts = [half[part] for half in images], [half[part] for half in texts]
    with torch.autocast(torch.device(config.device).type, torch.bfloat16, enabled=config.precision == "bf16"):
        image_rows = image_features(clip.model, clip.pixels(torch.cat(images), config.device))
        text_rows = text_features(clip.model, torch.cat(texts).to(config.device), texts[0].shape[1])
    n = len(images[0])
    return Features(
        images=torch.split(F.normalize(image_rows.float(), dim=-1), n),
        texts=torch.split(F.normalize(text_rows.float(), dim=-1), n),
    )


def batch_halves(objective: Objective, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
    """The halves of images and of texts that ``objective`` encodes, each of as many rows as there are pairs."""
    images, texts = [batch.image], [batch.text]
    if objective.pattern.image_halves > 1:
        assert batch.neg_image is not None
        images += torch.split(batch.neg_image, len(batch.keys))
    if objective.pattern.text_halves > 1:
        assert batch.neg_text is not None
        texts += torch.split(batch.neg_text, len(batch.keys))
    return images, texts


def _parts(size: int, most: int | None) -> Iterator[slice]:
    step = most or size
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))


def _random_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_random_states(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
