"""Decoding: the same pixels as Pillow and torchvision give, and every broken file is an ImageError with a reason."""

import io
import math
import struct
import time
import zlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_shards import encoded
from open_clip import image_transform
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, RandomResizedCrop, Resize
from torchvision.transforms.functional import resized_crop

from tripletclip.data import transforms
from tripletclip.data.geometry import random_box
from tripletclip.data.transforms import ImageError, TransformConfig, decode_image
from tripletclip.errors import UserError

PHOTOS = sorted((Path(__file__).parents[3] / "shared" / "data" / "photos_60").glob("*.JPEG"))


def pixels_of(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def reference(data: bytes, size: int) -> torch.Tensor:
    """What open_clip's evaluation preprocessing gives before it normalises."""
    steps = Compose([Resize(size, interpolation=InterpolationMode.BICUBIC), CenterCrop(size)])
    return pixels_of(steps(Image.open(io.BytesIO(data)).convert("RGB")))


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reason_of(data: bytes) -> str:
    with pytest.raises(ImageError) as error:
        decode_image(data, 16)
    assert str(error.value) == error.value.reason
    return error.value.reason


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_fast_path_equals_pillow_bit_for_bit(quality: int, options: dict[str, object], mode: str) -> None:
    gradient = Image.linear_gradient("L").resize((48, 48))
    image = Image.merge("RGB", [gradient, gradient.rotate(90), gradient.rotate(180)]).convert(mode)
    data = saved(image, "JPEG", quality=quality, **options)
    assert transforms.decode_plain_jpeg(data) is not None
    assert torch.equal(decode_image(data, 48), pixels_of(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(40, 40), (97, 60), (60, 97), (31, 200), (16, 17), (5, 9)])
def test_resize_and_crop_equal_open_clip(kind: str, size: tuple[int, int]) -> None:
    data = encoded(1, size, kind)
    ours, theirs = decode_image(data, 16), reference(data, 16)
    assert ours.dtype == torch.uint8 and ours.shape == (3, 16, 16) and ours.is_contiguous()
    assert (ours.int() - theirs.int()).abs().max() <= 1


@pytest.mark.skipif(not PHOTOS, reason="needs shared/data/photos_60")
def test_photos_equal_open_clip() -> None:
    for path in PHOTOS[:12]:
        data = path.read_bytes()
        assert torch.equal(decode_image(data, 96), reference(data, 96)), path.name


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_orientation_is_honoured(orientation: int, kind: str) -> None:
    upright = Image.new("RGB", (16, 16), "black")
    upright.paste("red", (0, 0, 8, 8))
    upright.paste("blue", (8, 0, 16, 8))
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(upright if undo is None else upright.transpose(undo), kind, exif=exif, subsampling=0)
    assert (decode_image(data, 16).int() - pixels_of(upright).int()).abs().max() < 60  # any other way up: 255


def test_every_kind_of_pixels_becomes_rgb() -> None:
    grey = Image.new("L", (16, 16), 100)
    for data in (
        saved(grey),
        saved(grey.convert("P")),
        saved(Image.new("LA", (16, 16), (100, 255))),
        saved(Image.new("RGBA", (16, 16), (100, 100, 100, 255))),
        saved(Image.fromarray(np.full((16, 16), 100 * 256 + 7, dtype=np.uint16))),
        saved(Image.new("CMYK", (16, 16), (0, 0, 0, 155)), "JPEG"),
        saved(grey, "GIF"),
        saved(grey, "BMP"),
        saved(grey.convert("RGB"), "WEBP", lossless=True),
    ):
        difference = decode_image(data, 16).int() - 100
        assert difference.abs().max() <= 1
    assert decode_image(saved(Image.new("1", (16, 16), 1)), 16).numpy().min() == 255


def test_transparency_is_laid_on_white() -> None:
    assert decode_image(saved(Image.new("RGBA", (16, 16), (10, 20, 30, 0))), 16).numpy().min() == 255
    assert decode_image(saved(Image.new("LA", (16, 16), (0, 128))), 16).numpy().max() == 127


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost no data."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def with_jpeg_size(data: bytes, width: int, height: int) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def test_pixels_are_limited_before_decoding() -> None:
    started = time.perf_counter()
    assert reason_of(png_header(10_000, 10_000)) == "too large"
    assert reason_of(png_header(60_000, 60_000)) == "decompression bomb"
    assert reason_of(with_jpeg_size(encoded(0), 9_000, 9_000)) == "too large"
    assert reason_of(with_jpeg_size(encoded(0), 60_000, 60_000)) == "decompression bomb"
    assert time.perf_counter() - started < 1


def test_a_thin_picture_does_not_explode() -> None:
    assert decode_image(saved(Image.new("RGB", (1, 60_000), "red")), 64).shape == (3, 64, 64)


def test_reasons() -> None:
    assert reason_of(b"") == "empty"
    assert reason_of(b"<html>not found</html>") == "not an image"
    assert reason_of(encoded(0)[:-40]) == "truncated"
    assert reason_of(encoded(0, kind="PNG")[:-200]) in ("truncated", "corrupt")
    assert reason_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n") == "not an image"


def test_every_cut_gives_the_verdict_of_pillow() -> None:
    data = encoded(3, (24, 24))
    for length in range(len(data)):
        try:
            Image.open(io.BytesIO(data[:length])).load()
        except OSError:
            with pytest.raises(ImageError):
                decode_image(data[:length], 24)
        else:
            decode_image(data[:length], 24)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP"]),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_broken_bytes_give_an_image_or_an_image_error(kind: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(encoded(5, (12, 12), kind))
    for at, value in changes:
        data[at % len(data)] = value
    try:
        sound = decode_image(bytes(data), 8).shape == (3, 8, 8)
    except ImageError as error:
        sound = error.reason != ""
    assert sound


# ---- other ways to a square ----------------------------------------------------------------------------------------

SIZES = [(40, 40), (97, 60), (60, 97), (31, 200), (16, 17), (5, 9), (16, 16), (20, 61), (4, 60), (95, 80)]


def soft_noise(width: int, height: int) -> Image.Image:
    """Noise of half contrast. At full contrast a bicubic filter leaves 0 to 255 after its first direction and is cut
    there; which direction comes first differs between libraries, and then single values differ by more."""
    return Image.fromarray(np.random.default_rng(1).integers(64, 192, (height, width, 3), dtype=np.uint8))


def theirs(data: bytes, size: int, **settings: str) -> torch.Tensor:
    """open_clip's own evaluation pipeline, its normalisation undone."""
    transform = image_transform(size, is_train=False, mean=(0, 0, 0), std=(1, 1, 1), **settings)
    floats: torch.Tensor = transform(Image.open(io.BytesIO(data)).convert("RGB"))
    return (floats * 255).round().to(torch.uint8)


@pytest.mark.parametrize("resize", ["exact", "fast"])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", SIZES)
def test_every_mode_gives_open_clips_pixels(resize: str, mode: str, interpolation: str, size: tuple[int, int]) -> None:
    config = TransformConfig(resize=resize, resize_mode=mode, interpolation=interpolation)
    thin = max(size) / min(size)
    for kind in ("JPEG", "PNG"):
        data = saved(soft_noise(*size), kind)
        ours = decode_image(data, 16, config)
        assert ours.dtype == torch.uint8 and ours.shape == (3, 16, 16)
        expected = theirs(data, 16, resize_mode=mode, interpolation=interpolation)
        assert (ours.int() - expected.int()).abs().max() <= (0 if resize == "exact" and thin < 4 else 1)


def test_longest_fills_with_the_colour() -> None:
    data = saved(Image.new("RGB", (40, 20), "black"))
    pixels = decode_image(data, 16, TransformConfig(resize_mode="longest", fill_color=200))
    assert pixels[0, :, 0].tolist() == [200] * 4 + [0] * 8 + [200] * 4


@pytest.mark.skipif(not PHOTOS, reason="needs shared/data/photos_60")
def test_fast_photos_equal_open_clip() -> None:
    for path in PHOTOS[:12]:
        data = path.read_bytes()
        fast = decode_image(data, 96, TransformConfig(resize="fast"))
        difference = (fast.int() - reference(data, 96).int()).abs()
        assert difference.max() <= 2 and difference.float().mean() < 0.02, path.name


@pytest.mark.parametrize("resize", ["exact", "fast"])
@pytest.mark.parametrize("size", [(64, 48), (48, 64), (30, 90)])
def test_a_random_crop_is_a_part_resized(resize: str, size: tuple[int, int]) -> None:
    """torchvision cuts and resizes the box that the draw gives; the box itself is tested below."""
    data = encoded(2, size, "PNG")
    config = TransformConfig(resize=resize, crop="random", scale=(0.3, 0.9))
    for draw in range(8):
        left, top, across, down = random_box(*size, config, Random(draw))
        picture = Image.open(io.BytesIO(data))
        expected = resized_crop(picture, top, left, down, across, [16, 16], InterpolationMode.BICUBIC)
        difference = (decode_image(data, 16, config, draw).int() - pixels_of(expected).int()).abs()
        assert difference.max() <= (0 if resize == "exact" else 1)
    assert len({decode_image(data, 16, config, draw).numpy().tobytes() for draw in range(8)}) >= 7


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**64 - 1))
def test_random_boxes_lie_inside(width: int, height: int, draw: int) -> None:
    left, top, across, down = random_box(width, height, TransformConfig(), Random(draw))
    assert 0 <= left <= left + across <= width and 0 <= top <= top + down <= height and across > 0 and down > 0


def test_random_boxes_have_torchvisions_distribution() -> None:
    """Mean and spread of each number of 4,000 boxes, within four standard errors of torchvision's own."""
    config = TransformConfig(scale=(0.4, 1.0))
    ours = torch.tensor([random_box(200, 150, config, Random(draw)) for draw in range(4000)]).float()
    torch.manual_seed(0)
    blank = torch.zeros(3, 150, 200)
    drawn = [RandomResizedCrop.get_params(blank, [0.4, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    others = torch.tensor([(left, top, across, down) for top, left, down, across in drawn]).float()
    errors = (2 * others.var(0) / 4000).sqrt()
    assert ((ours.mean(0) - others.mean(0)).abs() < 4 * errors).all()
    assert ((ours.std(0) - others.std(0)).abs() < 4 * errors).all()


def test_shapes_and_areas_are_drawn_evenly() -> None:
    """Where every box fits, the shape's logarithm is uniform on ± ln(4/3) (mean 0, deviation 2 ln(4/3)/√12), the share
    of the area on 0.1 to 0.3 (mean 0.2, deviation 0.2/√12); means of 4,000 within four standard errors."""
    config = TransformConfig(scale=(0.1, 0.3))
    boxes = torch.tensor([random_box(600, 600, config, Random(draw)) for draw in range(4000)]).double()
    shapes, shares = (boxes[:, 2] / boxes[:, 3]).log(), boxes[:, 2] * boxes[:, 3] / 360_000
    for values, mean, width in ((shapes, 0.0, 2 * math.log(4 / 3)), (shares, 0.2, 0.2)):
        deviation = width / math.sqrt(12)
        assert abs(float(values.mean()) - mean) < 4 * deviation / math.sqrt(4000)
        assert float(values.std()) == pytest.approx(deviation, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resize": "fats"}, "unknown resize 'fats'; did you mean 'fast'"),
        ({"crop": "center"}, "unknown crop 'center'; did you mean 'centre'"),
        ({"resize_mode": "shorter"}, "did you mean 'shortest'"),
        ({"interpolation": "nearest"}, "unknown interpolation 'nearest'"),
        ({"scale": (0.9, 1.1)}, r"scale is \(0.9, 1.1\)"),
        ({"scale": (0.0, 1.0)}, "scale is"),
        ({"ratio": (2.0, 1.0)}, "ratio is"),
        ({"fill_color": 256}, "fill_color is 256"),
    ],
)
def test_nonsense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TransformConfig(**settings)
