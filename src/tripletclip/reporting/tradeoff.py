"""Composition against retention: a dot a model, and who is beaten by nobody in both (the Pareto front)."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tripletclip.reporting.board import Board
from tripletclip.reporting.catalog import COMPOSITION, RETENTION, title_of
from tripletclip.reporting.figures import FigureBlock, Key
from tripletclip.reporting.looks import Looks
from tripletclip.reporting.names import listed
from tripletclip.reporting.svg import INK, MUTED, Panel, canvas, class_colour, render, settings

_HEIGHT = 300


@dataclass(frozen=True, kw_only=True)
class Place:
    """Mean headline values in percent; ``front`` if no other model is at least as good in both and better in one."""

    model: str
    composition: float
    retention: float
    front: bool


def places(found: Board) -> tuple[list[Place], list[str], list[str]]:
    """The models that have every shared benchmark, and the benchmarks of both means; empty if one kind is missing.

    A benchmark counts if at least two models have it, or all; a model counts if it has all those benchmarks.
    """
    values = {(m, b): found.value(m, b) for m in found.models for b in found.benchmarks}
    chosen = {
        kind: [b for b in found.kind(kind) if all(values[m, b] is not None for m in found.models)]
        for kind in (COMPOSITION, RETENTION)
    }
    if not chosen[COMPOSITION] or not chosen[RETENTION]:
        return [], [], []
    means = {
        model: tuple(statistics.fmean(values[model, b] or 0.0 for b in chosen[kind]) for kind in chosen)
        for model in found.models
    }
    return (
        [
            Place(model=model, composition=c, retention=r, front=not _beaten((c, r), list(means.values())))
            for model, (c, r) in means.items()
        ],
        chosen[COMPOSITION],
        chosen[RETENTION],
    )


def _beaten(own: tuple[float, ...], others: Sequence[tuple[float, ...]]) -> bool:
    return any(all(b >= a for a, b in zip(own, other, strict=True)) and other != own for other in others)


def tradeoff_figure(found: Board, looks: Looks) -> list[FigureBlock]:
    """The dot plot; none where one kind of benchmark is missing or there is one model."""
    dots, composition, retained = places(found)
    if len(dots) < 2:
        return []
    front = [dot.model for dot in dots if dot.front]
    names = [f"{n} · {looks.label(dot.model)}" for n, dot in enumerate(dots, 1)]
    keys = [Key(label=name, style=looks.css(dot.model)) for name, dot in zip(names, dots, strict=True)]
    note = (
        f"Up: mean over {listed(map(title_of, composition))}. Right: mean over {listed(map(title_of, retained))}. "
        "Ringed and joined: on the Pareto front, beaten by no other model in both. The axes do not begin at zero."
    )
    return [
        FigureBlock(
            title="Composition against retention",
            note=note,
            panels=[_panel(dots, looks, front)],
            head=["", "no.", "composition", "retention", "Pareto front"],
            rows=[
                [looks.label(dot.model), str(n), f"{dot.composition:.1f}", f"{dot.retention:.1f}",
                 "yes" if dot.front else "no"]
                for n, dot in enumerate(dots, 1)
            ],
            keys=keys,
        )
    ]  # fmt: skip


def _panel(dots: Sequence[Place], looks: Looks, front: Sequence[str]) -> Panel:
    words = ", ".join(
        f"{looks.label(d.model)} composition {d.composition:.1f} and retention {d.retention:.1f}" for d in dots
    )
    alternative = f"Composition against retention, percent: {words}. Pareto front: {', '.join(front)}."
    with settings():
        figure, axes = canvas(_HEIGHT, left=46, right=18, bottom=42, top=14)
        line = sorted((d.retention, d.composition) for d in dots if d.front)
        axes.plot(*zip(*line, strict=True), color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), zorder=2)
        for number, dot in enumerate(dots, 1):
            at = (dot.retention, dot.composition)
            if dot.front:
                axes.plot(*at, "o", markersize=17, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.1)
            axes.plot(*at, "o", color=class_colour(looks.css(dot.model)), markersize=11, markeredgewidth=0, zorder=3)
            axes.annotate(str(number), at, xytext=(11, 6), textcoords="offset points", color=INK, annotation_clip=False)
        axes.margins(0.16)
        axes.set_xlabel("retention mean, percent")
        axes.set_ylabel("composition mean, percent")
        return Panel(title="Up and right is better", svg=render(figure, alternative), alternative=alternative)
