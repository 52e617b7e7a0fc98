"""An image of a benchmark: encoded bytes in memory, or a file that is read when it is needed.

Benchmarks of files hold paths and hashes only, so a benchmark never has all of its images in memory.
"""

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from PIL import Image

Box: TypeAlias = tuple[int, int, int, int]
"""x, y, width, height of a crop in pixels, from the upper left corner."""


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An image file by the SHA-256 of its bytes, and the crop of it that is meant. Two paths to it are one picture."""

    path: Path = field(compare=False)
    digest: str
    box: Box | None = None


Picture: TypeAlias = bytes | ImageFile


def image_file(path: Path, box: Box | None = None) -> ImageFile:
    """The file at ``path``, read once for its hash. ``OSError`` if it cannot be read."""
    return ImageFile(path=path, digest=hashlib.sha256(path.read_bytes()).hexdigest(), box=box)


def picture_bytes(picture: Picture) -> bytes:
    """An encoded image: the bytes as they are, or the crop of a file as PNG.

    A crop is taken from the pixels as they lie in the file, whatever its EXIF says of their orientation: boxes are
    annotated so. It is clipped to the image. ``OSError`` for a file that is missing or holds no image, ``ValueError``
    for a box that lies outside of it.
    """
    if isinstance(picture, bytes):
        return picture
    data = picture.path.read_bytes()
    return data if picture.box is None else _cropped(data, picture.box)


def picture_digest(picture: Picture) -> str:
    """SHA-256 (hex) that tells pictures apart: of the bytes, and of the crop where there is one."""
    if isinstance(picture, bytes):
        return hashlib.sha256(picture).hexdigest()
    if picture.box is None:
        return picture.digest
    return hashlib.sha256(f"{picture.digest} {picture.box}".encode("ascii")).hexdigest()


def _cropped(data: bytes, box: Box) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        x, y, width, height = box
        left, upper = max(x, 0), max(y, 0)
        right, lower = min(x + width, image.width), min(y + height, image.height)
        if left >= right or upper >= lower:
            raise ValueError(f"the crop {box} lies outside of the image of {image.width} x {image.height} pixels")
        file = io.BytesIO()
        image.convert("RGB").crop((left, upper, right, lower)).save(file, "PNG")
    return file.getvalue()
