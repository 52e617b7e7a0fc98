"""Batches whose content and order are a function of (seed, step), whatever the number of workers and ranks.

Step s takes the next B·world positions of the run's order (order.py), rank r the r-th B of them, so a run that goes on
needs one integer: the step. Which caption, which negatives and which part of a picture a visit gets are drawn from
(seed, position).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tripletclip.data.batch import Batch as Batch
from tripletclip.data.order import draw, mix
from tripletclip.data.order import epoch_order as epoch_order
from tripletclip.data.order import rows_at as rows_at
from tripletclip.data.shards import Shards
from tripletclip.data.steps import Outcome, StepReader, Stream
from tripletclip.data.texts import candidates
from tripletclip.data.transforms import EXACT, TransformConfig
from tripletclip.data.triplet import CAPTION, IMAGE, NEG_CAPTION, NEG_IMAGE, ROLES
from tripletclip.errors import UserError, unknown_name


class Loader:
    """Deterministic batches of triplets.

    tokenize         maps B strings to integers [B, context], padded with 0
    image_size       side of the square pictures; ``transform`` says how they become square
    batch_size       pairs of a batch on this rank
    roles            fields that the objective needs; ``image`` and ``caption`` always belong to them
    captions         columns a visit draws its caption from, such as ``caption`` and ``rewritten_caption`` (LaCLIP)
    neg_captions     columns of negative captions, and ``neg_count`` (K) how many of them a visit gets
    plain_share      share of the batches that are pairs without negatives, spread evenly over the steps
    plain_data       where those are drawn from; none: the next rows of the same folder
    plain_captions   as ``captions``, of ``plain_data``; none: the same columns
    plain_size       pairs of such a batch on this rank; none: ``batch_size``
    workers          processes that read ahead, ``prefetch`` batches each; 0: this process reads when it is asked
    device           where the batches go; for cuda they are put into page-locked memory
    max_bad_fraction most rows with a picture that does not decode, of all

    A row whose picture does not decode is replaced by the next good one in the order of the shards. It is counted in
    ``bad`` and its key kept in ``bad_keys`` (with ``plain_data:`` before it where it is from there). More such rows
    than ``max_bad_fraction`` of all raise :class:`UserError`. ``waited`` is how many seconds the caller has waited for
    batches; the caller may set it to 0.
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
        transform: TransformConfig = EXACT,
        captions: tuple[str, ...] = (CAPTION,),
        neg_captions: tuple[str, ...] = (NEG_CAPTION,),
        neg_count: int = 1,
        plain_share: float = 0.0,
        plain_data: Shards | None = None,
        plain_captions: tuple[str, ...] | None = None,
        plain_size: int | None = None,
        workers: int = 0,
        prefetch: int = 2,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
        max_bad_fraction: float = 0.01,
    ) -> None:
        plain_size = batch_size if plain_size is None else plain_size
        least_one = {"image_size": image_size, "batch_size": batch_size, "plain_size": plain_size}
        _check_numbers(1, **least_one, neg_count=neg_count, prefetch=prefetch)
        _check_numbers(0, seed=seed, workers=workers)
        if not 0 <= rank < world_size:
            raise UserError(f"rank {rank} of world_size {world_size} does not exist; ranks count from 0")
        _check_shares(max_bad_fraction=max_bad_fraction, plain_share=plain_share)
        _check_roles(shards, roles, neg_captions)
        self.bad_keys: dict[str, str] = {}
        """Key to reason of every row that was met and has an image that does not decode."""
        self.waited = 0.0
        """Seconds that the caller has waited for batches, until now or since it was set to 0."""
        self._workers, self._prefetch = workers, prefetch
        self._pinned = torch.device(device).type == "cuda"
        self._folders = [shards] if plain_data is None else [shards, plain_data]
        self._max_bad = max_bad_fraction * sum(map(len, self._folders))
        main = Stream(
            shards=shards,
            seed=seed,
            size=batch_size,
            captions=candidates(shards, captions),
            negatives=candidates(shards, neg_captions) if NEG_CAPTION in roles else None,
            negative_count=neg_count,
            neg_images=NEG_IMAGE in roles,
        )
        plain = replace(main, size=plain_size, negatives=None, neg_images=False)
        if plain_data is not None:
            plain = _other_folder(plain, plain_data, plain_captions or captions, plain_share)
        self._reader = StepReader(
            main=main,
            plain=plain,
            mix=mix(plain_share, batch_size * world_size, plain_size * world_size),
            apart=plain_data is not None,
            tokenize=tokenize,
            image_size=image_size,
            transform=transform,
            rank=rank,
        )

    @property
    def bad(self) -> dict[str, int]:
        """Role and reason (``image: truncated``) to the number of rows met."""
        return dict(Counter(self.bad_keys.values()))

    def is_plain(self, step: int) -> bool:
        """Whether the batch of ``step`` has no negatives because ``plain_share`` says so."""
        return self._reader.mix.is_plain(step)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps ``start`` to ``stop - 1``. Does not touch torch's global random state."""
        if not 0 <= start <= stop:
            raise UserError(f"steps {start} to {stop} make no range; give 0 <= start <= stop")
        began = time.perf_counter()
        for outcome in self._outcomes(range(start, stop)):
            if isinstance(outcome, UserError):
                raise outcome
            batch, bad_keys = outcome
            self._record(bad_keys)
            if self._pinned and self._workers == 0:
                batch = batch.pin_memory()
            self.waited += time.perf_counter() - began
            yield batch
            began = time.perf_counter()

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
                prefetch_factor=self._prefetch,
                pin_memory=self._pinned,
                generator=torch.Generator(),
            )
        )

    def _record(self, bad_keys: dict[str, str]) -> None:
        self.bad_keys |= bad_keys
        if len(self.bad_keys) > self._max_bad:
            key, reason = next(iter(bad_keys.items() or self.bad_keys.items()))
            folders = " and ".join(str(shards.folder) for shards in self._folders)
            raise UserError(
                f"{len(self.bad_keys)} of {sum(map(len, self._folders))} rows of {folders} have images that do not "
                f"decode, more than max_bad_fraction allows (such as '{key}', {reason}); mend the shards or raise it"
            )


def _other_folder(plain: Stream, shards: Shards, captions: tuple[str, ...], share: float) -> Stream:
    """``plain`` from a folder of its own, in an order of its own."""
    if share == 0:
        raise UserError("plain_data is given and plain_share is 0; give the share of plain batches")
    _check_roles(shards, (IMAGE, CAPTION), ())
    seed = draw(plain.seed, 0, "plain data")
    return replace(plain, shards=shards, seed=seed, captions=candidates(shards, captions), mark="plain_data:")


# ---- checks --------------------------------------------------------------------------------------------------------


def _check_numbers(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < least:
            raise UserError(f"{name} is {number}; give {least} or more")


def _check_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise UserError(f"{name} is {share}; give a fraction between 0 and 1")


def _check_roles(shards: Shards, roles: tuple[str, ...], neg_captions: tuple[str, ...]) -> None:
    for role in roles:
        if role not in ROLES:
            raise unknown_name("role", role, ROLES)
    for role in (IMAGE, CAPTION):
        if role not in roles:
            raise UserError(f"roles {', '.join(roles) or '()'} lack '{role}'; every objective needs image and caption")
    needed = [role for role in roles if role != NEG_CAPTION or NEG_CAPTION in neg_captions]
    missing = [role for role in needed if not shards.has(role)]
    if missing:
        raise UserError(
            f"{shards.folder} has rows without {' and '.join(missing)}, which the objective needs; "
            f"make the negatives first or choose an objective that does without"
        )
