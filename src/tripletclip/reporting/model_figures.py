"""Small panels for models with long names: the name stands above its bar or dot."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from tripletclip.reporting.figures import FigureBlock, Key
from tripletclip.reporting.looks import Looks
from tripletclip.reporting.ranking import Cell, Ranking, Row
from tripletclip.reporting.svg import INK, MUTED, WIDTH, Panel, canvas, class_colour, render, settings

_ROW = 40
_LONGEST = 46
"""Characters of a name that fit above a bar."""
_LINES = {
    "random": ("dash", (0, (3, 2))),
    "fewer words": ("dots", (0, (1, 1.5))),
    "fewer words, ties half": ("dots", (0, (1, 1.5))),
}


def dots(table: Ranking, looks: Looks, *, title: str, note: str) -> list[FigureBlock]:
    """A panel per column, a dot with its interval per model. The axes begin where the numbers do."""
    return _block(table, looks, title=title, note=f"{note} The axes do not begin at zero.", context=title, bars=False)


def bars(table: Ranking, looks: Looks, *, title: str, note: str, context: str) -> list[FigureBlock]:
    """A panel per column, a bar with its interval per model, from 0 to 100, with the blind lines."""
    return _block(table, looks, title=title, note=note, context=context, bars=True)


def cell_words(cell: Cell | None) -> str:
    """``63.1 (60.2 to 65.9)``, ``63.1`` without an interval, ``no result``."""
    if cell is None:
        return "no result"
    return f"{cell.value:.1f} ({cell.doubt})" if cell.doubt else f"{cell.value:.1f}"


def _block(table: Ranking, looks: Looks, *, title: str, note: str, context: str, bars: bool) -> list[FigureBlock]:
    panels = [
        panel
        for place, heading in enumerate(table.headings)
        for panel in _panel(table, place, heading.replace("\n", ", "), looks, context=context, bars=bars)
    ]
    if not panels:
        return []
    keys = [Key(label=rule, style=_LINES[rule][0]) for rule in _rules(table)] if bars else []
    rows = [
        [heading.replace("\n", ", "), *(cell_words(row.cells[place]) for row in table.methods),
         *(_value(row.cells[place]) for row in table.blind)]
        for place, heading in enumerate(table.headings)
    ]  # fmt: skip
    head = ["", *(looks.label(row.name) for row in table.methods), *(row.name for row in table.blind)]
    return [FigureBlock(title=title, note=note, panels=panels, head=head, rows=rows, keys=keys)]


def _rules(table: Ranking) -> list[str]:
    """The blind rules that are drawn: counting words once, with half of the ties where that is known."""
    there = [rule for rule in _LINES if any(row.name == rule for row in table.blind)]
    return [rule for rule in there if rule != "fewer words" or "fewer words, ties half" not in there]


def _value(cell: Cell | None) -> str:
    return f"{cell.value:.1f}" if cell else ""


def _panel(table: Ranking, place: int, heading: str, looks: Looks, *, context: str, bars: bool) -> list[Panel]:
    found = [(row.name, cell) for row in table.methods if (cell := row.cells[place])]
    if not found:
        return []
    words = ", ".join(f"{looks.label(name)} {cell_words(cell)}" for name, cell in found)
    alternative = f"{context}, {heading}, percent: {words}."
    with settings():
        figure, axes = canvas(_ROW * len(found) + 30, left=4, right=46, bottom=22, top=8)
        if bars:
            for rule in _rules(table):
                _line(axes, [row for row in table.blind if row.name == rule], place, _LINES[rule][1], len(found))
        for height, (name, cell) in enumerate(found):
            _mark(axes, height, looks, name, cell, bars=bars)
        axes.set_xlim(*((0.0, 100.0) if bars else _window([cell for _, cell in found])))
        axes.set_ylim(len(found) - 0.35, -0.75)
        axes.set_yticks([])
        axes.grid(axis="y", visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.spines["left"].set_visible(bars)
        if bars:
            axes.set_xticks([0, 50, 100])
            axes.grid(visible=False)
        return [Panel(title=heading, svg=render(figure, alternative), alternative=alternative)]


def _mark(axes: Axes, height: int, looks: Looks, name: str, cell: Cell, *, bars: bool) -> None:
    """The name, a bar or a dot below it with its interval, and the number in the margin; leaders in bold."""
    ink = class_colour(looks.css(name))
    if bars:
        axes.barh(height + 0.12, cell.value, height=0.34, color=ink, linewidth=0)
        axes.plot([cell.low, cell.high], [height + 0.12] * 2, color=INK, linewidth=1.2, solid_capstyle="butt")
    else:
        axes.plot([cell.low, cell.high], [height + 0.12] * 2, color=ink, linewidth=2.4)
        axes.plot([cell.value], [height + 0.12], "o", color=ink, markersize=8, markeredgewidth=0)
    label = looks.label(name)
    axes.annotate(
        label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…",
        (4 / WIDTH, height - 0.16),
        xycoords=("figure fraction", "data"),
        va="bottom",
        color=MUTED,
        fontsize=11,
        annotation_clip=False,
    )
    axes.annotate(
        f"{cell.value:.1f}",
        (1, height + 0.12),
        xycoords=("axes fraction", "data"),
        xytext=(42, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        color=INK,
        fontweight="bold" if cell.leads else "normal",
        annotation_clip=False,
    )


def _line(axes: Axes, rows: Sequence[Row], place: int, dashes: tuple[int, tuple[float, float]], bars: int) -> None:
    """A line through every bar, but not through the names."""
    for row in rows:
        if cell := row.cells[place]:
            for height in range(bars):
                ends = [height - 0.1, height + 0.34]
                axes.plot([cell.value] * 2, ends, color=INK, linewidth=1.1, linestyle=dashes, alpha=0.8, zorder=3)


def _window(cells: Sequence[Cell]) -> tuple[float, float]:
    low, high = min(cell.low for cell in cells), max(cell.high for cell in cells)
    air = max(1.0, 0.08 * (high - low))
    return low - air, high + air
