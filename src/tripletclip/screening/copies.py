"""Texts that come twice and negatives that hardly differ from their positives.

Hashes of all texts are held (8 bytes each), never the texts.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tripletclip.data.transforms import ImageError, decode_image
from tripletclip.screening.edits_table import without_common_ends
from tripletclip.screening.items import Item
from tripletclip.screening.text_probe import words

ARTICLES = frozenset({"a", "an", "the"})
_ROWS, _COLUMNS = 8, 9


@dataclass
class TextCensus:
    """Counts over all items while they stream by: number, categories, and how many texts are repeated.

    Texts are compared in lower case without punctuation. Two different texts are taken for one with a probability of
    about 1e-5 among ten million.
    """

    n: int = 0
    categories: Counter[str] = field(default_factory=Counter)
    _captions: "array[int]" = field(default_factory=lambda: array("Q"))
    _negatives: "array[int]" = field(default_factory=lambda: array("Q"))

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """Count ``items`` and pass them on."""
        for item in items:
            self.n += 1
            self.categories[item.category or "unknown"] += 1
            self._captions.append(_text_hash(item.caption))
            self._negatives.append(_text_hash(item.neg_caption))
            yield item

    def duplicates(self) -> dict[str, int]:
        """How many items repeat an earlier text.

        ``captions``, ``neg_captions``      the same text as that of an item before
        ``neg_captions_unchanged``          negatives equal to their own caption
        ``neg_captions_among_captions``     negatives equal to the caption of another item
        """
        captions, negatives = np.array(self._captions, np.uint64), np.array(self._negatives, np.uint64)
        unchanged = captions == negatives
        return {
            "captions": len(captions) - len(np.unique(captions)),
            "neg_captions": len(negatives) - len(np.unique(negatives)),
            "neg_captions_unchanged": int(unchanged.sum()),
            "neg_captions_among_captions": int((np.isin(negatives, captions) & ~unchanged).sum()),
        }


def _text_hash(text: str) -> int:
    plain = " ".join(words(text)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(plain, digest_size=8).digest())


def token_distance(before: list[str], after: list[str]) -> int:
    """Levenshtein distance in words: the fewest insertions, removals and replacements.

    >>> token_distance("a red dog".split(), "the red dog runs".split())
    2
    """
    before, after = without_common_ends(before, after)
    previous = list(range(len(after) + 1))
    for row, word in enumerate(before, 1):
        current = [row]
        for column, other in enumerate(after, 1):
            current.append(min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (word != other)))
        previous = current
    return previous[-1]


def content_distance(item: Item) -> int:
    """Words that differ, articles not counted: "a dog on the bed" and "the dog on a bed" are 0 apart."""
    before, after = (
        [word for word in words(text) if word not in ARTICLES] for text in (item.caption, item.neg_caption)
    )
    return token_distance(before, after)


def difference_hash(image: bytes) -> int | None:
    """64 bits: whether each cell of an 8 by 9 grey thumbnail is darker than its right neighbour (dHash).

    The same for a rescaled or recompressed picture up to a few bits. ``None`` if the image does not decode.
    """
    try:
        pixels_3HW = decode_image(image, 8 * _COLUMNS).numpy().astype(np.float64)
    except ImageError:
        return None
    grey_HW = pixels_3HW.mean(axis=0)
    cells: NDArray[np.float64] = grey_HW.reshape(_ROWS, _COLUMNS, _COLUMNS, _ROWS).mean(axis=(1, 3))
    darker = (cells[:, :-1] < cells[:, 1:]).ravel()
    return int.from_bytes(np.packbits(darker).tobytes())


def bits_apart(first: int, second: int) -> int:
    """Hamming distance of two hashes."""
    return (first ^ second).bit_count()
