"""Pictures a second and core, ours beside open_clip's transform, and how far the pixels are from open_clip's.

    python benchmarks/loader.py --photos FOLDER

Without ``--photos`` the pictures are made: 500 x 375 pixels of noise with the spectrum of photos, JPEG of quality 90.
The second table has the same pictures stored with a shorter side of 256 pixels. Time is processor time of one thread,
from the bytes of a JPEG to what a batch holds: float pixels with open_clip, bytes with us (they are normalised on the
device). Ratios are to open_clip's transform for the same purpose, evaluation (shorter side, centre) or training (random
resized crop), of the same picture and of the 500 px one.
"""

import argparse
import importlib.util
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from open_clip import image_transform
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from tripletclip.data.transforms import TransformConfig, decode_image, decode_plain_jpeg

SIZE, LARGE, STORED = 224, (500, 375), 256
MADE = 24
CONSOLE = Console(width=110)
EVALUATION, TRAINING = "open_clip, evaluation", "open_clip, training"


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way from JPEG to square. ``peer`` is what its time is compared with; none: a part of the work alone."""

    run: Callable[[bytes], object]
    peer: str | None = None
    pixels: Callable[[bytes], Tensor] | None = None


def ways() -> dict[str, Way]:
    """Every way by the name that the table gives it."""
    found = {
        EVALUATION: Way(run=open_clip_way(is_train=False), peer=EVALUATION),
        TRAINING: Way(run=open_clip_way(is_train=True), peer=TRAINING),
    }
    for resize in ("exact", "fast"):
        centre, random = TransformConfig(resize=resize), TransformConfig(resize=resize, crop="random")
        found[f"ours, {resize}, centre"] = Way(run=our_way(centre), peer=EVALUATION, pixels=our_way(centre))
        found[f"ours, {resize}, random crop"] = Way(run=our_way(random), peer=TRAINING)
    found["decode alone: torchvision"] = Way(run=decode_plain_jpeg)
    found["decode alone: Pillow"] = Way(run=lambda data: Image.open(io.BytesIO(data)).load())
    found["decode alone: Pillow, draft"] = Way(run=pillow_draft)
    if importlib.util.find_spec("simplejpeg") is not None:
        import simplejpeg

        found["decode alone: simplejpeg"] = Way(run=simplejpeg.decode_jpeg)
        found["decode alone: simplejpeg, scaled"] = Way(
            run=lambda data: simplejpeg.decode_jpeg(data, min_height=SIZE, min_width=SIZE, fastdct=True)
        )
    return found


def open_clip_way(*, is_train: bool) -> Callable[[bytes], Tensor]:
    """open_clip's own pipeline as its data code calls it: a Pillow image in, normalised floats out."""
    transform = image_transform(SIZE, is_train=is_train)
    return lambda data: torch.as_tensor(transform(Image.open(io.BytesIO(data))))


def our_way(config: TransformConfig) -> Callable[[bytes], Tensor]:
    return lambda data: decode_image(data, SIZE, config, draw=7)


def pillow_draft(data: bytes) -> None:
    image = Image.open(io.BytesIO(data))
    image.draft(None, (SIZE, SIZE))
    image.load()


# ---- pictures ------------------------------------------------------------------------------------------------------


def photos(folder: Path | None) -> list[bytes]:
    """The JPEG files of ``folder``, or made pictures."""
    if folder is None:
        return [made(seed) for seed in range(MADE)]
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise SystemExit(f"{folder} has no .jpg or .jpeg")
    return [path.read_bytes() for path in files]


def made(seed: int) -> bytes:
    """Noise whose amplitude falls with the frequency, as it does in photos."""
    width, height = LARGE
    generator = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    spectrum = np.fft.fft2(generator.standard_normal((3, height, width))) / np.maximum(frequency, 1 / width)
    waves = np.fft.ifft2(spectrum).real
    pixels = np.clip(128 + 60 * waves / waves.std(), 0, 255).astype(np.uint8)
    return jpeg(Image.fromarray(pixels.transpose(1, 2, 0)))


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def stored(data: bytes) -> bytes:
    """The picture with a shorter side of ``STORED`` pixels."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    factor = STORED / min(image.size)
    size = (round(image.width * factor), round(image.height * factor))
    return jpeg(image.resize(size, Image.Resampling.BICUBIC))


# ---- measuring -----------------------------------------------------------------------------------------------------


def seconds(found: dict[str, Way], pictures: list[bytes], rounds: int) -> dict[str, float]:
    """Least processor time for one picture of ``rounds``, in which the ways take turns."""
    least = dict.fromkeys(found, float("inf"))
    for _ in range(rounds):
        for name, way in found.items():
            start = time.process_time()
            for data in pictures:
                way.run(data)
            least[name] = min(least[name], time.process_time() - start)
    return {name: took / len(pictures) for name, took in least.items()}


def reference(data: bytes) -> Tensor:
    """open_clip's evaluation pixels as bytes, before normalisation."""
    transform = image_transform(SIZE, is_train=False, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return (torch.as_tensor(transform(Image.open(io.BytesIO(data)))) * 255).round()


def difference(way: Way, pictures: list[bytes]) -> str:
    """Largest and mean distance from open_clip's pixels, of 255."""
    if way.pixels is None:
        return ""
    off = torch.stack([(way.pixels(data).float() - reference(data)).abs() for data in pictures])
    return f"{off.max():.0f} / {off.mean():.3f}"


def report(title: str, pictures: list[bytes], rounds: int, large: dict[str, float]) -> tuple[Table, dict[str, float]]:
    """One table and the seconds in it; ``large`` are those of the 500 px pictures, where this is not they."""
    found = ways()
    took = seconds(found, pictures, rounds)
    table = Table(title=f"{title}: {len(pictures)} JPEGs of {sum(map(len, pictures)) / len(pictures) / 1e3:.0f} kB")
    headings = ["", "images/s/core", "ms", "to open_clip"] + (["to it at 500 px"] if large else [])
    for heading in [*headings, "pixels off, max / mean"]:
        table.add_column(heading, justify="right" if heading else "left")
    for name, way in found.items():
        cells = [f"{1 / took[name]:,.0f}", f"{1e3 * took[name]:.2f}"]
        for base in [took, large] if large else [took]:
            cells.append("" if way.peer is None else f"{base[way.peer] / took[name]:.2f}")
        table.add_row(name, *cells, difference(way, pictures))
    return table, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder of JPEG photos")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pictures = photos(options.photos)
    title = "made, 500 px" if options.photos is None else "photos"
    table, large = report(f"{title} -> {SIZE}", pictures, options.rounds, {})
    CONSOLE.print(table)
    small = [stored(data) for data in pictures]
    CONSOLE.print(report(f"stored at {STORED} px -> {SIZE}", small, options.rounds, large)[0])


if __name__ == "__main__":
    main()
