"""Small files in the published forms, written by the tests."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

SHARED = Path(__file__).parents[3] / "../shared/data"
"""Real files, where a machine has them; never copied."""


def write_image(path: Path, number: int, side: int = 8) -> Path:
    """An image whose bytes no other number has, in the format of the file's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (number % 256, number // 256, side)).save(path)
    with path.open("ab") as file:
        file.write(f"{number}".encode())  # JPEG makes near colours equal; decoders stop before this
    return path


def write_images(folder: Path, names: Iterable[str]) -> None:
    for number, name in enumerate(sorted(set(names))):
        write_image(folder / name, number)


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf8")
    return path


def write_lines(path: Path, lines: Iterable[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf8")
    return path
