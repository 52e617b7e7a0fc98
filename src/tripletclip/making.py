"""What the verbs that make triplets do: config, folder, job, engine, one display, and what came of it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tripletclip.data.triplet import ACCEPTED, FAILED, REJECTED
from tripletclip.errors import Incomplete, UserError
from tripletclip.negatives.contract import Cost
from tripletclip.negatives.engine import EngineConfig, Ran, run
from tripletclip.negatives.job import Job, Tally, tasks
from tripletclip.negatives.make import MakeConfig, claim_folder, make_job

if TYPE_CHECKING:
    from tripletclip.cli_triplets import Captions, Images, Import, Make

REASONS_SHOWN = 6


def make_triplets(verb: "Make | Import | Captions | Images") -> Ran:
    """Run the stages that ``verb`` names and print what came of them.

    Raises:
        UserError: bad options, source or folder; a server that is not there at the start.
        Incomplete: rows failed, or more were rejected than the user allows.
    """
    names = {field.name for field in fields(MakeConfig)}
    config = MakeConfig(**{name: value for name, value in vars(verb).items() if name in names})
    engine = EngineConfig(engine=verb.engine, workers=verb.workers, gpus=verb.gpus, address=verb.address)
    if not 0 <= verb.max_rejected <= 1:
        raise UserError(f"max_rejected is {verb.max_rejected}; give a share between 0 and 1")
    job = make_job(config)
    claim_folder(config, overwrite=verb.overwrite)
    with _display(job) as display:
        ran = run(job, engine, display.hear)
    print_ran(ran, config)
    return ran


def refuse_incomplete(ran: Ran, config: "Make | Import | Captions | Images") -> None:
    """Exit code 3 for a job that has to be run again, or whose rows are worse than the user allows."""
    failed, share = ran.tally.of(FAILED), ran.tally.of(REJECTED) / max(1, ran.tally.rows)
    if ran.unreadable:
        raise Incomplete(
            f"{len(ran.unreadable):,} shards could not be read ({ran.unreadable[0]}); run the command again"
        )
    if failed or ran.broken:
        why = f" ({ran.broken})" if ran.broken else ""
        raise Incomplete(f"{failed:,} rows failed{why}; the same command tries them again")
    if share > config.max_rejected:
        raise Incomplete(f"{share:.1%} of the rows were rejected, --max-rejected allows {config.max_rejected:.1%}")
    if ran.tally.of(ACCEPTED) == 0:
        raise Incomplete("no row was accepted; see the reasons above")


# ---- the display -----------------------------------------------------------------------------------------------------


class _Display:
    """One bar and three lines: rows by status and reason, rates of this run, what it has cost."""

    def __init__(self, job: Job) -> None:
        self._total = Tally()
        self._spent: Mapping[str, Cost] = {}
        self._start = time.perf_counter()
        self._bar = Progress(
            TextColumn("rows"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[rows]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
        )
        # The last part may be shorter: the bar is an estimate until then, the counts are not.
        total = max(1, sum(1 for _ in tasks(job))) * job.shard_rows
        self._task = self._bar.add_task("rows", total=min(total, job.limit or total), rows="")

    def hear(self, done: Tally, spent: Mapping[str, Cost]) -> None:
        """More rows are done."""
        self._total, self._spent = self._total + done, spent
        self._bar.update(self._task, completed=self._total.rows, rows=f"{self._total.rows:,}")

    def __rich__(self) -> Group:
        return Group(self._bar, Text(counts_line(self._total)), Text(rates_line(self._total, self._spent, self._start)))


@contextmanager
def _display(job: Job) -> Iterator[_Display]:
    display = _Display(job)
    console = Console(stderr=True)
    with Live(display, console=console, refresh_per_second=4, transient=not console.is_terminal):
        yield display


def counts_line(total: Tally) -> str:
    """``accepted 90 · rejected 8 (caption: unchanged 5, image: truncated 3) · failed 2 (...)``."""
    parts = [f"accepted {total.of(ACCEPTED):,}", f"rejected {total.of(REJECTED):,}"]
    if total.of(FAILED):
        parts.append(f"failed {total.of(FAILED):,}")
    ranked = sorted(total.reasons.items(), key=lambda item: (-item[1], item[0]))
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in ranked[:REASONS_SHOWN])
    more = f", {len(ranked) - REASONS_SHOWN} more reasons" if len(ranked) > REASONS_SHOWN else ""
    return " · ".join(parts) + (f" ({reasons}{more})" if reasons else "")


def rates_line(total: Tally, spent: Mapping[str, Cost], start: float) -> str:
    """``12.3 rows/s · captions 900 calls, 31,000 + 9,000 tokens, 60 s · images 880 calls, 350 s``."""
    seconds = max(1e-9, time.perf_counter() - start)
    parts = [f"{total.made / seconds:,.1f} rows/s"]
    for name, cost in spent.items():
        if cost.calls:
            tokens = f", {cost.prompt_tokens:,} + {cost.new_tokens:,} tokens" if cost.new_tokens else ""
            rate = f"{cost.calls / seconds:,.1f} {name}/s"
            parts.append(f"{rate} ({cost.calls:,} calls{tokens}, {cost.seconds:,.0f} s busy)")
    return " · ".join(parts)


def print_ran(ran: Ran, config: MakeConfig) -> None:
    """Rows by status and reason, and what the stages spent."""
    console = Console(highlight=False)
    console.print(f"shards: {config.out}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, show_edge=False)
    for heading in ("rows", "", "reason"):
        table.add_column(heading, justify="right" if heading == "rows" else "left")
    total = ran.tally
    table.add_row(f"{total.of(ACCEPTED):,}", ACCEPTED, "")
    for status in (REJECTED, FAILED):
        if total.of(status):
            table.add_row(f"{total.of(status):,}", status, "")
    for reason, count in sorted(total.reasons.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(f"{count:,}", "", reason)
    console.print(table)
    for name, cost in ran.costs.items():
        tokens = f", {cost.prompt_tokens:,} prompt and {cost.new_tokens:,} new tokens" if cost.new_tokens else ""
        console.print(f"{name}: {cost.calls:,} calls{tokens}, {cost.seconds:,.1f} s")
