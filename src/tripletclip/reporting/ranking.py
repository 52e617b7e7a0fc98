"""The one table: methods by columns, with intervals or spreads, the common start and the blind lines underneath."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tripletclip.reporting.compare import compare
from tripletclip.reporting.names import (
    BENCHMARKS,
    BLIND_RULES,
    HELD_OUT,
    METHODS,
    RANKING_COLUMNS,
    SPLITS,
    START,
    benchmark_title,
    display,
    in_order,
    listed,
)
from tripletclip.reporting.results import Result
from tripletclip.reporting.summary import final_results, spread_of, start_results


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number in percent. One seed: its 95 % interval; several: mean and one standard deviation to either side."""

    value: float
    low: float
    high: float
    seeds: int = 1
    leads: bool = False

    @property
    def doubt(self) -> str:
        """``68.9 to 73.9`` for one seed, ``± 1.2`` for several, nothing for a rule that has no interval."""
        if self.seeds > 1:
            return f"± {self.high - self.value:.1f}"
        return f"{self.low:.1f} to {self.high:.1f}" if self.low < self.high else ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """``cells`` in the order of the columns, ``None`` where there is no result; ``budget`` is images + texts."""

    name: str
    cells: Sequence[Cell | None]
    budget: float | None = None


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """``methods`` are sorted by the compositional mean, best first; those without one come last."""

    headings: Sequence[str]
    methods: Sequence[Row]
    start: Sequence[Row]
    blind: Sequence[Row]

    @property
    def seeds(self) -> int:
        """The largest number of seeds behind a cell."""
        return max((cell.seeds for row in self.methods for cell in row.cells if cell), default=0)

    @property
    def order(self) -> list[str]:
        """The methods' names, best first."""
        return [row.name for row in self.methods]


Column = tuple[str, str, str]


def ranking(results: Iterable[Result], *, suffix: str = "") -> Ranking:
    """The ranking over :data:`RANKING_COLUMNS`; ``suffix`` chooses the held-out part."""
    columns = [(heading, benchmark + suffix, metric) for heading, benchmark, metric in RANKING_COLUMNS]
    return _table(list(results), columns, suffix)


def split_table(results: Iterable[Result], *, suffix: str = "") -> Ranking:
    """The same rows in the same order over the seven splits."""
    columns = [(title, "sugarcrepe" + suffix, split) for split, title in SPLITS.items()]
    return _table(list(results), columns, suffix)


def _table(results: list[Result], columns: list[Column], suffix: str) -> Ranking:
    final, start = final_results(results), start_results(results)
    shown = {benchmark for _, benchmark, _ in columns}
    methods = in_order((result.method for result in final if result.benchmark in shown), METHODS)
    rows = [row_of(method, final, columns) for method in methods]
    decider: Column = ("", "sugarcrepe" + suffix, "compositional")
    place = {method: _sort_key(row_of(method, final, [decider, *columns])) for method in methods}
    rows.sort(key=lambda row: place[row.name])
    return Ranking(
        headings=[heading for heading, _, _ in columns],
        methods=mark_leaders(rows, final, columns),
        start=[row for row in [row_of(START, start, columns)] if any(row.cells)],
        blind=blind_rows(final or start, columns),
    )


def _sort_key(row: Row) -> list[float]:
    return [-cell.value if cell else float("inf") for cell in row.cells]


def row_of(method: str, results: Sequence[Result], columns: Sequence[Column]) -> Row:
    """What ``method`` reached in every column, over its seeds."""
    shown = {benchmark for _, benchmark, _ in columns}
    own = [result for result in results if result.method == method]
    known = [r.budget for r in own if r.benchmark in shown and {"images", "texts"} <= r.budget.keys()]
    budgets = [budget["images"] + budget["texts"] for budget in known]
    return Row(
        name=method,
        cells=[_cell(own, benchmark, metric) for _, benchmark, metric in columns],
        budget=statistics.fmean(budgets) if budgets else None,
    )


def _cell(results: Sequence[Result], benchmark: str, metric: str) -> Cell | None:
    found = [result.metrics[metric] for result in results if result.benchmark == benchmark and metric in result.metrics]
    if not found:
        return None
    if len(found) == 1:
        return Cell(value=found[0].value, low=found[0].low, high=found[0].high)
    over = spread_of([m.value for m in found])
    return Cell(value=over.mean, low=over.mean - over.deviation, high=over.mean + over.deviation, seeds=over.seeds)


def mark_leaders(
    rows: Sequence[Row], final: Sequence[Result], columns: Sequence[Column], *, every_seed: bool = False
) -> list[Row]:
    """In each column, mark the best and every method that is not apart from it."""
    leaders: list[set[str]] = []
    for place, (_, benchmark, metric) in enumerate(columns):
        values = {row.name: cell.value for row in rows if (cell := row.cells[place])}
        best = max(values, key=values.__getitem__, default="")
        rivals = [name for name in values if name != best]
        tied = {
            n
            for n in rivals
            for c in compare(final, best, n, benchmark=benchmark, metric=metric, every_seed=every_seed)
            if not c.apart
        }
        leaders.append(tied | {best})
    return [
        Row(
            name=row.name,
            cells=[
                Cell(value=c.value, low=c.low, high=c.high, seeds=c.seeds, leads=row.name in leading) if c else None
                for c, leading in zip(row.cells, leaders, strict=True)
            ],
            budget=row.budget,
        )
        for row in rows
    ]


def blind_rows(results: Sequence[Result], columns: Sequence[Column]) -> list[Row]:
    """What rules reach that never look: the same for every method, so the first result that has a number gives it."""
    rows = []
    for rule in in_order((rule for result in results for rule in result.blind), BLIND_RULES):
        cells: list[Cell | None] = []
        for _, benchmark, metric in columns:
            known = [r.blind[rule] for r in results if r.benchmark == benchmark and rule in r.blind]
            numbers = [metrics[metric] for metrics in known if metric in metrics]
            cells.append(Cell(value=numbers[0], low=numbers[0], high=numbers[0]) if numbers else None)
        if any(cells):
            rows.append(Row(name=rule, cells=cells))
    return rows


def absent(results: Iterable[Result], *, suffix: str = "", what: str = "result") -> list[str]:
    """Sentences on the methods and benchmarks that have no final result; empty if all is there."""
    final = [r for r in final_results(results) if r.benchmark.endswith(HELD_OUT) == bool(suffix)]
    methods = {result.method for result in final}
    if not final:
        return [f"No {what} yet for any method."]
    sentences = []
    if missing := [display(method) for method in METHODS if method not in methods]:
        sentences.append(f"No {what} yet for {listed(missing)}.")
    for benchmark in (name + suffix for name in BENCHMARKS):
        have = {result.method for result in final if result.benchmark == benchmark}
        lacking = [display(method) for method in METHODS if method in methods - have]
        if not have:
            sentences.append(f"No {benchmark_title(benchmark)} {what} yet.")
        elif lacking:
            sentences.append(f"No {benchmark_title(benchmark)} {what} yet for {listed(lacking)}.")
    return sentences


def compact(count: float) -> str:
    """``950``, ``75k``, ``1.5M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            scaled = count / size
            return f"{scaled:.0f}{unit}" if scaled >= 100 or scaled == round(scaled) else f"{scaled:.1f}{unit}"
    return f"{count:.0f}"
