"""Images at the door: plain ones stay byte for byte, awkward ones become RGB JPEGs that look as they should."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from source_files import BAD_IMAGES, jpeg, png, saved

from tripletclip.data.intake import take_image
from tripletclip.data.transforms import ImageError

ORIENTATION = 0x0112


def left_red_right_blue(width: int = 32, height: int = 16) -> Image.Image:
    image = Image.new("RGB", (width, height), "blue")
    image.paste("red", (0, 0, width // 2, height))
    return image


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def turned(orientation: int, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return saved(left_red_right_blue(), kind, exif=exif)


def colour_at(data: bytes, place: tuple[int, int]) -> tuple[int, ...]:
    pixel = opened(data).convert("RGB").getpixel(place)
    assert isinstance(pixel, tuple)
    return pixel


PLAIN = {
    "RGB JPEG": jpeg(),
    "progressive JPEG": saved(left_red_right_blue(), progressive=True),
    "grey JPEG": saved(left_red_right_blue().convert("L")),
    "JPEG with upright Exif": turned(1),
    "RGB PNG": saved(left_red_right_blue(), "PNG"),
    "grey PNG": saved(left_red_right_blue().convert("L"), "PNG"),
    "RGB WebP": saved(left_red_right_blue(), "WEBP"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_images_stay_as_they_are(name: str) -> None:
    assert take_image(PLAIN[name], max_side=None) == PLAIN[name]
    assert take_image(PLAIN[name], max_side=32) == PLAIN[name]


def with_a_hole() -> Image.Image:
    """One transparent pixel, near the edge between the colours, so that an encoder keeps the alpha."""
    image = left_red_right_blue().convert("RGBA")
    image.putpixel((16, 8), (0, 0, 0, 0))
    return image


def frames(kind: str) -> bytes:
    second = Image.new("RGB", (32, 16), "green")
    return saved(left_red_right_blue(), kind, save_all=True, append_images=[second], lossless=True)


def sixteen_bits() -> bytes:
    values = np.zeros((16, 32), np.uint16)
    values[:, :16] = 0xFF00
    return saved(Image.fromarray(values), "PNG")


AWKWARD = {
    "CMYK JPEG": saved(left_red_right_blue().convert("CMYK")),
    "palette PNG": saved(left_red_right_blue().convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
    "palette GIF": saved(left_red_right_blue(), "GIF"),
    "BMP": saved(left_red_right_blue(), "BMP"),
    "alpha PNG": saved(with_a_hole(), "PNG"),
    "alpha WebP": saved(with_a_hole(), "WEBP", lossless=True, exact=True),
    "animated GIF": frames("GIF"),
    "animated WebP": frames("WEBP"),
    "animated PNG": frames("PNG"),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_images_become_rgb_jpegs_of_the_same_picture(name: str) -> None:
    taken = opened(take_image(AWKWARD[name], max_side=None))
    assert (taken.format, taken.mode, taken.size) == ("JPEG", "RGB", (32, 16))
    difference = np.asarray(taken, np.int64) - np.asarray(left_red_right_blue(), np.int64)
    away_from_edge = np.delete(difference, slice(12, 20), axis=1)
    assert np.abs(away_from_edge).max() < 12


def test_sixteen_bits_become_eight() -> None:
    data = take_image(sixteen_bits(), max_side=None)
    assert opened(data).mode == "RGB"
    assert min(colour_at(data, (4, 8))) > 250 and max(colour_at(data, (28, 8))) < 5


def test_sixteen_bit_colour_is_written_anew() -> None:
    """Pillow cannot write such a PNG, and reads it as 8-bit RGB: four rows (filter 0) of four red pixels."""
    rows = (b"\0" + b"\xff\xff\0\0\0\0" * 4) * 4
    data = png(struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0), rows)
    assert opened(data).mode == "RGB"
    assert opened(take_image(data, max_side=None)).format == "JPEG"


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_rotated_images_are_set_upright(kind: str) -> None:
    """Orientation 6 means: turn a quarter clockwise to see it. Left (red) is then on top."""
    data = take_image(turned(6, kind), max_side=None)
    image = opened(data)
    assert image.size == (16, 32) and image.format == "JPEG"
    assert image.getexif().get(ORIENTATION) is None
    assert colour_at(data, (8, 4))[0] > 200 and colour_at(data, (8, 28))[2] > 200


def test_transparent_pixels_are_white() -> None:
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert min(colour_at(take_image(saved(image, "PNG"), max_side=None), (8, 8))) > 250


def test_an_rgb_image_with_a_transparent_colour_is_written_anew() -> None:
    """Some readers show such a PNG (chunk tRNS) with holes, others do not."""
    data = saved(left_red_right_blue(), "PNG", transparency=(0, 0, 255))
    assert opened(data).mode == "RGB"
    assert opened(take_image(data, max_side=None)).format == "JPEG"


def test_what_is_written_anew_carries_no_comment() -> None:
    assert "comment" not in opened(take_image(saved(left_red_right_blue(), "GIF", comment=b"x"), max_side=None)).info


@pytest.mark.parametrize(("size", "expected"), [((64, 32), (16, 8)), ((32, 64), (8, 16)), ((900, 3), (16, 1))])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_larger_images_shrink_to_max_side(kind: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert opened(take_image(saved(left_red_right_blue(*size), kind), max_side=16)).size == expected


@pytest.mark.parametrize("problem", BAD_IMAGES)
def test_broken_images_say_why(problem: str) -> None:
    with pytest.raises(ImageError) as error:
        take_image(BAD_IMAGES[problem], max_side=None)
    assert f"image: {error.value.reason}" == problem


def test_what_a_jpeg_cannot_hold_is_refused() -> None:
    """A palette image 70,000 pixels wide must be written anew, and JPEG ends at 65,500."""
    data = saved(Image.new("P", (70_000, 1)), "PNG")
    with pytest.raises(ImageError, match="too large"):
        take_image(data, max_side=None)
    assert opened(take_image(data, max_side=100)).size == (100, 1)


def test_a_transparent_colour_of_an_rgb_png_lies_on_white() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(buffer, "PNG", transparency=(255, 0, 0))
    kept = Image.open(io.BytesIO(take_image(buffer.getvalue(), max_side=None)))
    assert kept.format == "JPEG" and kept.convert("RGB").getpixel((4, 4)) == (255, 255, 255)
