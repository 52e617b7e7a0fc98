"""What every source does with a row: a safe key, a clean caption, an image that decodes; or the reason why not."""

import errno
import hashlib
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tripletclip.data.intake import MAX_IMAGE_BYTES, take_image
from tripletclip.data.pairs import Pair
from tripletclip.data.shards import SAFE_KEY
from tripletclip.data.spec import ALL
from tripletclip.data.transforms import ImageError

Text = str | bytes | None
"""A caption as it came: bytes are UTF-8, a string may hold escaped bytes (``surrogateescape``), ``None`` is missing."""

MAX_CAPTION = 2_000
"""Characters; CLIP reads 77 tokens, so more is a page and not a caption."""

KEPT_OF_LONG = 200
MAX_CAPTION_BYTES = 100_000
_SLUG, _HASH = 60, 16
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff]+")


def safe_key(text: str) -> str:
    """``text`` if it is a key of our shards, otherwise a readable slug of it and 64 bits of its hash.

    >>> safe_key("dogs/rex 1")
    'dogs-rex-1-b5d0ba09eed70834'
    """
    if SAFE_KEY.fullmatch(text):
        return text
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-_")[:_SLUG].rstrip("-_") or "row"
    return f"{slug}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:_HASH]}"


def unique_keys(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """The pairs; one whose key came before gets ``KEY-dup1`` (then ``-dup2``...) and the problem ``duplicate key``."""
    seen: set[str] = set()
    repeats: Counter[str] = Counter()
    for pair in pairs:
        key = pair.key
        while key in seen:
            repeats[pair.key] += 1
            key = safe_key(f"{pair.key}-dup{repeats[pair.key]}")
        seen.add(key)
        yield pair if key == pair.key else replace(pair, key=key, image=None, neg_image=None, problem="duplicate key")


def clean_caption(raw: Text) -> tuple[str, str]:
    """The caption on one line without control characters, and what is wrong with it (empty if nothing).

    Problems: ``missing``, ``empty``, ``not UTF-8``, ``too long``. HTML is text like any other and stays.
    """
    if raw is None:
        return "", "missing"
    problem = "too long" if len(raw) > MAX_CAPTION_BYTES else ""
    raw = raw[:MAX_CAPTION_BYTES]
    try:
        text = raw.decode("utf-8", "ignore" if problem else "strict") if isinstance(raw, bytes) else raw
        text.encode("utf-8")
    except UnicodeError:
        text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw.encode("utf-8", "replace").decode()
        problem = "not UTF-8"
    text = " ".join(_CONTROLS.sub(" ", text).split())
    if problem or len(text) > MAX_CAPTION:
        return text[:KEPT_OF_LONG], problem or "too long"
    return text, "" if text else "empty"


def read_inside(base: Path, relative: str, *, limit: int) -> bytes:
    """The bytes of the file ``relative`` to ``base``; :class:`ImageError` names what is in the way.

    Reasons: ``path outside the folder`` (by ``..``, an absolute path or a link), ``missing file``, ``not a file``,
    ``too large`` (over ``limit`` bytes), ``cannot be read``.
    """
    try:
        path = (base / relative).resolve()
        if not path.is_relative_to(base.resolve()):
            raise ImageError("path outside the folder")
        status = path.stat()
        if not relative or not stat.S_ISREG(status.st_mode):
            raise ImageError("not a file" if relative else "missing file")
        if status.st_size > limit:
            raise ImageError("too large")
        return path.read_bytes()
    except ImageError:
        raise
    except (ValueError, RuntimeError) as error:  # a zero byte in the path; links in a circle
        raise ImageError("missing file") from error
    except OSError as error:
        raise ImageError("missing file" if error.errno in _ABSENT else "cannot be read") from error


@dataclass(frozen=True, kw_only=True)
class ImageIntake:
    """How a source takes images: paths are relative to ``base``; without it rows are captions alone."""

    base: Path | None
    max_side: int | None

    def take(self, content: bytes | str | None) -> bytes | None:
        """Stored bytes of encoded bytes or of a path; ``None`` for captions alone. :class:`ImageError` if it fails."""
        if self.base is None:
            return None
        if content is None:
            raise ImageError("missing")
        if isinstance(content, str):
            content = read_inside(self.base, content, limit=MAX_IMAGE_BYTES)
        return take_image(content, max_side=self.max_side)


def make_pair(
    *,
    key: str,
    caption: Text,
    image: Callable[[], bytes | None],
    others: Sequence[Text] = (),
    extra: Mapping[str, str | int | float] | None = None,
) -> Pair:
    """A pair with its problem, if any; the image is not looked at where the caption is no good."""
    text, problem = clean_caption(caption)
    content = None
    if problem:
        problem = f"caption: {problem}"
    else:
        try:
            content = image()
        except ImageError as error:
            problem = f"image: {error.reason}"
    return Pair(
        key=key,
        caption=text,
        image=content,
        other_captions=_usable(others, text),
        problem=problem,
        extra=dict(extra or {}),
    )


def with_negatives(pair: Pair, caption: Text, image: Callable[[], bytes | None]) -> Pair:
    """``pair`` with negatives of the source's own; their faults are ``neg_caption: ...`` and ``neg_image: ...``."""
    if pair.problem:
        return pair
    text, problem = clean_caption(caption) if caption is not None else (None, "")
    if problem:
        return replace(pair, image=None, neg_caption=text, problem=f"neg_caption: {problem}")
    try:
        return replace(pair, neg_caption=text, neg_image=image())
    except ImageError as error:
        return replace(pair, image=None, neg_caption=text, problem=f"neg_image: {error.reason}")


def pairs_of_image(
    keys: Sequence[str], captions: Sequence[Text], image: Callable[[], bytes | None], mode: str
) -> Iterator[Pair]:
    """The pairs of an image with several captions; ``keys`` has a key for every caption (at least one in all).

    ``mode`` ``first``: one pair of the first caption that is usable; the rest are its other captions.
    ``mode`` ``all``: a pair for each, with the rest as other captions.
    """
    texts = list(captions) or [None]
    if mode != ALL:
        place = next((place for place, text in enumerate(texts) if not clean_caption(text)[1]), 0)
        yield make_pair(key=keys[0], caption=texts[place], image=image, others=texts[:place] + texts[place + 1 :])
        return
    once = _Once(image)
    for place, text in enumerate(texts):
        yield make_pair(key=keys[place], caption=text, image=once, others=texts[:place] + texts[place + 1 :])


def numbered(key: str, count: int, mode: str) -> list[str]:
    """Keys for the captions of one image: the image's own, with the caption's number where all become pairs."""
    return [safe_key(f"{key}-{place}") for place in range(max(count, 1))] if mode == ALL else [safe_key(key)]


class _Once:
    """Calls ``image`` once and gives its result, or raises its fault, each time."""

    def __init__(self, image: Callable[[], bytes | None]) -> None:
        self._image = image
        self._done = False
        self._content: bytes | None = None
        self._fault: ImageError | None = None

    def __call__(self) -> bytes | None:
        if not self._done:
            try:
                self._content = self._image()
            except ImageError as error:
                self._fault = error
            self._done = True
        if self._fault is not None:
            raise ImageError(self._fault.reason)
        return self._content


def _usable(others: Sequence[Text], caption: str) -> tuple[str, ...]:
    cleaned = [clean_caption(text) for text in others]
    return tuple(dict.fromkeys(text for text, problem in cleaned if not problem and text != caption))
