"""``tripletclip contamination`` and ``concepts``: their arguments."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """Look for a benchmark's pictures and captions in a training set: by file id, by image, by caption."""

    train: str
    """Folder of shards, or a source such as coco:captions_train2017.json,images=train2017/ (docs/sources.md)."""
    benchmark: tuple[str, ...] = ()
    """Names of `tripletclip evaluate --list`."""
    data_root: Path | None = None
    """Folder of the benchmarks' files."""
    data: tuple[Path, ...] = ()
    """Benchmarks of your own: what `tripletclip evaluate --data` takes."""
    out: Path | None = None
    """Write everything that was found as JSON."""
    clean: Path | None = None
    """Write a selection of the training rows without any finding, for --keep."""
    jobs: int = 2


@dataclass(frozen=True, kw_only=True)
class Concepts:
    """Count the WordNet concepts of one caption set or two, how they overlap, and cut subsets of growing coverage."""

    sets: Annotated[tuple[str, ...], tyro.conf.Positional]
    """One or two: folder of shards, source, or .txt with a caption a line. One: captions against negative captions."""
    text: str = "caption"
    """Which text of two sets is counted: caption or neg_caption."""
    senses: str = "all"
    """all (every sense of every word, as the paper's totals are) or tagged (one a word, by a tagger)."""
    out: Path | None = None
    """Write the counts as JSON."""
    subsets: Path | None = None
    """Folder for selections of the first set, each with a share of its concepts."""
    shares: tuple[float, ...] = (12.5, 25.0, 50.0, 100.0)
    """The shares in percent, ascending."""
