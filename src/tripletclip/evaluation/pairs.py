"""One image, two captions (SugarCrepe): is the true caption scored higher than its hard negative?

Rule: s(image, caption) > s(image, neg_caption), strictly. A tie loses.
Source of the rule: SugarCrepe (Hsieh et al. 2023); the seven splits are its names.
"""

from collections.abc import Sequence

from tripletclip.evaluation.outcome import Outcome, split_masks
from tripletclip.evaluation.scores import PairScores

SPLITS = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")

COMPOSITIONAL = ("add_att", "replace_att", "replace_rel", "swap_att", "swap_obj")
"""The splits that a bag of nouns cannot solve."""

AGGREGATES = ("macro", "micro", "compositional")

ORDER_ONLY = "_order_only"
"""Ending of the metric of a split's items whose captions hold the same words in another order."""


def decide(scores: PairScores, splits: Sequence[str]) -> Outcome:
    """Decisions of ``micro`` (all items, in order) and of each split; ``macro`` and ``compositional`` as means.

    ``macro`` is the plain mean over the splits present, ``compositional`` over those of the five that are present; it
    is left out where none is.
    """
    right_N = scores.positive > scores.negative
    masks = split_masks(splits)
    groups = {"macro": list(masks)}
    compositional = [name for name in COMPOSITIONAL if name in masks]
    if compositional:
        groups["compositional"] = compositional
    return Outcome(decisions={"micro": right_N} | {name: right_N[mask] for name, mask in masks.items()}, groups=groups)


def chance(outcome: Outcome) -> dict[str, float]:
    """Expectation of random scores in percent: one of two, in every split and so in every mean."""
    return dict.fromkeys([*outcome.decisions, *outcome.groups], 50.0)
