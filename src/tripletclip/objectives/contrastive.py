"""The one two-way softmax that every softmax objective is made of: the dense form, and the way to the chunked one.

Shapes: N pairs, D features. Features are L2-normalised. An objective is a :class:`Pattern` of halves that meet; all
objectives of the paper are patterns, so one softmax over the halves that meet serves them all (derivation:
docs/deviations.md). A process may ask for a :class:`Part` of the rows only; all rows stay candidates.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tripletclip.objectives.chunked import Plan, chunked
from tripletclip.objectives.features import Part, refuse_chunk, whole
from tripletclip.objectives.hard import HardNegatives
from tripletclip.objectives.pattern import Pattern


def two_way_softmax(
    images: Sequence[Tensor],
    texts: Sequence[Tensor],
    logit_scale: Tensor,
    pattern: Pattern,
    *,
    chunk: int | None = None,
    hard: HardNegatives | None = None,
    part: Part | None = None,
) -> tuple[Tensor, Tensor]:
    """The image-to-text and the text-to-image loss of ``pattern``, both scalars.

    Args:
        images, texts: one ``[N, D]`` tensor a half, all of the same N.
        logit_scale: scalar, the factor itself (not its logarithm).
        chunk: rows of images whose logits exist at a time. None keeps the logits of all halves that meet for the
            backward pass; with a number they are computed again there, and memory grows with N instead of N squared.
        hard: how much hard negatives count; None as in the paper.
        part: the rows that ask; None all of them.

    Raises:
        ValueError: when the halves do not fit the pattern, or ``chunk`` is below 1.
    """
    pattern.refuse_others(images, texts)
    refuse_chunk(chunk)
    hard, part = hard or HardNegatives(), part or whole(len(images[0]))
    if chunk is None:
        return _dense(images, texts, logit_scale, pattern, hard, part)
    return chunked(Plan(pattern=pattern, hard=hard, part=part, chunk=chunk), images, texts, logit_scale)


def _dense(
    images: Sequence[Tensor],
    texts: Sequence[Tensor],
    logit_scale: Tensor,
    pattern: Pattern,
    hard: HardNegatives,
    part: Part,
) -> tuple[Tensor, Tensor]:
    """A block of logits for every two halves that meet; denominators are joined from their blocks."""
    scaled = [logit_scale * half for half in images]

    def block(i: int, t: int, image_rows: slice, text_rows: slice) -> Tensor:
        gain = hard.gain(i, t)
        return (scaled[i] if gain == 1 else gain * scaled[i])[image_rows] @ texts[t][text_rows].T

    def joined(parts: Sequence[Tensor]) -> Tensor:
        return parts[0] if len(parts) == 1 else torch.stack(list(parts)).logsumexp(0)

    def shifted(lse: Tensor, i: int, t: int) -> Tensor:
        return lse if i == t else lse + hard.shift(i, t, logit_scale)

    everything = slice(0, len(images[0]))
    if part.is_whole(everything.stop):
        from_images = from_texts = {(i, t): block(i, t, everything, everything) for i, t in sorted(pattern.meeting())}
    else:
        from_images = {(i, t): block(i, t, part.rows, everything) for i, t in pattern.asked_by_images()}
        from_texts = {(i, t): block(i, t, everything, part.rows) for i, t in pattern.asked_by_texts()}

    def term(half: int, lses: Sequence[Tensor]) -> Tensor:
        target = (scaled[half][part.rows] * texts[half][part.rows]).sum(1)
        return hard.of_queries(half) * part.mean * (joined(lses) - target).sum()

    image_terms = [
        term(i, [shifted(from_images[i, t].logsumexp(1), i, t) for t in others])
        for i, others in enumerate(pattern.image_to_text)
        if others
    ]
    text_terms = [
        term(t, [shifted(from_texts[i, t].logsumexp(0), i, t) for i in others])
        for t, others in enumerate(pattern.text_to_image)
        if others
    ]
    return pattern.weight * torch.stack(image_terms).sum(), pattern.weight * torch.stack(text_terms).sum()
