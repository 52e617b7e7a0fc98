"""What ``tripletclip report`` does: result files in; tables, a page and exports out."""

import shlex
import sys
from typing import TYPE_CHECKING

from tripletclip.errors import UserError
from tripletclip.files import write_atomic
from tripletclip.reporting.board import board, is_demo
from tripletclip.reporting.exports import latex, markdown
from tripletclip.reporting.grids import report_console
from tripletclip.reporting.models_page import write_models_page
from tripletclip.reporting.models_tables import print_models
from tripletclip.reporting.page import write_page
from tripletclip.reporting.results import Result, load_results
from tripletclip.reporting.retention import retention
from tripletclip.reporting.tables import print_report

if TYPE_CHECKING:
    from tripletclip.cli_report import Report


def report(verb: "Report") -> None:
    """Tables on the terminal, the page, and the exports that were asked for; a demo's results give the demo's page."""
    results, command = load_results(verb.results), command_line()
    general = verb.markdown or verb.latex or verb.against or verb.before
    if is_demo(results) and not general:
        control = load_results(verb.control) if verb.control else []
        print_report(results, title=str(verb.results))
        write_page(verb.out, title="tripletclip", results=results, control=control, commands=[("This page", command)])
        print(f"page: {verb.out}")
        return
    if verb.control:
        raise UserError("--control belongs to the demo's page; these results have the general one, leave it out")
    _general(verb, results, command)


def _general(verb: "Report", results: list[Result], command: str) -> None:
    found = board(results, against=verb.against)
    retentions = retention(found, verb.before) if verb.before else []
    title = verb.results.resolve().name
    print_models(found, title=str(verb.results), out=report_console(), retentions=retentions)
    made = dict.fromkeys(str(one.config["command"]) for one in found.final if "command" in one.config)
    write_models_page(
        verb.out,
        found,
        title=f"tripletclip report: {title}",
        folder=verb.results,
        retentions=retentions,
        commands=[*(("Results", line) for line in made), ("This page", command)],
    )
    print(f"page:     {verb.out}")
    if verb.markdown:
        write_atomic(verb.markdown, markdown(found, title=title, retentions=retentions).encode())
        print(f"markdown: {verb.markdown}")
    if verb.latex:
        write_atomic(verb.latex, latex(found, retentions=retentions).encode())
        print(f"latex:    {verb.latex}")


def command_line() -> str:
    """This command as it was typed."""
    return f"tripletclip {shlex.join(sys.argv[1:])}"
