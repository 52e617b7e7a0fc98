"""Tables for the terminal, 100 columns wide; plain text where the output is no terminal."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tripletclip.reporting.compare import data_or_loss, headline, neighbours, ordering, signed
from tripletclip.reporting.names import HELD_OUT, display
from tripletclip.reporting.ranking import Cell, Ranking, absent, compact, ranking, split_table
from tripletclip.reporting.results import Result

WIDTH = 100
_COLOURS = {
    "clip": "bright_black",
    "clip-on-triplets": "blue",
    "negclip": "yellow",
    "negimage": "green",
    "tripletclip": "red",
}
_ASCII = str.maketrans({"→": ">", "±": "~", "−": "-", "’": "'", "·": "-", "–": "-"})


def ranking_table(table: Ranking, *, title: str, budget: bool = True) -> Table:
    """Any :class:`Ranking` as a rich table: numbers with their doubt underneath, blind lines dimmed below a rule."""
    grid = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("", no_wrap=False, max_width=17)
    for heading in table.headings:
        grid.add_column(_two_lines(heading), justify="right")
    if budget:
        grid.add_column("images\n+ texts", justify="right")
    for row in table.methods:
        name = Text(display(row.name), style=_COLOURS.get(row.name, ""))
        grid.add_row(name, *map(_cell_text, row.cells), *_budget_cell(row.budget, budget))
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


def _cell_text(cell: Cell | None) -> Text:
    if cell is None:
        return Text("no result", style="dim italic")
    text = Text(f"{cell.value:.1f}", style="bold" if cell.leads else "")
    doubt = cell.doubt.replace(" to ", "–")
    return text.append(f"\n{doubt}", style="not bold dim") if doubt else text


def difference_table(results: Sequence[Result], ranked: Sequence[str]) -> Table:
    """Paired differences in the compositional mean: against CLIP, and between neighbours of the ranking."""
    grid = Table(
        title="Differences, compositional mean, in points",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
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


def report_console() -> Console:
    """Standard output, 100 columns: fewer in a narrow terminal, exactly 100 in a file or pipe."""
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


def print_report(results: Iterable[Result], *, title: str, console: Console | None = None) -> None:
    """Verdict, ranking, splits, differences and the held-out part, and in words what is missing."""
    out = console or report_console()
    everything = list(results)
    table = ranking(everything)
    doubt = f"mean ± deviation over {table.seeds} seeds" if table.seeds > 1 else "95 % intervals"
    _print(out, Text(f"\n{title}", style="bold"))
    for sentence in filter(None, (headline(everything), ordering(everything), data_or_loss(everything))):
        _print(out, Text(sentence))
    _print(out, "")
    _print(out, ranking_table(table, title=f"Ranking · percent, {doubt}; bold: best or not apart from it"))
    _print(out, ranking_table(split_table(everything), title="The seven splits", budget=False))
    _print(out, difference_table(everything, table.order))
    if any(result.benchmark.endswith(HELD_OUT) for result in everything):
        held_out = ranking(everything, suffix=HELD_OUT)
        _print(out, ranking_table(held_out, title="Held out · combinations that training never showed", budget=False))
    for sentence in absent(everything):
        _print(out, Text(sentence, style="italic"))


def _print(console: Console, content: Table | Text | str) -> None:
    """Print; where the encoding knows no arrows and dashes, with their nearest ASCII signs."""
    if not console.options.ascii_only:
        console.print(content)
        return
    with console.capture() as captured:
        console.print(content)
    console.out(captured.get().translate(_ASCII).encode("ascii", "replace").decode(), highlight=False, end="")
