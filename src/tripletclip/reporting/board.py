"""The results of any models on any benchmarks in order: who is compared with whom, on what, by which metric."""

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tripletclip.errors import UserError, unknown_name
from tripletclip.reporting.catalog import headline_metric, in_catalog_order, kind_of, metric_title, title_of
from tripletclip.reporting.names import BENCHMARKS, HELD_OUT, METHODS, START, VALIDATION
from tripletclip.reporting.ranking import Column, Ranking, blind_rows, mark_leaders, row_of
from tripletclip.reporting.results import Result
from tripletclip.reporting.summary import final_results, start_results

_SEEDED = re.compile(r"(.+)-seed(\d+)")


def is_demo(results: Sequence[Result]) -> bool:
    """Whether these are the demo's own results: nothing but its methods on its benchmarks.

    What ``tripletclip evaluate`` measured says by which command, whatever the models are called.
    """
    known = {*BENCHMARKS, *(name + HELD_OUT for name in BENCHMARKS), VALIDATION}
    if any("command" in result.config for result in results):
        return False
    return {result.method for result in results} <= {*METHODS, START} and {r.benchmark for r in results} <= known


@dataclass(frozen=True, kw_only=True)
class Board:
    """Everything that tables and figures of the general report count on.

    ``models``      best first: by the mean over the composition benchmarks that all models have, or over all such
    ``benchmarks``  composition first
    ``final``       a result a model, seed and benchmark; ``method`` is the model without its seed
    ``curves``      learning-curve points
    ``reference``   the model that the others are compared with
    ``remarks``     what a reader must know about comparing: other items, other versions
    """

    models: Sequence[str]
    benchmarks: Sequence[str]
    final: Sequence[Result]
    curves: Sequence[Result]
    reference: str
    remarks: Sequence[str]

    def of(self, benchmark: str) -> list[Result]:
        """Every final result of a benchmark."""
        return [result for result in self.final if result.benchmark == benchmark]

    def metric(self, benchmark: str) -> str:
        """The metric that stands for a benchmark."""
        return headline_metric(self.of(benchmark))

    def kind(self, kind: str) -> list[str]:
        """The benchmarks of a kind."""
        return [name for name in self.benchmarks if kind_of(name) == kind]

    def value(self, model: str, benchmark: str) -> float | None:
        """A model's headline value, the mean over its seeds; ``None`` without a result."""
        metric = self.metric(benchmark)
        values = [r.metrics[metric].value for r in self.of(benchmark) if r.method == model and metric in r.metrics]
        return statistics.fmean(values) if values else None

    def ranking(self) -> Ranking:
        """Models by benchmarks, each with its headline metric."""
        metrics = {name: self.metric(name) for name in self.benchmarks}
        return self._table([(f"{title_of(name)}\n{metric_title(m)}", name, m) for name, m in metrics.items()])

    def splits(self, benchmark: str) -> Ranking:
        """Models by the metrics of one benchmark, the headline first."""
        return self._table([(metric_title(metric), benchmark, metric) for metric in self.metrics(benchmark)])

    def metrics(self, benchmark: str) -> list[str]:
        """The metrics of a benchmark: headline, means, then the others by name."""
        first = self.metric(benchmark)
        results = self.of(benchmark)
        means = {name for result in results for name in result.groups} - {first}
        rest = {name for result in results for name in result.metrics} - means - {first}
        return [first, *sorted(means), *sorted(rest, key=_numbers_last)]

    def _table(self, columns: Sequence[Column]) -> Ranking:
        final = list(self.final)
        rows = [row_of(model, final, columns) for model in self.models]
        return Ranking(
            headings=[heading for heading, _, _ in columns],
            methods=mark_leaders([row for row in rows if any(row.cells)], final, columns, every_seed=True),
            start=[],
            blind=blind_rows(final, columns),
        )


def board(results: Sequence[Result], *, against: str | None = None) -> Board:
    """Put results in order. Names ``NAME-seedN`` are one model with several seeds where there are several.

    Raises :class:`UserError` for no results, for two results of one model, seed and benchmark, and for an unknown
    ``against``.
    """
    if not any(result.benchmark != VALIDATION for result in results):
        raise UserError("no result of a benchmark; give a folder that 'tripletclip evaluate' wrote")
    named = _grouped(results)
    final, remarks = _comparable(
        [*start_results(named), *final_results(named)]
    )  # `start` is a model like any other here
    names = list(dict.fromkeys(result.method for result in named if result.benchmark != VALIDATION))
    reference = _member(against, names, "--against") if against else names[0]
    benchmarks = in_catalog_order(result.benchmark for result in final)
    plain = Board(
        models=names,
        benchmarks=benchmarks,
        final=final,
        curves=[result for result in named if result.benchmark == VALIDATION],
        reference=reference,
        remarks=remarks,
    )
    return replace(plain, models=_best_first(plain))


def _member(name: str, names: Sequence[str], option: str) -> str:
    """``name`` or, for one seed of several, its model."""
    found = _SEEDED.fullmatch(name)
    for candidate in (name, found.group(1) if found else name):
        if candidate in names:
            return candidate
    raise unknown_name(f"model for {option}", name, names)


def member(found: Board, name: str, option: str) -> str:
    """The model that a user named, or a :class:`UserError` with the nearest name."""
    return _member(name, found.models, option)


def _grouped(results: Iterable[Result]) -> list[Result]:
    """``NAME-seedN`` becomes ``NAME`` with seed N if the same NAME has several seeds."""
    everything = list(results)
    seeds: defaultdict[str, set[str]] = defaultdict(set)
    for result in everything:
        if found := _SEEDED.fullmatch(result.method):
            seeds[found.group(1)].add(found.group(2))
    plain = {result.method for result in everything if result.benchmark != VALIDATION}
    grouped = []
    for result in everything:
        found = _SEEDED.fullmatch(result.method)
        if found and len(seeds[found.group(1)]) > 1 and found.group(1) not in plain:
            result = replace(result, method=found.group(1), seed=int(found.group(2)))
        grouped.append(result)
    return grouped


def _comparable(final: Sequence[Result]) -> tuple[list[Result], list[str]]:
    """Results that were measured on other items than most lose their decisions: they cannot be paired."""
    data: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for result in final:
        data[result.benchmark][_items_of(result)] += 1
    usual = {benchmark: hashes.most_common(1)[0][0] for benchmark, hashes in data.items()}
    kept, odd = [], defaultdict[str, set[str]](set)
    for result in final:
        if _items_of(result) != usual[result.benchmark]:
            odd[result.benchmark].add(result.method)
            result = replace(result, decisions={})
        kept.append(result)
    return kept, [
        f"{', '.join(sorted(models))} answered other items of {title_of(benchmark)} than the others: "
        "compare with care; the differences are unpaired."
        for benchmark, models in odd.items()
    ]


def _numbers_last(metric: str) -> tuple[str, int]:
    """For sorting: ``i2t_r5`` before ``i2t_r10``."""
    words = metric.rstrip("0123456789")
    return words, int(metric[len(words) :] or 0)


def _items_of(result: Result) -> str:
    return str(result.items.get("sha256", ""))


def _best_first(found: Board) -> list[str]:
    values = {(m, b): found.value(m, b) for m in found.models for b in found.benchmarks}
    shared = [b for b in found.benchmarks if all(values[m, b] is not None for m in found.models)]
    chosen = [b for b in shared if kind_of(b) == "composition"] or shared
    means: Mapping[str, float] = {
        m: statistics.fmean(v for b in chosen if (v := values[m, b]) is not None) if chosen else 0.0
        for m in found.models
    }
    return sorted(found.models, key=lambda model: -means[model])
