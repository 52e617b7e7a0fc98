"""``tripletclip export`` and ``tripletclip push`` on the command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a model as a folder that open_clip or transformers reads, checked by its features."""

    model: str
    """A folder, NAME:TAG of open_clip, or hf:ORG/MODEL."""
    to: Literal["open_clip", "hf", "authors"] = "open_clip"
    """open_clip (a local-dir), hf (transformers' CLIPModel), or authors (two towers with projection)."""
    out: Path
    """Folder to write; it appears only when it is whole."""
    overwrite: bool = False
    """Replace what the folder holds."""


@dataclass(frozen=True, kw_only=True)
class Push:
    """Upload a model to the Hugging Face Hub, with a model card. The token is HF_TOKEN or that of `hf auth login`."""

    model: str
    """A folder, NAME:TAG of open_clip, or hf:ORG/MODEL."""
    repo: str
    """Repository on the Hub, ORG/NAME; it is made if it does not exist."""
    format: Literal["open_clip", "hf", "authors"] = "open_clip"
    """As `export --to`."""
    private: bool = False
    """Make a new repository private; one that exists stays as it is."""
    license: str = ""
    """Licence as the Hub writes it, such as apache-2.0; none: the card leaves it to be filled in."""
    results: Path | None = None
    """Folder of result files; the card shows those of this very model."""
    message: str = "Upload model with tripletclip"
    """Message of the commit."""
