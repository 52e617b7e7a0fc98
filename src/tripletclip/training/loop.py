"""The training loop: one concatenated forward per tower and step, metrics as JSON lines, resumable at every step.

Shapes: B pairs, H halves, L tokens, D features.
"""

import contextlib
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import torch
from torch import Tensor
from torch.nn import functional as F

from tripletclip.data.loader import Batch, Loader
from tripletclip.data.shards import Shards
from tripletclip.errors import UserError
from tripletclip.files import write_atomic
from tripletclip.models import Clip, forward_flops, image_features, load_clip, new_clip, save_clip, text_features
from tripletclip.objectives.losses import Features, Objective, contrastive_losses, objective_named
from tripletclip.training.config import TrainConfig
from tripletclip.training.optim import MAX_LOG_SCALE, learning_rate, make_optimizer
from tripletclip.training.state import (
    CONFIG_FILE,
    DONE_FILE,
    METRICS_FILE,
    STATE_FILE,
    Budget,
    Progress,
    forget_later_metrics,
    load_state,
    refuse_other_run,
    save_state,
)


class Interrupted(Exception):
    """A signal asked the run to stop; its state was saved after a whole step."""


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What a step tells those who watch: its number from 1, the values that are logged, the clip and the budget."""

    step: int
    values: dict[str, float]
    clip: Clip
    budget: Budget


def train(
    config: TrainConfig,
    *,
    words: list[str],
    resume: bool = False,
    overwrite: bool = False,
    watch: Callable[[StepReport], None] = lambda report: None,
) -> Path:
    """Train and return the folder of the run, which is then an open_clip ``local-dir``.

    ``words`` are the vocabulary of a fresh model. ``watch`` is called after every step.

    Raises:
        UserError: bad data or settings, a folder that holds another run, a loss that is not finite.
        Interrupted: SIGINT or SIGTERM came; the run goes on with ``resume=True``.
    """
    if resume and not overwrite:
        refuse_other_run(config)
        if (config.out / DONE_FILE).exists():
            return config.out
    objective = objective_named(config.objective)
    clip = load_clip(config.init) if config.init else new_clip(config.model, words, config.seed)
    loader = Loader(
        Shards(config.data, keep=config.keep),
        tokenize=clip.tokenizer,
        image_size=clip.image_size,
        batch_size=config.pairs_per_step,
        seed=config.seed,
        roles=objective.roles,
        workers=config.workers,
    )
    _prepare_folder(config, resume=resume, overwrite=overwrite)
    clip.model.to(config.device).train()
    optimizer = make_optimizer(clip.model, config)
    progress = Progress()
    if (config.out / STATE_FILE).exists():
        progress = load_state(config, clip.model, optimizer)
    forget_later_metrics(config.out / METRICS_FILE, progress.step)
    with open(config.out / METRICS_FILE, "a", encoding="utf8") as metrics, _stop_signals() as stopped:
        _run_steps(config, objective, clip, loader, optimizer, progress, metrics, stopped, watch)
    save_clip(clip, config.out)
    write_atomic(
        config.out / DONE_FILE, json.dumps({"budget": asdict(progress.budget), "bad_images": loader.bad}).encode()
    )
    (config.out / STATE_FILE).unlink(missing_ok=True)
    return config.out


def _prepare_folder(config: TrainConfig, *, resume: bool, overwrite: bool) -> None:
    holds_run = (config.out / CONFIG_FILE).exists() or (config.out / STATE_FILE).exists()
    if overwrite and holds_run:
        shutil.rmtree(config.out)
    elif config.out.exists() and any(config.out.iterdir()) and not (resume and holds_run):
        hint = "give --resume to go on, --overwrite to replace, or another --out" if holds_run else "give another --out"
        raise UserError(f"{config.out} is not empty; {hint}")
    write_atomic(config.out / CONFIG_FILE, json.dumps(asdict(config), default=str, indent=1).encode())


def _run_steps(
    config: TrainConfig,
    objective: Objective,
    clip: Clip,
    loader: Loader,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    metrics: IO[str],
    stopped: list[int],
    watch: Callable[[StepReport], None],
) -> None:
    since, pairs_since = time.perf_counter(), 0
    for batch in loader.batches(progress.step, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, progress.step)
        values = train_step(config, objective, clip, batch, optimizer)
        progress.step += 1
        _spend(progress.budget, objective, clip, batch)
        pairs_since += len(batch.keys)
        last = progress.step == config.steps
        if progress.step % config.log_every == 0 or last:
            now = time.perf_counter()
            speed = {"pairs_per_second": pairs_since / (now - since)}
            rate = {"learning_rate": learning_rate(config, progress.step - 1)}
            metrics.write(json.dumps({"step": progress.step, **values, **rate, **speed}) + "\n")
            metrics.flush()
            since, pairs_since = now, 0
        watch(StepReport(step=progress.step, values=values, clip=clip, budget=progress.budget))
        if progress.step % config.save_every == 0 or stopped or last:
            save_state(config, clip.model, optimizer, progress)
        if stopped and not last:
            raise Interrupted(f"stopped after step {progress.step} of {config.steps}; the state is in {config.out}")


def train_step(
    config: TrainConfig, objective: Objective, clip: Clip, batch: Batch, optimizer: torch.optim.Optimizer
) -> dict[str, float]:
    """One optimizer step; returns ``loss``, its terms, the report and the gradient norm as numbers."""
    features = encode_batch(config, objective, clip, batch)
    losses, report = contrastive_losses(objective, features, clip.model.logit_scale.exp(), chunk=config.chunk)
    loss = torch.stack(list(losses.values())).sum()
    if not torch.isfinite(loss):
        terms = ", ".join(f"{name} {value.item()}" for name, value in losses.items())
        keys = ", ".join(batch.keys[:3])
        raise UserError(f"the loss is not finite ({terms}) at keys {keys} ...; lower learning_rate")
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    norm = torch.nn.utils.clip_grad_norm_(clip.model.parameters(), config.clip_gradient)
    optimizer.step()
    with torch.no_grad():
        clip.model.logit_scale.clamp_(0, MAX_LOG_SCALE)
    named = {"loss": loss, **losses, **report, "gradient_norm": norm, "logit_scale": clip.model.logit_scale.exp()}
    return {name: value.item() for name, value in named.items()}


def encode_batch(config: TrainConfig, objective: Objective, clip: Clip, batch: Batch) -> Features:
    """Features of a batch: the halves that the objective needs go through each tower together, once."""
    images, texts = _halves(objective, batch)
    autocast = torch.autocast(torch.device(config.device).type, torch.bfloat16, enabled=config.precision == "bf16")
    with autocast:
        pixels = clip.pixels(torch.cat(images), config.device)
        image_rows = image_features(clip.model, pixels)
        text_rows = text_features(clip.model, torch.cat(texts).to(config.device), texts[0].shape[1])
    n = len(batch.keys)
    return Features(
        images=torch.split(F.normalize(image_rows.float(), dim=-1), n),
        texts=torch.split(F.normalize(text_rows.float(), dim=-1), n),
    )


def _halves(objective: Objective, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
    images, texts = [batch.image], [batch.text]
    if objective.pattern.image_halves == 2:
        assert batch.neg_image is not None
        images.append(batch.neg_image)
    if objective.pattern.text_halves == 2:
        assert batch.neg_text is not None
        texts.append(batch.neg_text)
    return images, texts


def _spend(budget: Budget, objective: Objective, clip: Clip, batch: Batch) -> None:
    images, texts = _halves(objective, batch)
    count_images, count_texts = sum(map(len, images)), sum(map(len, texts))
    image_flops, text_flops = forward_flops(clip.cfg, texts[0].shape[1])
    budget.steps += 1
    budget.pairs += len(batch.keys)
    budget.images += count_images
    budget.texts += count_texts
    budget.tokens += count_texts * texts[0].shape[1]
    budget.flops += 3 * (count_images * image_flops + count_texts * text_flops)


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that fills when SIGINT or SIGTERM comes: the loop ends after a whole step instead of in the middle."""
    received: list[int] = []
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in previous:
            signal.signal(number, lambda got, frame: received.append(got))
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
