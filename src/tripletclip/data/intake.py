"""Images at the door: each is decoded once in full, and what other programs read differently is written anew."""

import io
import itertools

from PIL import Image, ImageSequence

from tripletclip.data import transforms
from tripletclip.data.transforms import ImageError

QUALITY = 95
JPEG_SIDE = 65500
"""libjpeg's limit; a longer image cannot be written anew."""

MAX_IMAGE_BYTES = 2**28
"""A larger file is refused unread: a 67-megapixel RGB image takes 200 MB without any compression."""

_KEPT_FORMATS = ("JPEG", "PNG", "WEBP")
_ORIENTATION = 0x0112
_PNG_DEPTH_AT = 24


def take_image(data: bytes, *, max_side: int | None) -> bytes:
    """The encoded image to store, proved to decode; JPEG, PNG, WebP and more come in.

    An upright still RGB or grey JPEG, PNG or WebP of 8 bits within ``max_side`` is returned as it is. CMYK, palette,
    alpha (laid on white), 16-bit, Exif-rotated, animated (first frame) and other images, and those with a side longer
    than ``max_side``, become an RGB JPEG of quality 95. Raises :class:`ImageError` with the reasons of
    ``transforms.decode_image``.
    """
    if len(data) > MAX_IMAGE_BYTES:
        raise ImageError("too large")
    pixels_3HW = transforms.decode_plain_jpeg(data)
    if pixels_3HW is not None and _fits(tuple(pixels_3HW.shape[1:]), max_side):
        return data
    image = transforms.decode_rgb(data)
    if _is_plain(data) and _fits(image.size, max_side):
        return data
    return _encoded(_shrunk(image, max_side))


def _fits(size: tuple[int, ...], max_side: int | None) -> bool:
    return max_side is None or max(size) <= max_side


def _is_plain(data: bytes) -> bool:
    """Whether every reader of the field shows these bytes alike. Call it on images that have been decoded before."""
    image = Image.open(io.BytesIO(data), formats=transforms.FORMATS)
    if image.format not in _KEPT_FORMATS or image.mode not in ("RGB", "L") or image.has_transparency_data:
        return False
    if image.format == "PNG" and data[_PNG_DEPTH_AT] != 8:
        return False  # Pillow shows 16-bit colour as 8-bit RGB; others do not
    turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
    frames = sum(1 for _ in itertools.islice(ImageSequence.Iterator(image), 2))
    return frames == 1 and not turned


def _shrunk(image: Image.Image, max_side: int | None) -> Image.Image:
    if max_side is None or _fits(image.size, max_side):
        return image
    longer = max(image.size)
    width, height = (max(1, round(side * max_side / longer)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _encoded(image: Image.Image) -> bytes:
    if max(image.size) > JPEG_SIDE:
        raise ImageError("too large")
    buffer = io.BytesIO()
    image.info.clear()  # or Pillow would carry the old file's comment over
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
