"""One image, several captions, one of them true (ARO, VALSE, What'sUp, CREPE): is it scored highest?

Rule: s(image, true) > s(image, other) for every other caption, strictly. A tie loses.

Shapes: N items, K captions of an item.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tripletclip.evaluation.outcome import Layout, Outcome, Shares, split_masks
from tripletclip.evaluation.scores import PairScores


def layout(splits: Sequence[str], means: Mapping[str, list[str]], teams: Mapping[str, list[str]]) -> Layout:
    """``micro`` over all items, each split, ``macro`` as their plain mean where there are several, means and teams.

    ``means`` is metric to splits, ``teams`` metric to each item's team; the items of team ``""`` are in none.
    """
    masks = split_masks(splits)
    groups = ({"macro": list(masks)} if len(masks) > 1 else {}) | dict(means)
    return Layout(
        masks={"micro": np.ones(len(splits), dtype=np.bool_)} | masks,
        groups=groups,
        teams={metric: _rows_of(names) for metric, names in teams.items()},
    )


def decide(
    scores: PairScores, splits: Sequence[str], means: Mapping[str, list[str]], teams: Mapping[str, list[str]]
) -> Outcome:
    """Decisions of every metric of :func:`layout`; ``scores.negative`` is the highest of the wrong captions' scores."""
    return layout(splits, means, teams).outcome(scores.positive > scores.negative)


def chances(options: Sequence[Sequence[str]]) -> Shares:
    """Chance of a random score to be the highest, 1 / K for each item [N]."""
    return np.array([1 / len(choices) for choices in options])


def headline(splits: Sequence[str], means: Mapping[str, list[str]], chosen: str) -> str:
    """The metric that stands in tables: the chosen one, or the first mean, or ``macro``, or ``micro``."""
    return chosen or next(iter(means), "") or ("macro" if len(set(splits)) > 1 else "micro")


def _rows_of(names: Sequence[str]) -> list[list[int]]:
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name:
            rows.setdefault(name, []).append(row)
    return list(rows.values())
