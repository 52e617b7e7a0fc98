"""Two images, two captions (Winoground): does each find its own?

With image i, caption c and their hard negatives i', c':

    text    s(i, c) > s(i, c')  and  s(i', c') > s(i', c)     each image finds its caption
    image   s(i, c) > s(i', c)  and  s(i', c') > s(i, c')     each caption finds its image
    group   both

All strict: a tie loses. Source of the rules: Winoground (Thrush et al. 2022).
"""

from collections.abc import Sequence

from tripletclip.evaluation.outcome import Outcome, split_masks
from tripletclip.evaluation.scores import GroupScores

CHANCE = {"text": 25.0, "image": 25.0, "group": 100 / 6}
"""Expectation of four independent random scores in percent. ``group``: the two true pairs must be the best two of
four, in any order: 2! 2! of the 4! orders."""


def decide(scores: GroupScores, splits: Sequence[str]) -> Outcome:
    """Decisions of ``text``, ``image`` and ``group`` over all items in order, and of each split as ``group_SPLIT``."""
    text_N = (scores.image_caption > scores.image_neg_caption) & (
        scores.neg_image_neg_caption > scores.neg_image_caption
    )
    image_N = (scores.image_caption > scores.neg_image_caption) & (
        scores.neg_image_neg_caption > scores.image_neg_caption
    )
    overall = {"text": text_N, "image": image_N, "group": text_N & image_N}
    by_split = {
        f"{name}_{split}": right_N[mask]
        for split, mask in split_masks(splits).items()
        for name, right_N in overall.items()
    }
    return Outcome(decisions=overall | by_split)


def chance(outcome: Outcome) -> dict[str, float]:
    """Expectation of random scores in percent, for every metric of ``outcome``."""
    return {name: CHANCE[name.split("_", 1)[0]] for name in outcome.decisions}
