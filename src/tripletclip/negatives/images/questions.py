"""Yes/no questions about a caption, written by a language model: the prompt, and a strict reader of the answer.

The paper asks five questions of each negative caption and has ViLT answer them from the picture (Table 17).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tripletclip.negatives.contract import Failed, Rejected, seed_of

COUNT = 5

PROMPT = """\
A picture was painted from this description: {caption}
Write {count} short questions that can be answered with yes or no by looking at the picture alone, to find out whether
it shows what the description says. Ask about the objects, their number, their attributes, what they do, and where they
are. Let at least one question have the answer no. Write one question a line, numbered, with the right answer in
brackets, and nothing else. Example for "Two black dogs under a table":
1. Are there two dogs? [yes]
2. Are the dogs black? [yes]
3. Are the dogs on top of the table? [no]
4. Is there a table? [yes]
5. Is there a cat? [no]
"""

_LINE = re.compile(
    r"(?:\d{1,2}[.)]|[-*•])?\s*(?P<question>[^\[\]?]{3,200}\?)\s*[\[(]\s*(?P<answer>yes|no)\s*[\])]\.?", re.I
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question and whether its right answer is yes."""

    text: str
    yes: bool


class Asker(Protocol):
    """What writes questions: for each caption its questions, or why there are none."""

    def questions(self, captions: Sequence[str]) -> list[tuple[Question, ...] | Rejected | Failed]: ...


class Said(Protocol):
    """A language model's answer."""

    @property
    def text(self) -> str: ...


class Server(Protocol):
    """The part of ``captions.client.LlmServer`` that is used here."""

    def ask(
        self, texts: Sequence[str], seeds: Sequence[int], *, temperature: float | None, max_new_tokens: int | None
    ) -> Sequence[Said | Failed]: ...


class LlmAsker:
    """Asks a language model for the questions, greedily; each caption once."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def questions(self, captions: Sequence[str]) -> list[tuple[Question, ...] | Rejected | Failed]:
        """The questions of each caption; :class:`Rejected` where the answer is not as it was asked for."""
        texts = [question_prompt(caption) for caption in captions]
        seeds = [seed_of(caption, "questions") for caption in captions]
        said = self._server.ask(texts, seeds, temperature=0.0, max_new_tokens=40 * COUNT)
        return [answer if isinstance(answer, Failed) else parse_questions(answer.text) for answer in said]


def question_prompt(caption: str) -> str:
    """The prompt for one caption."""
    return PROMPT.format(caption=" ".join(caption.split()), count=COUNT)


def parse_questions(answer: str) -> tuple[Question, ...] | Rejected:
    """Exactly five different questions, one a line, each with its answer; anything else is rejected with a reason.

    >>> parse_questions("1. Is it a dog? [yes]")
    Rejected(reason='not five questions')
    """
    lines = [line.strip() for line in answer.strip().splitlines() if line.strip()]
    found: list[Question] = []
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            return Rejected(reason="questions with chatter" if found or len(lines) > COUNT else "no questions")
        text = " ".join(match["question"].split())
        found.append(Question(text=text[0].upper() + text[1:], yes=match["answer"].lower() == "yes"))
    if len(found) != COUNT:
        return Rejected(reason="not five questions")
    if len({question.text.lower() for question in found}) < COUNT:
        return Rejected(reason="a question twice")
    return tuple(found)
