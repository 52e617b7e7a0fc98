"""The blind lines that cost something, computed once a set and kept beside the features: probe and language model."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tripletclip.errors import UserError
from tripletclip.evaluation.blind import LIKELIHOOD, PROBE, SUMMED_LIKELIHOOD, Lines, merged, probe_lines, rule_lines
from tripletclip.evaluation.likelihood import LanguageModel
from tripletclip.evaluation.measuring import benchmark_names
from tripletclip.evaluation.scores import Scores
from tripletclip.evaluation.sets import BenchmarkSet, ClassSet, RetrievalSet
from tripletclip.files import write_atomic

RULE_VERSION = "1"
"""Part of the name under which a line is kept: another version of the rule is computed anew."""

Notes: TypeAlias = dict[str, float | str]
Blind: TypeAlias = Callable[[BenchmarkSet], tuple[Lines, Notes]]
"""A set to its blind lines, and to what the results should say of those that are missing."""


@dataclass(frozen=True, kw_only=True)
class BlindRules:
    """``probe``: train the text-only probe; ``language_model``: score captions; ``folder``: where lines are kept."""

    probe: bool = True
    language_model: LanguageModel | None = None
    folder: Path | None = None

    def __call__(self, item_set: BenchmarkSet) -> tuple[Lines, Notes]:
        """A probe that cannot be trained (no scikit-learn, too few captions) leaves a note with the reason."""
        if isinstance(item_set, RetrievalSet | ClassSet):
            return {}, {}
        lines: Lines = {}
        notes: Notes = {}
        if self.probe:
            try:
                lines = self._kept(item_set)
            except UserError as error:
                notes[PROBE] = str(error)
        if self.language_model is not None:
            lines = merged(lines, likelihood_lines(item_set, self.language_model))
        return lines, notes

    def _kept(self, item_set: BenchmarkSet) -> Lines:
        """The probe's lines, from the file of this very set if there is a whole one."""
        if self.folder is None:
            return probe_lines(item_set)
        name = hashlib.sha256(json.dumps([benchmark_names(item_set), item_set.digest()]).encode()).hexdigest()
        path = self.folder / f"probe-v{RULE_VERSION}-{name[:32]}.lines"
        if (lines := _read(path)) is None:
            lines = probe_lines(item_set)
            write_atomic(path, json.dumps(lines).encode())
        return lines


def likelihood_lines(item_set: BenchmarkSet, language_model: LanguageModel) -> Lines:
    """The caption that a language model finds likelier wins, strictly: by the mean of its tokens, and by their sum."""
    if isinstance(item_set, RetrievalSet | ClassSet):
        return {}
    texts = list(dict.fromkeys(item_set.texts()))
    scores_M2 = language_model.scores(texts).numpy()
    parts = []
    for column, name in enumerate((LIKELIHOOD, SUMMED_LIKELIHOOD)):
        known = dict(zip(texts, scores_M2[:, column].tolist(), strict=True))
        parts.append(rule_lines(item_set, name, _looked_up(known)))
    return merged(*parts)


def _looked_up(known: Mapping[str, float]) -> Callable[[list[str]], Scores]:
    return lambda captions: np.array([known[caption] for caption in captions], dtype=np.float32)


def _read(path: Path) -> Lines | None:
    """The lines in a file; ``None`` if there is none, or one that is torn and will be written anew."""
    try:
        lines: Lines = json.loads(path.read_text("utf8"))
    except (FileNotFoundError, ValueError):
        return None
    return lines
