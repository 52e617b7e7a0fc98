"""What a benchmark decides, before and after it is turned into percentages.

Shapes: N items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tripletclip.intervals import Estimate, mean_of_proportions, wilson
from tripletclip.reporting.results import Metric

Decisions = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``decisions``: metric name to right or wrong for each item [N]. ``groups``: the name of a plain mean to the names
    of the metrics that it is taken over."""

    decisions: Mapping[str, Decisions]
    groups: Mapping[str, list[str]] = field(default_factory=dict)


def metrics(outcome: Outcome) -> dict[str, Metric]:
    """Every metric of ``outcome`` in percent: proportions with Wilson's interval, means with the interval of a mean."""
    counts = {name: (int(decided_N.sum()), len(decided_N)) for name, decided_N in outcome.decisions.items()}
    found = {name: _metric(wilson(wins, n)) for name, (wins, n) in counts.items()}
    for name, members in outcome.groups.items():
        found[name] = _metric(mean_of_proportions([counts[member] for member in members]))
    return found


def decision_strings(outcome: Outcome) -> dict[str, str]:
    """Decisions as they stand in a result file: ``1`` for right, ``0`` for wrong, an item each."""
    return {
        name: (decided_N.astype(np.uint8) + ord("0")).tobytes().decode("ascii")
        for name, decided_N in outcome.decisions.items()
    }


def split_masks(splits: Sequence[str]) -> dict[str, Decisions]:
    """Split name, in alphabetical order, to the mask [N] of its items."""
    names_N = np.array(splits)
    return {name: names_N == name for name in sorted(set(splits))}


def _metric(estimate: Estimate) -> Metric:
    return Metric(value=estimate.value, low=estimate.low, high=estimate.high, n=estimate.n)
