"""What a benchmark decides, before and after it is turned into percentages.

Shapes: N items.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tripletclip.intervals import Estimate, mean_of_proportions, wilson
from tripletclip.reporting.results import Metric

Decisions = NDArray[np.bool_]
Shares = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``decisions``: metric name to right or wrong for each item [N]. ``groups``: the name of a plain mean to the names
    of the metrics or parts that it is taken over. ``parts``: decisions that only serve such a mean and are no metric
    of their own (the classes behind a mean over a thousand of them)."""

    decisions: Mapping[str, Decisions]
    groups: Mapping[str, list[str]] = field(default_factory=dict)
    parts: Mapping[str, Decisions] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which items each metric counts: ``masks`` metric to mask [N], ``groups`` mean to metrics, ``teams`` metric to the
    items of each team, which is right if all of them are."""

    masks: Mapping[str, Decisions]
    groups: Mapping[str, list[str]] = field(default_factory=dict)
    teams: Mapping[str, list[list[int]]] = field(default_factory=dict)

    def outcome(self, right_N: Decisions) -> Outcome:
        """The outcome of right and wrong items."""
        decisions = {name: right_N[mask_N] for name, mask_N in self.masks.items()}
        for name, teams in self.teams.items():
            decisions[name] = np.array([right_N[rows].all() for rows in teams], dtype=np.bool_)
        return Outcome(decisions=decisions, groups=self.groups)

    def expected(self, chance_N: Shares) -> dict[str, float]:
        """Every metric in percent where item by item only the chance of being right is known, each on its own."""
        values = {name: 100 * float(chance_N[mask_N].mean()) for name, mask_N in self.masks.items()}
        for name, teams in self.teams.items():
            values[name] = 100 * float(np.mean([math.prod(chance_N[rows].tolist()) for rows in teams]))
        means = {name: float(np.mean([values[member] for member in members])) for name, members in self.groups.items()}
        return values | means


def metrics(outcome: Outcome) -> dict[str, Metric]:
    """Every metric of ``outcome`` in percent: proportions with Wilson's interval, means with the interval of a mean."""
    counts = {
        name: (int(decided_N.sum()), len(decided_N))
        for name, decided_N in (dict(outcome.decisions) | dict(outcome.parts)).items()
    }
    found = {name: _metric(wilson(*counts[name])) for name in outcome.decisions}
    for name, members in outcome.groups.items():
        found[name] = _metric(mean_of_proportions([counts[member] for member in members]))
    return found


def metric_values(outcome: Outcome) -> dict[str, float]:
    """The values alone, in percent."""
    return {name: metric.value for name, metric in metrics(outcome).items()}


def decision_strings(outcome: Outcome) -> dict[str, str]:
    """Decisions and parts as they stand in a result file: ``1`` for right, ``0`` for wrong, an item each."""
    return {
        name: (decided_N.astype(np.uint8) + ord("0")).tobytes().decode("ascii")
        for name, decided_N in (dict(outcome.decisions) | dict(outcome.parts)).items()
    }


def split_masks(splits: Sequence[str]) -> dict[str, Decisions]:
    """Split name, in alphabetical order, to the mask [N] of its items."""
    names_N = np.array(splits)
    return {name: names_N == name for name in sorted(set(splits))}


def _metric(estimate: Estimate) -> Metric:
    return Metric(value=estimate.value, low=estimate.low, high=estimate.high, n=estimate.n)
