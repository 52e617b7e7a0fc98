"""The demo's tables for the terminal: five methods, seven splits, the held-out part, and what is missing."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tripletclip.reporting.compare import data_or_loss, headline, neighbours, ordering, signed
from tripletclip.reporting.grids import cell_text, show
from tripletclip.reporting.grids import grid as new_grid
from tripletclip.reporting.names import HELD_OUT, display
from tripletclip.reporting.ranking import Ranking, absent, compact, ranking, split_table
from tripletclip.reporting.results import Result

_COLOURS = {
    "clip": "bright_black",
    "clip-on-triplets": "blue",
    "negclip": "yellow",
    "negimage": "green",
    "tripletclip": "red",
}


def ranking_table(table: Ranking, *, title: str, budget: bool = True) -> Table:
    """Any :class:`Ranking` as a rich table: numbers with their doubt underneath, blind lines dimmed below a rule."""
    grid = new_grid(title)
    grid.add_column("", no_wrap=False, max_width=17)
    for heading in table.headings:
        grid.add_column(_two_lines(heading), justify="right")
    if budget:
        grid.add_column("images\n+ texts", justify="right")
    for row in table.methods:
        name = Text(display(row.name), style=_COLOURS.get(row.name, ""))
        grid.add_row(name, *map(cell_text, row.cells), *_budget_cell(row.budget, budget))
    grid.add_section()
    for row in (*table.start, *table.blind):
        grid.add_row(
            Text(display(row.name)),
            *(f"{cell.value:.1f}" if cell else "" for cell in row.cells),
            *_budget_cell(row.budget, budget),
            style="dim",
        )
    return grid


def _budget_cell(budget: float | None, shown: bool) -> list[str]:
    return [compact(budget) if budget is not None else ""] if shown else []


def _two_lines(heading: str) -> str:
    """Break after the first word; the one long word breaks inside, so that seven columns fit."""
    first, _, rest = heading.replace("compositional", "compo- sitional").replace(" → ", "→").partition(" ")
    return f"{first}\n{rest}"


def difference_table(results: Sequence[Result], ranked: Sequence[str]) -> Table:
    """Paired differences in the compositional mean: against CLIP, and between neighbours of the ranking."""
    grid = new_grid("Differences, compositional mean, in points")
    grid.add_column("")
    grid.add_column("difference", justify="right")
    grid.add_column("95 % interval", justify="right")
    grid.add_column("in words")
    for comparison in neighbours(results, ranked):
        unpaired = "" if comparison.paired else " (unpaired: no decisions kept)"
        grid.add_row(
            Text(f"{display(comparison.method)} − {display(comparison.against)}"),
            signed(comparison.value),
            comparison.interval,
            Text(comparison.verdict + unpaired, style="bold" if comparison.apart else "dim"),
        )
    return grid


def print_demo(results: Iterable[Result], *, title: str, out: Console) -> None:
    """Verdict, ranking, splits, differences and the held-out part, and in words what is missing."""
    everything = list(results)
    table = ranking(everything)
    doubt = f"mean ± deviation over {table.seeds} seeds" if table.seeds > 1 else "95 % intervals"
    show(out, Text(f"\n{title}", style="bold"))
    for sentence in filter(None, (headline(everything), ordering(everything), data_or_loss(everything))):
        show(out, Text(sentence))
    show(out, "")
    show(out, ranking_table(table, title=f"Ranking · percent, {doubt}; bold: best or not apart from it"))
    show(out, ranking_table(split_table(everything), title="The seven splits", budget=False))
    show(out, difference_table(everything, table.order))
    if any(result.benchmark.endswith(HELD_OUT) for result in everything):
        held_out = ranking(everything, suffix=HELD_OUT)
        show(out, ranking_table(held_out, title="Held out · combinations that training never showed", budget=False))
    for sentence in absent(everything):
        show(out, Text(sentence, style="italic"))
