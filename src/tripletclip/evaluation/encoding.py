"""Encode what benchmarks need: each distinct picture and text once, in chunks, what the cache knows not at all.

Files are read by threads while the model is busy; only two chunks of images are ever in memory.

Shapes: N items, D features.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.evaluation.cache import FeatureCache, Tower
from tripletclip.evaluation.encoder import Encoder, FeatureTable, TokenEncoder, UnreadableImages
from tripletclip.evaluation.pictures import Picture, picture_bytes, picture_digest

PICTURES_AT_ONCE = 512
TEXTS_AT_ONCE = 4096
READERS = 8
"""Threads that read files."""
WRITE_EVERY = 30.0
"""Seconds after which what was encoded goes to the cache: what an interruption costs at most."""

Item = TypeVar("Item", str, Picture)
Tell: TypeAlias = Callable[[int, int], None]
"""Hears how many items are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Every distinct picture and text of all benchmarks, encoded once.

    ``unreadable`` has a reason for each picture that has no feature; ``cut`` the texts that are longer than the
    model's context.
    """

    images: FeatureTable[Picture]
    texts: FeatureTable[str]
    unreadable: Mapping[Picture, str] = field(default_factory=dict)
    cut: frozenset[str] = frozenset()


def encode(
    encoder: Encoder,
    pictures: Sequence[Picture],
    texts: Sequence[str],
    *,
    cache: FeatureCache | None = None,
    tell: Tell | None = None,
) -> Features:
    """Features of ``pictures`` and ``texts``, with whatever repetitions.

    What was encoded is written to ``cache`` as the work goes on, also when it is interrupted. Raises
    :class:`UserError` for features that are not finite unit vectors of one width.
    """
    kept_pictures, kept_texts = list(dict.fromkeys(pictures)), list(dict.fromkeys(texts))
    tokens = encoder if isinstance(encoder, TokenEncoder) else None
    text_keys = tokens.text_keys(kept_texts) if tokens else [_sha256(text) for text in kept_texts]
    picture_keys = [picture_digest(picture) for picture in kept_pictures]
    image_store, text_store = _Store("image", picture_keys, cache), _Store("text", text_keys, cache)
    left_texts = text_store.left(kept_texts, text_keys)
    left_pictures = image_store.left(kept_pictures, picture_keys)
    progress = _Progress(len(left_texts) + len(left_pictures), tell)
    _encode_texts(encoder, left_texts, text_store, progress)
    unreadable = _encode_pictures(encoder, left_pictures, image_store, progress)
    features = Features(
        images=image_store.table(kept_pictures, picture_keys),
        texts=text_store.table(kept_texts, text_keys),
        unreadable={
            picture: unreadable[key]
            for picture, key in zip(kept_pictures, picture_keys, strict=True)
            if key in unreadable
        },
        cut=frozenset(tokens.cut_texts(kept_texts)) if tokens else frozenset(),
    )
    _check_width(features)
    return features


def constant_features(features: Features) -> Features:
    """The same unit vector for every picture and text of ``features``: what the blind encoder sees."""
    vector_D = torch.nn.functional.normalize(torch.arange(1.0, 9.0), dim=0)
    return Features(images=features.images.filled(vector_D), texts=features.texts.filled(vector_D))


class _Store:
    """The features of one tower by key: those of the cache, those that are new, and which of these are not written."""

    def __init__(self, tower: Tower, keys: Sequence[str], cache: FeatureCache | None) -> None:
        self.tower, self.cache = tower, cache
        self.features: dict[str, Tensor] = {} if cache is None else cache.load(tower, keys)
        self._unwritten: list[str] = []
        self._written_at = time.monotonic()

    def left(self, items: Sequence[Item], keys: Sequence[str]) -> dict[str, Item]:
        """Key to item of what has to be encoded; of several items with one key the first."""
        left: dict[str, Item] = {}
        for item, key in zip(items, keys, strict=True):
            if key not in self.features:
                left.setdefault(key, item)
        return left

    def put(self, keys: Sequence[str], features_ND: Tensor) -> None:
        """Take new features, and write to the cache now and then."""
        _check(self.tower, len(keys), features_ND)
        self.features |= dict(zip(keys, features_ND, strict=True))
        self._unwritten += keys
        if time.monotonic() - self._written_at > WRITE_EVERY:
            self.write()

    def write(self) -> None:
        """Everything that the cache does not have yet."""
        if self.cache is not None and self._unwritten:
            self.cache.add(self.tower, self._unwritten, torch.stack([self.features[key] for key in self._unwritten]))
        self._unwritten, self._written_at = [], time.monotonic()

    def table(self, items: Sequence[Item], keys: Sequence[str]) -> FeatureTable[Item]:
        """The table of all items that have features."""
        row_of_key = {key: row for row, key in enumerate(self.features)}
        rows = {item: row_of_key[key] for item, key in zip(items, keys, strict=True) if key in row_of_key}
        features = list(self.features.values())
        if len({len(feature_D) for feature_D in features}) > 1:
            raise UserError(f"the encoder's {self.tower} features differ in width from those of the cache; remove it")
        return FeatureTable(rows, torch.stack(features) if features else torch.zeros(0, 0))


class _Progress:
    def __init__(self, total: int, tell: Tell | None) -> None:
        self.done, self.total, self._tell = 0, total, tell
        self.add(0)

    def add(self, count: int) -> None:
        self.done += count
        if self._tell is not None:
            self._tell(self.done, self.total)


def _encode_texts(encoder: Encoder, left: Mapping[str, str], store: _Store, progress: _Progress) -> None:
    """Texts of like length side by side, so that batches are cut short."""
    keys = sorted(left, key=lambda key: len(left[key]))
    try:
        for start in range(0, len(keys), TEXTS_AT_ONCE):
            chunk = keys[start : start + TEXTS_AT_ONCE]
            store.put(chunk, encoder.encode_texts([left[key] for key in chunk]))
            progress.add(len(chunk))
    finally:
        store.write()


def _encode_pictures(
    encoder: Encoder, left: Mapping[str, Picture], store: _Store, progress: _Progress
) -> dict[str, str]:
    """Encode what can be read; key to reason of what cannot."""
    unreadable: dict[str, str] = {}
    try:
        for keys, contents in _read_ahead(list(left.items())):
            read = {key: content for key, content in zip(keys, contents, strict=True) if isinstance(content, bytes)}
            unreadable |= {key: str(one) for key, one in zip(keys, contents, strict=True) if not isinstance(one, bytes)}
            while read:
                try:
                    store.put(list(read), encoder.encode_images(list(read.values())))
                    break
                except UnreadableImages as error:
                    names = list(read)
                    unreadable |= {names[place]: reason for place, reason in error.reasons.items()}
                    read = {key: data for key, data in read.items() if key not in unreadable}
            progress.add(len(keys))
    finally:
        store.write()
    return unreadable


def _read_ahead(items: Sequence[tuple[str, Picture]]) -> Iterator[tuple[list[str], list[bytes | Exception]]]:
    """Chunk after chunk the keys and the bytes, or why there are none; the next chunk is read meanwhile."""
    chunks = [items[start : start + PICTURES_AT_ONCE] for start in range(0, len(items), PICTURES_AT_ONCE)]
    with ThreadPoolExecutor(READERS) as pool:
        ahead = [pool.map(_read, chunk) for chunk in chunks[:1]]
        for number, chunk in enumerate(chunks):
            ahead += [pool.map(_read, later) for later in chunks[number + 1 : number + 2]]
            yield [key for key, _ in chunk], list(ahead.pop(0))


def _read(entry: tuple[str, Picture]) -> bytes | Exception:
    try:
        return picture_bytes(entry[1])
    except OSError as error:
        return OSError(error.strerror or str(error))
    except ValueError as error:
        return error


def _check(tower: Tower, count: int, features_ND: Tensor) -> None:
    if features_ND.ndim != 2 or len(features_ND) != count:
        raise ValueError(f"the encoder gave shape {tuple(features_ND.shape)} for {count} items")
    norm_N = torch.linalg.vector_norm(features_ND.double(), dim=1)
    if not torch.allclose(norm_N, torch.ones_like(norm_N), atol=1e-3):  # false for NaN, too
        raise UserError(f"the encoder's {tower} features are not finite vectors of length 1; normalise them")


def _check_width(features: Features) -> None:
    image_ND, text_MD = features.images.features, features.texts.features
    if len(image_ND) and len(text_MD) and image_ND.shape[1] != text_MD.shape[1]:
        raise UserError(
            f"images have {image_ND.shape[1]} features and texts {text_MD.shape[1]}; the towers must agree in width"
        )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf8")).hexdigest()
