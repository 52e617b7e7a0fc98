"""How sure a measured percentage is: intervals of proportions and of their means, and paired comparisons.

Pure numbers, no files and no models, so that measuring and reporting share one formula. Values are in percent,
intervals hold with 95 % confidence. The formulas are in docs/metrics.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A percentage, its 95 % interval and the number of items that it was counted on."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """First minus second in percentage points, its 95 % interval and the two-sided p-value of "no difference"."""

    value: float
    low: float
    high: float
    p: float


def wilson(wins: int, n: int) -> Estimate:
    """Wilson's score interval of ``wins`` out of ``n``; unlike the textbook one it has a width at 0 and at n wins.

    With p = wins / n and z = 1.96:  (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    """
    assert n > 0, "a proportion needs at least one item"
    assert 0 <= wins <= n, (wins, n)
    p = wins / n
    scale = 1 + Z_95**2 / n
    centre = (p + Z_95**2 / (2 * n)) / scale
    half_width = Z_95 * math.sqrt(p * (1 - p) / n + Z_95**2 / (4 * n * n)) / scale
    # At p = 0 and p = 1 the limits touch p; rounding must not push them past it.
    low, high = min(p, max(0.0, centre - half_width)), max(p, min(1.0, centre + half_width))
    return Estimate(value=100 * p, low=100 * low, high=100 * high, n=n)


def mean_of_proportions(counts: Sequence[tuple[int, int]]) -> Estimate:
    """The plain mean of S independent proportions, given as ``(wins, n)`` each.

    The variance of a mean is the sum of the variances over S². The distances from each value to its Wilson limits
    stand for the standard deviations (times z), lower and upper apart (Zou and Donner 2008, "MOVER"):

        low = mean - √Σ(p_s - l_s)² / S,    high = mean + √Σ(u_s - p_s)² / S.

    One proportion gives Wilson's interval; the limits never leave 0 and 100. ``n`` is the sum of the n.
    """
    assert counts, "a mean needs at least one proportion"
    parts = [wilson(wins, n) for wins, n in counts]
    mean = math.fsum(part.value for part in parts) / len(parts)
    below = math.hypot(*(part.value - part.low for part in parts)) / len(parts)
    above = math.hypot(*(part.high - part.value for part in parts)) / len(parts)
    # The clamps only take off rounding.
    return Estimate(
        value=mean, low=max(0.0, mean - below), high=min(100.0, mean + above), n=sum(part.n for part in parts)
    )


def paired_bootstrap(
    a: Mapping[str, str], b: Mapping[str, str], splits: Sequence[str], rounds: int = 2000, seed: int = 0
) -> Difference:
    """How much better ``a`` is than ``b`` in the plain mean over ``splits``, both having decided the same items.

    ``a`` and ``b`` map a name to a string of ``0`` and ``1``, an item each. In every round the items of each split are
    drawn again with replacement, a's and b's decision together. The interval lies between the 2.5 and 97.5 percentiles
    of the rounds; ``p`` is twice the smaller share of rounds (plus one) on either side of zero.

    Drawing n paired items is drawing how often -1, 0 and +1 occur among n: a multinomial, so a round costs the same
    for ten items and for ten million. Raises ``ValueError`` if a split is missing or differs in length.
    """
    if not splits or rounds < 1:
        raise ValueError(f"a paired bootstrap needs a split and a round; got splits {list(splits)}, rounds {rounds}")
    generator = np.random.default_rng(seed)
    value = 0.0
    drawn_R = np.zeros(rounds)
    for split in splits:
        gains_N = _gains(a, b, split)
        n = len(gains_N)
        lost, won = int((gains_N < 0).sum()), int((gains_N > 0).sum())
        counts_R3 = generator.multinomial(n, [lost / n, won / n, (n - lost - won) / n], size=rounds)
        drawn_R += (counts_R3[:, 1] - counts_R3[:, 0]) / n
        value += (won - lost) / n
    low, high = np.percentile(drawn_R, [2.5, 97.5])
    # A round that is zero up to rounding counts for both sides.
    tail = min(int((drawn_R <= 1e-12).sum()), int((drawn_R >= -1e-12).sum()))
    points = 100 / len(splits)
    return Difference(
        value=points * value,
        low=points * float(low),
        high=points * float(high),
        p=min(1.0, 2 * (tail + 1) / (rounds + 1)),
    )


def _gains(a: Mapping[str, str], b: Mapping[str, str], split: str) -> NDArray[np.int8]:
    """Per item: +1 where only ``a`` is right, -1 where only ``b`` is, 0 where they agree."""
    if split not in a or split not in b:
        raise ValueError(f"no decisions for '{split}' on both sides; choose among {sorted(a.keys() & b.keys())}")
    bits_a, bits_b = _bits(a[split]), _bits(b[split])
    if len(bits_a) != len(bits_b) or not len(bits_a):
        raise ValueError(f"'{split}' has {len(bits_a)} and {len(bits_b)} decisions; compare the same, non-empty data")
    return bits_a - bits_b


def _bits(decisions: str) -> NDArray[np.int8]:
    if set(decisions) - {"0", "1"}:
        raise ValueError("decisions hold something else than '0' and '1'")
    bits_N: NDArray[np.int8] = (np.frombuffer(decisions.encode("ascii"), dtype=np.uint8) == ord("1")).astype(np.int8)
    return bits_N
