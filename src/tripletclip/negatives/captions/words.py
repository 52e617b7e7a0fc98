"""Captions as tagged words, and words that may stand in another's place: same sense, same number, never a relative."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from random import Random
from typing import Any

from tripletclip.extras import require
from tripletclip.negatives.captions.actions import FORMS
from tripletclip.negatives.captions.vocabulary import NEVER, NOUNS, SPELLINGS, UNITS, Group
from tripletclip.negatives.captions.wordnet import NOUN, wordnet

_TOKEN = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*|\d+|[^\w\s]")
_MORE_NOUN_THAN_VERB = ("DT", "JJ", "PRP$", "CD", "IN", "CC")
_PERSON, _ANIMAL, _ARTIFACT, _FOOD, _PLANT = 18, 5, 6, 13, 20
_PICTURED = {_PERSON: "animate", _ANIMAL: "animate", _ARTIFACT: "thing", _FOOD: "thing", _PLANT: "thing"}
"""Lexicographer's files of what a picture can show, to the kind of such nouns."""
_LEAST_COUNT, _LEAST_SHARE = 3, 0.6


@dataclass(frozen=True, kw_only=True)
class Token:
    """A word with its place in the caption; ``tag`` is the Penn Treebank's."""

    text: str
    tag: str
    start: int
    end: int

    @property
    def lower(self) -> str:
        return self.text.lower()


@dataclass(frozen=True, kw_only=True)
class Noun:
    """Tokens ``first`` to ``last`` (inclusive) name one thing: ``base`` in the singular, ``plural`` or not.

    ``group`` is None where only WordNet knows the word.
    """

    first: int
    last: int
    base: str
    plural: bool
    group: Group | None


@cache
def _groups() -> dict[str, Group]:
    """Base form to its group, the first that has it."""
    return {word: group for group in reversed(NOUNS) for word in group.words}


@cache
def _longest_unit() -> int:
    return max(len(word.split()) for word in itertools.chain(UNITS, _groups()))


def tokens_of(caption: str) -> list[Token]:
    """The words and signs of a caption, tagged. Characters that are neither are passed over."""
    require("text", "the 'rules' writer", "wn", "textblob")
    tag: Any = import_module("textblob.en").tag
    spans = list(_TOKEN.finditer(caption))
    tagged = tag(" ".join(span.group() for span in spans).lower(), tokenize=False) if spans else []
    if len(tagged) != len(spans):
        return []
    return [
        Token(text=span.group(), tag=tag_, start=span.start(), end=span.end())
        for span, (_, tag_) in zip(spans, tagged, strict=True)
    ]


def nouns_of(tokens: list[Token]) -> list[Noun]:
    """The things that a caption names, compounds as one; what cannot be replaced safely is left out."""
    found: list[Noun] = []
    at = 0
    while at < len(tokens):
        last = at
        while last < len(tokens) and is_noun(tokens, last):
            last += 1
        if last == at:
            at += 1
            continue
        noun = _noun_of_run(tokens, at, last - 1)
        if noun is not None:
            found.append(noun)
        at = last
    return found


def is_noun(tokens: list[Token], at: int) -> bool:
    """Whether the word is a noun here; mends what the tagger takes for verbs ("a sink", "the living room")."""
    token = tokens[at]
    if token.tag in ("NN", "NNS", "NNP", "NNPS"):
        return not _is_verb_after_noun(tokens, at)
    if token.tag.startswith(("VB", "JJ")) and lookup(token.lower) is not None:
        after_modifier = at > 0 and tokens[at - 1].tag.startswith(_MORE_NOUN_THAN_VERB)
        if at > 0 and tokens[at - 1].tag == "NN" and token.tag.startswith("VB") and token.lower not in FORMS:
            return True  # "the bathroom sink"
        before_noun = at + 1 < len(tokens) and tokens[at + 1].tag.startswith(("NN", "JJ"))
        return after_modifier and not (before_noun and token.tag.startswith("JJ"))
    if token.lower == "living" and at + 1 < len(tokens):
        return tokens[at + 1].lower in ("room", "rooms")
    return token.lower == "stop" and at + 1 < len(tokens) and tokens[at + 1].lower in ("sign", "signs")


def _is_verb_after_noun(tokens: list[Token], at: int) -> bool:
    """ "man rides a bike", "cat drinking water": the tagger says noun, what stands around says verb."""
    if at == 0 or not tokens[at - 1].tag.startswith("NN") or at + 1 == len(tokens):
        return False
    followed = tokens[at + 1].tag in ("DT", "IN", "PRP$", "TO", "RB") or tokens[at].lower.endswith("ing")
    return followed and tokens[at].lower.endswith(("ing", "s")) and lookup(tokens[at].lower) is None


def _noun_of_run(tokens: list[Token], first: int, last: int) -> Noun | None:
    """The unit at the end of a run of nouns; the whole run where its head is known, so that no compound breaks."""
    for start in range(max(0, last + 1 - _longest_unit()), last):
        phrase = " ".join(token.lower for token in tokens[start : last + 1])
        known = lookup(phrase)
        if known is not None:
            return Noun(first=min(start, first), last=last, base=known[0], plural=known[1], group=known[2])
        if any(base in UNITS for base in (phrase, _singular_phrase(phrase))):
            return None
    head = tokens[last].lower
    named = any(token.text[0].isupper() and not token.text.isupper() for token in tokens[max(first, 1) : last])
    colour = head == "orange" and last + 1 < len(tokens) and tokens[last + 1].tag.startswith(("JJ", "VB", "NN"))
    if named or colour:
        return None
    if any(token.lower in NEVER for token in tokens[first : last + 1]) or tokens[last].tag.startswith("NNP"):
        return None
    known = lookup(head)
    if known is not None:
        several = known[1] or (
            head in UNCHANGED and not {token.lower for token in tokens[:first][-3:]} & {"a", "an", "one"}
        )
        if first == last and not (several or known[2].mass) and _is_bare(tokens, first):
            return None
        return Noun(first=first, last=last, base=known[0], plural=several, group=known[2])
    if first != last or _is_bare(tokens, first):
        return None
    for base in wordnet().bases(head, NOUN):
        if base not in NEVER and not (base == head and tokens[last].tag == "NNS"):
            return Noun(first=first, last=last, base=base, plural=base != head, group=None)
    return None


def _is_bare(tokens: list[Token], at: int) -> bool:
    """Whether a singular stands right after a preposition or a verb ("at market", "eating pizza"): no single thing."""
    return at > 0 and tokens[at - 1].tag.startswith(("IN", "TO", "VB")) and tokens[at].tag in ("NN", "NNP")


def _singular_phrase(phrase: str) -> str:
    known = lookup(phrase)
    return known[0] if known else phrase.removesuffix("s")


@cache
def _surface_forms() -> dict[str, tuple[str, bool, Group]]:
    table: dict[str, tuple[str, bool, Group]] = {}
    for base, group in _groups().items():
        table.setdefault(base, (base, False, group))
        if not group.mass:
            table.setdefault(plural(base), (base, True, group))
    for spelling, base in SPELLINGS.items():
        group = _groups()[base]
        table.setdefault(spelling, (base, False, group))
        table.setdefault(plural(spelling), (base, True, group))
    return table


def lookup(form: str) -> tuple[str, bool, Group] | None:
    """Base, whether plural, and group of a noun of the vocabulary, also in another spelling ("bath tub")."""
    return _surface_forms().get(form)


UNCHANGED = frozenset(("sheep", "deer", "moose", "aircraft", "police", "fish", "bison", "buffalo"))
IRREGULAR = {
    "person": "people", "child": "children", "knife": "knives", "shelf": "shelves", "goose": "geese", "mouse": "mice",
    "wolf": "wolves", "loaf": "loaves", "leaf": "leaves", "scarf": "scarves", "ox": "oxen", "calf": "calves",
    "wife": "wives", "bookshelf": "bookshelves", "cactus": "cacti", "thief": "thieves", "elf": "elves",
}  # fmt: skip


@cache
def plural(noun: str) -> str:
    """The plural; of "police officer" and "pair of scissors" the right word.

    >>> plural("knife"), plural("pair of scissors"), plural("city"), plural("sheep")
    ('knives', 'pairs of scissors', 'cities', 'sheep')
    """
    head, joint, rest = noun.partition(" of ")
    before, gap, word = head.rpartition(" ")
    return f"{before}{gap}{_plural_word(word)}{joint}{rest}"


def _plural_word(word: str) -> str:
    if word in UNCHANGED:
        return word
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith("man") and word not in ("human", "german", "roman"):
        return f"{word[:-3]}men"
    if word.endswith("y") and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    if word.endswith(("s", "x", "z", "ch", "sh")) or word in ("tomato", "potato"):
        return f"{word}es"
    return f"{word}s"


@cache
def co_hyponyms(base: str, group: Group | None) -> tuple[str, ...]:
    """Words of the same sense as ``base``, the most frequent first: of its group, otherwise by WordNet.

    Never a synonym, a hypernym or a hyponym of ``base`` in any sense of the two.
    """
    words = group.words if group is not None else tuple(_sisters(base))
    return tuple(word for word in words if not _relatives(base, word))


def _relatives(one: str, other: str) -> bool:
    one, other = one.replace(" ", "_"), other.replace(" ", "_")
    if one == other or one.split("_")[-1] == other.split("_")[-1]:
        return True
    return wordnet().kin(one, other, NOUN)


def _sisters(base: str) -> list[str]:
    """Words under the same hypernym as the usual sense of ``base``, where that sense can be pictured."""
    known = wordnet()
    sense = usual_sense(base)
    if sense is None or known.topic(sense, NOUN) not in _PICTURED:
        return []
    counted: dict[str, int] = {}
    for parent in known.above(sense, NOUN):
        for sister in known.below(parent, NOUN):
            for word in known.words(sister, NOUN)[:2]:
                if word.isalpha() and word.islower() and sister != sense and usual_sense(word) == sister:
                    counted[word] = known.count(word, sister, NOUN)
    frequent = [word for word, count in counted.items() if count >= _LEAST_COUNT and word not in NEVER]
    return sorted(frequent, key=lambda word: (-counted[word], word))


@cache
def usual_sense(word: str) -> int | None:
    """The sense that a noun mostly has; None where no single sense prevails."""
    known = wordnet()
    senses = known.senses(word, NOUN)
    counts = [known.count(word, sense, NOUN) for sense in senses]
    if len(senses) == 1:
        return senses[0]
    if not senses or counts[0] < max(_LEAST_COUNT, _LEAST_SHARE * sum(counts)):
        return None
    return senses[0]


def kind_of(noun: Noun) -> str:
    """``animate``, ``thing``, ``place`` or ``matter``; empty where nobody knows."""
    if noun.group is not None:
        return noun.group.kind
    sense = usual_sense(noun.base)
    return "" if sense is None else _PICTURED.get(wordnet().topic(sense, NOUN), "")


def by_rank(words: tuple[str, ...], rng: Random) -> Iterator[str]:
    """``words`` in a random order that favours the front (Zipf's law: weight 1/rank)."""
    keyed = sorted((rng.expovariate(1) * rank, word) for rank, word in enumerate(words, 1))
    yield from (word for _, word in keyed)


_AN_BEFORE_CONSONANT = ("hour", "honest", "heir")
_A_BEFORE_VOWEL = ("uni", "use", "eu", "one", "ukulele", "urin")


def article(word: str) -> str:
    """``a`` or ``an`` by the sound that ``word`` starts with.

    >>> article("apple"), article("unicycle"), article("hour"), article("urinal")
    ('an', 'a', 'an', 'a')
    """
    word = word.lower()
    if word.startswith(_AN_BEFORE_CONSONANT):
        return "an"
    return "an" if word[:1] in tuple("aeiou") and not word.startswith(_A_BEFORE_VOWEL) else "a"
