"""The terminal report, 100 columns wide; plain text where the output is no terminal."""

from collections.abc import Iterable

from rich.console import Console

from tripletclip.reporting.board import board, is_demo
from tripletclip.reporting.demo_tables import print_demo
from tripletclip.reporting.grids import report_console
from tripletclip.reporting.models_tables import print_models
from tripletclip.reporting.results import Result


def print_report(results: Iterable[Result], *, title: str, console: Console | None = None) -> None:
    """Verdict, ranking, splits and differences: the demo's for its own results, otherwise those of any models."""
    everything = list(results)
    out = console or report_console()
    if is_demo(everything):
        print_demo(everything, title=title, out=out)
    else:
        print_models(board(everything), title=title, out=out)
