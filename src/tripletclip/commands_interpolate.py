"""What ``interpolate`` does: mixtures of two models, measured, with the best trade-offs marked."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich
from rich.table import Table

from tripletclip.demo import revision
from tripletclip.errors import UserError
from tripletclip.evaluation.encoder import clip_encoder
from tripletclip.evaluation.suite import benchmark_set, evaluate
from tripletclip.models import load_clip, save_clip, weights_hash
from tripletclip.reporting.results import Metric, Result, save_result
from tripletclip.training.interpolate import interpolated, pareto_front

if TYPE_CHECKING:
    from tripletclip.cli_train import Interpolate

COMPOSITION = ("sugarcrepe", "compositional")
KEPT = {"zeroshot": "top1", "retrieval": "i2t_r1"}
"""Benchmark that stands for what the model knew, to its metric."""


def interpolate(verb: "Interpolate") -> None:
    """Write each mixture as a model folder, measure it, and print composition against what was kept."""
    if not verb.alphas:
        raise UserError("alphas are missing; give numbers between 0 and 1")
    start, end = load_clip(verb.start), load_clip(verb.end)
    sets = [benchmark_set(folder) for folder in verb.data]
    rows: list[tuple[float, Metric, Metric]] = []
    for alpha in verb.alphas:
        clip = interpolated(start, end, alpha)
        folder = verb.out / f"alpha-{alpha:g}"
        if folder.exists() and not verb.overwrite:
            raise UserError(f"{folder} exists; give --overwrite to replace it, or another --out")
        save_clip(clip, folder)
        found = evaluate(
            clip_encoder(clip, verb.device),
            sets,
            method=f"alpha {alpha:g}",
            seed=0,
            step=0,
            checkpoint=weights_hash(folder),
            budget={},
            config={"start": verb.start, "end": verb.end, "alpha": alpha, "revision": revision()},
        )
        for result in found:
            path = verb.out / "results" / f"alpha-{alpha:g}-{result.benchmark}.json"
            save_result(result, path, overwrite=verb.overwrite)
        rows.append((alpha, _metric(found, *COMPOSITION), _metric(found, verb.keep, KEPT[verb.keep])))
    _print(verb.keep, rows, verb.out)


def _metric(found: list[Result], benchmark: str, metric: str) -> Metric:
    for result in found:
        if result.benchmark == benchmark:
            return result.metrics[metric]
    kind = "pairs" if benchmark == COMPOSITION[0] else "classes" if benchmark == "zeroshot" else "retrieval"
    raise UserError(f"--data holds no benchmark of {kind}, which the table needs for {benchmark}; add its folder")


def _print(keep: str, rows: list[tuple[float, Metric, Metric]], out: Path) -> None:
    best = pareto_front([(composition.value, kept.value) for _, composition, kept in rows])
    table = Table(title="Weights between the two models · percent, 95 % intervals", box=None, pad_edge=False)
    for column in ("alpha", f"composition ({' '.join(COMPOSITION)})", f"kept ({keep} {KEPT[keep]})", "Pareto front"):
        table.add_column(column, justify="right")
    for (alpha, composition, kept), is_best in zip(rows, best, strict=True):
        table.add_row(f"{alpha:g}", _said(composition), _said(kept), "●" if is_best else "")
    rich.print(table)
    print(f"models and results: {out}")


def _said(metric: Metric) -> str:
    return f"{metric.value:.1f}  ({metric.low:.1f} to {metric.high:.1f})"
