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

RESIZES = ("exact", "fast")
CROPS = ("centre", "random")
MODES = ("shortest", "longest", "squash")
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
MOST_SCALED = 4
"""A picture whose longer side is more than so many times its shorter one is cut while it is resized."""

TRIES = 10
"""Boxes drawn before a random crop gives up and takes the centre, as torchvision 0.26 does."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class TransformConfig:
    """How a picture becomes a square. The defaults give what open_clip gives in evaluation.

    resize         exact: Pillow, bit for bit what open_clip's transforms give. fast: torch's filters on bytes, in a
                   quarter of the time; on photos single values are 2 of 255 off, 0.004 in the mean
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
    if plan.cut is not None:
        image = image.crop(plan.cut)
    if image.size != plan.inner or plan.box is not None:
        image = image.resize(plan.inner, FILTERS[config.interpolation], box=plan.box)
    pixels_3HW = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return _squared(pixels_3HW, size, config.fill_color).contiguous()


def fit_bytes(pixels_3HW: Tensor, size: int, config: TransformConfig, draw: int) -> Tensor:
    """uint8 [3, S, S] of uint8 [3, H, W], by torch."""
    _, height, width = pixels_3HW.shape
    plan = _plan(width, height, size, config, draw)
    if plan.box is not None:  # torch takes whole pixels only
        return fit(Image.fromarray(pixels_3HW.permute(1, 2, 0).contiguous().numpy()), size, config, draw)
    if plan.cut is not None:
        left, top, right, bottom = plan.cut
        pixels_3HW = pixels_3HW[:, top:bottom, left:right]
    inner_width, inner_height = plan.inner
    if pixels_3HW.shape[1:] != (inner_height, inner_width):
        # Bytes that lie channels last take torch's vectorised path; in other layouts it is three times slower.
        batch = pixels_3HW.unsqueeze(0).contiguous(memory_format=torch.channels_last)
        pixels_3HW = F.interpolate(batch, (inner_height, inner_width), mode=config.interpolation, antialias=True)[0]
    return _squared(pixels_3HW, size, config.fill_color)


def _squared(pixels_3HW: Tensor, size: int, color: int) -> Tensor:
    """The centre of what is too long, in the middle of what is too short.

    Rounded as by torchvision's ``CenterCrop``, and by open_clip's padding: the odd pixel goes right and below.
    """
    _, height, width = pixels_3HW.shape
    left, top = round(max(0, width - size) / 2), round(max(0, height - size) / 2)
    pixels_3HW = pixels_3HW[:, top : top + size, left : left + size]
    across, down = max(0, size - width), max(0, size - height)
    if not across and not down:
        return pixels_3HW
    return F.pad(pixels_3HW, (across // 2, across - across // 2, down // 2, down - down // 2), value=color)


# ---- geometry ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The picture is cut to ``cut``, then ``box`` of it (none: all) becomes ``inner`` (width, height) pixels, whose
    centre is the square."""

    inner: tuple[int, int]
    cut: tuple[int, int, int, int] | None = None
    box: Box | None = None


def _plan(width: int, height: int, size: int, config: TransformConfig, draw: int) -> _Plan:
    """Where the square comes from."""
    if config.crop == "random":
        left, top, across, down = random_box(width, height, config, Random(draw))
        return _Plan(cut=(left, top, left + across, top + down), inner=(size, size))
    if config.resize_mode == "squash" or (width, height) == (size, size):
        return _Plan(inner=(size, size))
    if config.resize_mode == "longest":
        ratio = max(width, height) / size
        return _Plan(inner=(max(1, round(width / ratio)), max(1, round(height / ratio))))
    shorter = min(width, height)
    inner_width, inner_height = size * width // shorter, size * height // shorter
    if max(inner_width, inner_height) <= MOST_SCALED * size:
        return _Plan(inner=(inner_width, inner_height))
    # Only the pixels that are kept get computed, so a picture of 1 by 60 million pixels costs no more than another.
    left, top = round((inner_width - size) / 2), round((inner_height - size) / 2)
    x, y = width / inner_width, height / inner_height
    return _Plan(
        box=(left * x, top * y, min((left + size) * x, width), min((top + size) * y, height)), inner=(size, size)
    )


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
