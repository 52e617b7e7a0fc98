"""Replacements in tagged captions: attributes, numbers, relations, actions.

An edit is a list of token ranges (first, last, both inclusive) with the text that takes their place. Every finder gives
its edits in an order drawn from ``rng``.
"""

from functools import cache
from random import Random

from tripletclip.negatives.captions.actions import ACTIONS, BASE, FORMS, ING, PARTICIPLE, PAST, Actions, inflect
from tripletclip.negatives.captions.vocabulary import ALIKE, ATTRIBUTES, NUMBERS, OPPOSITES, RELATIONS
from tripletclip.negatives.captions.words import Noun, Token, by_rank, kind_of

Edit = list[tuple[int, int, str]]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


NAMED = _set("juice wine tea house light board paper meter station pepper bear sauce")
"""Nouns that make a name with the colour or material before them (orange juice, polar bear)."""

COMPLEMENT_VERBS = _set("covered filled decorated topped lined playing made piled stuffed packed surrounded loaded")
OWN_PREPOSITION = COMPLEMENT_VERBS | _set(
    """looking out up down from turned close right to flying chewing chews working works putting trying taking takes
    take cut cutting"""
)
"""Words whose preposition belongs to them, so that it names no place."""

DETERMINERS = ("DT", "PRP$", "CD")
PREPOSITIONS = _set(
    """in on at near under over by behind with inside outside beside next through along around down up into across above
    below underneath against between onto toward towards together while off out"""
)
PEOPLE = _set(
    """person people someone somebody adult adults he she they group crowd team family couple friends batter skier
    player players"""
)


def attribute_edits(tokens: list[Token], nouns: list[Noun], rng: Random) -> list[Edit]:
    """Another member of the closed class of an attribute that stands before a noun or after "is"."""
    edits: list[Edit] = []
    said = {token.lower for token in tokens}
    for at in rng.sample(range(len(tokens)), len(tokens)):
        choice = _attribute_choice(tokens[at].lower, _is_said_of_animate(nouns, at))
        if not choice or not _is_attribute(tokens, nouns, at):
            continue
        for word in by_rank(choice, rng):
            if word not in said:
                edits.append([(at, at, word)])
                break
    return edits


def _is_said_of_animate(nouns: list[Noun], at: int) -> bool:
    after = [noun for noun in nouns if noun.last >= at]
    return bool(after) and kind_of(after[0]) == "animate"


@cache
def _attribute_choice(word: str, animate: bool) -> tuple[str, ...]:
    """What excludes ``word``: the rest of its first class, or its opposite. Only who lives has an age."""
    if word in OPPOSITES:
        return (OPPOSITES[word],)
    for name, members in ATTRIBUTES.items():
        if word in members and name != ("era" if animate else "age"):
            return tuple(
                other for other in members if other != word and not any({word, other} <= group for group in ALIKE)
            )
    return ()


def _is_attribute(tokens: list[Token], nouns: list[Noun], at: int) -> bool:
    """Whether the word is said of a thing here and stands alone: not in a name, not in "black and white"."""
    if at + 1 == len(tokens) or tokens[at + 1].lower in NAMED or tokens[at + 1].text in ("-", "'"):
        return False
    around = {tokens[at + 1].lower, tokens[at - 1].lower if at else ""}
    if around & {"and", "or", "-", "very", "too", "light", ","}:
        return False
    starts = {noun.first for noun in nouns}
    if any(noun.first < at <= noun.last for noun in nouns):
        return False
    inside = [noun for noun in nouns if noun.first == at < noun.last and " " not in noun.base]
    following = tokens[at + 1].tag
    if any(noun.first <= at <= noun.last for noun in nouns) and not inside:
        return False
    if inside or at + 1 in starts:
        return True
    return following.startswith("JJ") and at + 2 in starts and tokens[at].tag.startswith("JJ")


def count_edits(tokens: list[Token], nouns: list[Noun], rng: Random) -> list[Edit]:
    """Another number before a plural."""
    plurals = {noun.first for noun in nouns if noun.plural}
    edits: list[Edit] = []
    for at, token in enumerate(tokens):
        near = plurals & {at + 1, at + 2} or (at + 1 < len(tokens) and tokens[at + 1].tag == "NNS")
        joined = at > 0 and tokens[at - 1].lower in ("or", "to", "-")
        if token.lower in NUMBERS and near and not joined:
            others = tuple(number for number in NUMBERS if number != token.lower)
            edits.append([(at, at, next(by_rank(others, rng)))])
    rng.shuffle(edits)
    return edits


def relation_edits(tokens: list[Token], nouns: list[Noun], rng: Random) -> list[Edit]:
    """Another relation; the longest match first, so "on top of" is never taken for "on"."""
    edits: list[Edit] = []
    at = 0
    while at < len(tokens):
        phrase, length = _relation_at(tokens, at)
        if not phrase:
            at += 1
            continue
        if _is_relation(tokens, nouns, phrase, at, at + length):
            thing = next((noun for noun in nouns if noun.last >= at + length), None)
            under_way = phrase == "on" and thing is not None and kind_of(thing) in ("place", "matter")
            edits.append([(at, at + length - 1, "beside" if under_way else rng.choice(RELATIONS[phrase]))])
        at += length
    rng.shuffle(edits)
    return edits


def _relation_at(tokens: list[Token], at: int) -> tuple[str, int]:
    for length in (5, 4, 3, 2, 1):
        phrase = " ".join(token.lower for token in tokens[at : at + length])
        if phrase in RELATIONS and at + length <= len(tokens):
            return phrase, length
    return "", 0


def _is_relation(tokens: list[Token], nouns: list[Noun], phrase: str, first: int, after: int) -> bool:
    """Whether a thing that has a place follows, and the verb before does not own the preposition ("filled with")."""
    if phrase in ("on the left", "on the right", "to the left", "to the right"):
        return after == len(tokens) or tokens[after].lower in (".", ",", "side", "of", "and")
    before = tokens[first - 1].lower if first else ""
    if phrase in ("with", "in") and first and tokens[first - 1].tag in ("VBN", "VBD", "JJ"):
        return False
    if before in OWN_PREPOSITION:
        return False
    if after >= len(tokens) or tokens[after].lower in PREPOSITIONS:
        return False
    start = after
    while (
        start < len(tokens) and tokens[start].tag in (*DETERMINERS, "JJ") and tokens[start].lower not in ("one", "each")
    ):
        start += 1
    thing = next((noun for noun in nouns if noun.first == start), None)
    determined = start > after or (
        thing is not None and (thing.plural or (thing.group is not None and thing.group.mass))
    )
    if not determined or thing is None:
        return " " in phrase and determined
    group = "" if thing.group is None else thing.group.name
    if phrase == "in":
        return group not in ("clothes", "towns", "ground", "people", "persons", "trades")
    if phrase in ("on", "over"):
        return group not in ("levels", "clothes", "ground", "people", "persons") or thing.base == "hat"
    return phrase not in ("up", "down") or kind_of(thing) == "place"


def action_edits(tokens: list[Token], nouns: list[Noun], rng: Random) -> list[Edit]:
    """Another verb in the same form that takes the same complements."""
    edits: list[Edit] = []
    said = {token.lower for token in tokens}
    for at in range(len(tokens)):
        if not _is_verb(tokens, at):
            continue
        found = _group_of(tokens, at, _has_animate_subject(tokens, nouns, at))
        if found is None:
            continue
        group, verb, form = found
        others = [inflect(other, form) for other in group.verbs if other != verb and {other, verb} != {"lie", "lay"}]
        free = tuple(other for other in others if other not in said)
        if free:
            edits.append([(at, at, next(by_rank(free, rng)))])
    rng.shuffle(edits)
    return edits


def _is_verb(tokens: list[Token], at: int) -> bool:
    token = tokens[at]
    if token.lower not in FORMS:
        return False
    before = tokens[at - 1] if at else None
    bare = any(form == BASE for _, form in FORMS[token.lower])
    if bare and before is not None and before.tag in ("NN", "NNP", "IN"):
        return False
    if token.tag.startswith("VB"):
        return at == 0 or tokens[at - 1].tag not in ("DT", "PRP$", "JJ", "CD")
    if before is not None and before.lower in ("is", "are", "was", "were") and token.lower.endswith("ing"):
        return True
    after_noun = before is not None and before.tag.startswith("NN") and at + 1 < len(tokens)
    return after_noun and tokens[at + 1].tag in ("DT", "IN", "PRP$", "TO") and token.lower.endswith(("ing", "s"))


def _has_animate_subject(tokens: list[Token], nouns: list[Noun], at: int) -> bool:
    """Whether somebody, a person or an animal, is named before the verb."""
    before = [noun for noun in nouns if noun.last < at]
    named = any(token.lower in PEOPLE for token in tokens[:at])
    return named or any(kind_of(noun) == "animate" for noun in before)


def _group_of(tokens: list[Token], at: int, animate: bool) -> tuple[Actions, str, str] | None:
    """The first group that has the verb in this form and takes what follows."""
    after = tokens[at + 1].lower if at + 1 < len(tokens) else ""
    tag = tokens[at + 1].tag if at + 1 < len(tokens) else ""
    later = {token.lower for token in tokens[at + 1 :]}
    follows = {after}
    if tag in (*DETERMINERS, "JJ", "NN", "NNS", "NNP"):
        follows.add("object")
    elif (
        not after
        or not after.isalpha()
        or after in ("and", "as", "to")
        or (after in PREPOSITIONS and not (after in ("up", "down") and _ends_phrase(tokens, at + 1)))
    ):
        follows.add("place")
    for group in ACTIONS:
        if group.follows not in follows or (group.topics and not group.topics & later):
            continue
        if group.subject and group.subject != ("animate" if animate else "thing"):
            continue
        for verb, form in FORMS[tokens[at].lower]:
            passive = form == PARTICIPLE and group.follows == "object"
            if verb in group.verbs and not passive and group.only in ("", form) and _form_fits(tokens[at], form):
                return group, verb, form
    return None


def _ends_phrase(tokens: list[Token], at: int) -> bool:
    """Whether the particle at ``at`` belongs to the verb: "kneeling down next to", not "walking down the street"."""
    return at + 1 == len(tokens) or tokens[at + 1].tag not in DETERMINERS


def _form_fits(token: Token, form: str) -> bool:
    """The tagger decides between past and participle; -ing and -s show themselves."""
    if form in (PAST, PARTICIPLE):
        return token.tag == ("VBD" if form == PAST else "VBN")
    return form != ING or token.lower.endswith("ing")
