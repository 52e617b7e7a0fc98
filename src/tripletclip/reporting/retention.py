"""Before and after fine-tuning: what composition gained, what retrieval and classification forgot."""

from collections.abc import Sequence
from dataclasses import dataclass

from tripletclip.reporting.board import Board, member
from tripletclip.reporting.catalog import RETENTION, kind_of, metric_title, title_of
from tripletclip.reporting.compare import compare


@dataclass(frozen=True, kw_only=True)
class Change:
    """One benchmark: percent before and after, the change in points with its interval, and the share that was kept.

    ``kept`` is percent of the old value, for retention benchmarks; ``None`` for others and where the old value is 0.
    """

    benchmark: str
    title: str
    before: float
    after: float
    low: float
    high: float
    kept: float | None

    @property
    def change(self) -> float:
        """Points won or lost."""
        return self.after - self.before

    @property
    def verdict(self) -> str:
        """``gained``, ``lost`` or ``not apart``."""
        return "gained" if self.low > 0 else "lost" if self.high < 0 else "not apart"


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What became of ``before`` in ``after``."""

    before: str
    after: str
    changes: Sequence[Change]


def retention(found: Board, before: str) -> list[Retention]:
    """One table for every other model; :class:`tripletclip.errors.UserError` for an unknown ``before``."""
    start = member(found, before, "--before")
    return [
        Retention(before=start, after=model, changes=changes)
        for model in found.models
        if model != start and (changes := _changes(found, start, model))
    ]


def _changes(found: Board, start: str, model: str) -> list[Change]:
    changes = []
    for benchmark in found.benchmarks:
        metric = found.metric(benchmark)
        old = found.value(start, benchmark)
        for c in compare(found.final, model, start, benchmark=benchmark, metric=metric, every_seed=True):
            assert old is not None, benchmark
            kept = 100 * (old + c.value) / old if kind_of(benchmark) == RETENTION and old > 0 else None
            title = f"{title_of(benchmark)}, {metric_title(metric)}"
            changes.append(
                Change(
                    benchmark=benchmark,
                    title=title,
                    before=old,
                    after=old + c.value,
                    low=c.low,
                    high=c.high,
                    kept=kept,
                )
            )
    return changes
