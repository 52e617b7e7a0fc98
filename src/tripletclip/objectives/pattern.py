"""Which halves of a batch meet in an objective.

A batch has *halves* of images and of texts: half 0 the positives, then the negatives (one of images, any number of
texts). The target of row n of a query half is row n of the same half of the other modality.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Meets = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Which halves meet.

    ``image_to_text[h]`` lists the halves of texts that images of half ``h`` are compared with; an empty tuple means
    that this half asks no question. ``text_to_image`` likewise. ``weight`` multiplies the sum of the terms, each term
    being the mean cross-entropy of one query half; the paper's code halves the sum of both directions, so it is 1/2.
    """

    image_to_text: Meets
    text_to_image: Meets
    weight: float = 0.5

    def __post_init__(self) -> None:
        for meets in (self.image_to_text, self.text_to_image):
            for half, others in enumerate(meets):
                assert not others or half in others, f"the target of half {half} is no candidate: {others}"

    @property
    def image_halves(self) -> int:
        """Halves of images that a batch must bring."""
        return len(self.image_to_text)

    @property
    def text_halves(self) -> int:
        """Halves of texts that a batch must bring."""
        return len(self.text_to_image)

    def asked_by_images(self) -> list[tuple[int, int]]:
        """The (image half, text half) that meet from image to text."""
        return [(i, t) for i, others in enumerate(self.image_to_text) for t in others]

    def asked_by_texts(self) -> list[tuple[int, int]]:
        """The (image half, text half) that meet from text to image."""
        return [(i, t) for t, others in enumerate(self.text_to_image) for i in others]

    def meeting(self) -> set[tuple[int, int]]:
        """All (image half, text half) that meet in either direction."""
        return {*self.asked_by_images(), *self.asked_by_texts()}

    def asks_negatives(self) -> bool:
        """Whether a half other than the positive one asks questions, as the negative pairs in Eq. 4."""
        return any(others for meets in (self.image_to_text, self.text_to_image) for others in meets[1:])

    def has_hard(self) -> bool:
        """Whether halves of different kinds meet, so that there are hard negatives."""
        return any(i != t for i, t in self.meeting())

    def refuse_others(self, images: Sequence[Tensor], texts: Sequence[Tensor]) -> None:
        """Raise ValueError where the halves do not fit the pattern or each other."""
        if len(images) != self.image_halves or len(texts) != self.text_halves:
            raise ValueError(
                f"the objective needs {self.image_halves} halves of images and {self.text_halves} of texts; "
                f"got {len(images)} and {len(texts)}"
            )
        halves = (*images, *texts)
        if len({half.shape for half in halves}) != 1 or halves[0].ndim != 2:
            raise ValueError(f"halves differ in shape: {[tuple(half.shape) for half in halves]}")
        if {half.dtype for half in halves} not in ({torch.float32}, {torch.float64}):
            raise ValueError(f"features are {sorted({str(half.dtype) for half in halves})}; give all as float32")
