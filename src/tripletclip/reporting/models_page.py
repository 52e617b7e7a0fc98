"""The report of any models on any benchmarks: one self-contained HTML page that asks nothing of the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tripletclip.files import write_atomic
from tripletclip.reporting.board import Board
from tripletclip.reporting.catalog import kind_of, title_of
from tripletclip.reporting.curves import RunSet, learning_curves
from tripletclip.reporting.differences import Versus, differences, further, headline
from tripletclip.reporting.facts import facts
from tripletclip.reporting.failures import failures
from tripletclip.reporting.figures import FigureBlock
from tripletclip.reporting.histograms import histogram_blocks
from tripletclip.reporting.html import content_policy, environment, script
from tripletclip.reporting.looks import model_looks
from tripletclip.reporting.model_figures import bars, dots
from tripletclip.reporting.ranking import Ranking
from tripletclip.reporting.results import Result
from tripletclip.reporting.retention import Retention
from tripletclip.reporting.tradeoff import tradeoff_figure


@dataclass(frozen=True, kw_only=True)
class BenchmarkView:
    """One benchmark's section: figure with all its metrics, and its cosine histograms."""

    benchmark: str
    title: str
    kind: str
    figures: Sequence[FigureBlock]
    histograms: Sequence[FigureBlock]


def write_models_page(
    path: Path,
    found: Board,
    *,
    title: str,
    folder: Path,
    retentions: Sequence[Retention] = (),
    commands: Sequence[tuple[str, str]] = (),
) -> None:
    """Write the report of ``found`` to ``path``; an older page is replaced.

    ``folder``      where the results lie, for the thumbnails of the failures
    ``retentions``  before and after fine-tuning
    ``commands``    (what it does, command line)

    Raises :class:`tripletclip.errors.UserError` if ``path`` cannot be written.
    """
    looks = model_looks(found.models)
    table = found.ranking()
    doubt = "95 % intervals"
    if table.seeds > 1:
        doubt = f"mean ± deviation over {table.seeds} seeds, or the 95 % interval of a single one"
    shown = failures(found, folder)
    views = [_view(found, benchmark, doubt) for benchmark in found.benchmarks]
    templates = environment()
    code = script(templates, "models.js")
    content = {
        "title": title,
        "policy": content_policy(code),
        "script": code,
        "found": found,
        "css": looks.css,
        "headline": headline(found),
        "remarks": further(found),
        "table": table,
        "with_budget": any(row.budget is not None for row in table.methods),
        "ranking_figures": dots(table, looks, title="Ranking at a glance", note=f"Dots with {doubt}."),
        "tradeoff": tradeoff_figure(found, looks),
        "differences": matrix(found),
        "retentions": retentions,
        "views": views,
        "curves": learning_curves(RunSet(label="these runs", results=found.curves), looks=looks),
        "failures": shown,
        "groups": list(dict.fromkeys(failure.group for failure in shown)),
        "facts": facts(found),
        "commands": commands,
    }
    write_atomic(path, templates.get_template("models.html").render(content).encode())


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Models but the reference as columns; a row a benchmark with a :class:`Versus` or ``None`` for each."""

    models: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Versus | None]]]


def matrix(found: Board) -> Differences | None:
    """Every difference from the reference; ``None`` where there is nothing to compare."""
    every = {(one.title, one.comparison.method): one for one in differences(found)}
    models = [model for model in found.models if any(method == model for _, method in every)]
    titles = list(dict.fromkeys(title for title, _ in every))
    if not every:
        return None
    return Differences(models=models, rows=[(t, [every.get((t, model)) for model in models]) for t in titles])


def _view(found: Board, benchmark: str, doubt: str) -> BenchmarkView:
    looks = model_looks(found.models)
    table: Ranking = found.splits(benchmark)
    title = title_of(benchmark)
    results: list[Result] = found.of(benchmark)
    return BenchmarkView(
        benchmark=benchmark,
        title=title,
        kind=kind_of(benchmark),
        figures=bars(
            table,
            looks,
            context=title,
            title="Every metric",
            note=f"Percent right, with {doubt}. Bold: best or not apart from it.",
        ),
        histograms=histogram_blocks(results, looks),
    )
