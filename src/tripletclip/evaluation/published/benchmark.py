"""What the list of benchmarks says of each, and the folders of images that several of them share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tripletclip.evaluation.sets import BenchmarkSet

VAL2017 = "{coco/val2017,coco/images/val2017,val2017}"
VAL2014 = "{coco/val2014,coco/images/val2014,val2014}"
TRAIN2014 = "{coco/train2014,coco/images/train2014,train2014}"
VISUAL_GENOME = "{visual_genome,vg}/{VG_100K,VG_100K_2,images}"
"""Patterns (see files.py). Visual Genome comes as two folders; a picture is looked for in both."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A published benchmark. ``files`` are patterns below the data root; ``read`` takes the data root.

    ``needs`` is what a reader wants besides files: an extra of this package, or "".
    """

    name: str
    title: str
    tests: str
    family: str
    files: tuple[str, ...]
    source: str
    licence: str
    read: Callable[[Path], list[BenchmarkSet]]
    needs: str = ""
