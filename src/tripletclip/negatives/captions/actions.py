"""Verbs of captions, in groups whose members take the same complements, and their forms."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Actions:
    """Verbs that can stand for each other where ``follows`` holds for what comes next.

    ``follows``: ``object`` (a noun phrase), ``place`` (a preposition, or nothing), ``any``, or the very next word.
    ``topics``: where given, one of these words must be in the caption after the verb.
    ``subject``: where given, ``animate`` wants a person or an animal before the verb, ``thing`` wants none.
    ``only``: where given, the only form in which the group is used (``ing``, ``participle``).
    """

    verbs: tuple[str, ...]
    follows: str
    topics: frozenset[str] = frozenset()
    subject: str = ""
    only: str = ""


def _actions(verbs: str, follows: str, topics: str = "", subject: str = "", only: str = "") -> Actions:
    words = frozenset(topics.split())
    return Actions(verbs=tuple(verbs.split()), follows=follows, topics=words, subject=subject, only=only)


ACTIONS = (
    _actions("take hold hide paint", "object", "picture photo selfie photograph pictures photos"),
    _actions("look point smile laugh wave shout", "at"),
    _actions("fill cover decorate line", "with", only="participle"),
    _actions("sit stand lie kneel crouch lay dance", "place", subject="animate"),
    _actions("sit hang float burn fall", "place", subject="thing"),
    _actions("stand burn fall hang float", "place", subject="thing"),
    _actions("lie hang float burn", "place", subject="thing"),
    _actions("hang burn fall float", "place", subject="thing"),
    _actions("walk run jump dance crawl", "place", subject="animate"),
    _actions("hang sleep jump dance", "place", subject="animate"),
    _actions("drive burn stop crash", "place", subject="thing"),
    _actions("fly fall spin burn", "place"),
    _actions("park crash abandon", "place", only="participle"),
    _actions("ride push wash repair chase", "object", """motorcycle motorcycles bike bikes bicycle bicycles scooter
        skateboard moped horse"""),
    _actions("fly hold fold drop", "object", "kite kites"),
    _actions("drive wash push park repair", "object", """car truck bus van train vehicle motorcycle scooter jeep cart
        tractor"""),
    _actions("ride hold fix drop", "object", "surfboard snowboard skis board"),
    _actions("hold throw drop hide wash", "object"),
    _actions("eat cook serve smell throw", "object"),
    _actions("drink pour spill", "object"),
    _actions("prepare eat burn serve throw", "object",
             "food pizza meal dinner cake sandwich meat breakfast lunch dish salad bread"),
    _actions("make eat burn hide", "object", """food pizza meal dinner cake sandwich meat breakfast lunch dish salad
        bread"""),
    _actions("cook eat burn throw", "object"),
    _actions("watch film ignore chase paint", "object"),
    _actions("wear fold wash drop", "object"),
    _actions("carry drag push drop throw", "object"),
    _actions("pull push lift", "object"),
    _actions("throw catch kick drop", "object", "ball frisbee baseball football"),
    _actions("hit catch miss drop", "object", "ball baseball"),
    _actions("swing drop hold throw", "object"),
    _actions("cut eat throw serve", "object"),
    _actions("clean paint break photograph", "object"),
    _actions("brush hide", "object"),
    _actions("read write tear burn", "object"),
    _actions("chase follow carry", "object"),
    _actions("ride watch film paint", "object", "wave waves"),
    _actions("feed chase ride wash photograph", "object",
             """horse horses elephant elephants cow cows giraffe giraffes sheep animal animals dog dogs goat goats bird
             birds"""),
    _actions("pet chase feed wash", "object"),
    _actions("cross block repair", "object"),
    _actions("enter leave", "object"),
    _actions("open close", "object"),
    _actions("use repair break hide", "object"),
    _actions("play watch film", "object", "tennis baseball soccer football frisbee basketball game games guitar"),
    _actions("talk argue dance sing fight", "place"),
    _actions("smile cry frown shout", "place"),
    _actions("sleep eat play run sit", "place", subject="animate"),
    _actions("wait dance sleep sing", "place"),
    _actions("work sleep dance eat", "place"),
    _actions("pose argue dance sleep", "place"),
    _actions("graze sleep run drink", "place"),
    _actions("swim jump sleep stand", "place"),
    _actions("surf swim sail float", "place"),
    _actions("ski walk fall sit", "place"),
    _actions("skate walk sit run", "place"),
    _actions("climb paint block", "object"),
    _actions("climb jump sit", "place"),
    _actions("lean sleep jump dance", "place", subject="animate"),
    _actions("rest play run jump", "place", subject="animate"),
    _actions("travel stop crash", "place"),
    _actions("lead follow chase", "object"),
    _actions("perch fly jump fight", "place", only="ing"),
)  # fmt: skip
"""The first group that has the verb and fits is taken."""

IRREGULAR = {
    "take": "took taken", "hold": "held held", "hide": "hid hidden", "sit": "sat sat", "stand": "stood stood",
    "lie": "lay lain", "lay": "laid laid", "kneel": "knelt knelt", "run": "ran run", "ride": "rode ridden",
    "drive": "drove driven", "fly": "flew flown", "fall": "fell fallen", "spin": "spun spun", "throw": "threw thrown",
    "eat": "ate eaten", "drink": "drank drunk", "make": "made made", "wear": "wore worn", "catch": "caught caught",
    "hit": "hit hit", "swing": "swung swung", "cut": "cut cut", "break": "broke broken", "read": "read read",
    "write": "wrote written", "tear": "tore torn", "feed": "fed fed", "leave": "left left", "sing": "sang sung",
    "fight": "fought fought", "sleep": "slept slept", "swim": "swam swum", "lead": "led led",
}  # fmt: skip
"""Base to past and past participle of the irregular verbs above."""

DOUBLED = ("sit", "run", "spin", "drop", "hit", "cut", "swim", "drag", "pet", "stop")
"""Verbs whose last consonant doubles before -ing and -ed."""

BASE, S, ING, PAST, PARTICIPLE = "base", "s", "ing", "past", "participle"


def inflect(verb: str, form: str) -> str:
    """``verb`` in the given form.

    >>> inflect("lie", "ing"), inflect("push", "s"), inflect("carry", "past"), inflect("drop", "participle")
    ('lying', 'pushes', 'carried', 'dropped')
    """
    if form == BASE:
        return verb
    if form in (PAST, PARTICIPLE) and verb in IRREGULAR:
        return IRREGULAR[verb].split()[form == PARTICIPLE]
    after_consonant_y = verb.endswith("y") and verb[-2] not in "aeiou"
    if form == S:
        if after_consonant_y:
            return f"{verb[:-1]}ies"
        return f"{verb}es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else f"{verb}s"
    if verb in DOUBLED:
        verb += verb[-1]
    if form == ING:
        if verb.endswith("ie"):
            return f"{verb[:-2]}ying"
        return f"{verb[:-1]}ing" if verb.endswith("e") and not verb.endswith("ee") else f"{verb}ing"
    if after_consonant_y:
        return f"{verb[:-1]}ied"
    return f"{verb}d" if verb.endswith("e") else f"{verb}ed"


def _forms() -> dict[str, tuple[tuple[str, str], ...]]:
    table: dict[str, list[tuple[str, str]]] = {}
    for verb in dict.fromkeys(verb for group in ACTIONS for verb in group.verbs):
        for form in (BASE, S, ING, PAST, PARTICIPLE):
            table.setdefault(inflect(verb, form), []).append((verb, form))
    return {word: tuple(found) for word, found in table.items()}


FORMS = _forms()
"""Every form of every verb above to the verbs and forms that it may be ("lay": lie in the past, lay itself)."""
