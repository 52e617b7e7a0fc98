"""One step's batch, read and decoded. Holds no state, so it gives the same in every process."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tripletclip.data.batch import Batch, trimmed
from tripletclip.data.order import Mix, draw, rows_at
from tripletclip.data.shards import Shards
from tripletclip.data.texts import Candidates, choose_one, choose_several
from tripletclip.data.transforms import ImageError, TransformConfig, decode_image
from tripletclip.data.triplet import IMAGE, NEG_IMAGE
from tripletclip.errors import UserError

MOST_BAD_IN_A_ROW = 100
"""After so many neighbouring rows without a good image the folder is broken, whatever fraction is allowed."""

Outcome = tuple[Batch, dict[str, str]] | UserError
"""A batch with the bad keys that were met for it. An error travels as a value: a worker's exception would arrive
wrapped in a traceback, and a user error is one line."""


class _BadRowError(Exception):
    """Internal: an image of this row does not decode; the text is role and reason."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Rows of one folder in the order of ``seed``, and which of their texts and images go into a batch.

    ``size`` is per rank. Without ``negatives`` there are none in a batch. ``mark`` goes before the keys of bad rows,
    and tells the folders of a run apart.
    """

    shards: Shards
    seed: int
    size: int
    captions: Candidates
    negatives: Candidates | None
    negative_count: int
    neg_images: bool
    mark: str = ""


@dataclass(frozen=True, kw_only=True)
class StepReader(Dataset[Outcome]):
    """Step to batch. ``plain`` is what the plain steps of ``mix`` draw from, ``apart`` that it is another folder."""

    main: Stream
    plain: Stream
    mix: Mix
    apart: bool
    tokenize: Callable[[list[str]], Tensor]
    image_size: int
    transform: TransformConfig
    rank: int

    def __getitem__(self, step: int) -> Outcome:
        try:
            stream = self.plain if self.mix.is_plain(step) else self.main
            return self._read(stream, self.mix.positions_before(step, apart=self.apart) + self.rank * stream.size)
        except UserError as error:
            return error

    def _read(self, stream: Stream, first: int) -> tuple[Batch, dict[str, str]]:
        positions = range(first, first + stream.size)
        images = {
            role: torch.empty(stream.size, 3, self.image_size, self.image_size, dtype=torch.uint8)
            for role in ([IMAGE, NEG_IMAGE] if stream.neg_images else [IMAGE])
        }
        bad_keys: dict[str, str] = {}
        rows = []
        for slot, row in enumerate(rows_at(stream.seed, len(stream.shards), positions)):
            good_row, pixels = self._good_row(stream, row, positions[slot], list(images), bad_keys)
            rows.append(good_row)
            for role, pixels_3HW in pixels.items():
                images[role][slot] = pixels_3HW
        text_BL, neg_text_ML = self._texts(stream, rows, positions)
        batch = Batch(
            keys=[stream.shards.key(row) for row in rows],
            image=images[IMAGE],
            text=text_BL,
            neg_image=images.get(NEG_IMAGE),
            neg_text=neg_text_ML,
        )
        return batch, bad_keys

    def _texts(self, stream: Stream, rows: list[int], positions: range) -> tuple[Tensor, Tensor | None]:
        """The texts that each visit draws, as tokens: [B, L], and negative k of all rows in block k of [K*B, L]."""
        visits = list(zip(rows, positions, strict=True))
        texts = [choose_one(stream.captions.of(row), draw(stream.seed, place, "caption")) for row, place in visits]
        if stream.negatives is None:
            return trimmed(self.tokenize(texts), None)
        chosen = [
            choose_several(
                stream.negatives.of(row), stream.negative_count, draw(stream.seed, place, "negative caption")
            )
            for row, place in visits
        ]
        negatives = [of_row[block] for block in range(stream.negative_count) for of_row in chosen]
        return trimmed(self.tokenize(texts), self.tokenize(negatives))

    def _good_row(
        self, stream: Stream, row: int, position: int, roles: list[str], bad_keys: dict[str, str]
    ) -> tuple[int, dict[str, Tensor]]:
        """``row``, or the first after it whose images all decode, with the images; notes the bad keys on the way."""
        shards = stream.shards
        for ahead in range(min(MOST_BAD_IN_A_ROW, len(shards))):
            candidate = (row + ahead) % len(shards)
            try:
                return candidate, {role: self._decode(stream, candidate, position, role) for role in roles}
            except _BadRowError as fault:
                bad_keys[stream.mark + shards.key(candidate)] = str(fault)
        raise UserError(
            f"{len(bad_keys)} rows in a row from '{shards.key(row)}' on in {shards.folder} have images that "
            f"do not decode ({', '.join(sorted(set(bad_keys.values())))}); write the shards again"
        )

    def _decode(self, stream: Stream, row: int, position: int, role: str) -> Tensor:
        bits = draw(stream.seed, position, role) if self.transform.crop == "random" else 0
        try:
            return decode_image(stream.shards.read(row, role), self.image_size, self.transform, bits)
        except ImageError as error:
            raise _BadRowError(f"{role}: {error.reason}") from error
