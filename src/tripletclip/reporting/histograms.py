"""Cosine histograms, one figure a tower and one panel a method: does an edit move the features at all?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from tripletclip.reporting.figures import FigureBlock, Key
from tripletclip.reporting.looks import DEMO, Looks
from tripletclip.reporting.names import in_order
from tripletclip.reporting.results import Result
from tripletclip.reporting.summary import final_results, start_results
from tripletclip.reporting.svg import INK, Panel, canvas, class_colour, render, settings

Histogram = Mapping[str, list[float]]
Means = Mapping[tuple[str, str], Mapping[str, float]]
"""(model, histogram) to the exact mean of each side, ``positive`` and ``negative``."""

TICKS = ((1.0, 0.5), (0.5, 0.25), (0.25, 0.1), (0.0, 0.05))
"""From which width of the axis on ticks stand how far apart: labels of a panel on a phone do not touch."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a histogram shows: which of its two counts is drawn filled and which as an outline, and their names."""

    title: str
    note: str
    filled: str
    filled_name: str
    outline: str
    outline_name: str


KINDS = {
    "cross": Kind(
        title="Image against caption",
        note="The further the filled part lies to the right of the outline, the better the captions are told apart.",
        filled="positive",
        filled_name="with its caption",
        outline="negative",
        outline_name="with the negative caption",
    ),
    "text": Kind(
        title="Text tower",
        note="A tower that ignores what the negative changed puts the filled part near 1.",
        filled="negative",
        filled_name="caption and its negative",
        outline="positive",
        outline_name="caption and another caption",
    ),
    "image": Kind(
        title="Image tower",
        note="A tower that ignores what the negative changed puts the filled part near 1.",
        filled="negative",
        filled_name="image and its negative",
        outline="positive",
        outline_name="image and another image",
    ),
}


def histogram_blocks(results: Iterable[Result], looks: Looks = DEMO, means: Means | None = None) -> list[FigureBlock]:
    """A figure per histogram name, a panel per method that has one; of several seeds the first is drawn.

    Where no exact ``means`` are given they are those of the bins' middles.
    """
    everything = list(results)
    found: dict[str, dict[str, Result]] = {}
    for result in [*start_results(everything), *final_results(everything)]:
        for name, histogram in result.histograms.items():
            if sum(histogram["positive"]) and sum(histogram["negative"]):
                found.setdefault(name, {}).setdefault(result.method, result)
    return [_block(name, found[name], looks, means or {}) for name in in_order(found, KINDS)]


def _block(name: str, by_method: Mapping[str, Result], looks: Looks, means: Means) -> FigureBlock:
    kind = KINDS.get(name, Kind(title=name, note="", filled="positive", filled_name="positive",
                                outline="negative", outline_name="negative"))  # fmt: skip
    methods = looks.sorted(by_method)
    histograms = {method: by_method[method].histograms[name] for method in methods}
    numbers = {method: _numbers(kind, histograms[method], means.get((method, name))) for method in methods}
    spans = [_span(histogram) for histogram in histograms.values()]
    window = (min(low for low, _ in spans), max(high for _, high in spans))
    seeds = len({result.seed for result in by_method.values()})
    return FigureBlock(
        title=f"Cosines · {kind.title}",
        note=f"{kind.note} Height: share of the items{', first seed' if seeds > 1 else ''}.",
        panels=[_panel(kind, method, histograms[method], numbers[method], window, looks) for method in methods],
        head=["", f"mean, {kind.filled_name}", f"mean, {kind.outline_name}", "overlap %"],
        rows=[[looks.label(method), *numbers[method]] for method in methods],
        keys=[Key(label=kind.filled_name, style="fill"), Key(label=kind.outline_name, style="outline")],
    )


def _panel(
    kind: Kind,
    method: str,
    histogram: Histogram,
    numbers: tuple[str, str, str],
    window: tuple[float, float],
    looks: Looks,
) -> Panel:
    filled, outline, overlap = numbers
    alternative = (
        f"Cosine histogram, {kind.title}, {looks.label(method)}: mean {filled} for {kind.filled_name}, "
        f"{outline} for {kind.outline_name}, overlap {overlap} percent."
    )
    with settings():
        figure, axes = canvas(120, left=12, right=12)
        _steps(axes, histogram, kind.filled, fill=class_colour(looks.css(method)))
        _steps(axes, histogram, kind.outline, fill="none")
        axes.set_xlim(window)
        axes.xaxis.set_major_locator(MultipleLocator(_tick_distance(window)))
        axes.set_ylim(0)
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        return Panel(title=looks.label(method), svg=render(figure, alternative), alternative=alternative)


def _tick_distance(window: tuple[float, float]) -> float:
    width = round(window[1] - window[0], 6)
    return next(distance for wider, distance in TICKS if width > wider)


def _steps(axes: Axes, histogram: Histogram, side: str, *, fill: str) -> None:
    outlined = fill == "none"
    axes.stairs(
        _shares(histogram[side]),
        histogram["edges"],
        fill=not outlined,
        color=INK if outlined else fill,
        linewidth=1.2 if outlined else 0,
        alpha=1 if outlined else 0.75,
    )


def _shares(counts: list[float]) -> list[float]:
    return [count / sum(counts) for count in counts]


def _span(histogram: Histogram) -> tuple[float, float]:
    """First and last edge of the bins that hold something, with a bin of air where there is one."""
    edges = histogram["edges"]
    both = zip(histogram["positive"], histogram["negative"], strict=True)
    filled = [place for place, (positive, negative) in enumerate(both) if positive or negative]
    return edges[max(filled[0] - 1, 0)], edges[min(filled[-1] + 2, len(edges) - 1)]


def _numbers(kind: Kind, histogram: Histogram, exact: Mapping[str, float] | None) -> tuple[str, str, str]:
    """Mean of the filled and of the outlined side, and the area that both share in percent."""
    middles = [(low + high) / 2 for low, high in pairwise(histogram["edges"])]
    filled, outline = _shares(histogram[kind.filled]), _shares(histogram[kind.outline])
    means = [sum(x * share for x, share in zip(middles, shares, strict=True)) for shares in (filled, outline)]
    if exact is not None:
        means = [exact[kind.filled], exact[kind.outline]]
    overlap = 100 * sum(min(a, b) for a, b in zip(filled, outline, strict=True))
    return f"{means[0]:.2f}", f"{means[1]:.2f}", f"{overlap:.0f}"
