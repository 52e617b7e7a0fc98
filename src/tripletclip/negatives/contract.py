"""What caption writers and image painters are: one-method protocols, pluggable by name.

Legend: every list answers its request at the same index. A seed is a hash of the row's key (and of the attempt), so an
answer does not depend on its batch.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

WRITER, WRITER_MODEL, PROMPT_HASH, SEED = "writer", "writer_model", "prompt_hash", "seed"
CATEGORY, ATTEMPTS, OTHER_CAPTIONS = "category", "attempts", "other_captions"
SCENE, NEG_SCENE = "scene", "neg_scene"
PAINTER, PAINTER_MODEL, IMAGE_SEED = "painter", "painter_model", "image_seed"

CATEGORIES = ("object", "attribute", "relation", "action", "count", "swap", "other")
"""Kinds of edit; ``swap`` alone may keep the bag of words."""


def seed_of(key: str, *parts: str | int) -> int:
    """A 63-bit seed of a row's key and whatever else should make a difference, such as the attempt."""
    text = "\x1f".join([key, *map(str, parts)]).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:8]) >> 1


@dataclass(frozen=True, kw_only=True)
class Request:
    """One caption to rewrite. ``scene`` is the scene as JSON where the pair comes from the embedded world."""

    key: str
    caption: str
    seed: int
    other_captions: tuple[str, ...] = ()
    scene: str | None = None


@dataclass(frozen=True, kw_only=True)
class Written:
    """A caption that the writer offers; ``category`` is one of ``CATEGORIES`` or empty where nobody knows.

    ``extra`` are columns that the row keeps (such as the edited scene as JSON, for the scenes painter).
    """

    caption: str
    category: str = ""
    extra: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """No caption, and why, in a few words that group well when counted (``empty``, ``chatter``, ``no edit found``)."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """No answer because something outside of the row broke (server gone, time-out); a later run tries again."""

    reason: str


Answer = Written | Rejected | Failed


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a writer or painter has spent since it was made."""

    calls: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            new_tokens=self.new_tokens + other.new_tokens,
            seconds=self.seconds + other.seconds,
        )

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(
            calls=self.calls - other.calls,
            prompt_tokens=self.prompt_tokens - other.prompt_tokens,
            new_tokens=self.new_tokens - other.new_tokens,
            seconds=self.seconds - other.seconds,
        )


class CaptionWriter(Protocol):
    """Writes candidates: for each request a list of answers (several where the writer offers several)."""

    name: str
    """The writer's registered name, such as ``llm``."""
    model: str
    """Model or method with version; a column of the record."""
    prompt_hash: str
    """Hash of the prompt (of the rules where there is none)."""

    def write(self, requests: Sequence[Request]) -> list[list[Answer]]:
        """Candidates for each request, the best first. Deterministic in (caption, seed) as far as the model allows."""
        ...

    def cost(self) -> Cost:
        """Spent so far."""
        ...


@dataclass(frozen=True, kw_only=True)
class PaintRequest:
    """One picture to paint of ``caption``; ``scene`` as in :class:`Request`, of the negative."""

    key: str
    caption: str
    seed: int
    scene: str | None = None


class Painter(Protocol):
    """Paints captions."""

    name: str
    model: str
    batch_size: int

    def paint(self, requests: Sequence[PaintRequest]) -> list[Image.Image | Rejected | Failed]:
        """A picture of each caption, RGB. The same (caption, seed) gives the same picture in any batch."""
        ...

    def cost(self) -> Cost:
        """Spent so far."""
        ...


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A judgement of a picture: ``reason`` is empty where it is fine; ``columns`` are kept in the row either way.

    ``failed`` says that nobody could judge (the question server is gone): a later run tries again.
    """

    reason: str
    columns: Mapping[str, str | int | float]
    failed: bool = False


class PictureCheck(Protocol):
    """A judge of painted pictures, such as a CLIP score or questions to a VQA model."""

    def check(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> list[Judged]:
        """A judgement of each picture against its caption."""
        ...
