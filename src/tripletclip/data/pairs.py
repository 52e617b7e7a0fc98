"""A pair on its way in: what every source yields and every stage of the making starts from.

A source is cut into *chunks*: small picklable objects that each become one output shard. Chunks are yielded lazily and
read one at a time, perhaps in another process, so no step ever holds all rows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An image and its caption as they came; ``image`` is encoded bytes, or ``None`` where captions are all there is.

    ``problem`` says why the row cannot be used (``image: truncated``, ``caption: empty``); it then travels as a
    rejected row. ``other_captions`` are further captions of the same image.
    ``neg_caption`` and ``neg_image`` are filled by sources that bring negatives of their own.
    """

    key: str
    caption: str
    image: bytes | None = None
    other_captions: tuple[str, ...] = ()
    neg_caption: str | None = None
    neg_image: bytes | None = None
    problem: str = ""
    extra: Mapping[str, str | int | float] = field(default_factory=dict)


class Chunk(Protocol):
    """The rows of one future shard. Picklable; reading it twice gives the same rows."""

    def read(self) -> Iterator[Pair]:
        """The pairs in a fixed order; a bad one has its ``problem`` set, it never raises for a bad row."""
        ...


class Source(Protocol):
    """Someone's pairs."""

    @property
    def title(self) -> str:
        """How the data card names it."""
        ...

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Chunks of about ``rows`` pairs (sources made of tars give one chunk a tar), always in the same order."""
        ...
