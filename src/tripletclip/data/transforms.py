"""Encoded bytes to pixels: one safe way in, the same pixels by either of its two paths.

An ordinary JPEG is decoded by torchvision, four times as fast as Pillow at 48 pixels and equal to it bit for bit
(both call libjpeg-turbo; a test compares them). Everything else, and every JPEG that torchvision refuses, goes to
Pillow. Measured and left out (docs/data-format.md): Pillow's draft mode, whose pixels are far off for little time, and
simplejpeg, which decodes as fast as torchvision.
"""

import io
import struct
import warnings

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from tripletclip.data.geometry import TransformConfig as TransformConfig
from tripletclip.data.geometry import fit, fit_bytes

MAX_PIXELS = 2**26
"""67 million: a large camera's picture, 200 MB decoded. More is refused from the header alone."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What Pillow may try. Formats that call other programs or rarely used decoders stay shut."""

EXACT = TransformConfig()
"""What evaluation does, and what a decoder does unless told otherwise."""

_HIGH_BYTE = 8
_EXIF_OR_XMP, _BASELINE_TO_PROGRESSIVE = 0xE1, (0xC0, 0xC1, 0xC2)


class ImageError(ValueError):
    """Bytes that give no image. ``reason`` is a few words, the same for the same kind of fault, fit to be counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode_image(data: bytes, size: int, config: TransformConfig = EXACT, draw: int = 0) -> Tensor:
    """Decode to uint8 [3, size, size] RGB, upright, made square as ``config`` says; a random crop depends on ``draw``.

    Grey, palette, CMYK and 16-bit images become 8-bit RGB; transparency is laid on white.
    Raises :class:`ImageError` with the reason ``empty``, ``not an image``, ``truncated``, ``corrupt``, ``too large``,
    ``decompression bomb`` or ``unsupported pixels``.
    """
    plain = decode_plain_jpeg(data)
    decoded = decode_rgb(data) if plain is None else plain
    if config.resize == "fast":
        return fit_bytes(_as_bytes(decoded), size, config, draw)
    if isinstance(decoded, Tensor):
        if decoded.shape[1:] == (size, size) and config.crop == "centre":
            return decoded
        decoded = Image.fromarray(decoded.permute(1, 2, 0).contiguous().numpy())
    return fit(decoded, size, config, draw)


def _as_bytes(decoded: Tensor | Image.Image) -> Tensor:
    return decoded if isinstance(decoded, Tensor) else torch.from_numpy(np.array(decoded)).permute(2, 0, 1)


def decode_plain_jpeg(data: bytes) -> Tensor | None:
    """uint8 [3, H, W] of an ordinary JPEG, or ``None`` where Pillow has to look."""
    size = _plain_jpeg_size(data)
    if size is None or size[0] * size[1] > MAX_PIXELS:
        return None
    try:
        pixels: Tensor = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    except RuntimeError:
        return None  # Pillow reads it once more and finds the reason
    return pixels


def _plain_jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Height and width from the header of an 8-bit grey or colour JPEG without Exif or XMP, otherwise ``None``.

    Walks the marker segments (ITU T.81, B.1.1) up to the start of frame; Exif and XMP may hold an orientation.
    """
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == _EXIF_OR_XMP:
            return None
        if marker in _BASELINE_TO_PROGRESSIVE:
            bits, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
            return (height, width) if bits == 8 and components in (1, 3) and height and width else None
        at += 2 + length
    return None


def decode_rgb(data: bytes) -> Image.Image:
    """Decode anything in ``FORMATS`` to RGB, or say in an :class:`ImageError` why not."""
    if not data:
        raise ImageError("empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata; too many pixels is judged just below
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise ImageError("too large")
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise ImageError("not an image") from error
    except Image.DecompressionBombError as error:
        raise ImageError("decompression bomb") from error
    except ImageError:
        raise
    except (OSError, EOFError) as error:
        raise ImageError("truncated" if "truncated" in str(error) else "corrupt") from error
    except (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, struct.error) as error:
        raise ImageError("corrupt") from error  # what Pillow's parsers let through on broken files


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel, also where Pillow holds them in 32; convert() would clip
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> _HIGH_BYTE
        return Image.fromarray(values.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError("unsupported pixels")
    if image.has_transparency_data:
        on_white = Image.new("RGBA", image.size, "white")
        on_white.alpha_composite(image.convert("RGBA"))
        return on_white.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
