"""What measurement needs from a model: images and texts in, unit vectors out.

Anything with the two methods of :class:`Encoder` can be measured. :class:`ClipEncoder` makes one of an open_clip CLIP.

Shapes: N items, M texts, D features, B batch, L tokens, U distinct token rows.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from tripletclip.data.transforms import EXACT, ImageError, TransformConfig, decode_image
from tripletclip.errors import UserError
from tripletclip.models import Clip, image_features, text_features

Item = TypeVar("Item", bound=Hashable)

PAD = 0
"""Token id that fills texts up to the context length (open_clip's convention)."""
DECODERS = 8
"""Threads that decode images, at most; no more than there are processors."""


class Encoder(Protocol):
    """Gives one unit vector per item, fp32 on the CPU, both towers of equal width."""

    def encode_images(self, images: list[bytes]) -> Tensor:
        """Encoded images (JPEG or PNG bytes) to L2-normalised features [N, D].

        Raises :class:`UnreadableImages` for those that do not decode; they are then counted, and the rest asked again.
        """
        ...

    def encode_texts(self, texts: list[str]) -> Tensor:
        """Strings to L2-normalised features [M, D]."""
        ...


@runtime_checkable
class TokenEncoder(Encoder, Protocol):
    """An encoder that knows its tokenizer. Others are measured too; their texts are told apart by their letters."""

    def text_keys(self, texts: list[str]) -> list[str]:
        """SHA-256 of each text's tokens: texts with the same key have the same features, so that they tie."""
        ...

    def cut_texts(self, texts: list[str]) -> list[str]:
        """Those of the texts that are longer than the context: the model sees their beginning."""
        ...


class UnreadableImages(UserError):
    """Images that do not decode: ``reasons`` has a few words by place in the list that was to be encoded."""

    def __init__(self, reasons: Mapping[int, str]) -> None:
        place, reason = min(reasons.items())
        super().__init__(f"image {place} of those to encode does not decode ({reason}); replace it")
        self.reasons = reasons


def encode_distinct(encode: Callable[[list[Item]], Tensor], items: Sequence[Item]) -> Tensor:
    """Features [N, D] of ``items`` in their order; ``encode`` is called once, with each distinct item once."""
    row_of = {item: row for row, item in enumerate(dict.fromkeys(items))}
    features = encode(list(row_of)) if row_of else torch.zeros(0, 0)
    if features.ndim != 2 or len(features) != len(row_of):
        raise ValueError(f"the encoder gave shape {tuple(features.shape)} for {len(row_of)} items")
    return FeatureTable(row_of, features).rows(items)


class FeatureTable(Generic[Item]):
    """Features [U, D] to be looked up as often as needed; ``row_of`` says where an item's feature stands."""

    def __init__(self, row_of: Mapping[Item, int], features: Tensor) -> None:
        self._row_of = row_of
        self.features = features

    def rows(self, items: Sequence[Item]) -> Tensor:
        """Features [N, D] of ``items``; ``KeyError`` for an item that is not in the table."""
        return self.features[torch.tensor([self._row_of[item] for item in items], dtype=torch.long)]

    def filled(self, vector_D: Tensor) -> "FeatureTable[Item]":
        """The same items, all with this feature."""
        return FeatureTable(self._row_of, vector_D.repeat(len(self.features), 1))


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

    ``tokenize`` maps strings to int64 [B, L] padded with 0, ``tokenize_longer`` to one token more [B, L + 1], which
    tells what was cut. ``mean`` and ``std`` are per channel, of pixels in 0..1; ``transform`` says how a picture
    becomes a square. Pixels travel to ``device`` as uint8 and are normalised there. Threads decode ahead.
    The model runs in eval mode and gets its mode back.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenize: Callable[[list[str]], Tensor],
        *,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        tokenize_longer: Callable[[list[str]], Tensor] | None = None,
        transform: TransformConfig = EXACT,
        device: torch.device | str = "cpu",
        batch_size: int = 256,
    ) -> None:
        assert batch_size > 0, batch_size
        self.model = model
        self.tokenize = tokenize
        self.tokenize_longer = tokenize_longer
        self.image_size = image_size
        self.transform = transform
        self.device = torch.device(device)
        self.batch_size = batch_size
        self._mean = torch.tensor(mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=self.device).view(1, 3, 1, 1)
        self._tokens: dict[str, Tensor] = {}

    def encode_images(self, images: list[bytes]) -> Tensor:
        """Encoded images to unit features [N, D]. Images that do not decode are named in :class:`UnreadableImages`."""
        batches = []
        with _inference(self.model):
            for pixels_BCHW in self._pixels(images):
                normal_BCHW = (pixels_BCHW.to(self.device).float() / 255 - self._mean) / self._std
                batches.append(_unit(image_features(self.model, normal_BCHW)))
        return torch.cat(batches) if batches else torch.zeros(0, 0)

    def encode_texts(self, texts: list[str]) -> Tensor:
        """Strings to unit features [M, D]; strings with the same tokens get the very same vector, so that they tie."""
        if not texts:
            return torch.zeros(0, 0)
        tokens_UL, row_M = torch.unique(self._tokenized(texts), dim=0, return_inverse=True)
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

    def text_keys(self, texts: list[str]) -> list[str]:
        """SHA-256 of each text's tokens."""
        return [hashlib.sha256(row.tobytes()).hexdigest() for row in self._tokenized(texts).numpy()] if texts else []

    def cut_texts(self, texts: list[str]) -> list[str]:
        """Texts whose tokens change when there is room for one more; none where nothing tells (no ``tokenize_longer``).

        A text that fits is the same with a place of padding behind it.
        """
        if self.tokenize_longer is None or not texts:
            return []
        tokens_ML = self._tokenized(texts)
        full = [text for text, last in zip(texts, tokens_ML[:, -1].tolist(), strict=True) if last != PAD]
        if not full:
            return []
        longer_ML = self.tokenize_longer(full)[:, : tokens_ML.shape[1]]
        changed_M = (longer_ML != self._tokenized(full)).any(dim=1)
        return [text for text, changed in zip(full, changed_M.tolist(), strict=True) if changed]

    def _tokenized(self, texts: list[str]) -> Tensor:
        """Tokens [M, L]; each text is tokenized once in the encoder's life, as keys, cuts and features all ask."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._tokens]
        if fresh:
            self._tokens |= dict(zip(fresh, self.tokenize(fresh), strict=True))
        return torch.stack([self._tokens[text] for text in texts])

    def _pixels(self, images: list[bytes]) -> Iterator[Tensor]:
        """uint8 [B, 3, H, W] of each batch, the next one decoded meanwhile."""
        threads = min(DECODERS, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads) as pool:
            batches = range(0, len(images), self.batch_size)
            ahead = [self._start(pool, threads, images, start) for start in batches[:1]]
            for number, start in enumerate(batches):
                ahead += [self._start(pool, threads, images, later) for later in batches[number + 1 : number + 2]]
                decoded = [pixels for part in ahead.pop(0) for pixels in part.result()]
                broken = {start + place: str(one) for place, one in enumerate(decoded) if isinstance(one, ImageError)}
                if broken:
                    raise UnreadableImages(broken)
                yield torch.stack([one for one in decoded if isinstance(one, Tensor)])

    def _start(
        self, pool: ThreadPoolExecutor, threads: int, images: list[bytes], start: int
    ) -> list[Future[list[Tensor | ImageError]]]:
        """Decode a batch in the background, an equal part of it a thread."""
        batch = images[start : start + self.batch_size]
        size = -(-len(batch) // threads)
        return [pool.submit(self._decode, batch[first : first + size]) for first in range(0, len(batch), size)]

    def _decode(self, images: list[bytes]) -> list[Tensor | ImageError]:
        decoded: list[Tensor | ImageError] = []
        for data in images:
            try:
                decoded.append(decode_image(data, self.image_size, self.transform))
            except ImageError as error:
                decoded.append(error)
        return decoded


def clip_encoder(clip: Clip, device: torch.device | str = "cpu", *, batch_size: int = 256) -> ClipEncoder:
    """The encoder of a model with its tokenizer and preprocessing; the model has to be on ``device``."""
    tokenizer = clip.tokenizer
    return ClipEncoder(
        clip.model,
        tokenizer,
        tokenize_longer=lambda texts: tokenizer(texts, context_length=tokenizer.context_length + 1),
        image_size=clip.image_size,
        mean=clip.mean,
        std=clip.std,
        transform=clip.transform,
        device=device,
        batch_size=batch_size,
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
