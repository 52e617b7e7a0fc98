"""Model folders for other programs: open_clip's, transformers', or the authors' two towers. Whole or absent."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.models.clip import Clip, image_features, text_features
from tripletclip.models.folder import save_clip
from tripletclip.models.hf_export import authors_files, hf_files
from tripletclip.models.named import load_clip

Format: TypeAlias = Literal["open_clip", "hf", "authors"]

LARGEST_DIFFERENCE = 1e-5
"""By how much features of a written model may differ from those of the model that was written."""
_TEXTS = ["a red cube to the left of a blue ball", "two dogs", ""]


def export_clip(clip: Clip, out: Path, *, to: Format, name: str, overwrite: bool = False) -> list[str]:
    """Write ``clip`` as a folder ``out`` and return the names of its files.

    The files are written beside ``out``, read again, and compared by the features of a probe; only then they get their
    name. Raises :class:`UserError` for a model that the format cannot hold, an ``out`` that exists (unless
    ``overwrite``), a disk that takes no more. ``name`` is what messages call the model.
    """
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists; give --overwrite to replace it, or another --out")
    files = {} if to == "open_clip" else hf_files(clip, name) if to == "hf" else authors_files(clip, name)
    temporary: Path | None = None
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.absolute().parent, prefix=f".{out.name}."))
        os.chmod(temporary, 0o755)
        _write(clip, temporary, files)
        _check(clip, temporary, name)
        names = sorted(str(path.relative_to(temporary)) for path in temporary.rglob("*") if path.is_file())
        _replace(temporary, out)
        temporary = None
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return names


def _write(clip: Clip, folder: Path, files: Mapping[str, bytes]) -> None:
    if not files:
        save_clip(clip, folder)
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)


def _replace(new: Path, out: Path) -> None:
    """Give ``new`` the name ``out``; what was there goes only once the new folder is in its place."""
    with contextlib.ExitStack() as stack:
        if out.exists():
            old = Path(tempfile.mkdtemp(dir=out.absolute().parent, prefix=f".{out.name}.old."))
            stack.callback(shutil.rmtree, old, ignore_errors=True)
            os.replace(out, old / "folder")
        os.replace(new, out)


def _check(clip: Clip, folder: Path, name: str) -> None:
    """Raise :class:`UserError` unless the folder gives the features that ``clip`` gives."""
    written = load_clip(folder)
    for ours, theirs, tower in zip(_probe(clip), _probe(written), ("image", "text"), strict=True):
        difference = float((ours - theirs).abs().max())
        if not difference <= LARGEST_DIFFERENCE:  # also NaN
            raise UserError(
                f"the exported {name} gives {tower} features that differ by {difference:.2g}; nothing was written"
            )


def _probe(clip: Clip) -> tuple[Tensor, Tensor]:
    """Features of two noise pictures and of a few texts, on the CPU in fp32."""
    was_training, device = clip.model.training, next(clip.model.parameters()).device
    pixels = torch.randn(2, 3, clip.image_size, clip.image_size, generator=torch.Generator().manual_seed(0))
    tokens = clip.tokenizer(_TEXTS)
    clip.model.eval()
    try:
        with torch.inference_mode():
            images = image_features(clip.model, pixels.to(device, next(clip.model.parameters()).dtype))
            texts = text_features(clip.model, tokens.to(device), tokens.shape[1])
    finally:
        clip.model.train(was_training)
    return images.float().cpu(), texts.float().cpu()
