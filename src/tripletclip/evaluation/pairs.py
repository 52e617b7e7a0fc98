"""One image, two captions (SugarCrepe): is the true caption scored higher than its hard negative?

Rule: s(image, caption) > s(image, neg_caption), strictly. A tie loses.
Source of the rule: SugarCrepe (Hsieh et al. 2023); the seven splits are its names.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from tripletclip.evaluation.outcome import Decisions, Layout, Outcome, split_masks
from tripletclip.evaluation.scores import PairScores

SPLITS = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")

COMPOSITIONAL = ("add_att", "replace_att", "replace_rel", "swap_att", "swap_obj")
"""The splits that a bag of nouns cannot solve."""

AGGREGATES = ("macro", "micro", "compositional")

ORDER_ONLY = "_order_only"
"""Ending of the metric of a split's items whose captions hold the same words in another order."""
_PUNCTUATION = re.compile(r"[^\w\s]")
SWAPS = ("swap_att", "swap_obj")
"""The splits that are split once more into what only word order tells, and the rest."""


def layout(splits: Sequence[str], order_only_N: Decisions | None = None) -> Layout:
    """``micro`` (all items, in order) and each split; ``macro`` and ``compositional`` as means.

    ``macro`` is the plain mean over the splits present, ``compositional`` over those of the five that are present; it
    is left out where none is. ``order_only_N`` marks the items whose two captions hold the same words: those of a swap
    split are counted once more as ``swap_att_order_only``, unless that is all of the split.
    """
    masks = split_masks(splits)
    groups = {"macro": list(masks)}
    compositional = [name for name in COMPOSITIONAL if name in masks]
    if compositional:
        groups["compositional"] = compositional
    strata = {}
    for name in SWAPS:
        if order_only_N is None or name not in masks:
            continue
        stratum_N = masks[name] & order_only_N
        if 0 < stratum_N.sum() < masks[name].sum():
            strata[name + ORDER_ONLY] = stratum_N
    return Layout(masks={"micro": np.ones(len(splits), dtype=np.bool_)} | masks | strata, groups=groups)


def decide(scores: PairScores, splits: Sequence[str], order_only_N: Decisions | None = None) -> Outcome:
    """Decisions of every metric of :func:`layout`."""
    return layout(splits, order_only_N).outcome(scores.positive > scores.negative)


def order_only(captions: Sequence[str], neg_captions: Sequence[str]) -> Decisions:
    """Whether a caption and its negative have the same words, as often each, in lower case without punctuation [N].

    >>> order_only(["The dog's by a cat."], ["A cat by the dogs"]).tolist()
    [True]
    """
    pairs = zip(captions, neg_captions, strict=True)
    return np.array([_words(own) == _words(other) for own, other in pairs], dtype=np.bool_)


def _words(caption: str) -> Counter[str]:
    return Counter(_PUNCTUATION.sub("", caption.lower()).split())


def chance(outcome: Outcome) -> dict[str, float]:
    """Expectation of random scores in percent: one of two, in every split and so in every mean."""
    return dict.fromkeys([*outcome.decisions, *outcome.groups], 50.0)
