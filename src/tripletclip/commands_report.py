"""What ``tripletclip report`` does: result files in; tables, a page and exports out."""

from typing import TYPE_CHECKING

from tripletclip.commands_honesty import command_line
from tripletclip.reporting.page import write_page
from tripletclip.reporting.results import load_results
from tripletclip.reporting.tables import print_report

if TYPE_CHECKING:
    from tripletclip.cli_report import Report


def report(verb: "Report") -> None:
    """Tables on the terminal, the page, and the exports that were asked for."""
    results = load_results(verb.results)
    control = load_results(verb.control) if verb.control else []
    print_report(results, title=str(verb.results))
    write_page(
        verb.out, title="tripletclip", results=results, control=control, commands=[("This page", command_line())]
    )
    print(f"page: {verb.out}")
