"""One self-contained HTML page from result files: no network, no fonts to load, readable without scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment

from tripletclip.files import write_atomic
from tripletclip.reporting.compare import Comparison, data_or_loss, headline, neighbours, ordering
from tripletclip.reporting.curves import RunSet, learning_curves
from tripletclip.reporting.figures import FigureBlock, method_keys, ranking_dots, split_bars
from tripletclip.reporting.gallery import GalleryItem, data_uri
from tripletclip.reporting.histograms import histogram_blocks
from tripletclip.reporting.html import environment
from tripletclip.reporting.names import (
    HELD_OUT,
    METHODS,
    SPLITS,
    START,
    benchmark_title,
    css_class,
    display,
    in_order,
    short,
)
from tripletclip.reporting.ranking import Ranking, absent, compact, ranking, split_table
from tripletclip.reporting.results import Result
from tripletclip.reporting.summary import curve_points, final_results, start_results

BUDGET_COLUMNS = ("images", "texts", "pairs", "steps", "flops")


@dataclass(frozen=True, kw_only=True)
class View:
    """What the page shows of one set of results: sentences, one table, figures, and what is missing, in words."""

    headline: str
    remarks: Sequence[str]
    table: Ranking
    figures: Sequence[FigureBlock]
    differences: Sequence[Comparison]
    missing: Sequence[str]


def write_page(
    path: Path,
    *,
    title: str,
    results: Sequence[Result],
    control: Sequence[Result] = (),
    reference: RunSet | None = None,
    gallery: Sequence[GalleryItem] = (),
    settings: Mapping[str, Any] | None = None,
    commands: Sequence[tuple[str, str]] = (),
) -> None:
    """Write the report to ``path``; it is derived from result files, so an older page is replaced.

    ``results``    the run: final results, common start and learning-curve points.
    ``control``    the same run in the ``dense`` world, where hard negatives are not needed.
    ``reference``  longer runs, drawn under their own label; its ``control`` likewise.
    ``gallery``    triplets with what each method chose.
    ``settings``   shown as they are; nested mappings with dotted names.
    ``commands``   (what it does, command line) in the order in which to type them.

    Raises :class:`UserError` for results that contradict each other, or if ``path`` cannot be written.
    """
    run = RunSet(label="this run", results=results, control=control)
    main = _view(results, context="This run")
    held_out = any(result.benchmark.endswith(HELD_OUT) for result in results)
    content = {
        "title": title,
        "view": main,
        "splits": split_bars(split_table(results), context="This run"),
        "curves": learning_curves(run, reference),
        "curves_missing": _curves_missing(run, reference),
        "histograms": histogram_blocks(results),
        "held_out": _view(results, context="Held out", suffix=HELD_OUT) if held_out else None,
        "held_out_splits": split_bars(split_table(results, suffix=HELD_OUT), context="Held out") if held_out else [],
        "control": _view(control, context="Dense control world") if control else None,
        "reference": reference,
        "reference_view": _view(reference.results, context=reference.label) if reference else None,
        "reference_control": _view(reference.control, context=f"{reference.label}, dense control world")
        if reference and reference.control
        else None,
        "gallery": gallery,
        "gallery_splits": in_order((item.split for item in gallery), SPLITS),
        "keys": method_keys(main.table.order),
        "budget_columns": BUDGET_COLUMNS,
        "budget": _budget_rows(results),
        "budget_sentence": _budget_sentence(main.table),
        "settings": _flat(settings or {}),
        "versions": _versions(results),
        "commands": commands,
    }
    write_atomic(path, _environment().get_template("page.html").render(content).encode())


def _view(results: Sequence[Result], *, context: str, suffix: str = "") -> View:
    table = ranking(results, suffix=suffix)
    remarks = [] if suffix else [ordering(results), data_or_loss(results)]
    missing = absent(results, suffix=suffix)
    if not suffix and not start_results(results):
        missing.append("No result for the common start.")
    return View(
        headline=headline(results, benchmark=f"sugarcrepe{suffix}"),
        remarks=[sentence for sentence in remarks if sentence],
        table=table,
        figures=ranking_dots(table, context=context),
        differences=[] if suffix else neighbours(results, table.order),
        missing=missing,
    )


def _curves_missing(run: RunSet, reference: RunSet | None) -> list[str]:
    """Which methods have no curve, for the run and for the reference."""
    sentences = []
    for run_set, words in ((run, "learning curve"), (reference, "reference run")):
        if run_set is None:
            sentences.append("No reference curves were given.")
            continue
        drawn = {point.method for point in curve_points(run_set.results)}
        if lacking := [display(method) for method in METHODS if method not in drawn]:
            sentences.append(f"No {words} yet for {', '.join(lacking)}.")
    return sentences


def _budget_rows(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """Method to what it had been trained on, from any of its results: budgets are equal over seeds and benchmarks."""
    rows: dict[str, list[str]] = {}
    for result in [*start_results(results), *final_results(results)]:
        shown = [compact(result.budget[name]) if name in result.budget else "not said" for name in BUDGET_COLUMNS]
        rows.setdefault(result.method, shown)
    return [(method, rows[method]) for method in in_order(rows, (START, *METHODS))]


def _budget_sentence(table: Ranking) -> str:
    budgets = [row.budget for row in table.methods]
    if not budgets or None in budgets:
        return "Not every result says how many images and texts its checkpoint had encoded."
    if len(set(budgets)) == 1:
        return "Every method had encoded the same number of images and texts."
    return "The methods had not encoded the same number of images and texts: compare them with care."


def _versions(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Package to the version, or the versions if results differ."""
    found: dict[str, set[str]] = {}
    for result in results:
        for package, version in result.versions.items():
            found.setdefault(package, set()).add(version)
    return [(package, ", ".join(sorted(versions))) for package, versions in sorted(found.items())]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text)."""
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", str(value)))
    return rows


def _environment() -> Environment:
    templates = environment()
    templates.filters.update(
        display=display,
        short=short,
        css_class=css_class,
        data_uri=data_uri,
        benchmark_title=benchmark_title,
        split_title=lambda split: SPLITS.get(split, split),
    )
    return templates
