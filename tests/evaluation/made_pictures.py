"""Pictures with something to see in them, and how they are stored."""

import io
import random

from PIL import Image, ImageDraw


def painted(seed: int, *, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Twelve coloured blobs on a colour."""
    rng = random.Random(seed)
    image = Image.new("RGB", size, tuple(rng.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.randrange(size[0]), rng.randrange(size[1])
        width, height = rng.randrange(20, size[0] // 2), rng.randrange(20, size[1] // 2)
        draw.ellipse((x, y, x + width, y + height), fill=tuple(rng.randrange(256) for _ in range(3)))
    return image


def stored(image: Image.Image, *, scale: float = 1.0, kind: str = "PNG", quality: int = 90) -> bytes:
    smaller = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    smaller.save(buffer, kind, **({"quality": quality} if kind == "JPEG" else {}))
    return buffer.getvalue()
