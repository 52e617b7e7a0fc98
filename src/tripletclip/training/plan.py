"""What a run will cost, found out without training: sizes, compute, memory, and whether the data are there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tripletclip.data.shards import Shards
from tripletclip.models import flops_known, forward_flops
from tripletclip.training.config import TrainConfig
from tripletclip.training.distributed import Ranks
from tripletclip.training.prepare import first_clip, make_loader
from tripletclip.training.step import batch_halves, encode_batch
from tripletclip.training.tune import add_adapters, freeze

ADAM_BYTES = 16
"""A trained fp32 number, its gradient and AdamW's two moments."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``activations`` is what the backward pass of one pair needs, measured on the first pair; ``memory`` counts
    weights, gradients, moments and the activations of the pairs that are encoded at a time. Bytes."""

    rows: int
    weights: int
    trained: int
    pairs: int
    passes: int
    tokens: int
    flops: float | None
    activations: int
    memory: int

    def lines(self, config: TrainConfig) -> Mapping[str, str]:
        """What a user reads, by label."""
        epochs = config.steps * self.pairs / self.rows
        flops = "unknown for this architecture" if self.flops is None else f"{self.flops:.3g} a step"
        whole = "" if self.flops is None else f", {self.flops * config.steps:.3g} in all"
        return {
            "data": f"{self.rows:,} rows, {epochs:.3g} epochs",
            "model": f"{self.weights:,} weights, {self.trained:,} of them trained",
            "step": f"{self.pairs:,} pairs, {self.passes:,} images and texts; texts of {self.tokens} tokens at first",
            "compute": f"FLOPs {flops}{whole}",
            "memory": f"about {self.memory / 2**30:.3g} GiB, {self.activations / 2**20:.3g} MiB of it a pair",
        }


def make_plan(config: TrainConfig, words: list[str]) -> Plan:
    """Build the model, read the first batch, encode one pair. Raises :class:`UserError` as the run would."""
    clip = first_clip(config, words)
    clip.model.train()
    freeze(clip.model, config.tune)
    if config.tune.lora:
        add_adapters(clip, config.tune, config.seed)
    if config.recompute:
        clip.model.set_grad_checkpointing()
    shards = Shards(config.data, keep=config.keep)
    alone = Ranks(device=torch.device("cpu"))
    batch = next(make_loader(config, shards, clip, alone).batches(0, 1))
    images, texts = batch_halves(config.goal, batch)
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        features = encode_batch(replace(config, device="cpu"), clip, batch, slice(0, 1))
    own = {parameter.untyped_storage().data_ptr() for parameter in clip.model.parameters()}
    activations = sum(size for pointer, size in saved.items() if pointer not in own)
    del features
    weights = sum(parameter.numel() for parameter in clip.model.parameters())
    trained = sum(parameter.numel() for parameter in clip.model.parameters() if parameter.requires_grad)
    at_a_time = min(config.micro_batch or config.pairs_per_step, config.pairs_per_step)
    flops = None
    if flops_known(clip.cfg):
        of_image, of_text = forward_flops(clip.cfg, texts[0].shape[1])
        flops = 3 * config.pairs_per_step * (len(images) * of_image + len(texts) * of_text)
    return Plan(
        rows=len(shards),
        weights=weights,
        trained=trained,
        pairs=config.pairs_per_step,
        passes=config.passes_per_step,
        tokens=texts[0].shape[1],
        flops=flops,
        activations=activations,
        memory=4 * (weights - trained) + ADAM_BYTES * trained + at_a_time * activations,
    )
