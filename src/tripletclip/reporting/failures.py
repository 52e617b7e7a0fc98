"""Items that at least one model gets wrong: the picture, both captions with what differs marked, all scores."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from tripletclip.reporting.board import Board
from tripletclip.reporting.catalog import metric_title, title_of
from tripletclip.reporting.gallery import data_uri, marked_words
from tripletclip.reporting.results import Example

THUMBNAILS = "thumbnails"
"""Folder below the results; files are named by digest."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A model's cosines with the true caption and with the wrong one that scored highest; a tie is wrong."""

    model: str
    score: float
    other_score: float
    other: str

    @property
    def right(self) -> bool:
        """Whether the true caption scored higher."""
        return self.score > self.other_score


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One item. ``image`` and ``neg_image`` are data URIs, "" where there is no thumbnail."""

    benchmark: str
    split: str
    key: str
    caption: str
    other: str
    image: str
    neg_image: str
    answers: Sequence[Answer]

    @property
    def group(self) -> str:
        """What the filter knows it by."""
        title = title_of(self.benchmark)
        return f"{title} · {metric_title(self.split)}" if self.split else title

    @property
    def marked(self) -> tuple[Markup, Markup]:
        """True caption and wrong caption with the changed words marked."""
        return marked_words(self.caption, self.other)


def failures(found: Board, folder: Path, *, per_split: int = 4, most: int = 96) -> list[Failure]:
    """Failures in the order of benchmarks and splits; of several seeds the first one's answers.

    The results keep the same items for every model, chosen by a hash: neither the worst nor the nicest. An item that
    two benchmarks share (captions alone, and in groups) is shown with the first.
    """
    thumbnails = _thumbnails(folder)
    chosen: list[Failure] = []
    known: set[tuple[str, str, str]] = set()
    for benchmark in found.benchmarks:
        items: defaultdict[str, dict[str, Example]] = defaultdict(dict)
        for result in found.of(benchmark):
            for example in result.examples:
                items[example.key].setdefault(result.method, example)
        places = {key: (key, one.caption, one.image) for key, seen in items.items() for one in seen.values()}
        fresh = [key for key in sorted(items) if places[key] not in known]
        known |= set(places.values())
        by_split: defaultdict[str, list[Failure]] = defaultdict(list)
        for key in fresh:
            if failure := _failure(found, benchmark, key, items[key], thumbnails):
                by_split[failure.split].append(failure)
        for split in sorted(by_split):
            chosen += by_split[split][:per_split]
    return chosen[:most]


def _failure(
    found: Board, benchmark: str, key: str, seen: Mapping[str, Example], thumbnails: Mapping[str, Path]
) -> Failure | None:
    answers = [
        Answer(model=model, score=one.score, other_score=one.other_score, other=one.other)
        for model in found.models
        if (one := seen.get(model)) is not None
    ]
    wrong = [answer for answer in answers if not answer.right]
    if not wrong:
        return None
    example = seen[wrong[0].model]
    return Failure(
        benchmark=benchmark,
        split=example.split,
        key=key,
        caption=example.caption,
        other=example.other,
        image=_uri(example.image, thumbnails),
        neg_image=_uri(example.neg_image, thumbnails),
        answers=answers,
    )


def _thumbnails(folder: Path) -> dict[str, Path]:
    return {path.stem: path for place in sorted(folder.rglob(THUMBNAILS)) for path in sorted(place.glob("*.jpg"))}


def _uri(digest: str, thumbnails: Mapping[str, Path]) -> str:
    return data_uri(thumbnails[digest].read_bytes()) if digest in thumbnails else ""
