"""How a picture becomes a square of the size that a model takes: which part of it, by which filter, by whose code.

Shapes: H, W pixels of the picture, S side of the square. Boxes are left, top, right, bottom in pixels of the picture.
"""

import math
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from tripletclip.errors import UserError, unknown_name

RESIZES = ("exact", "fast", "draft")
CROPS = ("centre", "random")
MODES = ("shortest", "longest", "squash")
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
TRIES = 10
"""Boxes drawn before a random crop gives up and takes the centre, as torchvision 0.26 does."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class TransformConfig:
    """How a picture becomes a square. The defaults give what open_clip gives in evaluation.

    resize         exact: Pillow. fast: torch's filters on bytes, in a quarter of the time; on photos within 2 of 255,
                   0.004 in the mean. draft: also lets the JPEG decoder halve a picture while it stays as large as
                   needed; other pixels (docs/data-format.md says how far), and faster the larger the photos are
    crop           centre, or random: a part drawn by ``scale`` and ``ratio``, stretched to the square (open_clip trains
                   so; ``resize_mode`` does not matter then)
    scale          least and greatest share of the area that a random crop has
    ratio          least and greatest width over height that it has
    resize_mode    shortest: the shorter side fits and the centre is kept. longest: the longer side fits and the rest is
                   filled. squash: both sides fit
    interpolation  bicubic or bilinear
    fill_color     what fills, 0 to 255
    """

    resize: str = "exact"
    crop: str = "centre"
    scale: tuple[float, float] = (0.9, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    resize_mode: str = "shortest"
    interpolation: str = "bicubic"
    fill_color: int = 0

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("resize", self.resize, RESIZES),
            ("crop", self.crop, CROPS),
            ("resize_mode", self.resize_mode, MODES),
            ("interpolation", self.interpolation, FILTERS),
        ):
            if name not in known:
                raise unknown_name(kind, name, known)
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise UserError(f"scale is {self.scale}; give two shares of the area, 0 < least <= greatest <= 1")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise UserError(f"ratio is {self.ratio}; give two ratios, 0 < least <= greatest")
        if not 0 <= self.fill_color <= 255:
            raise UserError(f"fill_color is {self.fill_color}; give 0 to 255")


def fit(image: Image.Image, size: int, config: TransformConfig, draw: int) -> Tensor:
    """uint8 [3, S, S] of an RGB picture, by Pillow."""
    plan = _plan(image.width, image.height, size, config, draw)
    if config.crop == "random":  # cut first: what lies outside of the part does not shine in at its edge
        left, top, right, bottom = (int(edge) for edge in plan.box)
        image = image.crop((left, top, right, bottom))
        plan = _Plan(box=(0, 0, image.width, image.height), inner=plan.inner)
    if (image.width, image.height) != plan.inner or plan.box != (0, 0, *plan.inner):
        image = image.resize(plan.inner, FILTERS[config.interpolation], box=plan.box)
    pixels_3HW = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return _filled(pixels_3HW, size, config.fill_color)


def fit_bytes(pixels_3HW: Tensor, size: int, config: TransformConfig, draw: int) -> Tensor:
    """uint8 [3, S, S] of uint8 [3, H, W], by torch.

    torch takes whole pixels only, so a centre is resized with what is cut off afterwards; to cut first would shift it.
    A random crop has a box of whole pixels, and is cut first.
    """
    _, height, width = pixels_3HW.shape
    plan = _plan(width, height, size, config, draw)
    if config.crop == "random":
        left, top, right, bottom = (int(edge) for edge in plan.box)
        return _filled(_resized(pixels_3HW[:, top:bottom, left:right], size, size, config), size, config.fill_color)
    if config.resize_mode != "shortest":
        return _filled(_resized(pixels_3HW, *plan.inner, config), size, config.fill_color)
    scaled_width, scaled_height = _shortest(width, height, size)
    if max(scaled_width, scaled_height) > MOST_SCALED * size:  # cut in Pillow, which computes what is kept alone
        return fit(Image.fromarray(pixels_3HW.permute(1, 2, 0).contiguous().numpy()), size, config, draw)
    left, top = round((scaled_width - size) / 2), round((scaled_height - size) / 2)
    return _resized(pixels_3HW, scaled_width, scaled_height, config)[:, top : top + size, left : left + size]


MOST_SCALED = 4
"""A picture whose longer side is more than so many times its shorter one is cut before it is resized."""


def _resized(pixels_3HW: Tensor, width: int, height: int, config: TransformConfig) -> Tensor:
    if pixels_3HW.shape[1:] == (height, width):
        return pixels_3HW
    # Bytes that lie channels last take torch's vectorised path; in other layouts it is three times slower.
    batch = pixels_3HW.unsqueeze(0).contiguous(memory_format=torch.channels_last)
    return F.interpolate(batch, size=(height, width), mode=config.interpolation, antialias=True)[0]


def _filled(pixels_3HW: Tensor, size: int, color: int) -> Tensor:
    """Pixels laid in the middle of a square; equal margins, the odd pixel right and below."""
    _, height, width = pixels_3HW.shape
    if (height, width) == (size, size):
        return pixels_3HW
    across, down = size - width, size - height
    return F.pad(pixels_3HW, (across // 2, across - across // 2, down // 2, down - down // 2), value=color)


# ---- geometry ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """``box`` of the picture becomes ``inner`` (width, height) pixels, which fill the square or lie in its middle."""

    box: Box
    inner: tuple[int, int]


def _plan(width: int, height: int, size: int, config: TransformConfig, draw: int) -> _Plan:
    """Where the square comes from. torchvision's ``Resize`` and ``CenterCrop`` in one step for the shortest side: only
    the pixels that are kept get computed, so a picture of 1 by 60 million pixels costs no more than another."""
    if config.crop == "random":
        left, top, across, down = random_box(width, height, config, Random(draw))
        return _Plan(box=(left, top, left + across, top + down), inner=(size, size))
    whole: Box = (0, 0, width, height)
    if config.resize_mode == "squash" or (width, height) == (size, size):
        return _Plan(box=whole, inner=(size, size))
    if config.resize_mode == "longest":
        ratio = max(width, height) / size
        return _Plan(box=whole, inner=(max(1, round(width / ratio)), max(1, round(height / ratio))))
    scaled_width, scaled_height = _shortest(width, height, size)
    left, top = round((scaled_width - size) / 2), round((scaled_height - size) / 2)
    x, y = width / scaled_width, height / scaled_height
    box = (left * x, top * y, min((left + size) * x, width), min((top + size) * y, height))
    return _Plan(box=box, inner=(size, size))


def _shortest(width: int, height: int, size: int) -> tuple[int, int]:
    shorter = min(width, height)
    return size * width // shorter, size * height // shorter


def random_box(width: int, height: int, config: TransformConfig, random: Random) -> tuple[int, int, int, int]:
    """Left, top, width, height of a part with a share of the area in ``scale`` and a shape in ``ratio``.

    The distribution is that of torchvision's ``RandomResizedCrop``: the area uniform, the logarithm of the shape
    uniform, the place uniform; after ``TRIES`` boxes that do not fit, the largest centre of an allowed shape.
    """
    for _ in range(TRIES):
        area = width * height * random.uniform(*config.scale)
        shape = math.exp(random.uniform(math.log(config.ratio[0]), math.log(config.ratio[1])))
        across, down = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < across <= width and 0 < down <= height:
            return random.randint(0, width - across), random.randint(0, height - down), across, down
    shape = min(max(width / height, config.ratio[0]), config.ratio[1])
    across, down = min(width, max(1, round(height * shape))), min(height, max(1, round(width / shape)))
    return (width - across) // 2, (height - down) // 2, across, down
