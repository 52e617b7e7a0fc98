"""Rich tables that every terminal report prints in the same way, 100 columns wide."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tripletclip.reporting.ranking import Cell

WIDTH = 100
_ASCII = str.maketrans({"→": ">", "±": "~", "−": "-", "’": "'", "·": "-", "–": "-", "“": '"', "”": '"'})


def grid(title: str) -> Table:
    """An empty table with a bold title."""
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def cell_text(cell: Cell | None) -> Text:
    """The number, bold if it leads, with its doubt underneath."""
    if cell is None:
        return Text("no result", style="dim italic")
    text = Text(f"{cell.value:.1f}", style="bold" if cell.leads else "")
    doubt = cell.doubt.replace(" to ", "–")
    return text.append(f"\n{doubt}", style="not bold dim") if doubt else text


def report_console() -> Console:
    """Standard output, 100 columns: fewer in a narrow terminal, exactly 100 in a file or pipe."""
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


def show(console: Console, content: Table | Text | str) -> None:
    """Print; where the encoding knows no arrows and dashes, with their nearest ASCII signs."""
    if not console.options.ascii_only:
        console.print(content)
        return
    with console.capture() as captured:
        console.print(content)
    console.out(captured.get().translate(_ASCII).encode("ascii", "replace").decode(), highlight=False, end="")
