"""ARO's COCO-Order and Flickr30k-Order: a caption against four orders of its own words.

The official code makes the four orders when it runs, with spaCy's tags, NLTK's words and NumPy's draws:
https://github.com/mertyg/vision-language-models-are-bows/blob/81fdd20dc5b6f434aa5a4a971717bc80d1cedb0d/dataset_zoo/perturbations.py
Deviation: we make the same four kinds with the tagger of the extra ``text`` and draws that depend on the caption alone.
Options made elsewhere (by the official code, say) are read from ``aro/coco_order.jsonl`` and
``aro/flickr30k_order.jsonl`` where they are there: ``{"image": ..., "options": [true caption, ...]}`` a line.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from random import Random

from tripletclip.errors import UserError
from tripletclip.evaluation.published.benchmark import VAL2014, Benchmark
from tripletclip.evaluation.published.files import (
    Gathered,
    Wanted,
    either,
    gather,
    place,
    places,
    read_json_lines,
    text_of,
    texts_of,
)
from tripletclip.evaluation.published.karpathy import COCO, FLICKR30K, FLICKR30K_IMAGES, Captioned, captioned
from tripletclip.evaluation.sets import BenchmarkSet, ChoiceSet
from tripletclip.extras import require

MAX_WORDS = 30
NO_OTHER_ORDER = "no order differs from the caption"
_SPLIT = "order"
_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
_SIGNS = str.maketrans(dict.fromkeys('.!"()*#:;~', " "))
_NOUNS, _ADJECTIVES = ("NN", "NNS", "NNP", "NNPS"), ("JJ", "JJR", "JJS")
_TRIPLE = 3

Tagged = list[tuple[str, str]]
"""Words with their Penn Treebank tags."""


def read(root: Path, name: str, prepared: str, annotations: str, images: str) -> list[BenchmarkSet]:
    """An item a caption; the options of the file ``prepared`` where it is there, otherwise our own."""
    place(root, images)
    folders = tuple(places(root, images))
    if places(root, prepared):
        path = place(root, prepared)
        items = list(_prepared(path))
    else:
        path = place(root, annotations)
        items = list(_made(captioned(path)))
    got = gather(items, lambda item: [Wanted(folders=folders, name=item[1])], path)
    return [_choices(name, got)]


def _choices(name: str, got: Gathered[tuple[str, str, list[str]]]) -> ChoiceSet:
    rows = [row for row, (_, _, options) in enumerate(got.items) if len(options) > 1]
    lost = len(got.items) - len(rows)
    return ChoiceSet(
        name=name,
        keys=[got.items[row][0] for row in rows],
        splits=[_SPLIT] * len(rows),
        images=[got.pictures[row][0] for row in rows],
        options=[got.items[row][2] for row in rows],
        left_out=got.left_out | ({NO_OTHER_ORDER: lost} if lost else {}),
    )


def _prepared(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    for number, record in read_json_lines(path):
        where = f"line {number} of {path}"
        options = texts_of(record, "options", where, least=2)
        yield str(number), text_of(record, "image", where), without_repeats(options)


def _made(images: list[Captioned]) -> Iterator[tuple[str, str, list[str]]]:
    for image in images:
        for place_, caption in enumerate(image.captions):
            yield f"{image.name}-{place_}", image.name, orders(caption)


def orders(caption: str) -> list[str]:
    """The caption, then its other orders, cleaned as the official code cleans them; repeats are dropped."""
    tagged = _tagged(caption)
    made = [" ".join(order(tagged, Random(f"{order.__name__} {caption}"))) for order in ORDERS]
    return without_repeats([cleaned(caption), *map(cleaned, made)])


def cleaned(caption: str) -> str:
    """In lower case, without signs, at most 30 words.

    >>> cleaned("A dog (brown) runs.")
    'a dog brown runs'
    """
    return " ".join(caption.lower().translate(_SIGNS).split()[:MAX_WORDS])


def without_repeats(options: list[str]) -> list[str]:
    """``options`` without those that stand in front of them in the same words."""
    return list(dict.fromkeys(options))


def _tagged(caption: str) -> Tagged:
    words = _WORD.findall(caption)
    tags = [tag for _, tag in _tagger()(" ".join(words).lower(), tokenize=False)] if words else []
    if len(tags) != len(words):
        raise UserError(f"the tagger reads the caption '{caption}' as {len(tags)} words, not {len(words)}")
    return list(zip(words, tags, strict=True))


@cache
def _tagger() -> Callable[..., list[tuple[str, str]]]:
    require("text", "the order benchmarks' tagger", "textblob")
    tag: Callable[..., list[tuple[str, str]]] = import_module("textblob.en").tag
    return tag


def nouns_and_adjectives(tagged: Tagged, random: Random) -> list[str]:
    """The nouns change places among themselves, and so do the adjectives."""
    words = [word for word, _ in tagged]
    for kind in (_NOUNS, _ADJECTIVES):
        words = _exchanged(words, [place_ for place_, (_, tag) in enumerate(tagged) if tag in kind], random)
    return words


def all_but_nouns_and_adjectives(tagged: Tagged, random: Random) -> list[str]:
    """Everything else changes places."""
    others = [place_ for place_, (_, tag) in enumerate(tagged) if tag not in (*_NOUNS, *_ADJECTIVES)]
    return _exchanged([word for word, _ in tagged], others, random)


def within_trigrams(tagged: Tagged, random: Random) -> list[str]:
    """The words of every three change places among themselves."""
    return [word for triple in _triples(tagged) for word in random.sample(triple, len(triple))]


def trigrams(tagged: Tagged, random: Random) -> list[str]:
    """The threes change places; the words within stay in order."""
    triples = _triples(tagged)
    return [word for triple in random.sample(triples, len(triples)) for word in triple]


ORDERS: tuple[Callable[[Tagged, Random], list[str]], ...] = (
    nouns_and_adjectives,
    all_but_nouns_and_adjectives,
    within_trigrams,
    trigrams,
)


def _triples(tagged: Tagged) -> list[list[str]]:
    words = [word for word, _ in tagged]
    return [words[start : start + _TRIPLE] for start in range(0, len(words), _TRIPLE)]


def _exchanged(words: list[str], at: list[int], random: Random) -> list[str]:
    changed = list(words)
    for place_, source in zip(at, random.sample(at, len(at)), strict=True):
        changed[place_] = words[source]
    return changed


_CODE = "https://github.com/mertyg/vision-language-models-are-bows/tree/81fdd20dc5b6f434aa5a4a971717bc80d1cedb0d"
_COCO_PREPARED, _FLICKR_PREPARED = "{aro,ARO}/coco_order.jsonl", "{aro,ARO}/flickr30k_order.jsonl"

BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="aro-coco-order",
        title="ARO COCO-Order",
        tests="the caption against four orders of its own words, on COCO's Karpathy test split",
        family="aro",
        files=(either(COCO, _COCO_PREPARED), VAL2014),
        source=f"{_CODE}; captions and images as for retrieval-coco",
        licence="captions CC BY 4.0; photos by their owners on Flickr",
        read=partial(
            read, name="aro-coco-order", prepared=_COCO_PREPARED, annotations=COCO, images=either(VAL2014, "coco")
        ),
        needs="text",
    ),
    Benchmark(
        name="aro-flickr30k-order",
        title="ARO Flickr30k-Order",
        tests="the caption against four orders of its own words, on Flickr30k's Karpathy test split",
        family="aro",
        files=(either(FLICKR30K, _FLICKR_PREPARED), FLICKR30K_IMAGES),
        source=f"{_CODE}; captions and images as for retrieval-flickr30k",
        licence="research and education only; photos by their owners on Flickr",
        read=partial(
            read,
            name="aro-flickr30k-order",
            prepared=_FLICKR_PREPARED,
            annotations=FLICKR30K,
            images=FLICKR30K_IMAGES,
        ),
        needs="text",
    ),
)
