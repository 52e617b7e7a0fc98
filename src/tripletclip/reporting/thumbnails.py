"""Pictures of any kind, made small, for pages that hold them."""

import io

from PIL import Image

from tripletclip.data.transforms import decode_rgb

QUALITY = 82


def thumbnail(data: bytes, side: int) -> bytes:
    """The whole picture as a JPEG whose longer side is at most ``side`` pixels; small ones keep their size.

    Raises :class:`tripletclip.data.transforms.ImageError` with the reason that training would count.
    """
    image = decode_rgb(data)
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    image.info.clear()  # neither profile nor comment of the old file
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
