"""Differences between methods, their 95 % intervals, and what may be said about them in words.

Within a seed the two methods answered the same items, so the interval comes from the paired bootstrap. Over several
seeds the mean difference carries two independent doubts: which items were asked (the mean half-width of the paired
intervals; the items are the same for every seed, so more seeds do not shrink it) and which seeds were drawn (Student's
t over the seeds' differences). They are added in quadrature. An interval that excludes zero is called *apart*.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tripletclip.intervals import paired_bootstrap
from tripletclip.reporting.names import PAPER_ORDER, display, listed
from tripletclip.reporting.results import Result
from tripletclip.reporting.summary import final_results, spread_of, start_results

_STUDENT_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""97.5 % quantiles of Student's t for 1 to 9 degrees of freedom."""
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """``method`` minus ``against`` in points. ``paired`` is false if a result file kept no decisions."""

    method: str
    against: str
    value: float
    low: float
    high: float
    seeds: int
    paired: bool

    @property
    def apart(self) -> bool:
        """Whether the 95 % interval excludes zero."""
        return self.low > 0 or self.high < 0

    @property
    def verdict(self) -> str:
        """``apart`` or ``not apart``."""
        return "apart" if self.apart else "not apart"

    @property
    def interval(self) -> str:
        """The interval in words: ``7.2 to 11.0``."""
        return f"{number(self.low)} to {number(self.high)}"

    def sentence(self) -> str:
        """What the numbers allow to say, e.g. ``B is 9.1 points above A (95 % interval 7.2 to 11.0).``"""
        method, against = display(self.method), display(self.against)
        if self.apart:
            side = "above" if self.low > 0 else "below"
            low, high = sorted((abs(self.low), abs(self.high)))
            return f"{method} is {abs(self.value):.1f} points {side} {against} (95 % interval {low:.1f} to {high:.1f})."
        return (
            f"{method} and {against} are not apart: the difference is {signed(self.value)} points "
            f"(95 % interval {self.interval})."
        )


def number(value: float, *, decimals: int = 1) -> str:
    """With a real minus sign and no negative zero."""
    return f"{value:z.{decimals}f}".replace("-", MINUS)


def signed(value: float, *, decimals: int = 1) -> str:
    """Like :func:`number`, with a plus sign above zero."""
    text = number(value, decimals=decimals)
    return text if text.startswith(MINUS) or not float(text) else f"+{text}"


def compare(
    results: Iterable[Result],
    method: str,
    against: str,
    *,
    benchmark: str = "sugarcrepe",
    metric: str = "compositional",
    every_seed: bool = False,
) -> list[Comparison]:
    """The comparison over the seeds that both methods have, as a list of one; empty if there is no such seed.

    ``every_seed``: a model that has a single seed, as a published one, meets every seed of the other.
    """
    given = list(results)
    final = [*start_results(given), *final_results(given)]
    measured = [r for r in final if r.benchmark == benchmark and metric in r.metrics]
    theirs = {result.seed: result for result in measured if result.method == against}
    ours = [result for result in measured if result.method == method]
    pairs = [(result, theirs[result.seed]) for result in ours if result.seed in theirs]
    if every_seed and 1 in (len(ours), len(theirs)):
        pairs = [(result, other) for result in ours for other in theirs.values()]
    if not pairs:
        return []
    differences = [_difference(mine, other, metric) for mine, other in pairs]
    mean = statistics.fmean(value for value, _, _, _ in differences)
    below = math.hypot(statistics.fmean(v - low for v, low, _, _ in differences), _seed_doubt(differences))
    above = math.hypot(statistics.fmean(high - v for v, _, high, _ in differences), _seed_doubt(differences))
    paired = all(is_paired for _, _, _, is_paired in differences)
    return [
        Comparison(
            method=method,
            against=against,
            value=mean,
            low=mean - below,
            high=mean + above,
            seeds=len(pairs),
            paired=paired,
        )
    ]


def _difference(mine: Result, other: Result, metric: str) -> tuple[float, float, float, bool]:
    """(value, low, high, paired) of one seed in points; without decisions the intervals are taken as independent."""
    splits = mine.groups.get(metric, [metric])
    a, b = mine.metrics[metric], other.metrics[metric]
    value = a.value - b.value
    if all(split in mine.decisions and split in other.decisions for split in splits):
        bootstrap = paired_bootstrap(mine.decisions, other.decisions, splits)
        return value, bootstrap.low, bootstrap.high, True
    below = math.hypot(a.value - a.low, b.high - b.value)
    above = math.hypot(a.high - a.value, b.value - b.low)
    return value, value - below, value + above, False


def _seed_doubt(differences: Sequence[tuple[float, float, float, bool]]) -> float:
    """Half-width of the 95 % interval of the mean over seeds; 0 for one seed, whose doubt cannot be known."""
    seeds = len(differences)
    if seeds == 1:
        return 0.0
    quantile = _STUDENT_T[seeds - 2] if seeds - 2 < len(_STUDENT_T) else 1.96 + 2.7 / (seeds - 1)
    return quantile * spread_of([value for value, _, _, _ in differences]).deviation / math.sqrt(seeds)


def headline(results: Sequence[Result], *, benchmark: str = "sugarcrepe") -> str:
    """TripletCLIP against CLIP in the compositional mean: the sentence, or why there is none."""
    found = compare(results, "tripletclip", "clip", benchmark=benchmark)
    if found:
        return found[0].sentence()
    have = {result.method for result in final_results(results) if result.benchmark == benchmark}
    absent = [display(method) for method in ("tripletclip", "clip") if method not in have]
    reason = f"no result for {listed(absent)}" if absent else "the two have no seed in common"
    return f"No verdict on TripletCLIP against CLIP: {reason}."


def ordering(results: Sequence[Result]) -> str:
    """Whether the paper's order CLIP < NegCLIP++ < TripletCLIP holds in the compositional mean; empty if one lacks."""
    steps = [compare(results, high, low) for low, high in pairwise(PAPER_ORDER)]
    if not all(steps):
        return ""
    comparisons = [found[0] for found in steps]
    order = " < ".join(display(method) for method in PAPER_ORDER)
    blurred = [f"{display(c.against)} and {display(c.method)} are not apart" for c in comparisons if not c.apart]
    if any(c.value <= 0 for c in comparisons):
        inverted = [f"{display(c.method)} is not above {display(c.against)}" for c in comparisons if c.value <= 0]
        return f"The paper’s order {order} does not hold here: {listed(inverted)}."
    if blurred:
        return f"The paper’s order {order} holds in the means, but {listed(blurred)}."
    return f"The paper’s order {order} holds, each step apart."


def data_or_loss(results: Sequence[Result]) -> str:
    """How much of TripletCLIP's gain plain CLIP gets from the same triplets as mere data; empty if one lacks."""
    whole, data = compare(results, "tripletclip", "clip"), compare(results, "clip-on-triplets", "clip")
    loss = compare(results, "tripletclip", "clip-on-triplets")
    if not (whole and data and loss):
        return ""
    return (
        f"More data or the loss? The triplets as additional plain pairs give CLIP {signed(data[0].value)} points "
        f"(95 % interval {data[0].interval}, {data[0].verdict}); the triplet loss on the same triplets adds "
        f"{signed(loss[0].value)} (95 % interval {loss[0].interval}, {loss[0].verdict})."
    )


def neighbours(results: Sequence[Result], ranked: Sequence[str]) -> list[Comparison]:
    """Every method against CLIP, then each against the next one of ``ranked`` (best first), without repetition."""
    pairs = [(method, "clip") for method in ranked if method != "clip"]
    pairs += [pair for pair in pairwise(ranked) if pair not in pairs]
    return [comparison for method, against in pairs for comparison in compare(results, method, against)]
