"""Does a painted picture show its caption? Pluggable: a CLIP score, or questions answered from the picture."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from tripletclip.errors import UserError
from tripletclip.negatives.contract import Failed, Judged, Rejected
from tripletclip.negatives.images.questions import Asker, Question

CLIP_SCORE, VQA = "clip_score", "vqa"
"""Columns: cosine of picture and caption, and the share of questions that were answered right."""


@dataclass(frozen=True, kw_only=True)
class ClipScoreConfig:
    """Any model that ``screening`` scores with (``ViT-L-14:openai``, a folder), and the least cosine to be kept."""

    model: str
    least: float = 0.2
    device: str = "cpu"
    batch_size: int = 64

    def __post_init__(self) -> None:
        if not -1 <= self.least <= 1:
            raise UserError(f"clip_score.least is {self.least}; a cosine lies between -1 and 1")


class ClipScoreCheck:
    """Rejects pictures whose CLIP feature is too far from their caption's."""

    def __init__(self, config: ClipScoreConfig) -> None:
        from tripletclip.screening.scores import ClipScorer, ScoreConfig

        self.config = config
        self._scorer = ClipScorer(ScoreConfig(model=config.model, device=config.device, batch_size=config.batch_size))

    def check(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> list[Judged]:
        """The cosine of each pair as a column, and a reason where it is under ``least``."""
        if not pictures:
            return []
        images_ND = self._scorer.image_features([_png(picture) for picture in pictures])
        texts_ND = self._scorer.text_features(list(captions))
        scores = [float(score) for score in (images_ND * texts_ND).sum(1)]
        return [
            Judged(reason="" if score >= self.config.least else "low clip score", columns={CLIP_SCORE: score})
            for score in scores
        ]


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


class Answerer(Protocol):
    """What answers questions about pictures, such as :class:`tripletclip.negatives.images.vqa.VqaModel`."""

    def answers(self, pictures: Sequence[Image.Image], questions: Sequence[str]) -> list[str]:
        """``yes``, ``no`` or ``other`` for each picture with its question."""
        ...


class VqaCheck:
    """Rejects pictures from which too few of the questions about their caption are answered right."""

    def __init__(self, asker: Asker, answerer: Answerer, *, least: float = 0.6) -> None:
        if not 0 <= least <= 1:
            raise UserError(f"vqa.least is {least}; a share lies between 0 and 1")
        self._asker = asker
        self._answerer = answerer
        self._least = least

    def check(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> list[Judged]:
        """The share of right answers as a column. Without questions the picture is rejected: nobody has checked it."""
        asked = self._asker.questions(captions)
        pairs = [
            (picture, question)
            for picture, questions in zip(pictures, asked, strict=True)
            if isinstance(questions, tuple)
            for question in questions
        ]
        said = iter(self._answerer.answers([picture for picture, _ in pairs], [asking.text for _, asking in pairs]))
        return [self._judged(questions, [next(said) for _ in _asked(questions)]) for questions in asked]

    def _judged(self, questions: tuple[Question, ...] | Rejected | Failed, said: Sequence[str]) -> Judged:
        if not isinstance(questions, tuple):
            return Judged(reason=f"vqa: {questions.reason}", columns={}, failed=isinstance(questions, Failed))
        right = sum(
            answer == ("yes" if question.yes else "no") for question, answer in zip(questions, said, strict=True)
        )
        share = right / len(questions)
        return Judged(reason="" if share >= self._least else "wrong vqa answers", columns={VQA: share})


def _asked(questions: tuple[Question, ...] | Rejected | Failed) -> tuple[Question, ...]:
    return questions if isinstance(questions, tuple) else ()
