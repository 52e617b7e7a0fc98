"""Does the caption still entail its negative? Then the negative is true of the image, and no negative at all.

Pluggable: nobody (the default), a language model as judge through the same server, or a classifier trained on natural
language inference.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tripletclip.errors import UserError
from tripletclip.extras import require
from tripletclip.negatives.contract import Failed, seed_of

if TYPE_CHECKING:
    from tripletclip.negatives.captions.client import LlmServer

ENTAILED, NOT_ENTAILED, UNCLEAR = "entailed", "not entailed", "unclear"

JUDGE_TEXT = (
    "A photo is described by this sentence: {premise}\n"
    "Is the following sentence certainly true of the same photo? {hypothesis}\n"
    "Answer with one word, yes or no."
)


class Entailment(Protocol):
    """Judges pairs of (caption, negative caption)."""

    def judge(self, pairs: Sequence[tuple[str, str]]) -> Sequence[str | Failed]:
        """``ENTAILED``, ``NOT_ENTAILED`` or ``UNCLEAR`` for each pair; :class:`Failed` where nobody could judge."""
        ...


class LlmJudge:
    """Asks a language model for yes or no, greedily; anything else is ``UNCLEAR``."""

    def __init__(self, server: "LlmServer") -> None:
        self.server = server

    def judge(self, pairs: Sequence[tuple[str, str]]) -> list[str | Failed]:
        """One call a pair. The seed is a hash of the pair."""
        # str.replace would look into the caption that it has just put in; format looks at the template alone.
        texts = [JUDGE_TEXT.format(premise=premise, hypothesis=hypothesis) for premise, hypothesis in pairs]
        seeds = [seed_of(premise, "judge", hypothesis) for premise, hypothesis in pairs]
        said = self.server.ask(texts, seeds, temperature=0.0, max_new_tokens=8)
        return [answer if isinstance(answer, Failed) else yes_or_no(answer.text) for answer in said]


def yes_or_no(text: str) -> str:
    """The judgement in a model's answer: its first word must be yes or no, and the other may not follow."""
    found = re.findall(r"[a-z]+", text.lower())
    if not found or found[0] not in ("yes", "no") or {"yes", "no"} <= set(found):
        return UNCLEAR
    return ENTAILED if found[0] == "yes" else NOT_ENTAILED


@dataclass(frozen=True, kw_only=True)
class NliConfig:
    """A sequence classifier with a label that says *entailment*, by Hub name or folder."""

    model: str
    threshold: float = 0.5
    batch_size: int = 32
    device: str = "cpu"


class NliModel:
    """Entailed where the classifier's probability of its entailment label is at least the threshold."""

    def __init__(self, config: NliConfig) -> None:
        require("hf", "the NLI check", "transformers")
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(config.model)
            model = AutoModelForSequenceClassification.from_pretrained(config.model)
        except (OSError, ValueError) as error:
            first = str(error).strip().split("\n")[0]
            raise UserError(f"cannot load the NLI model '{config.model}': {first}") from error
        labels = {int(index): str(label).lower() for index, label in model.config.id2label.items()}
        known = [index for index, label in labels.items() if label.startswith("entail")]
        if len(known) != 1:
            raise UserError(
                f"the NLI model '{config.model}' has the labels {', '.join(labels.values())}; one must be 'entailment'"
            )
        self.config, self._label, self._lock = config, known[0], threading.Lock()
        self._model, self._torch = model.eval().to(config.device), torch

    def judge(self, pairs: Sequence[tuple[str, str]]) -> list[str | Failed]:
        """In batches; a pair longer than the model takes is cut at its end."""
        judged: list[str | Failed] = []
        with self._lock, self._torch.inference_mode():
            for first in range(0, len(pairs), self.config.batch_size):
                batch = pairs[first : first + self.config.batch_size]
                premises, hypotheses = ([pair[side] for pair in batch] for side in (0, 1))
                tokens = self._tokenizer(premises, hypotheses, padding=True, truncation=True, return_tensors="pt")
                logits_NK = self._model(**tokens.to(self.config.device)).logits
                probability_N = logits_NK.float().softmax(-1)[:, self._label].tolist()
                judged += [ENTAILED if p >= self.config.threshold else NOT_ENTAILED for p in probability_N]
        return judged
