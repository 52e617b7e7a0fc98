"""Speed of the embedded world on one core: scenes painted a second, and whole triplets written to shards a second.

python benchmarks/render.py --scenes 2000
"""

import argparse
import tempfile
import time
from pathlib import Path
from random import Random

import torch

from tripletclip.scenes.benchmark import SetConfig, write_set
from tripletclip.scenes.grammar import sample_scene
from tripletclip.scenes.render import render
from tripletclip.scenes.world import natural

BATCH = 250


def paint_rate(count: int, size: int) -> float:
    """Scenes a second: sampled, then painted as uint8."""
    world, rng = natural(), Random(0)
    render([sample_scene(world, rng)], [0], world, size)  # tables are made once
    start = time.perf_counter()
    for first in range(0, count, BATCH):
        seeds = range(first, min(first + BATCH, count))
        render([sample_scene(world, rng) for _ in seeds], list(seeds), world, size)
    return count / (time.perf_counter() - start)


def triplet_rate(count: int, size: int) -> float:
    """Triplets a second through everything: two scenes, two captions, two JPEGs, tar, parquet."""
    config = SetConfig(world="natural", part="train", rows=count, seed=0, image_size=size)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_set(config, Path(folder) / "set")
        return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[48, 64])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for size in options.sizes:
        paint, write = paint_rate(options.scenes, size), triplet_rate(options.scenes // 4, size)
        print(f"{size} px, one core: {paint:,.0f} scenes/s painted, {write:,.0f} triplets/s written to shards")


if __name__ == "__main__":
    main()
