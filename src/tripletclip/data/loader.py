"""Batches whose content and order are a function of (seed, step), whatever the number of workers and ranks.

Legend: B rows of a batch on this rank, H = W image size, L tokens of the longest text of the batch.

Positions count rows over the whole run: epoch e is positions e·n to (e+1)·n - 1 of n rows, in the order of a
permutation drawn from (seed, e). Step s takes the next B·world positions, rank r the r-th B of them. So epochs run
into each other, nothing is dropped, and a run that goes on needs one integer: the step.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tripletclip.data.shards import Shards
from tripletclip.data.transforms import ImageError, decode_image
from tripletclip.data.triplet import CAPTION, IMAGE, NEG_CAPTION, NEG_IMAGE, ROLES
from tripletclip.errors import UserError, unknown_name

MOST_BAD_IN_A_ROW = 100
"""After so many neighbouring rows without a good image the folder is broken, whatever fraction is allowed."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """``image`` and ``neg_image`` uint8 [B,3,H,W]; ``text`` and ``neg_text`` int64 [B,L] with one common L."""

    keys: list[str]
    image: Tensor
    text: Tensor
    neg_image: Tensor | None
    neg_text: Tensor | None


class Loader:
    """Deterministic batches of triplets.

    ``tokenize`` maps B strings to integers [B, context], padded with 0. ``roles`` are the fields that the objective
    needs; ``image`` and ``caption`` always belong to them. ``batch_size`` is per rank.

    A row whose image does not decode is replaced by the next good one in the order of the shards. It is counted in
    ``bad`` and its key kept in ``bad_keys``. More such rows than ``max_bad_fraction`` of all raise :class:`UserError`.
    """

    def __init__(
        self,
        shards: Shards,
        *,
        tokenize: Callable[[list[str]], Tensor],
        image_size: int,
        batch_size: int,
        seed: int,
        roles: tuple[str, ...] = ROLES,
        workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
        max_bad_fraction: float = 0.01,
    ) -> None:
        _check_numbers(image_size=image_size, batch_size=batch_size, seed=seed, workers=workers)
        if not 0 <= rank < world_size:
            raise UserError(f"rank {rank} of world_size {world_size} does not exist; ranks count from 0")
        if not 0 <= max_bad_fraction <= 1:
            raise UserError(f"max_bad_fraction is {max_bad_fraction}; give a fraction between 0 and 1")
        _check_roles(shards, roles)
        self.bad_keys: dict[str, str] = {}
        """Key to reason of every row that was met and has an image that does not decode."""
        self._workers = workers
        self._max_bad = max_bad_fraction * len(shards)
        self._shards = shards
        self._reader = _StepReader(
            shards=shards,
            tokenize=tokenize,
            image_size=image_size,
            batch_size=batch_size,
            seed=seed,
            roles=roles,
            rank=rank,
            world_size=world_size,
        )

    @property
    def bad(self) -> dict[str, int]:
        """Role and reason (``image: truncated``) to the number of rows met."""
        return dict(Counter(self.bad_keys.values()))

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps ``start`` to ``stop - 1``. Does not touch torch's global random state."""
        if not 0 <= start <= stop:
            raise UserError(f"steps {start} to {stop} make no range; give 0 <= start <= stop")
        for outcome in self._outcomes(range(start, stop)):
            if isinstance(outcome, UserError):
                raise outcome
            batch, bad_keys = outcome
            self._record(bad_keys)
            yield batch

    def _outcomes(self, steps: range) -> "Iterator[Outcome]":
        if self._workers == 0 or not steps:
            return (self._reader[step] for step in steps)
        # One item is one step, so DataLoader's own order is the order of the steps.
        # The generator is given because DataLoader otherwise draws its base seed from the global one.
        return iter(
            DataLoader(
                self._reader,
                batch_size=None,
                sampler=steps,
                num_workers=min(self._workers, len(steps)),
                generator=torch.Generator(),
            )
        )

    def _record(self, bad_keys: dict[str, str]) -> None:
        self.bad_keys |= bad_keys
        if len(self.bad_keys) > self._max_bad:
            key, reason = next(iter(bad_keys.items() or self.bad_keys.items()))
            raise UserError(
                f"{len(self.bad_keys)} of {len(self._shards)} rows of {self._shards.folder} have images that do not "
                f"decode, more than max_bad_fraction allows (such as '{key}', {reason}); mend the shards or raise it"
            )


# ---- order ---------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, rows: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The permutation of ``rows`` numbers in which an epoch visits them, int64 [rows]."""
    return np.random.default_rng((seed, epoch)).permutation(rows)


def rows_at(seed: int, rows: int, positions: range) -> list[int]:
    """The row at each of the run's ``positions``."""
    return [int(epoch_order(seed, position // rows, rows)[position % rows]) for position in positions]


# ---- one step ------------------------------------------------------------------------------------------------------

Outcome = tuple[Batch, dict[str, str]] | UserError
"""A batch with the bad keys that were met for it. An error travels as a value: a worker's exception would arrive
wrapped in a traceback, and a user error is one line."""


class _BadRowError(Exception):
    """Internal: an image of this row does not decode; the text is role and reason."""


@dataclass(frozen=True, kw_only=True)
class _StepReader(Dataset[Outcome]):
    """Step to batch. Holds no state, so it gives the same in every process."""

    shards: Shards
    tokenize: Callable[[list[str]], Tensor]
    image_size: int
    batch_size: int
    seed: int
    roles: tuple[str, ...]
    rank: int
    world_size: int

    def __getitem__(self, step: int) -> Outcome:
        try:
            return self._read(step)
        except UserError as error:
            return error

    def _read(self, step: int) -> tuple[Batch, dict[str, str]]:
        first = (step * self.world_size + self.rank) * self.batch_size
        wanted = rows_at(self.seed, len(self.shards), range(first, first + self.batch_size))
        image_roles = [role for role in (IMAGE, NEG_IMAGE) if role in self.roles]
        images = {
            role: torch.empty(self.batch_size, 3, self.image_size, self.image_size, dtype=torch.uint8)
            for role in image_roles
        }
        bad_keys: dict[str, str] = {}
        rows = []
        for slot, row in enumerate(wanted):
            good_row, pixels = self._good_row(row, image_roles, bad_keys)
            rows.append(good_row)
            for role, pixels_3HW in pixels.items():
                images[role][slot] = pixels_3HW
        text_BL = self.tokenize([self.shards.caption(row) for row in rows])
        neg_text_BL = None
        if NEG_CAPTION in self.roles:
            neg_text_BL = self.tokenize([self.shards.neg_caption(row) for row in rows])
        text_BL, neg_text_BL = _trimmed(text_BL, neg_text_BL)
        keys = [self.shards.key(row) for row in rows]
        neg_image = images.get(NEG_IMAGE)
        batch = Batch(keys=keys, image=images[IMAGE], text=text_BL, neg_image=neg_image, neg_text=neg_text_BL)
        return batch, bad_keys

    def _good_row(self, row: int, roles: list[str], bad_keys: dict[str, str]) -> tuple[int, dict[str, Tensor]]:
        """``row``, or the first after it whose images all decode, with the images; notes the bad keys on the way."""
        for ahead in range(min(MOST_BAD_IN_A_ROW, len(self.shards))):
            candidate = (row + ahead) % len(self.shards)
            try:
                return candidate, {role: self._decode(candidate, role) for role in roles}
            except _BadRowError as fault:
                bad_keys[self.shards.key(candidate)] = str(fault)
        raise UserError(
            f"{len(bad_keys)} rows in a row from '{self.shards.key(row)}' on in {self.shards.folder} have images that "
            f"do not decode ({', '.join(sorted(set(bad_keys.values())))}); write the shards again"
        )

    def _decode(self, row: int, role: str) -> Tensor:
        try:
            return decode_image(self.shards.read(row, role), self.image_size)
        except ImageError as error:
            raise _BadRowError(f"{role}: {error.reason}") from error


def _trimmed(text_BL: Tensor, neg_text_BL: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Cut the columns after the last token of the longest text of both; at least one column stays."""
    both = text_BL if neg_text_BL is None else torch.cat([text_BL, neg_text_BL])
    used_columns = both.ne(0).any(dim=0).nonzero()
    length = int(used_columns.max()) + 1 if len(used_columns) else 1
    cut = both[:, :length].to(torch.int64)
    size = len(text_BL)
    return cut[:size].contiguous(), None if neg_text_BL is None else cut[size:].contiguous()


# ---- checks --------------------------------------------------------------------------------------------------------


def _check_numbers(**numbers: int) -> None:
    for name, number in numbers.items():
        least = 1 if name in ("image_size", "batch_size") else 0
        if number < least:
            raise UserError(f"{name} is {number}; give {least} or more")


def _check_roles(shards: Shards, roles: tuple[str, ...]) -> None:
    for role in roles:
        if role not in ROLES:
            raise unknown_name("role", role, ROLES)
    for role in (IMAGE, CAPTION):
        if role not in roles:
            raise UserError(f"roles {', '.join(roles) or '()'} lack '{role}'; every objective needs image and caption")
    missing = [role for role in roles if not shards.has(role)]
    if missing:
        raise UserError(
            f"{shards.folder} has rows without {' and '.join(missing)}, which the objective needs; "
            f"make the negatives first or choose an objective that does without"
        )
