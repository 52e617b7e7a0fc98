"""Tables of any models on any benchmarks for the terminal; wide ones are cut into several of 100 columns."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tripletclip.reporting.board import Board
from tripletclip.reporting.catalog import title_of
from tripletclip.reporting.compare import number, signed
from tripletclip.reporting.differences import differences, further, headline
from tripletclip.reporting.grids import cell_text, grid, show
from tripletclip.reporting.ranking import Ranking
from tripletclip.reporting.retention import Retention

_NAME_WIDTH = 30
_COLUMN_WIDTH = 13
"""Characters of a column with its gap: ``12.3–45.6`` and the words of a heading."""

MOST_METRICS = 12
"""A benchmark with more metrics would bury the ranking under its tables; SugarCrepe has 12."""


def print_models(found: Board, *, title: str, out: Console, retentions: Sequence[Retention] = ()) -> None:
    """Verdict, ranking, differences, every benchmark's metrics, and before and after if asked for."""
    show(out, Text(f"\n{title}", style="bold"))
    for sentence in (headline(found), *further(found)):
        show(out, Text(sentence))
    show(out, "")
    ranking = found.ranking()
    doubt = f"± over {ranking.seeds} seeds or " if ranking.seeds > 1 else ""
    for table in tables_of(
        ranking, title=f"Ranking · percent, {doubt}95 % intervals; bold: best or not apart from it", width=out.width
    ):
        show(out, table)
    if len(found.models) > 1:
        show(out, difference_table(found))
    for retention in retentions:
        show(out, retention_table(retention))
    for benchmark in found.benchmarks:
        count = len(found.metrics(benchmark))
        if count > MOST_METRICS:
            show(out, Text(f"{title_of(benchmark)}: {count} metrics by split, on the page of `tripletclip report`\n"))
        elif count > 1:
            for table in tables_of(found.splits(benchmark), title=title_of(benchmark), width=out.width):
                show(out, table)


def tables_of(table: Ranking, *, title: str, width: int) -> Iterator[Table]:
    """``table`` in as many pieces as its columns need; models are rows, blind lines dimmed below a rule."""
    at_once = max(1, (width - _NAME_WIDTH) // _COLUMN_WIDTH)
    for start in range(0, len(table.headings), at_once):
        places = range(start, min(start + at_once, len(table.headings)))
        piece = grid(title if start == 0 else f"{title.partition(' · percent')[0]}, continued")
        piece.add_column("", max_width=_NAME_WIDTH - 2, overflow="fold")
        for place in places:
            heading = table.headings[place].replace(
                "compositional", "compo-\nsitional"
            )  # the one word that is too long
            piece.add_column(heading, justify="right", max_width=_COLUMN_WIDTH - 2)
        for row in table.methods:
            piece.add_row(Text(row.name), *(cell_text(row.cells[place]) for place in places))
        piece.add_section()
        for row in table.blind:
            cells = [row.cells[place] for place in places]
            if any(cells):
                piece.add_row(Text(row.name), *(f"{cell.value:.1f}" if cell else "" for cell in cells), style="dim")
        yield piece


def difference_table(found: Board) -> Table:
    """Every model against the reference on every benchmark."""
    table = grid(f"Differences from {found.reference}, in points, paired bootstrap")
    table.add_column("", overflow="fold", max_width=34)
    table.add_column("", overflow="fold", max_width=28)
    table.add_column("points", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("in words", max_width=12)
    before = ""
    for one in differences(found):
        c = one.comparison
        words = Text(one.words, style="bold" if c.apart else "dim")
        table.add_row(
            Text(one.title if one.title != before else ""), Text(c.method), signed(c.value), c.interval, words
        )
        before = one.title
    return table


def retention_table(found: Retention) -> Table:
    """Before and after fine-tuning."""
    table = grid(f"Before and after: {found.before} to {found.after}")
    table.add_column("", overflow="fold", max_width=40)
    for heading in ("before", "after", "change", "95 % interval", "kept"):
        table.add_column(heading, justify="right")
    table.add_column("in words")
    for one in found.changes:
        kept = f"{one.kept:.1f} %" if one.kept is not None else ""
        interval = f"{number(one.low)} to {number(one.high)}"
        numbers = (number(one.before), number(one.after), signed(one.change), interval, kept)
        table.add_row(Text(one.title), *numbers, Text(one.verdict, style="dim" if "not" in one.verdict else "bold"))
    return table
