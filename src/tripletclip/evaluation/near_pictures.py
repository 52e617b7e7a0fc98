"""Which picture is another one stored again: smaller, recompressed, in another file format.

A picture is known by 64 bits of its low frequencies, which find candidates, and by a small thumbnail, which decides:
the bits alone would give false alarms among millions. Cropped and mirrored copies are not found.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tripletclip.data.transforms import decode_plain_jpeg, decode_rgb
from tripletclip.screening.copies import bits_apart

BITS = 64
RADIUS = 10
"""Candidates differ in at most so many bits; up to seven are always found, see :class:`PictureIndex`."""

_HASH_SIDE, _THUMBNAIL_SIDE = 32, 16
_BANDS, _BAND_BITS = 4, 16
_LUMA = np.array([0.299, 0.587, 0.114])
_PLAIN_DEVIATION = 2.0
_MEAN_LIMIT, _CELL_LIMIT, _COLOUR_LIMIT = 3.0, 18.0, 30.0
"""Grey levels: largest mean difference of brightness, of one cell's brightness, of one cell's colour."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """``bits`` of the picture's low frequencies and its ``thumbnail``, uint8 [16, 16, 3].

    ``plain`` is a picture of hardly more than one colour: it has no content by which to know it.
    """

    bits: int
    thumbnail: NDArray[np.uint8]
    plain: bool


def fingerprint(data: bytes) -> Fingerprint:
    """The fingerprint of an encoded picture, the same whatever its size but for a few bits and grey levels.

    A bit says whether one of the 64 lowest frequencies (a cosine transform of 32 x 32 grey cells, without the mean)
    lies above their median. Raises :class:`tripletclip.data.transforms.ImageError` if ``data`` does not decode.
    """
    pixels_3HW = decode_plain_jpeg(data)
    image = decode_rgb(data) if pixels_3HW is None else Image.fromarray(pixels_3HW.permute(1, 2, 0).numpy())
    grey_HW = _shrunk(image, _HASH_SIDE) @ _LUMA
    cosines, places = _cosines(_HASH_SIDE), _low_frequencies()
    spectrum_HW = cosines @ grey_HW @ cosines.T
    lowest = spectrum_HW[places]
    above = lowest > np.median(lowest)
    return Fingerprint(
        bits=int.from_bytes(np.packbits(above).tobytes()),
        thumbnail=_shrunk(image, _THUMBNAIL_SIDE).astype(np.uint8),
        plain=bool(grey_HW.std() < _PLAIN_DEVIATION),
    )


def same_picture(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two thumbnails show the same: alike on the whole and in every cell, so that an edited object differs."""
    apart_HW3 = np.abs(one.thumbnail.astype(np.float64) - other.thumbnail)
    brightness_HW = np.abs((one.thumbnail.astype(np.float64) - other.thumbnail) @ _LUMA)
    return bool(
        brightness_HW.mean() <= _MEAN_LIMIT
        and brightness_HW.max() <= _CELL_LIMIT
        and apart_HW3.mean(axis=2).max() <= _COLOUR_LIMIT
    )


class PictureIndex:
    """Fingerprints to be searched without looking at each.

    The bits are cut into four bands of 16. Of two hashes that differ in at most seven bits, one band differs in at
    most one: looking up each band as it is and with one bit turned (68 look-ups, whatever the size) finds them all.
    """

    def __init__(self, known: Sequence[Fingerprint | None]) -> None:
        self._known = known
        self._bands: list[defaultdict[int, list[int]]] = [defaultdict(list) for _ in range(_BANDS)]
        for place, one in enumerate(known):
            if one is not None and not one.plain:
                for table, band in zip(self._bands, _bands(one.bits), strict=True):
                    table[band].append(place)

    def find(self, one: Fingerprint) -> list[int]:
        """The places of the known pictures that ``one`` shows again, ascending; plain ones are never found."""
        return [place for place in sorted(self._candidates(one.bits)) if self._shows(place, one)]

    def may_show(self, place: int, one: Fingerprint) -> bool:
        """Whether ``one`` can be the known picture at ``place``, by thumbnail alone; true where that did not decode."""
        known = self._known[place]
        return known is None or same_picture(known, one)

    def _shows(self, place: int, one: Fingerprint) -> bool:
        known = self._known[place]
        return known is not None and bits_apart(known.bits, one.bits) <= RADIUS and same_picture(known, one)

    def _candidates(self, bits: int) -> set[int]:
        found: set[int] = set()
        for table, band in zip(self._bands, _bands(bits), strict=True):
            found.update(table.get(band, ()))
            for turned in range(_BAND_BITS):
                found.update(table.get(band ^ (1 << turned), ()))
        return found


def _bands(bits: int) -> Iterator[int]:
    return (bits >> (_BAND_BITS * band) & ((1 << _BAND_BITS) - 1) for band in range(_BANDS))


def _shrunk(image: Image.Image, side: int) -> NDArray[Any]:
    """float64 [side, side, 3]; the whole picture, its sides squeezed. The triangle filter depends least on the size."""
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), dtype=np.float64)


@cache
def _cosines(n: int) -> NDArray[Any]:
    """The cosine transform (DCT-II) as a matrix [n, n]."""
    return np.array([[math.cos(math.pi * (2 * x + 1) * u / (2 * n)) for x in range(n)] for u in range(n)])


@cache
def _low_frequencies() -> tuple[list[int], list[int]]:
    """Rows and columns of the 64 lowest frequencies but the mean, in a fixed order."""
    every = sorted((u + v, u, v) for u in range(BITS) for v in range(BITS) if u + v)[:BITS]
    return [u for _, u, _ in every], [v for _, _, v in every]
