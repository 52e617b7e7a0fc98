"""Has a training set seen a benchmark? By file id, by caption, and by picture, in one pass over the training set.

What the benchmark holds is in memory (a fingerprint of 800 bytes a picture, 8 bytes a caption); the training set
streams by, several parts at once. docs/reports.md says what each finding means.
"""

import hashlib
import itertools
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tripletclip.data.transforms import ImageError
from tripletclip.errors import UserError
from tripletclip.evaluation.file_ids import file_ids
from tripletclip.evaluation.near_pictures import Fingerprint, PictureIndex, fingerprint

BY_ID, BY_IMAGE, BY_CAPTION = "file id", "image", "caption"
WAYS = (BY_ID, BY_IMAGE, BY_CAPTION)

_APOSTROPHES = str.maketrans("", "", "'’‘ʼ`´")


@dataclass(frozen=True, kw_only=True)
class KnownPicture:
    """A picture of the benchmark: ``names`` (file name, key) in which ids are looked for, and how to get its bytes."""

    names: tuple[str, ...]
    read: Callable[[], bytes]


@dataclass(frozen=True, kw_only=True)
class TrainingRow:
    """What a training set says in one row: names (key, URL, path), captions and encoded pictures, negatives too."""

    key: str
    names: tuple[str, ...]
    captions: tuple[str, ...]
    images: tuple[bytes, ...]


Part = Callable[[], Iterator[TrainingRow]]
"""Opens a part of the training set; parts are read side by side."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A picture or caption of the benchmark that the training set has: in how many rows, and the key of one."""

    item: str
    rows: int
    key: str


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """What was found.

    ``found``       way (file id, image, caption) to the benchmark's pictures or captions, each once
    ``pictures``    different pictures of the benchmark; ``union`` of them were found by id or image
    ``captions``    different captions of the benchmark
    ``not_compared`` reason to number of pictures, of the benchmark and of the training set, that no image was compared
    ``refuted``     rows with a file id of the benchmark whose picture is another one: no finding
    ``keys``        the training rows with any finding
    """

    benchmark: str
    pictures: int
    captions: int
    rows: int
    found: Mapping[str, Sequence[Found]]
    union: int
    refuted: int
    not_compared: Mapping[str, int]
    keys: Sequence[str]


def normal_caption(text: str) -> str:
    """Letters and digits of ``text`` in lower case, words apart by one space: what captions are compared by.

    Compatibility forms are one (NFKC), apostrophes fall away, every other sign is a space.

    >>> normal_caption("The  man’s T-SHIRT, ﬁve!") == normal_caption("the mans t shirt five")
    True
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_APOSTROPHES)
    return " ".join("".join(sign if unicodedata.category(sign)[0] in "LNM" else " " for sign in folded).split())


def caption_hash(text: str) -> int:
    """64 bits of the normalised caption; 0 for one without a letter or digit."""
    plain = normal_caption(text).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(plain, digest_size=8).digest()) if plain else 0


def contamination(
    benchmark: str,
    pictures: Sequence[KnownPicture],
    captions: Iterable[str],
    parts: Iterable[Part],
    *,
    jobs: int = 2,
    tick: Callable[[int], None] = lambda rows: None,
) -> Contamination:
    """Look for every picture and caption of a benchmark in the rows of a training set.

    ``pictures`` are different ones. ``tick`` is told the number of rows that each part had. Raises
    :class:`UserError` for a training set without rows.
    """
    with ThreadPoolExecutor(jobs) as pool:
        known = _Known.read(pictures, captions, pool)
        seen = _Seen()
        for part in pool.map(known.search, parts):
            seen.add(part)
            tick(part.rows)
    if not seen.rows:
        raise UserError("the training set has no row to compare; give its folder of shards or its source")
    touched = set(seen.places[BY_ID]) | set(seen.places[BY_IMAGE])
    return Contamination(
        benchmark=benchmark,
        pictures=len(pictures),
        captions=len(known.captions),
        rows=seen.rows,
        found={way: [known.found(way, place, keys) for place, keys in seen.of(way)] for way in WAYS},
        union=len(touched),
        refuted=seen.refuted,
        not_compared=dict(sorted((known.not_compared + seen.not_compared).items())),
        keys=sorted({key for way in WAYS for _, keys in seen.of(way) for key in keys}),
    )


class _Seen:
    """Findings of one part, or of all so far: way to the place of a known item to the keys of training rows."""

    def __init__(self) -> None:
        self.rows = 0
        self.refuted = 0
        self.not_compared: Counter[str] = Counter()
        self.places: dict[str, defaultdict[int, list[str]]] = {way: defaultdict(list) for way in WAYS}

    def add(self, other: "_Seen") -> None:
        self.rows += other.rows
        self.refuted += other.refuted
        self.not_compared += other.not_compared
        for way, places in other.places.items():
            for place, keys in places.items():
                self.places[way][place] += keys

    def of(self, way: str) -> list[tuple[int, list[str]]]:
        return sorted(self.places[way].items())


@dataclass(frozen=True, kw_only=True)
class _Known:
    """The benchmark, ready to be looked up; immutable, so that threads may share it."""

    pictures: Sequence[KnownPicture]
    index: PictureIndex
    of_id: Mapping[str, list[int]]
    captions: Sequence[str]
    of_caption: Mapping[int, int]
    not_compared: "Counter[str]"

    @classmethod
    def read(cls, pictures: Sequence[KnownPicture], captions: Iterable[str], pool: ThreadPoolExecutor) -> "_Known":
        prints: list[Fingerprint | None] = []
        not_compared: Counter[str] = Counter()
        for one, reason in pool.map(lambda picture: _fingerprint(picture.read()), pictures):
            prints.append(one)
            if reason:
                not_compared[f"benchmark: {reason}"] += 1
        of_id: defaultdict[str, list[int]] = defaultdict(list)
        for place, picture in enumerate(pictures):
            for name in set().union(*map(file_ids, picture.names)):
                of_id[name].append(place)
        texts = {number: text for text in captions if (number := caption_hash(text))}
        return cls(
            pictures=pictures,
            index=PictureIndex(prints),
            of_id=dict(of_id),
            captions=list(texts.values()),
            of_caption={number: place for place, number in enumerate(texts)},
            not_compared=not_compared,
        )

    def search(self, part: Part) -> _Seen:
        """Everything that a part of the training set has of the benchmark."""
        seen = _Seen()
        for row in part():
            seen.rows += 1
            prints = []
            for image in row.images:
                one, reason = _fingerprint(image)
                if reason:
                    seen.not_compared[f"training set: {reason}"] += 1
                if one is not None:
                    prints.append(one)
            self._by_id(row, prints, seen)
            _note(seen, BY_IMAGE, row, itertools.chain.from_iterable(map(self.index.find, prints)))
            numbers = {caption_hash(text) for text in row.captions}
            _note(seen, BY_CAPTION, row, [self.of_caption[number] for number in numbers & self.of_caption.keys()])
        return seen

    def _by_id(self, row: TrainingRow, prints: Sequence[Fingerprint], seen: _Seen) -> None:
        """An id counts unless the row has a picture and it is another one: row numbers look like ids."""
        names = set().union(*map(file_ids, row.names)) & self.of_id.keys()
        claimed = {place for name in names for place in self.of_id[name]}
        held = {place for place in claimed if not prints or any(self.index.may_show(place, one) for one in prints)}
        _note(seen, BY_ID, row, held)
        seen.refuted += bool(claimed and not held)

    def found(self, way: str, place: int, keys: Sequence[str]) -> Found:
        item = self.captions[place] if way == BY_CAPTION else self.pictures[place].names[0]
        return Found(item=item, rows=len(keys), key=min(keys))


def _note(seen: _Seen, way: str, row: TrainingRow, places: Iterable[int]) -> None:
    for place in set(places):
        seen.places[way][place].append(row.key)


def _fingerprint(data: bytes) -> tuple[Fingerprint | None, str]:
    """The fingerprint, and why the picture cannot be told by it (empty if it can)."""
    try:
        one = fingerprint(data)
    except ImageError as error:
        return None, f"image {error.reason}" if error.reason != "not an image" else error.reason
    return one, "one colour" if one.plain else ""
