"""The list of published benchmarks on the terminal, and how users name them."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tripletclip.errors import UserError
from tripletclip.evaluation.published.files import alternatives
from tripletclip.evaluation.published.registry import BENCHMARKS, Benchmark, benchmark_named, found

EVERYTHING = "all"
"""Every benchmark whose files are found."""
WIDTH = 110


def named_benchmarks(names: Sequence[str], data_root: Path | None) -> list[Benchmark]:
    """The benchmarks of these names, of these families, or of ``all``; each once.

    Raises :class:`UserError` for an unknown name with the nearest one, and for ``all`` where nothing is found.
    """
    chosen: dict[str, Benchmark] = {}
    for name in names:
        family = [benchmark for benchmark in BENCHMARKS.values() if benchmark.family == name]
        if name == EVERYTHING:
            family = [one for one in BENCHMARKS.values() if data_root is not None and not found(one, data_root)]
            if not family:
                raise UserError(
                    f"no benchmark's files are found in {data_root}; `tripletclip evaluate --list` names them"
                )
        exact = [BENCHMARKS[name]] if name in BENCHMARKS else []
        for benchmark in exact or family or [benchmark_named(name)]:
            chosen[benchmark.name] = benchmark
    return list(chosen.values())


def print_benchmarks(names: Sequence[str], data_root: Path | None) -> None:
    """All benchmarks in a table; those that are named with their files, sources and licences."""
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    if names:
        for benchmark in named_benchmarks(names, data_root):
            console.print(_card(benchmark, data_root))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("--benchmark", no_wrap=True)
    table.add_column("what it tests")
    table.add_column("licence")
    table.add_column("files", no_wrap=True)
    for benchmark in BENCHMARKS.values():
        table.add_row(benchmark.name, benchmark.tests, benchmark.licence, _state(benchmark, data_root))
    console.print(table)
    console.print("--list --benchmark NAME prints the files that NAME needs and where to get them.")
    if data_root is None:
        console.print("--data-root DIR says which of them are found.")


def _state(benchmark: Benchmark, data_root: Path | None) -> Text:
    if data_root is None:
        return Text(f"needs {len(benchmark.files)}")
    missing = len(found(benchmark, data_root))
    if not missing:
        return Text("found", style="bold green")
    return Text(f"{missing} of {len(benchmark.files)} missing", style="dim")


def _card(benchmark: Benchmark, data_root: Path | None) -> Text:
    """Everything about one benchmark, a line a file."""
    card = Text(f"{benchmark.name}", style="bold").append(f" · {benchmark.title}\n", style="not bold")
    card.append(f"  tests    {benchmark.tests}\n  source   {benchmark.source}\n", style="not bold")
    card.append(f"  licence  {benchmark.licence}\n", style="not bold")
    if benchmark.needs:
        card.append(f"  needs    pip install 'tripletclip[{benchmark.needs}]'\n", style="not bold")
    missing = set(found(benchmark, data_root)) if data_root is not None else set()
    for pattern in benchmark.files:
        line = " or ".join(alternatives(pattern))
        state = "file   " if data_root is None else "missing" if line in missing else "found  "
        card.append(f"  {state}  {line}\n", style="not bold")
    return card
