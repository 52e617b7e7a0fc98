"""The report's figures: grids of small panels that read alike, each with its numbers as a table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes

from tripletclip.reporting.names import css_class, display, short
from tripletclip.reporting.ranking import Cell, Ranking, Row
from tripletclip.reporting.svg import INK, Panel, canvas, colour, render, settings

ROW_HEIGHT = 26


@dataclass(frozen=True, kw_only=True)
class Key:
    """A legend entry: a method's colour class, or a line style (``dash``, ``dots``, ``outline``, ``pale``)."""

    label: str
    style: str


@dataclass(frozen=True, kw_only=True)
class FigureBlock:
    """Panels with a legend, a sentence under them, and their numbers: ``head`` and ``rows`` as text."""

    title: str
    note: str
    panels: Sequence[Panel]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    keys: Sequence[Key] = field(default_factory=tuple)


def method_keys(methods: Iterable[str]) -> list[Key]:
    """Legend entries for methods."""
    return [Key(label=display(method), style=css_class(method)) for method in methods]


def ranking_dots(table: Ranking, *, context: str) -> list[FigureBlock]:
    """A panel per column of the ranking, a dot with its interval per method; nothing for an empty ranking."""
    panels = [
        panel
        for place, heading in enumerate(table.headings)
        for panel in _panel(table, place, heading, context=context, bars=False)
    ]
    note = f"Dots with {_measure(table)}. The axes do not begin at zero."
    return _block("Ranking at a glance", note, table, panels, [Key(label="common start", style="dash")])


def split_bars(table: Ranking, *, context: str) -> list[FigureBlock]:
    """A panel per split, a bar with its interval per method."""
    panels = [
        panel
        for place, heading in enumerate(table.headings)
        for panel in _panel(table, place, heading, context=context, bars=True)
    ]
    keys = [Key(label="random", style="dash"), Key(label="fewer words", style="dots")]
    return _block("By kind of edit", f"Percent right, with {_measure(table)}.", table, panels, keys)


def _measure(table: Ranking) -> str:
    return f"mean ± deviation over {table.seeds} seeds" if table.seeds > 1 else "95 % intervals"


def _block(title: str, note: str, table: Ranking, panels: list[Panel], keys: list[Key]) -> list[FigureBlock]:
    if not panels:
        return []
    rows = [
        [display(row.name), *(_cell_words(cell) for cell in row.cells)]
        for row in (*table.methods, *table.start, *table.blind)
    ]
    return [FigureBlock(title=title, note=note, panels=panels, head=["", *table.headings], rows=rows, keys=keys)]


def _cell_words(cell: Cell | None) -> str:
    if cell is None:
        return "no result"
    return f"{cell.value:.1f} ({cell.doubt})" if cell.doubt else f"{cell.value:.1f}"


def _panel(table: Ranking, place: int, heading: str, *, context: str, bars: bool) -> list[Panel]:
    """One column of ``table`` drawn; empty if no method has a number there."""
    found = [(row.name, cell) for row in table.methods if (cell := row.cells[place])]
    if not found:
        return []
    words = ", ".join(f"{display(name)} {_cell_words(cell)}" for name, cell in found)
    alternative = f"{context}, {heading}, percent: {words}."
    with settings():
        figure, axes = canvas(ROW_HEIGHT * len(found) + 32)
        _line(axes, table.start if not bars else [r for r in table.blind if r.name == "random"], place, (0, (4, 3)))
        if bars:
            _line(axes, [r for r in table.blind if r.name == "fewer words"], place, (0, (1, 2)))
        for height, (name, cell) in enumerate(found):
            _mark(axes, height, name, cell, bars=bars)
        low, high = (0.0, 100.0) if bars else _window([cell for _, cell in found], table.start, place)
        axes.set_xlim(low, high)
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.set_yticks(range(len(found)), [short(name) for name, _ in found], color=INK)
        axes.grid(axis="y", visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.spines["left"].set_visible(bars)
        if bars:
            axes.set_xticks([0, 50, 100])
            axes.grid(visible=False)
        return [Panel(title=heading, svg=render(figure, alternative), alternative=alternative)]


def _mark(axes: Axes, height: int, name: str, cell: Cell, *, bars: bool) -> None:
    """A bar or a dot, its interval, and the number to its right in the margin."""
    if bars:
        axes.barh(height, cell.value, height=0.62, color=colour(name), linewidth=0)
        axes.plot([cell.low, cell.high], [height, height], color=INK, linewidth=1.2, solid_capstyle="butt")
    else:
        axes.plot([cell.low, cell.high], [height, height], color=colour(name), linewidth=2.4)
        axes.plot([cell.value], [height], "o", color=colour(name), markersize=8, markeredgewidth=0)
    axes.annotate(
        f"{cell.value:.1f}",
        (1, height),
        xycoords=("axes fraction", "data"),
        xytext=(38, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        color=INK,
        annotation_clip=False,
    )


def _line(axes: Axes, rows: Sequence[Row], place: int, dashes: tuple[int, tuple[int, int]]) -> None:
    for row in rows:
        cell = row.cells[place]
        if cell:
            axes.axvline(cell.value, color=INK, linewidth=1.2, linestyle=dashes, alpha=0.75, zorder=3)


def _window(cells: Sequence[Cell], start: Sequence[Row], place: int) -> tuple[float, float]:
    """The range that holds every interval and the start, with a little air."""
    start_values = [cell.value for row in start if (cell := row.cells[place])]
    low = min([cell.low for cell in cells] + start_values)
    high = max([cell.high for cell in cells] + start_values)
    air = max(1.0, 0.08 * (high - low))
    return low - air, high + air
