"""Is a parsed answer a usable caption? Mechanical rules first, then the pluggable question of entailment.

Reasons are few and short, because they are counted: see the constants.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tripletclip.errors import UserError
from tripletclip.negatives.captions.entailment import ENTAILED, UNCLEAR, Entailment
from tripletclip.negatives.captions.prompts import Prompt
from tripletclip.negatives.contract import Failed, Request, Written

UNCHANGED, COPIED, DUPLICATE = "unchanged", "copied example", "duplicate caption"
SAME_WORDS, SAME_MEANING, LENGTH, TOO_FAR = "same words", "same meaning", "length", "too far"
STILL_ENTAILED, MEANING_CHANGED, NOT_JUDGED = "still entailed", "meaning changed", "judge unclear"

_FUNCTION_WORDS_TEXT = (
    "a an the this that these those some and or but of in on at to from with without by for as into onto over under "
    "near is are was were be been being am has have had do does did it its he she his her they their them there who "
    "which while up down out off very"
)
_FUNCTION_WORDS = frozenset(_FUNCTION_WORDS_TEXT.split())
_ARTICLES = frozenset({"a", "an", "the"})
_FORMS_OF_BE = frozenset({"is", "are", "was", "were", "be", "being", "been", "there", "that", "who", "which"})
_SYMMETRIC = (("and",), ("or",), ("next", "to"), ("beside",), ("near",))
"""Connectives whose two sides may change places without a new meaning."""

_NUMBERS = "no one two three four five six seven eight nine ten eleven twelve dozen single several many few"
_ATTRIBUTES = (
    "red orange yellow green blue purple violet pink brown black white gray grey golden silver beige tan big small "
    "large little tiny huge tall short long wide narrow old young new wooden metal plastic stone brick glass leather "
    "empty full open closed wet dry clean dirty dark bright striped spotted round square"
)
_RELATIONS = (
    "in on at under above below over beneath beside behind between inside outside near by against around across along "
    "through toward towards from to into onto off up down left right top bottom front back with without before after"
)
_CLASSES = {
    "count": frozenset([*_NUMBERS.split(), "a", "an"]),
    "attribute": frozenset(_ATTRIBUTES.split()),
    "relation": frozenset([*_RELATIONS.split(), "the", "of"]),
}


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """Limits. ``min_overlap`` is the share of the caption's content words that the answer must keep (by stem)."""

    min_length_ratio: float = 0.5
    max_length_ratio: float = 2.0
    min_overlap: float = 0.25

    def __post_init__(self) -> None:
        if not 0 <= self.min_length_ratio <= 1 <= self.max_length_ratio:
            raise UserError(
                f"length ratios {self.min_length_ratio} to {self.max_length_ratio} do not allow the same length; "
                "use min_length_ratio <= 1 <= max_length_ratio"
            )
        if not 0 <= self.min_overlap <= 1:
            raise UserError(f"min_overlap is {self.min_overlap}; use a share from 0 to 1")


class CaptionCheck:
    """Checks many answers at once: the rules of :func:`check`, then ``entailment`` on what has passed them."""

    def __init__(
        self, *, prompt: Prompt | None, settings: CheckSettings | None = None, entailment: Entailment | None = None
    ) -> None:
        self.prompt, self.settings, self.entailment = prompt, settings or CheckSettings(), entailment

    def __call__(self, asked: Sequence[tuple[Request, Written]]) -> list[str | Failed]:
        """For each answer '' (fine), the reason against it, or :class:`Failed` where the judge could not be reached."""
        verdicts: list[str | Failed] = [
            check(written, request, self.prompt, self.settings) for request, written in asked
        ]
        passed = [index for index, verdict in enumerate(verdicts) if verdict == ""]
        if self.entailment is None or not passed:
            return verdicts
        wanted = self.prompt is not None and self.prompt.keeps_meaning
        judged = self.entailment.judge([(asked[index][0].caption, asked[index][1].caption) for index in passed])
        for index, judgement in zip(passed, judged, strict=True):
            if isinstance(judgement, Failed):
                verdicts[index] = judgement
            elif judgement == UNCLEAR:
                verdicts[index] = NOT_JUDGED
            elif (judgement == ENTAILED) != wanted:
                verdicts[index] = MEANING_CHANGED if wanted else STILL_ENTAILED
        return verdicts


def check(candidate: Written, request: Request, prompt: Prompt | None, settings: CheckSettings) -> str:
    """'' if the candidate is fine, else why not. ``prompt`` is ``None`` for writers that have none.

    A reordering of the same words is a swap: fine where the category is ``swap`` or unknown, unless it only turns round
    *X and Y*. Paraphrases (``prompt.keeps_meaning``) may reorder as they like.
    """
    old, new = words(request.caption), words(candidate.caption)
    if _bare(old) == _bare(new):
        return UNCHANGED
    if prompt is not None and _copied(new, old, prompt):
        return COPIED
    if new in (words(other) for other in request.other_captions):
        return DUPLICATE
    keeps_meaning = prompt is not None and prompt.keeps_meaning
    if not keeps_meaning and same_but_for_tense(old, new):
        return SAME_MEANING
    if not keeps_meaning and sorted(old) == sorted(new):
        if candidate.category not in ("", "swap"):
            return SAME_WORDS
        if same_but_for_order(old, new):
            return SAME_MEANING
    if not settings.min_length_ratio * len(old) <= len(new) <= settings.max_length_ratio * len(old):
        return LENGTH
    if content_overlap(old, new) < settings.min_overlap:
        return TOO_FAR
    return ""


def words(text: str) -> list[str]:
    """Lower-case words; punctuation parts them, apostrophes vanish.

    >>> words("A dog's T-shirt, on: the MAT.")
    ['a', 'dogs', 't', 'shirt', 'on', 'the', 'mat']
    """
    return re.findall(r"\w+", re.sub(r"['’]", "", text.casefold()))


def content_overlap(old: Sequence[str], new: Sequence[str]) -> float:
    """Share of the content words of ``old`` that ``new`` has too, by rough stem. 1 where ``old`` has fewer than two.

    A caption with a single content word may lose it: *a cat* has no other negative than *a dog*.
    """
    kept = {_stem(word) for word in new}
    content = {_stem(word) for word in old if word not in _FUNCTION_WORDS}
    return len(content & kept) / len(content) if len(content) > 1 else 1.0


def same_but_for_order(old: Sequence[str], new: Sequence[str]) -> bool:
    """Whether ``new`` is ``old`` with the sides of one symmetric connective exchanged (articles aside).

    >>> same_but_for_order(words("a cat and a dog"), words("a dog and a cat"))
    True
    >>> same_but_for_order(words("a red cat and a blue dog"), words("a blue cat and a red dog"))
    False
    """
    one, two = _bare(old), _bare(new)
    while one and two and one[0] == two[0]:
        one, two = one[1:], two[1:]
    while one and two and one[-1] == two[-1]:
        one, two = one[:-1], two[:-1]
    for connective in _SYMMETRIC:
        size = len(connective)
        for at in range(1, len(one) - size):
            if tuple(one[at : at + size]) == connective and two == one[at + size :] + list(connective) + one[:at]:
                return True
    return False


def same_but_for_tense(old: Sequence[str], new: Sequence[str]) -> bool:
    """Whether only forms of *be*, articles and the endings of verbs differ. A plural is another number of things.

    >>> same_but_for_tense(words("A bench sitting in the grass"), words("The bench sits in the grass"))
    True
    >>> same_but_for_tense(words("a dog sitting on a bench"), words("dogs sitting on a bench"))
    False
    """
    one, two = ([word for word in _bare(text) if word not in _FORMS_OF_BE] for text in (old, new))
    return len(one) == len(two) and all(map(_same_verb, one, two))


def _same_verb(one: str, two: str) -> bool:
    if one == two:
        return True
    return (one.endswith("ing") or two.endswith("ing")) and _root(one) == _root(two)


def _root(word: str) -> str:
    """The stem, with a doubled last consonant made single: *sitting* and *sits* are one."""
    stem = _stem(word)
    return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem


def guess_category(caption: str, neg_caption: str) -> str:
    """``swap``, ``count``, ``attribute`` or ``relation`` where the changed words alone tell; else ''."""
    old, new = Counter(words(caption)), Counter(words(neg_caption))
    changed = set(old - new) | set(new - old)
    if not changed:
        return "swap" if words(caption) != words(neg_caption) else ""
    for category, known in _CLASSES.items():
        if all(word in known or (category == "count" and word.isdigit()) for word in _singular(changed)):
            return category
    return ""


def _bare(text: Sequence[str]) -> list[str]:
    """Without articles: nobody sees them in a picture."""
    return [word for word in text if word not in _ARTICLES]


def _singular(changed: set[str]) -> set[str]:
    """Without plurals that only follow a new number: *one dog* to *two dogs* changes a count, not an object."""
    return {word for word in changed if not ({f"{word}s", word[:-1] if word.endswith("s") else ""} & changed)}


def _copied(new: list[str], old: list[str], prompt: Prompt) -> bool:
    """The answer is a text of an example (unless that example is about this very caption)."""
    return any(new in (given, answer) for given, answer in _example_words(prompt) if given != old)


@lru_cache(maxsize=8)
def _example_words(prompt: Prompt) -> list[tuple[list[str], list[str]]]:
    return [(words(example.input), words(example.output)) for example in prompt.examples]


def _stem(word: str) -> str:
    """The word without its commonest endings: *rides*, *riding* and *ride* are one."""
    for ending in ("ing", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
