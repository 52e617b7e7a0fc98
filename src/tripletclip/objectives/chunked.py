"""The two-way softmax in memory linear in N: logits exist for one chunk of image rows, and again in the backward pass.

Shapes: N pairs, C rows in a chunk, M columns of texts, D features. Forward keeps the logarithm of each softmax's
denominator (lse); a probability is then exp(logit - lse), whichever chunk it lies in.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tripletclip.objectives.features import Part, pieces
from tripletclip.objectives.hard import HardNegatives
from tripletclip.objectives.pattern import Pattern


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A piece of the logits of two halves: rows of images against columns of texts, and who asks there.

    Where images ask, the rows are of this process's part and the columns are all texts. Where texts ask, they are the
    part's texts: ``own`` are their columns within the tile.
    """

    image_half: int
    text_half: int
    rows: slice
    columns: slice
    own: slice
    images_ask: bool
    texts_ask: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the chunked form needs besides tensors."""

    pattern: Pattern
    hard: HardNegatives
    part: Part
    chunk: int

    def tiles(self, n: int) -> Iterator[Tile]:
        """Every logit that somebody asks for, once: own images x all texts, and other images x own texts."""
        asked_by_images, asked_by_texts = set(self.pattern.asked_by_images()), set(self.pattern.asked_by_texts())
        part, everything = self.part, slice(0, n)
        outside = [rows for rows in (slice(0, part.start), slice(part.stop, n)) if rows.stop > rows.start]
        for i, t in sorted(self.pattern.meeting()):
            texts_ask = (i, t) in asked_by_texts
            regions = [(part.rows, (i, t) in asked_by_images)]
            regions += [(rows, False) for rows in outside if texts_ask]
            for region, images_ask in regions:
                columns, own = (everything, part.rows) if images_ask else (part.rows, self.within(part.rows))
                for rows in pieces(region, self.chunk):
                    yield Tile(
                        image_half=i,
                        text_half=t,
                        rows=rows,
                        columns=columns,
                        own=own,
                        images_ask=images_ask,
                        texts_ask=texts_ask,
                    )

    def logits(self, tile: Tile, images: Sequence[Tensor], texts: Sequence[Tensor], logit_scale: Tensor) -> Tensor:
        """``[C, M]``, hard candidates shifted as :class:`HardNegatives` says."""
        i, t = tile.image_half, tile.text_half
        scaled_CD = (logit_scale * self.hard.gain(i, t)) * images[i][tile.rows]
        logits_CM = scaled_CD @ texts[t][tile.columns].T
        return logits_CM if i == t or self.hard.is_papers else logits_CM.add_(self.hard.shift(i, t, logit_scale))

    def within(self, rows: slice) -> slice:
        """``rows`` counted from the start of the part."""
        return slice(rows.start - self.part.start, rows.stop - self.part.start)


def chunked(
    plan: Plan, images: Sequence[Tensor], texts: Sequence[Tensor], logit_scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Image-to-text and text-to-image loss: value and gradients of the dense form, in memory linear in N."""
    return _chunked(plan, logit_scale, *images, *texts)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: Plan, logit_scale: Tensor, *halves: Tensor) -> tuple[Tensor, Tensor]:
        pattern, part = plan.pattern, plan.part
        images, texts = halves[: pattern.image_halves], halves[pattern.image_halves :]
        own = part.stop - part.start
        image_lse = halves[0].new_full((pattern.image_halves, own), -torch.inf)
        text_lse = halves[0].new_full((pattern.text_halves, own), -torch.inf)
        for tile in plan.tiles(len(images[0])):
            logits = plan.logits(tile, images, texts, logit_scale)
            if tile.images_ask:
                known = image_lse[tile.image_half, plan.within(tile.rows)]
                known.copy_(torch.logaddexp(known, logits.logsumexp(1)))
            if tile.texts_ask and len(logits):
                known = text_lse[tile.text_half]
                known.copy_(torch.logaddexp(known, logits[:, tile.own].logsumexp(0)))
        ctx.save_for_backward(logit_scale, image_lse, text_lse, *halves)
        ctx.plan = plan

        def direction(lse: Tensor, meets: tuple[tuple[int, ...], ...]) -> Tensor:
            loss = lse.new_zeros(())
            for half in (half for half, others in enumerate(meets) if others):
                target = logit_scale * (images[half][part.rows] * texts[half][part.rows]).sum(1)
                loss = loss + plan.hard.of_queries(half) * (lse[half] - target).sum()
            return pattern.weight * part.mean * loss

        return direction(image_lse, pattern.image_to_text), direction(text_lse, pattern.text_to_image)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, image_grad: Tensor, text_grad: Tensor) -> tuple[Tensor | None, ...]:
        logit_scale, image_lse, text_lse, *halves = ctx.saved_tensors
        plan: Plan = ctx.plan
        return None, *_gradients(plan, logit_scale, image_lse, text_lse, halves, image_grad, text_grad)


_chunked: Callable[..., tuple[Tensor, Tensor]] = _Chunked.apply


def _gradients(
    plan: Plan,
    logit_scale: Tensor,
    image_lse: Tensor,
    text_lse: Tensor,
    halves: Sequence[Tensor],
    image_grad: Tensor,
    text_grad: Tensor,
) -> list[Tensor]:
    """Of ``logit_scale`` and of every half."""
    count, hard = plan.pattern.image_halves, plan.hard
    images, texts = halves[:count], halves[count:]
    grads = [torch.zeros_like(half) for half in halves]
    d_scale = torch.zeros_like(logit_scale)
    every = plan.pattern.weight * plan.part.mean
    for tile in plan.tiles(len(images[0])):
        i, t = tile.image_half, tile.text_half
        to_text, to_image = every * hard.of_queries(i) * image_grad, every * hard.of_queries(t) * text_grad
        logits = plan.logits(tile, images, texts, logit_scale)
        d_logits = _softmax_gradient(plan, tile, logits, image_lse, text_lse, to_text, to_image)
        gain = hard.gain(i, t)
        d_cosines_to_image = gain * (d_logits @ texts[t][tile.columns])
        # the sum of d_logits * cosines, without a further block: row by row it is x . (d_logits y)
        d_scale += (images[i][tile.rows] * d_cosines_to_image).sum()
        if i != t and hard.margin:
            d_scale += gain * hard.margin * d_logits.sum()
        grads[i][tile.rows] += logit_scale * d_cosines_to_image
        grads[count + t][tile.columns].addmm_(d_logits.T, logit_scale * gain * images[i][tile.rows])
    return [d_scale, *grads]


def _softmax_gradient(
    plan: Plan, tile: Tile, logits: Tensor, image_lse: Tensor, text_lse: Tensor, to_text: Tensor, to_image: Tensor
) -> Tensor:
    """Probabilities minus targets, weighted, of both directions; ``logits`` are used up."""
    i, t = tile.image_half, tile.text_half
    own = logits[:, tile.own]
    from_texts = (own - text_lse[t]).exp_().mul_(to_image) if tile.texts_ask else None
    if tile.images_ask:
        d_logits = logits.sub_(image_lse[i, plan.within(tile.rows), None]).exp_().mul_(to_text)
        if from_texts is not None:
            d_logits[:, tile.own] += from_texts
    else:
        assert from_texts is not None, "a tile that nobody asks for"
        d_logits = from_texts
    if i == t and plan.part.start <= tile.rows.start and tile.rows.stop <= plan.part.stop:
        within = plan.within(tile.rows)
        targets = d_logits[:, tile.own][:, within].diagonal()
        targets.sub_(to_text * tile.images_ask + to_image * tile.texts_ask)
    return d_logits
