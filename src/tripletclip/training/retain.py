"""Keeping what the model knew: a teacher that lags behind, and a pull back to the start.

Fine-tuning with hard negatives forgets (Table 16 of the paper: ImageNet 63.3 to 45.9).

Shapes: B pairs, D features.
"""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tripletclip.data.loader import Batch
from tripletclip.models import Clip, image_features, text_features
from tripletclip.objectives.losses import Features
from tripletclip.training.config import TrainConfig


class Keeper:
    """What holds a run back. Made from the model at its start, before any state is loaded into it."""

    def __init__(self, config: TrainConfig, clip: Clip) -> None:
        self._config = config
        self.teacher: Clip | None = None
        if config.retain.distill:
            self.teacher = replace(clip, model=copy.deepcopy(clip.model).requires_grad_(False).eval())
        self._start: dict[str, Tensor] = {}
        if config.retain.l2:
            moving = ((name, weight) for name, weight in clip.model.named_parameters() if weight.requires_grad)
            self._start = {name: weight.detach().clone() for name, weight in moving}

    def losses(self, clip: Clip, batch: Batch, features: Features) -> dict[str, Tensor]:
        """``distill_loss`` and ``l2_loss``, where they are asked for."""
        found = {}
        if self.teacher is not None:
            found["distill_loss"] = self._config.retain.distill * self._forgotten(self.teacher, batch, features)
        if self._start:
            found["l2_loss"] = self._config.retain.l2 * self._moved(clip.model)
        return found

    def _forgotten(self, teacher: Clip, batch: Batch, features: Features) -> Tensor:
        """2 - cos(image, teacher's) - cos(text, teacher's), mean over the positive pairs, a scalar.

        Each feature is held near the teacher's, so the value does not depend on what else is in the batch or on the
        number of ranks.
        """
        device, size = self._config.device, self._config.micro_batch or len(batch.keys)
        distances = []
        for start in range(0, len(batch.keys), size):
            part = slice(start, start + size)
            with torch.no_grad():
                image_BD = image_features(teacher.model, teacher.pixels(batch.image[part], device))
                text_BD = text_features(teacher.model, batch.text[part].to(device), batch.text.shape[1])
            image_cos = (F.normalize(image_BD.float(), dim=-1) * features.images[0][part]).sum(1)
            text_cos = (F.normalize(text_BD.float(), dim=-1) * features.texts[0][part]).sum(1)
            distances.append(2 - image_cos - text_cos)
        return torch.cat(distances).mean()

    def _moved(self, model: nn.Module) -> Tensor:
        weights = dict(model.named_parameters())
        return torch.stack([(weights[name] - start).pow(2).sum() for name, start in self._start.items()]).sum()

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """Move the teacher a little towards the model, after a step."""
        if self.teacher is not None and self._config.retain.momentum < 1:
            share = 1 - self._config.retain.momentum
            for old, new in zip(self.teacher.model.parameters(), model.parameters(), strict=True):
                old.lerp_(new, share)
