"""What sources read, made small: encoded images of every awkward kind, tars member by member."""

import io
import struct
import tarfile
import zlib
from pathlib import Path

from PIL import Image

from tripletclip.data.pairs import Pair, Source
from tripletclip.data.sources import open_source


def jpeg(colour: str = "red", size: tuple[int, int] = (8, 6)) -> bytes:
    """A plain JPEG of one colour."""
    return saved(Image.new("RGB", size, colour))


def saved(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """``image`` encoded."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(header: bytes, pixels: bytes) -> bytes:
    """A PNG of the 13 bytes of its header and of its rows."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def hundred_megapixels() -> bytes:
    """A PNG that says that it has 10,000 by 10,000 pixels; nobody should look whether it does."""
    return png(struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0), b"")


BAD_IMAGES = {
    "image: empty": b"",
    "image: not an image": b"<html>404</html>",
    "image: truncated": saved(Image.effect_noise((64, 64), 50).convert("RGB"))[:-200],
    "image: too large": hundred_megapixels(),
}
BAD_CAPTIONS = {
    "caption: empty": b" \n\t\x00 ",
    "caption: not UTF-8": b"caf\xe9 au lait",
    "caption: too long": b"word " * 2_000,
}


def write_tar(path: Path, members: dict[str, bytes] | list[tuple[str, bytes]]) -> Path:
    """A tar of the members in their order; names may repeat in a list."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members.items() if isinstance(members, dict) else members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return path


def pairs_of(source: Source | str, rows: int = 100) -> list[Pair]:
    """All pairs of a source, or of what its specification names."""
    opened = open_source(source) if isinstance(source, str) else source
    return [pair for chunk in opened.chunks(rows) for pair in chunk.read()]


def problems_of(source: Source | str) -> dict[str, str]:
    """Key to problem of all pairs."""
    return {pair.key: pair.problem for pair in pairs_of(source)}
