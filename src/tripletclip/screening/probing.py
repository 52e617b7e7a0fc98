"""What both blind probes share: folds, held-out scores, and the area under the curve with its interval.

Shapes: N items, F features. Arrays of 2N rows hold item i's positive at 2i and its negative at 2i + 1.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tripletclip.errors import UserError
from tripletclip.intervals import Z_95

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Classifier(Protocol):
    """A fresh model per fold: fit, then score; a higher score means "negative"."""

    def fit(self, features: Any, labels: Any) -> Any: ...

    def decision_function(self, features: Any) -> Any: ...


class MakeClassifier(Protocol):
    """Makes an untrained classifier."""

    def __call__(self) -> Classifier: ...


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """How well a blind rule tells negatives from positives.

    ``auc``              probability that a negative scores above a positive of any item; 0.5 is chance
    ``low``, ``high``    95 % interval of ``auc``, see :func:`paired_auc`
    ``negative_higher``  share of items whose negative scores above its own positive; ties do not count
    ``ties``             share of items whose two scores are equal
    ``n``                items
    """

    auc: float
    low: float
    high: float
    negative_higher: float
    ties: float
    n: int

    def to_json(self) -> dict[str, float | int]:
        """The fields by name."""
        return asdict(self)


def judged(positive_N: Floats, negative_N: Floats) -> ProbeResult:
    """The result of any rule from its scores of both sides of each item."""
    auc, low, high = paired_auc(positive_N, negative_N)
    return ProbeResult(
        auc=auc,
        low=low,
        high=high,
        negative_higher=float((negative_N > positive_N).mean()),
        ties=float((negative_N == positive_N).mean()),
        n=len(positive_N),
    )


def paired_auc(positive_N: Floats, negative_N: Floats) -> tuple[float, float, float]:
    """Area under the curve (ties count half) and its 95 % interval, for one positive and one negative an item.

    The two scores of an item depend on each other, so Hanley and McNeil's formula does not hold; this is Obuchowski's
    for clusters (Biometrics 53:567-578, 1997). With a_i the share of positives below negative i and b_i the share of
    negatives above positive i, the variance is the sample variance of a_i + b_i over n. The interval holds for the
    scores as they are; it leaves out what another draw of training items would change.
    """
    n = len(positive_N)
    assert n == len(negative_N) and n > 0, (n, len(negative_N))
    below_N = _share_below(negative_N, positive_N)
    above_N = 1 - _share_below(positive_N, negative_N)
    auc = float(below_N.mean())
    if n == 1:
        return auc, 0.0, 1.0
    half_width = Z_95 * math.sqrt(float((below_N + above_N).var(ddof=1)) / n)
    return auc, max(0.0, auc - half_width), min(1.0, auc + half_width)


def _share_below(values: Floats, others: Floats) -> Floats:
    """For each value the share of ``others`` below it; equal ones count half."""
    ordered = np.sort(others)
    left, right = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    share: Floats = (left + right) / (2 * len(others))
    return share


def folds_by_group(groups: Sequence[Hashable], folds: int, seed: int) -> Integers:
    """A fold for each item [N]; items of one group share it, and the folds have equal numbers of groups within one.

    Raises :class:`UserError` with fewer groups than folds: there is nothing to learn from.
    """
    number_of = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    if folds < 2 or len(number_of) < folds:
        raise UserError(
            f"a probe needs at least {max(folds, 2)} different items; got {len(number_of)} in {folds} folds"
        )
    fold_of_group = np.random.default_rng(seed).permutation(len(number_of)) % folds
    result: Integers = fold_of_group[[number_of[group] for group in groups]].astype(np.int64)
    return result


def held_out_scores(
    features: Any, fold_N: Integers, make: MakeClassifier, *, fit_on_at_most: int, seed: int
) -> tuple[Floats, Floats]:
    """Scores of every positive [N] and negative [N] by the model that saw neither it nor its group.

    ``features`` has 2N rows (array or scipy CSR). Each fold's model learns from at most ``fit_on_at_most`` items.
    """
    n = len(fold_N)
    assert features.shape[0] == 2 * n, (features.shape, n)
    scores_2N = np.zeros(2 * n)
    draw = np.random.default_rng(seed)
    for fold in np.unique(fold_N):
        learn = draw.permutation(np.flatnonzero(fold_N != fold))[:fit_on_at_most]
        test = np.flatnonzero(fold_N == fold)
        learn_rows, test_rows = (np.stack([2 * chosen, 2 * chosen + 1], axis=1).ravel() for chosen in (learn, test))
        model = make()
        model.fit(features[learn_rows], learn_rows % 2)
        scores_2N[test_rows] = model.decision_function(features[test_rows])
    return scores_2N[0::2], scores_2N[1::2]
