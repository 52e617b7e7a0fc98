"""The one two-way softmax that every contrastive objective is made of, dense and chunked.

Shapes: N pairs, D features, H halves (positives first, then negatives). Features are L2-normalised.

A batch has one or two *halves* of images and of texts, each ``[N, D]``. An objective is a :class:`Pattern` that says
which halves each query half is compared with; the target of row n is row n of its own half. All objectives of the
paper are patterns, so one softmax over the halves that meet serves them all (derivation: docs/deviations.md).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Meets = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Which halves meet.

    ``image_to_text[h]`` lists the halves of texts that images of half ``h`` are compared with; an empty tuple means
    that this half asks no question. ``text_to_image`` likewise. ``weight`` multiplies the sum of the terms, each term
    being the mean cross-entropy of one query half; the paper's code halves the sum of both directions, so it is 1/2.
    """

    image_to_text: Meets
    text_to_image: Meets
    weight: float = 0.5

    @property
    def image_halves(self) -> int:
        """Halves of images that a batch must bring."""
        return len(self.image_to_text)

    @property
    def text_halves(self) -> int:
        """Halves of texts that a batch must bring."""
        return len(self.text_to_image)


def two_way_softmax(
    images: Sequence[Tensor],
    texts: Sequence[Tensor],
    logit_scale: Tensor,
    pattern: Pattern,
    *,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The image-to-text and the text-to-image loss of ``pattern``, both scalars.

    Args:
        images, texts: one ``[N, D]`` tensor a half, all of the same N.
        logit_scale: scalar, the factor itself (not its logarithm).
        chunk: rows of images whose logits exist at a time. None keeps the logits of all halves that meet for the
            backward pass; with a number they are computed again there, and memory grows with N instead of N squared.

    Raises:
        ValueError: when the halves do not fit the pattern, or ``chunk`` is below 1.
    """
    if len(images) != pattern.image_halves or len(texts) != pattern.text_halves:
        raise ValueError(
            f"the objective needs {pattern.image_halves} halves of images and {pattern.text_halves} of texts; "
            f"got {len(images)} and {len(texts)}"
        )
    if len({half.shape for half in (*images, *texts)}) != 1:
        raise ValueError(f"halves differ in shape: {[tuple(half.shape) for half in (*images, *texts)]}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk is {chunk}; give at least 1, or None")
    image_rows, text_rows = torch.cat(list(images)), torch.cat(list(texts))
    if chunk is None:
        return _dense(image_rows, text_rows, logit_scale, pattern)
    return _chunked(image_rows, text_rows, logit_scale, pattern, chunk)


def _dense(image_rows: Tensor, text_rows: Tensor, logit_scale: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
    """A block of logits for every two halves that meet; denominators are joined from their blocks."""
    images, texts = image_rows.chunk(pattern.image_halves), text_rows.chunk(pattern.text_halves)
    scaled = [logit_scale * half for half in images]
    meeting = {(i, t) for i, others in enumerate(pattern.image_to_text) for t in others}
    meeting |= {(i, t) for t, others in enumerate(pattern.text_to_image) for i in others}
    block = {(i, t): scaled[i] @ texts[t].T for i, t in sorted(meeting)}
    target = [(x * y).sum(1) for x, y in zip(scaled, texts, strict=False)]

    def joined(parts: Sequence[Tensor]) -> Tensor:
        return parts[0] if len(parts) == 1 else torch.stack(list(parts)).logsumexp(0)

    image_terms = [
        (joined([block[i, t].logsumexp(1) for t in others]) - target[i]).mean()
        for i, others in enumerate(pattern.image_to_text)
        if others
    ]
    text_terms = [
        (joined([block[i, t].logsumexp(0) for i in others]) - target[t]).mean()
        for t, others in enumerate(pattern.text_to_image)
        if others
    ]
    return pattern.weight * torch.stack(image_terms).sum(), pattern.weight * torch.stack(text_terms).sum()


class _Chunked(torch.autograd.Function):
    """Same value and gradients as :func:`_dense`, in memory linear in N.

    Forward keeps the logarithm of each softmax's denominator; backward computes every chunk of logits once more.
    """

    @staticmethod
    def forward(
        ctx: Any, image_rows: Tensor, text_rows: Tensor, logit_scale: Tensor, pattern: Pattern, chunk: int
    ) -> tuple[Tensor, Tensor]:
        n = image_rows.shape[0] // pattern.image_halves
        image_lse = image_rows.new_full((image_rows.shape[0],), -torch.inf)
        text_lse = text_rows.new_full((text_rows.shape[0],), -torch.inf)
        for rows, half in _chunks(pattern.image_halves, n, chunk):
            logits = logit_scale * image_rows[rows] @ text_rows.T
            for text_half in range(pattern.text_halves):
                columns = slice(text_half * n, (text_half + 1) * n)
                block = logits[:, columns]
                if text_half in pattern.image_to_text[half]:
                    image_lse[rows] = torch.logaddexp(image_lse[rows], block.logsumexp(1))
                if half in pattern.text_to_image[text_half]:
                    text_lse[columns] = torch.logaddexp(text_lse[columns], block.logsumexp(0))
        ctx.save_for_backward(image_rows, text_rows, logit_scale, image_lse, text_lse)
        ctx.pattern, ctx.chunk = pattern, chunk

        def direction(queries: Tensor, keys: Tensor, lse: Tensor, meets: Meets) -> Tensor:
            loss = lse.new_zeros(())
            for half in (half for half, others in enumerate(meets) if others):
                own = slice(half * n, (half + 1) * n)
                loss = loss + (lse[own] - logit_scale * (queries[own] * keys[own]).sum(1)).mean()
            return pattern.weight * loss

        return (
            direction(image_rows, text_rows, image_lse, pattern.image_to_text),
            direction(text_rows, image_rows, text_lse, pattern.text_to_image),
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, image_grad: Tensor, text_grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        image_rows, text_rows, logit_scale, image_lse, text_lse = ctx.saved_tensors
        pattern: Pattern = ctx.pattern
        n = image_rows.shape[0] // pattern.image_halves
        to_text, to_image = pattern.weight / n * image_grad, pattern.weight / n * text_grad
        d_image, d_text = torch.zeros_like(image_rows), torch.zeros_like(text_rows)
        d_scale = torch.zeros_like(logit_scale)
        for rows, half in _chunks(pattern.image_halves, n, ctx.chunk):
            cosines = image_rows[rows] @ text_rows.T
            d_logits = torch.zeros_like(cosines)
            for text_half in range(pattern.text_halves):
                columns = slice(text_half * n, (text_half + 1) * n)
                block = logit_scale * cosines[:, columns]
                if text_half in pattern.image_to_text[half]:
                    d_logits[:, columns] += to_text * (block - image_lse[rows, None]).exp()
                if half in pattern.text_to_image[text_half]:
                    d_logits[:, columns] += to_image * (block - text_lse[None, columns]).exp()
            if half < pattern.text_halves:
                asked = to_text * bool(pattern.image_to_text[half]) + to_image * bool(pattern.text_to_image[half])
                d_logits[:, rows].diagonal().sub_(asked)
            d_scale += (d_logits * cosines).sum()
            d_image[rows] = logit_scale * d_logits @ text_rows
            d_text += logit_scale * d_logits.T @ image_rows[rows]
        return d_image, d_text, d_scale, None, None


_chunked: Callable[[Tensor, Tensor, Tensor, Pattern, int], tuple[Tensor, Tensor]] = _Chunked.apply


def _chunks(halves: int, n: int, chunk: int) -> Iterator[tuple[slice, int]]:
    """Slices of at most ``chunk`` rows that never cross halves, with their half."""
    for half in range(halves):
        for start in range(half * n, (half + 1) * n, chunk):
            yield slice(start, min(start + chunk, (half + 1) * n)), half
