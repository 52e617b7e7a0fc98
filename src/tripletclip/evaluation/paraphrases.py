"""One image, two true captions p1 and p2 in different words, one hard negative n (SugarCrepe++).

    itt   s(i, p1) > s(i, n)  and  s(i, p2) > s(i, n)            the image knows both from the negative
    tot   cos(p1, p2) > cos(p1, n)  and  cos(p1, p2) > cos(p2, n)  so does the text tower alone

All strict: a tie loses. Source of the rules: SugarCrepe++ (Dumpala et al. 2024, https://arxiv.org/abs/2406.11171),
its image-to-text and text-only tasks.
"""

from collections.abc import Sequence

import numpy as np

from tripletclip.evaluation.outcome import Layout, Outcome, split_masks
from tripletclip.evaluation.scores import ParaphraseScores

CHANCE = 100 / 3
"""Expectation of independent random scores in percent, of either task: one given score of three must be the lowest
(``itt``) or the highest (``tot``)."""


def layout(splits: Sequence[str], task: str) -> Layout:
    """``itt_micro`` (all items, in order), ``itt_SPLIT``, the mean ``itt_macro``; or those of ``tot``."""
    masks = {f"{task}_{split}": mask_N for split, mask_N in split_masks(splits).items()}
    everything = {f"{task}_micro": np.ones(len(splits), dtype=np.bool_)}
    return Layout(masks=everything | masks, groups={f"{task}_macro": list(masks)})


def decide(scores: ParaphraseScores, splits: Sequence[str]) -> Outcome:
    """Decisions of every metric of :func:`layout`, of both tasks."""
    image_N = np.minimum(scores.image_first, scores.image_second) > scores.image_negative
    text_N = scores.first_second > np.maximum(scores.first_negative, scores.second_negative)
    itt, tot = layout(splits, "itt").outcome(image_N), layout(splits, "tot").outcome(text_N)
    return Outcome(
        decisions={**itt.decisions, **tot.decisions},
        groups={**itt.groups, **tot.groups},
    )


def chance(outcome: Outcome) -> dict[str, float]:
    """Expectation of random scores in percent, for every metric of ``outcome``."""
    return dict.fromkeys([*outcome.decisions, *outcome.groups], CHANCE)
