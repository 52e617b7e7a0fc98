"""``tripletclip cosines`` on the command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Cosines:
    """How far an item lies from its hard negative in each tower, by any CLIP and by encoders of one kind only."""

    data: tuple[Path, ...] = ()
    """Folders of triplets, or .jsonl files with hard negatives (docs/benchmarks.md)."""
    benchmark: tuple[str, ...] = ()
    """Names of `tripletclip evaluate --list`."""
    data_root: Path | None = None
    """Folder of the benchmarks' files."""
    model: tuple[str, ...] = ()
    """CLIPs: folders, NAME:TAG of open_clip, hf:ORG/NAME; several after one --model, or --model several times."""
    image_tower: tuple[str, ...] = ()
    """Encoders of pictures: timm:NAME, or a folder or hf:ORG/NAME of transformers (hf:facebook/dinov2-base)."""
    text_tower: tuple[str, ...] = ()
    """Encoders of texts: a folder or hf:ORG/NAME of transformers (hf:thenlper/gte-base)."""
    text_pooling: Literal["mean", "cls"] | None = None
    """How the text towers' tokens become one feature, where their 1_Pooling/config.json does not say."""
    out: Path | None = None
    """Folder of cosines.json and cosines.html."""
    cache: Path | None = None
    """Folder where features are kept, shared with `evaluate`; OUT/features if not given."""
    limit: int | None = None
    """At most so many items a set, chosen by a hash of their keys."""
    batch_size: int = 64
    device: str = "cpu"
    overwrite: bool = False
    """Replace cosines.json and cosines.html."""
