"""From result files to the rows that everything else counts on: final measurements, and their spread over seeds."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tripletclip.errors import UserError
from tripletclip.files import write_atomic
from tripletclip.reporting.names import BENCHMARKS, HELD_OUT, METHODS, START, VALIDATION, in_order
from tripletclip.reporting.results import Result

_BENCHMARK_ORDER = [name + suffix for suffix in ("", HELD_OUT) for name in BENCHMARKS]


def final_results(results: Iterable[Result]) -> list[Result]:
    """The last measured step of every method and seed, without the start and the learning curves; in report order.

    Two results for one (method, seed, benchmark) at that step are a :class:`UserError` that names both checkpoints.
    """
    measured = [result for result in results if result.method != START and result.benchmark != VALIDATION]
    return _latest(measured)


def start_results(results: Iterable[Result]) -> list[Result]:
    """What the common start reached on the benchmarks."""
    return _latest([result for result in results if result.method == START and result.benchmark != VALIDATION])


def curve_points(results: Iterable[Result]) -> list[Result]:
    """The learning-curve points, by method, seed and step."""
    points = [result for result in results if result.benchmark == VALIDATION]
    return sorted(points, key=lambda point: (point.method, point.seed, point.step))


def _latest(measured: list[Result]) -> list[Result]:
    last_step: dict[tuple[str, int], int] = {}
    for result in measured:
        run = (result.method, result.seed)
        last_step[run] = max(result.step, last_step.get(run, result.step))
    by_place: dict[tuple[str, int, str], Result] = {}
    for result in measured:
        if result.step != last_step[result.method, result.seed]:
            continue
        place = (result.method, result.seed, result.benchmark)
        if place in by_place:
            raise UserError(
                f"two results for {result.method}, seed {result.seed}, {result.benchmark} at step {result.step}: "
                f"checkpoints {by_place[place].checkpoint} and {result.checkpoint}; remove one of them"
            )
        by_place[place] = result
    methods = in_order((result.method for result in measured), METHODS)
    benchmarks = in_order((result.benchmark for result in measured), _BENCHMARK_ORDER)
    return sorted(
        by_place.values(),
        key=lambda result: (methods.index(result.method), result.seed, benchmarks.index(result.benchmark)),
    )


def summary_rows(results: Iterable[Result]) -> list[dict[str, Any]]:
    """A row ``{method, seed, benchmark, metric, value, low, high, n}`` for every final metric, values in percent."""
    return [
        {
            "method": result.method,
            "seed": result.seed,
            "benchmark": result.benchmark,
            "metric": name,
            "value": metric.value,
            "low": metric.low,
            "high": metric.high,
            "n": metric.n,
        }
        for result in final_results(results)
        for name, metric in result.metrics.items()
    ]


def write_summary(path: Path, results: Iterable[Result]) -> None:
    """Write :func:`summary_rows` as a JSON list; it is derived from the result files, so an older one is replaced."""
    write_atomic(path, (json.dumps(summary_rows(results), indent=1) + "\n").encode())


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One metric over seeds, in percent. ``deviation`` is the sample's (n - 1), and 0 for a single seed."""

    mean: float
    deviation: float
    lowest: float
    highest: float
    seeds: int


def spread(results: Iterable[Result]) -> dict[tuple[str, str, str], Spread]:
    """(method, benchmark, metric) to its :class:`Spread` over the seeds of the final results."""
    values: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    for result in final_results(results):
        for name, metric in result.metrics.items():
            values[result.method, result.benchmark, name].append(metric.value)
    return {place: spread_of(numbers) for place, numbers in values.items()}


def spread_of(numbers: Sequence[float]) -> Spread:
    """Mean, deviation and range of at least one number."""
    return Spread(
        mean=statistics.fmean(numbers),
        deviation=statistics.stdev(numbers) if len(numbers) > 1 else 0.0,
        lowest=min(numbers),
        highest=max(numbers),
        seeds=len(numbers),
    )
