"""Which rows a step takes and which dice its rows roll: functions of (seed, step), whatever the workers and ranks.

Positions count rows over the whole run: epoch e is positions e·n to (e+1)·n - 1 of n rows, in the order of a
permutation drawn from (seed, e). Epochs run into each other and nothing is dropped.
"""

import functools
import hashlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np


@functools.lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, rows: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The permutation of ``rows`` numbers in which an epoch visits them, int64 [rows]."""
    return np.random.default_rng((seed, epoch)).permutation(rows)


def rows_at(seed: int, rows: int, positions: range) -> list[int]:
    """The row at each of the run's ``positions``."""
    return [int(epoch_order(seed, position // rows, rows)[position % rows]) for position in positions]


def draw(seed: int, position: int, purpose: str) -> int:
    """64 random bits for one use at one position, the same in every process and in every version of Python."""
    named = f"{purpose} {seed} {position}".encode()
    return int.from_bytes(hashlib.blake2b(named, digest_size=8).digest())


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How steps are shared between batches with negatives (``size`` pairs on all ranks) and plain ones.

    The plain steps lie as evenly as whole steps can: before step s there were floor(s · share) of them.
    """

    share: Fraction
    size: int
    plain_size: int

    def is_plain(self, step: int) -> bool:
        """Whether ``step`` is a batch without negatives."""
        return self.plain_before(step + 1) > self.plain_before(step)

    def plain_before(self, step: int) -> int:
        """Number of plain steps before ``step``."""
        return int(step * self.share)

    def positions_before(self, step: int, *, apart: bool) -> int:
        """Where ``step`` begins: after all pairs before it, or, if the two kinds draw from data ``apart``, after those
        of its own kind."""
        plain = self.plain_before(step)
        if not apart:
            return (step - plain) * self.size + plain * self.plain_size
        return plain * self.plain_size if self.is_plain(step) else (step - plain) * self.size


def mix(share: float, size: int, plain_size: int) -> Mix:
    """A :class:`Mix` whose share is the decimal number that was written: 0.3 is 3 of 10, and not a little less."""
    return Mix(share=Fraction(str(float(share))), size=size, plain_size=plain_size)
