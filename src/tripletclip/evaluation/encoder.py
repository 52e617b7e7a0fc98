"""What measurement needs from a model: images and texts in, unit vectors out.

Anything with the two methods of :class:`Encoder` can be measured. :class:`ClipEncoder` makes one of an open_clip CLIP.

Shapes: N items, M texts, D features, B batch, L tokens, U distinct token rows.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from tripletclip.data.transforms import EXACT, ImageError, TransformConfig, decode_image
from tripletclip.errors import UserError
from tripletclip.models import Clip, image_features, text_features

Item = TypeVar("Item", bound=Hashable)

PAD = 0
"""Token id that fills texts up to the context length (open_clip's convention)."""


class Encoder(Protocol):
    """Gives one unit vector per item, fp32 on the CPU, both towers of equal width."""

    def encode_images(self, images: list[bytes]) -> Tensor:
        """Encoded images (JPEG or PNG bytes) to L2-normalised features [N, D]."""
        ...

    def encode_texts(self, texts: list[str]) -> Tensor:
        """Strings to L2-normalised features [M, D]."""
        ...


def encode_distinct(encode: Callable[[list[Item]], Tensor], items: Sequence[Item]) -> Tensor:
    """Features [N, D] of ``items`` in their order; ``encode`` is called once, with each distinct item once."""
    return FeatureTable(encode, items).rows(items)


class FeatureTable(Generic[Item]):
    """The features of every distinct item, encoded once, to be looked up as often as needed."""

    def __init__(self, encode: Callable[[list[Item]], Tensor], items: Sequence[Item]) -> None:
        self._row = {item: row for row, item in enumerate(dict.fromkeys(items))}
        self.features = encode(list(self._row)) if self._row else torch.zeros(0, 0)
        if self.features.ndim != 2 or len(self.features) != len(self._row):
            raise ValueError(f"the encoder gave shape {tuple(self.features.shape)} for {len(self._row)} items")

    def rows(self, items: Sequence[Item]) -> Tensor:
        """Features [N, D] of ``items``; ``KeyError`` for an item that was not in the table's list."""
        return self.features[torch.tensor([self._row[item] for item in items], dtype=torch.long)]


class ConstantEncoder:
    """The blind encoder: the same unit vector for everything. Whatever it wins, a benchmark gives away for nothing."""

    def __init__(self, width: int = 8) -> None:
        self._feature_D = nn.functional.normalize(torch.arange(1, width + 1, dtype=torch.float32), dim=0)

    def encode_images(self, images: list[bytes]) -> Tensor:
        return self._feature_D.repeat(len(images), 1)

    def encode_texts(self, texts: list[str]) -> Tensor:
        return self._feature_D.repeat(len(texts), 1)


class ClipEncoder:
    """An open_clip CLIP with its tokenizer and its preprocessing.

    ``tokenize`` maps strings to int64 [B, L] padded with 0; ``mean`` and ``std`` are per channel, of pixels in 0..1;
    ``transform`` says how a picture becomes a square.
    Pixels travel to ``device`` as uint8 and are normalised there. The model runs in eval mode and gets its mode back.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenize: Callable[[list[str]], Tensor],
        *,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        transform: TransformConfig = EXACT,
        device: torch.device | str = "cpu",
        batch_size: int = 256,
    ) -> None:
        assert batch_size > 0, batch_size
        self.model = model
        self.tokenize = tokenize
        self.image_size = image_size
        self.transform = transform
        self.device = torch.device(device)
        self.batch_size = batch_size
        self._mean = torch.tensor(mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=self.device).view(1, 3, 1, 1)

    def encode_images(self, images: list[bytes]) -> Tensor:
        """Encoded images to unit features [N, D]. An image that does not decode is a :class:`UserError`."""
        batches = []
        with _inference(self.model):
            for start in range(0, len(images), self.batch_size):
                pixels_BCHW = self._pixels(images[start : start + self.batch_size], start).to(self.device)
                normal_BCHW = (pixels_BCHW.float() / 255 - self._mean) / self._std
                batches.append(_unit(image_features(self.model, normal_BCHW)))
        return torch.cat(batches) if batches else torch.zeros(0, 0)

    def encode_texts(self, texts: list[str]) -> Tensor:
        """Strings to unit features [M, D]; strings with the same tokens get the very same vector, so that they tie."""
        if not texts:
            return torch.zeros(0, 0)
        tokens_UL, row_M = torch.unique(self.tokenize(texts), dim=0, return_inverse=True)
        length_U = text_lengths(tokens_UL)
        order_U = torch.argsort(length_U, stable=True)
        batches = []
        with _inference(self.model):
            for start in range(0, len(order_U), self.batch_size):
                chosen_B = order_U[start : start + self.batch_size]
                tokens_BL = tokens_UL[chosen_B].to(self.device)
                batches.append(_unit(text_features(self.model, tokens_BL, int(length_U[chosen_B].max()))))
        features_UD = torch.cat(batches)
        return features_UD[torch.argsort(order_U)][row_M]

    def _pixels(self, images: list[bytes], start: int) -> Tensor:
        decoded = []
        for number, data in enumerate(images, start):
            try:
                decoded.append(decode_image(data, self.image_size, self.transform))
            except ImageError as error:
                raise UserError(f"image {number} of those to encode does not decode ({error}); replace it") from error
        return torch.stack(decoded)


def clip_encoder(clip: Clip, device: torch.device | str = "cpu") -> ClipEncoder:
    """The encoder of one of our models."""
    return ClipEncoder(
        clip.model,
        clip.tokenizer,
        image_size=clip.image_size,
        mean=clip.mean,
        std=clip.std,
        transform=clip.transform,
        device=device,
    )


def text_lengths(tokens_ML: Tensor) -> Tensor:
    """Tokens of each text up to its last that is not padding, at least 1: int64 [M]."""
    position_L = torch.arange(1, tokens_ML.shape[1] + 1, device=tokens_ML.device)
    return ((tokens_ML != PAD) * position_L).amax(dim=1).clamp(min=1)


def _unit(features_BD: Tensor) -> Tensor:
    return nn.functional.normalize(features_BD.float(), dim=1).cpu()


@contextlib.contextmanager
def _inference(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; the model's mode comes back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)
