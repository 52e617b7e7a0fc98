"""The stages of the making: rows in, the same rows out, in order, each with more in it or with a reason why not."""

import contextlib
import io
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from PIL import Image

from tripletclip.data.triplet import ACCEPTED, FAILED, REJECTED, Triplet
from tripletclip.negatives.captions.attempts import BatchCheck, Outcome, write_with_retries
from tripletclip.negatives.contract import (
    ATTEMPTS,
    CATEGORY,
    IMAGE_SEED,
    NEG_SCENE,
    OTHER_CAPTIONS,
    PAINTER,
    PAINTER_MODEL,
    PROMPT_HASH,
    SCENE,
    SEED,
    WRITER,
    WRITER_MODEL,
    CaptionWriter,
    Cost,
    Failed,
    Judged,
    Painter,
    PaintRequest,
    PictureCheck,
    Rejected,
    Request,
    Written,
    seed_of,
)


class Stage(Protocol):
    """One step over rows. A row that is not accepted, or has what the stage makes, passes as it is."""

    @property
    def name(self) -> str:
        """What the stage makes."""
        ...

    def run(self, rows: Sequence[Triplet]) -> list[Triplet]:
        """The rows after the stage, at the same indices."""
        ...

    def cost(self) -> Cost:
        """Spent so far."""
        ...


# ---- captions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CaptionStage:
    """Fills ``neg_caption``. ``turn`` is a lock where the writer serves one thread at a time."""

    writer: CaptionWriter
    check: BatchCheck
    tries: int
    turn: AbstractContextManager[object] = field(default_factory=contextlib.nullcontext)
    name: str = "captions"

    def run(self, rows: Sequence[Triplet]) -> list[Triplet]:
        """See :class:`Stage`."""
        todo = [row for row in rows if row.status == ACCEPTED and row.neg_caption is None]
        requests = [caption_request(row) for row in todo]
        with self.turn:
            outcomes = write_with_retries(self.writer, requests, self.check, tries=self.tries)
        finished = {row.key: self._finished(row, outcome) for row, outcome in zip(todo, outcomes, strict=True)}
        return [finished.get(row.key, row) for row in rows]

    def cost(self) -> Cost:
        """See :class:`Stage`."""
        return self.writer.cost()

    def _finished(self, row: Triplet, outcome: Outcome) -> Triplet:
        record = dict(row.extra) | provenance(self.writer)
        record |= {SEED: outcome.seed, ATTEMPTS: json.dumps(outcome.attempts)}
        match outcome.answer:
            case Written(caption=caption, category=category, extra=extra):
                return replace(row, neg_caption=caption, extra=record | {CATEGORY: category} | dict(extra))
            case Rejected(reason=reason):
                return replace(row, status=REJECTED, reason=f"caption: {reason}", extra=record)
            case Failed(reason=reason):
                return replace(row, status=FAILED, reason=f"caption: {reason}", extra=record)


def caption_request(row: Triplet, purpose: str = "caption") -> Request:
    """What a writer is asked about a row."""
    others = row.extra.get(OTHER_CAPTIONS)
    scene = row.extra.get(SCENE)
    return Request(
        key=row.key,
        caption=row.caption,
        seed=seed_of(row.key, purpose, 0),
        other_captions=tuple(json.loads(others)) if isinstance(others, str) else (),
        scene=scene if isinstance(scene, str) else None,
    )


def provenance(writer: CaptionWriter) -> dict[str, str | int | float]:
    """The columns that say who wrote."""
    return {WRITER: writer.name, WRITER_MODEL: writer.model, PROMPT_HASH: writer.prompt_hash}


REWRITTEN = "rewritten_caption"
ORIGINAL = "original_caption"


@dataclass(frozen=True, kw_only=True)
class RewriteStage:
    """Paraphrases positives (LaCLIP): in place of the caption, or as a hard positive in the column beside it.

    A row whose rewriting is rejected keeps its caption and says so in ``rewrite_attempts``: a paraphrase is a gain, not
    a need. Only a server that is gone makes it fail.
    """

    writer: CaptionWriter
    check: BatchCheck
    tries: int
    replace_caption: bool
    turn: AbstractContextManager[object] = field(default_factory=contextlib.nullcontext)
    name: str = "rewrite"

    def run(self, rows: Sequence[Triplet]) -> list[Triplet]:
        """See :class:`Stage`."""
        todo = [row for row in rows if row.status == ACCEPTED and REWRITTEN not in row.extra]
        requests = [caption_request(row, "rewrite") for row in todo]
        with self.turn:
            outcomes = write_with_retries(self.writer, requests, self.check, tries=self.tries, keeps_meaning=True)
        finished = {row.key: self._finished(row, outcome) for row, outcome in zip(todo, outcomes, strict=True)}
        return [finished.get(row.key, row) for row in rows]

    def cost(self) -> Cost:
        """See :class:`Stage`."""
        return self.writer.cost()

    def _finished(self, row: Triplet, outcome: Outcome) -> Triplet:
        record = dict(row.extra) | {"rewriter": self.writer.model, "rewrite_prompt_hash": self.writer.prompt_hash}
        record["rewrite_attempts"] = json.dumps(outcome.attempts)
        match outcome.answer:
            case Written(caption=caption):
                record |= {REWRITTEN: caption, ORIGINAL: row.caption}
                return replace(row, caption=caption if self.replace_caption else row.caption, extra=record)
            case Rejected():
                return replace(row, extra=record)
            case Failed(reason=reason):
                return replace(row, status=FAILED, reason=f"rewrite: {reason}", extra=record)


# ---- images --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ImageStage:
    """Fills ``neg_image`` with a JPEG of the negative caption, judged by ``checks``."""

    painter: Painter
    checks: Sequence[PictureCheck] = ()
    turn: AbstractContextManager[object] = field(default_factory=contextlib.nullcontext)
    quality: int = 90
    name: str = "images"

    def run(self, rows: Sequence[Triplet]) -> list[Triplet]:
        """See :class:`Stage`."""
        todo = [row for row in rows if row.status == ACCEPTED and row.neg_image is None]
        bare = {row.key: replace(row, status=REJECTED, reason="no neg_caption") for row in todo if not row.neg_caption}
        todo = [row for row in todo if row.key not in bare]
        with self.turn:
            pictures = self.painter.paint([paint_request(row) for row in todo]) if todo else []
            answers = list(zip(todo, pictures, strict=True))
            judged = self._judged([(row, picture) for row, picture in answers if isinstance(picture, Image.Image)])
        finished = {row.key: self._finished(row, picture, judged) for row, picture in answers}
        return [bare.get(row.key) or finished.get(row.key, row) for row in rows]

    def cost(self) -> Cost:
        """See :class:`Stage`."""
        return self.painter.cost()

    def _judged(self, drawn: Sequence[tuple[Triplet, Image.Image]]) -> dict[str, Judged]:
        """Key to the judgement of all checks together: the first reason, every column."""
        verdicts: dict[str, Judged] = {}
        pictures, captions = [picture for _, picture in drawn], [row.neg_caption or "" for row, _ in drawn]
        for judge in self.checks if drawn else ():
            for (row, _), verdict in zip(drawn, judge.check(pictures, captions), strict=True):
                before = verdicts.get(row.key, Judged(reason="", columns={}))
                first = before if before.reason else verdict
                verdicts[row.key] = replace(first, columns={**before.columns, **verdict.columns})
        return verdicts

    def _finished(self, row: Triplet, picture: Image.Image | Rejected | Failed, judged: dict[str, Judged]) -> Triplet:
        record = dict(row.extra) | {PAINTER: self.painter.name, PAINTER_MODEL: self.painter.model}
        record |= {IMAGE_SEED: seed_of(row.key, "image")}
        match picture:
            case Rejected(reason=reason):
                return replace(row, status=REJECTED, reason=f"image: {reason}", extra=record)
            case Failed(reason=reason):
                return replace(row, status=FAILED, reason=f"image: {reason}", extra=record)
        verdict = judged.get(row.key, Judged(reason="", columns={}))
        record |= dict(verdict.columns)
        if verdict.reason:
            status = FAILED if verdict.failed else REJECTED
            return replace(row, status=status, reason=f"image: {verdict.reason}", extra=record)
        return replace(row, neg_image=jpeg(picture, self.quality), extra=record)


def paint_request(row: Triplet) -> PaintRequest:
    """What a painter is asked about a row."""
    scene = row.extra.get(NEG_SCENE)
    return PaintRequest(
        key=row.key,
        caption=row.neg_caption or "",
        seed=seed_of(row.key, "image"),
        scene=scene if isinstance(scene, str) else None,
    )


def jpeg(picture: Image.Image, quality: int) -> bytes:
    """``picture`` as JPEG bytes; the same picture gives the same bytes."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
