"""What fine-tuning with hard negatives forgets, and what holds it: on the embedded world, over several seeds.

A plain CLIP that knows all sixteen nouns is fine-tuned on triplets in which only six of them occur, as a model of the
web is fine-tuned on one data set. What it gained is the compositional mean of the pairs; what it kept is zero-shot
classification of all nouns, also those that it saw no more.

    python benchmarks/retention.py --demo runs/demo --seeds 3 --out runs/retention

``--demo`` is the folder of a finished ``tripletclip demo``: its data sets and common starts are used.
"""

import argparse
import json
import re
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table

from tripletclip.data.selection import write_selection
from tripletclip.data.shards import Shards
from tripletclip.evaluation.encoder import clip_encoder
from tripletclip.evaluation.suite import BenchmarkSet, class_set, evaluate, pair_set
from tripletclip.models import Clip, load_clip
from tripletclip.scenes.world import natural
from tripletclip.training.config import TrainConfig
from tripletclip.training.interpolate import interpolated
from tripletclip.training.loop import train
from tripletclip.training.settings import Retain, Tune

KEPT_NOUNS = 6

WAYS: Mapping[str, dict[str, object]] = {
    "nothing": {},
    "distill 10, the start": {"retain": Retain(distill=10.0, momentum=1.0)},
    "distill 10, lagging": {"retain": Retain(distill=10.0, momentum=0.99)},
    "l2 0.1": {"retain": Retain(l2=0.1)},
    "adapters, rank 4": {"tune": Tune(lora_image=4, lora_text=4)},
}


def narrow(data: Path, out: Path) -> Path:
    """A selection of the rows whose captions name no noun but the first few."""
    shards, nouns = Shards(data), natural().nouns
    others = re.compile(rf"\b({'|'.join(nouns[KEPT_NOUNS:])})\b")
    kept = [
        shards.key(row)
        for row in range(len(shards))
        if not others.search(shards.caption(row)) and not others.search(shards.neg_caption(row))
    ]
    path = out / "narrow.parquet"
    write_selection(path, pa.array(kept), {"nouns": list(nouns[:KEPT_NOUNS])})
    print(f"{len(kept):,} of {len(shards):,} triplets name only {', '.join(nouns[:KEPT_NOUNS])}", flush=True)
    return path


def scores(clip: Clip, sets: list[BenchmarkSet]) -> tuple[float, float]:
    """Compositional mean and zero-shot top-1, percent."""
    found = evaluate(clip_encoder(clip), sets, method="", seed=0, step=0, checkpoint="", budget={}, config={})
    by_name = {result.benchmark: result.metrics for result in found}
    return by_name["sugarcrepe"]["compositional"].value, by_name["zeroshot"]["top1"].value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    keep = narrow(arguments.demo / "data" / "train", arguments.out)
    sets = [pair_set(Shards(arguments.demo / "data" / "test-pairs"), "")]
    sets += [class_set(Shards(arguments.demo / "data" / "test-classes"), "")]
    rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for seed in range(arguments.seeds):
        start = arguments.demo / "runs" / f"start-seed{seed}"
        rows["the start"].append(scores(load_clip(start), sets))
        for name, settings in WAYS.items():
            config = TrainConfig(
                data=arguments.demo / "data" / "train",
                keep=keep,
                out=arguments.out / f"{re.sub('[^a-z0-9]+', '-', name)}-seed{seed}",
                init=start,
                steps=arguments.steps,
                warmup=arguments.steps // 10,
                seed=seed + 1000,
            )
            folder = train(replace(config, **settings), words=[], resume=True)  # type: ignore[arg-type]
            rows[name].append(scores(load_clip(folder), sets))
            if name == "nothing":
                for alpha in (0.25, 0.5, 0.75):
                    mixed = interpolated(load_clip(start), load_clip(folder), alpha)
                    rows[f"WiSE-FT, alpha {alpha}"].append(scores(mixed, sets))
            print(f"seed {seed} · {name}: {rows[name][-1]}", flush=True)
        (arguments.out / "scores.json").write_text(json.dumps(rows, indent=1))
    show(rows)


def show(rows: Mapping[str, list[tuple[float, float]]]) -> None:
    """Mean and deviation over the seeds, and differences to the start, seed by seed."""
    table = Table(title="Gained and kept, percent, mean ± deviation over seeds", box=None)
    for column in ("held by", "compositional", "zero-shot top-1", "gained", "kept"):
        table.add_column(column, justify="left" if column == "held by" else "right")
    start = rows["the start"]
    for name, found in rows.items():
        both = [[seed[column] for seed in found] for column in (0, 1)]
        change = [[seed[column] - first[column] for seed, first in zip(found, start, strict=True)] for column in (0, 1)]
        table.add_row(name, *(said(values) for values in both), *(said(values, "+") for values in change))
    Console(width=110).print(table)


def said(values: list[float], sign: str = "") -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):{sign}.1f} ± {spread:.1f}"


if __name__ == "__main__":
    main()
