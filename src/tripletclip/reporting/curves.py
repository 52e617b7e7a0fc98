"""Learning curves: a panel a metric, a line a method; a reference run lies under the run itself, dashed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes

from tripletclip.reporting.figures import FigureBlock, Key
from tripletclip.reporting.looks import DEMO, Looks
from tripletclip.reporting.names import START
from tripletclip.reporting.ranking import compact
from tripletclip.reporting.results import Result
from tripletclip.reporting.summary import curve_points, spread_of
from tripletclip.reporting.svg import Panel, canvas, class_colour, render, settings

CURVE_METRICS = {
    "compositional": "Compositional mean, percent",
    "macro": "Macro mean of 7 splits, percent",
    "group": "Winoground group, percent",
    "i2t_r1": "R@1 image → text, percent",
    "t2i_r1": "R@1 text → image, percent",
    "loss": "Loss",
}
_MOST = 9
"""Panels of metrics that nobody knows."""
_LOG_RATIO = 20
"""If the longest run saw this many times more than the shortest, a linear axis would hide the short one."""


@dataclass(frozen=True, kw_only=True)
class RunSet:
    """Results that belong together, the name under which they are drawn, and a remark (device, revision)."""

    label: str
    results: Sequence[Result]
    control: Sequence[Result] = field(default_factory=tuple)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One method of one run set: (x, mean, lowest, highest) over the seeds, by x."""

    method: str
    label: str
    reference: bool
    points: Sequence[tuple[float, float, float, float]]


def learning_curves(runs: RunSet, reference: RunSet | None = None, looks: Looks = DEMO) -> list[FigureBlock]:
    """A panel per validation metric; the reference's curves dashed and paler under those of the run."""
    sets = [(runs, False)] + ([(reference, True)] if reference else [])
    points = [point for run_set, _ in sets for point in curve_points(run_set.results)]
    measured = {name for point in points for name in point.metrics}
    metrics = [name for name in CURVE_METRICS if name in measured] or sorted(measured)[:_MOST]
    by_passes = all({"images", "texts"} <= point.budget.keys() for point in points)
    panels, rows = [], []
    for metric in metrics:
        curves = [
            c
            for run_set, old in sets
            for c in _curves(run_set, metric, reference=old, by_passes=by_passes, looks=looks)
        ]
        panels.append(_curve_panel(metric, curves, "images + texts encoded" if by_passes else "steps", looks))
        rows += [
            [curve.label, looks.label(curve.method), metric, compact(x), f"{mean:.2f}"]
            for curve in curves
            for x, mean, _, _ in curve.points
        ]
    if not panels:
        return []
    seeds = len({point.seed for point in curve_points(runs.results)})
    note = "Validation part" + (f"; lines: mean over {seeds} seeds, bands: lowest to highest" if seeds > 1 else "")
    keys = [Key(label=looks.label(name), style=looks.css(name)) for name in _drawn(points, looks)]
    if reference and curve_points(reference.results):
        keys += [Key(label=runs.label, style="solid"), Key(label=reference.label, style="dash")]
    head = ["run", "method", "metric", "images + texts" if by_passes else "step", "value"]
    return [FigureBlock(title="Learning curves", note=f"{note}.", panels=panels, head=head, rows=rows, keys=keys)]


def _drawn(points: Sequence[Result], looks: Looks) -> list[str]:
    """The methods with a curve, the start last."""
    names = looks.sorted(point.method for point in points)
    return sorted(names, key=lambda name: not looks.plain and name == START)


def _curves(runs: RunSet, metric: str, *, reference: bool, by_passes: bool, looks: Looks) -> list[Curve]:
    values: defaultdict[str, defaultdict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for point in curve_points(runs.results):
        if metric in point.metrics:
            x = point.budget["images"] + point.budget["texts"] if by_passes else float(point.step)
            values[point.method][x].append(point.metrics[metric].value)
    curves = []
    for method in looks.sorted(values):
        over = [(x, spread_of(numbers)) for x, numbers in sorted(values[method].items())]
        points = [(x, s.mean, s.lowest, s.highest) for x, s in over]
        curves.append(Curve(method=method, label=runs.label, reference=reference, points=points))
    return curves


def _curve_panel(metric: str, curves: Sequence[Curve], axis: str, looks: Looks) -> Panel:
    title = CURVE_METRICS.get(metric, metric)
    ends = ", ".join(
        f"{looks.label(c.method)}{' (' + c.label + ')' if c.reference else ''} "
        f"from {c.points[0][1]:.1f} to {c.points[-1][1]:.1f}"
        for c in curves
    )
    alternative = f"Learning curves, {title}, by {axis}: {ends}."
    xs = [x for curve in curves for x, _, _, _ in curve.points]
    with settings():
        figure, axes = canvas(230, left=38, right=12, bottom=40, top=8)
        for curve in sorted(curves, key=lambda curve: not curve.reference):
            _draw_curve(axes, curve, class_colour(looks.css(curve.method)))
        if _spans_magnitudes(curves):
            axes.set_xscale("log", nonpositive="mask")
            axes.set_xlim(min(x for x in xs if x > 0), max(xs) * 1.1)
        axes.xaxis.set_major_formatter(lambda x, _: compact(x))
        axes.minorticks_off()
        axes.set_xlabel(axis)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", visible=False)
        return Panel(title=title, svg=render(figure, alternative), alternative=alternative)


def _spans_magnitudes(curves: Sequence[Curve]) -> bool:
    longest = [curve.points[-1][0] for curve in curves]
    return min(longest) > 0 and max(longest) / min(longest) >= _LOG_RATIO


def _draw_curve(axes: Axes, curve: Curve, ink: str) -> None:
    xs, means, lows, highs = zip(*curve.points, strict=True)
    if curve.reference:
        axes.plot(xs, means, color=ink, linewidth=1.4, linestyle=(0, (4, 2.5)), alpha=0.75)
        return
    if lows != highs:
        axes.fill_between(xs, lows, highs, color=ink, alpha=0.16, linewidth=0)
    axes.plot(xs, means, color=ink, linewidth=2.2)
    axes.plot(xs[-1:], means[-1:], "o", color=ink, markersize=6, markeredgewidth=0)
