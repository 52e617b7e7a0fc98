"""What ``tripletclip cosines`` measured: tables for the terminal and one self-contained page, from its record alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.text import Text

from tripletclip.files import write_atomic
from tripletclip.reporting.compare import number
from tripletclip.reporting.facts import Facts
from tripletclip.reporting.figures import FigureBlock
from tripletclip.reporting.grids import grid, show
from tripletclip.reporting.histograms import KINDS, histogram_blocks
from tripletclip.reporting.html import content_policy, environment
from tripletclip.reporting.looks import Looks, model_looks
from tripletclip.reporting.names import listed
from tripletclip.reporting.results import Result

Record: TypeAlias = Mapping[str, Any]
"""The content of ``cosines.json``."""

YARDSTICKS = {
    "text": ("Text tower", "the negative caption", "another caption"),
    "image": ("Image tower", "the negative image", "another image"),
    "cross": ("Image against caption", "the negative caption", "the image’s own caption"),
}
"""Comparison to its title, what the negative is, and what it is compared with."""


@dataclass(frozen=True, kw_only=True)
class SetView:
    """One set's section: what was measured, a table of the shares, and its histograms.

    ``rows`` are (encoder, a row of the record or ``None`` for each of ``comparisons``).
    """

    name: str
    coverage: str
    comparisons: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Record | None]]]
    figures: Sequence[FigureBlock]


def write_cosines_page(path: Path, record: Record) -> None:
    """Write the page of ``record``; an older page is replaced.

    Raises :class:`tripletclip.errors.UserError` if ``path`` cannot be written.
    """
    looks = model_looks([one["name"] for one in record["encoders"]])
    headline, *remarks = findings(record)
    content = {
        "title": "How far is the hard negative?",
        "policy": content_policy(),
        "css": looks.css,
        "headline": headline,
        "remarks": remarks,
        "views": [_view(record, one, looks) for one in record["sets"]],
        "yardsticks": YARDSTICKS,
        "facts": _facts(record),
        "command": record["command"],
    }
    write_atomic(path, environment().get_template("cosines.html").render(content).encode())


def print_cosines(record: Record, out: Console) -> None:
    """A table a set, 100 columns wide, and what could not be measured."""
    for sentence in findings(record):
        show(out, Text(sentence))
    for one in record["sets"]:
        show(out, "")
        table = grid(f"{one['name']} · cosines: mean (quartiles)")
        for heading in ("encoder", "tower"):
            table.add_column(heading, overflow="fold", max_width=24)
        for heading in ("n", "with its\nnegative", "with another,\nown caption", "negative nearer\n%, 95 % interval"):
            table.add_column(heading, justify="right")
        for row in _of_set(record, one["name"]):
            share = row["nearer"]
            doubt = f"{number(share['value'])} ({number(share['low'])}–{number(share['high'])})"
            cells = (_words(row["negative"]), _words(row["other"]), doubt)
            table.add_row(Text(row["encoder"]), row["comparison"], f"{row['n']:,}", *map(Text, cells))
        show(out, table)
        show(out, Text(coverage(one, _of_set(record, one["name"]))))
    for model in record["encoders"]:
        if model["unreadable"]:
            first = model["unreadable_first"][0]
            show(out, Text(f"{model['name']}: {model['unreadable']:,} pictures are unreadable, the first {first}"))


def findings(record: Record) -> list[str]:
    """A sentence a comparison, over all encoders and sets: mean cosines, and how often the negative is nearer."""
    sentences = []
    for comparison, (title, negative, yardstick) in YARDSTICKS.items():
        rows = [row for row in record["cosines"] if row["comparison"] == comparison]
        if rows:
            means = [_range([row[side]["mean"] for row in rows], decimals=2) for side in ("negative", "other")]
            share = _range([row["nearer"]["value"] for row in rows], decimals=1)
            sentences.append(
                f"{title}: mean cosine {means[0]} with {negative}, {means[1]} with {yardstick}; the negative is at "
                f"least as near in {share} % of the items."
            )
    return sentences


def _range(values: Sequence[float], *, decimals: int) -> str:
    low, high = number(min(values), decimals=decimals), number(max(values), decimals=decimals)
    return low if low == high else f"{low} to {high}"


def coverage(one: Record, rows: Sequence[Record]) -> str:
    """How many of a set's items were measured, and why others were not: per comparison where these differ."""
    counts = {row["comparison"]: (row["n"], row["left_out"]) for row in rows}
    variants = list(dict.fromkeys((n, tuple(reasons.items())) for n, reasons in counts.values()))
    sentences = []
    for n, reasons in variants:
        which = [name for name, (count, why) in counts.items() if (count, tuple(why.items())) == (n, reasons)]
        who = "" if len(variants) == 1 else f" ({listed(which)})"
        why = f"; {', '.join(f'{reason}: {count:,}' for reason, count in reasons)}" if reasons else ""
        sentences.append(f"{n:,} of {one['listed']:,} items measured{who}{why}.")
    return " ".join(sentences)


def _of_set(record: Record, name: str) -> list[Record]:
    return [row for row in record["cosines"] if row["set"] == name]


def _view(record: Record, one: Record, looks: Looks) -> SetView:
    rows = _of_set(record, one["name"])
    found = {(row["encoder"], row["comparison"]): row for row in rows}
    comparisons = [name for name in YARDSTICKS if any(row["comparison"] == name for row in rows)]
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    return SetView(
        name=one["name"],
        coverage=coverage(one, rows),
        comparisons=comparisons,
        rows=[(encoder, [found.get((encoder, name)) for name in comparisons]) for encoder in encoders],
        figures=_figures(found, encoders, comparisons, looks),
    )


def _figures(
    found: Mapping[tuple[str, str], Record], encoders: Sequence[str], comparisons: Sequence[str], looks: Looks
) -> list[FigureBlock]:
    """The histograms, each with all of its numbers in place of the few that a report has."""
    results = [
        Result(
            method=encoder,
            seed=0,
            step=0,
            benchmark="cosines",
            checkpoint=encoder,
            metrics={},
            histograms={name: found[encoder, name]["histogram"] for name in comparisons if (encoder, name) in found},
        )
        for encoder in encoders
    ]
    means = {key: {"positive": row["other"]["mean"], "negative": row["negative"]["mean"]} for key, row in found.items()}
    blocks = {block.title: block for block in histogram_blocks(results, looks, means)}
    figures = []
    for name in comparisons:
        block = blocks[f"Cosines · {KINDS[name].title}"]
        overlap = {row[0]: row[-1] for row in block.rows}
        rows = [_row(encoder, found[encoder, name], overlap[encoder]) for encoder in encoders if encoder in overlap]
        figures.append(replace(block, title=block.title.removeprefix("Cosines · "), head=_head(name), rows=rows))
    return figures


def _head(comparison: str) -> list[str]:
    other = "own caption" if comparison == "cross" else "another item"
    sides = [f"{what}, {side}" for side in ("negative", other) for what in ("mean", "quartiles")]
    return ["", "items", *sides, "negative nearer %", "95 % interval", "overlap %"]


def _row(encoder: str, row: Record, overlap: str) -> list[str]:
    sides = [text for side in ("negative", "other") for text in (_cosine(row[side]["mean"]), _quartiles(row[side]))]
    share = row["nearer"]
    interval = f"{number(share['low'])} to {number(share['high'])}"
    return [encoder, f"{row['n']:,}", *sides, number(share["value"]), interval, overlap]


def _cosine(value: float) -> str:
    return number(value, decimals=3)


def _quartiles(spread: Record) -> str:
    return " / ".join(_cosine(spread[name]) for name in ("q25", "median", "q75"))


def _words(spread: Record) -> str:
    """``0.93 (0.90 to 0.96)``, the mean with its outer quartiles, for the terminal."""
    mean, low, high = (number(spread[name], decimals=2) for name in ("mean", "q25", "q75"))
    return f"{mean} ({low} to {high})"


def _facts(record: Record) -> list[Facts]:
    sets = [[one["name"], f"{one['n']:,}", f"{one['listed']:,}", one["sha256"]] for one in record["sets"]]
    models = [
        [one["name"], one["kind"], one["spec"], f"{one['cut']:,}", f"{one['unreadable']:,}", one["sha256"]]
        for one in record["encoders"]
    ]
    versions = [[name, str(value)] for name, value in {**record["versions"], "revision": record["revision"]}.items()]
    settings = [[name, "not given" if value is None else str(value)] for name, value in record["settings"].items()]
    model_head = ["encoder", "kind", "asked for as", "texts cut", "pictures unreadable", "SHA-256"]
    return [
        Facts(title="Data", note="", head=["set", "items", "listed", "SHA-256 of the whole set"], rows=sets),
        Facts(title="Encoders", note="", head=model_head, rows=models),
        Facts(title="Settings", note="", head=["setting", "value"], rows=settings),
        Facts(title="Versions", note="", head=["package", "version"], rows=versions),
    ]
