"""The loader: order from (seed, step) alone, every sample once an epoch, bad images counted and replaced."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_shards import make_folder, make_triplets
from torch import Tensor

from tripletclip.data.loader import Batch, Loader, rows_at
from tripletclip.data.shards import Shards, write_shard
from tripletclip.data.transforms import decode_image
from tripletclip.data.triplet import CAPTION, IMAGE, NEG_CAPTION, ROLES, Triplet
from tripletclip.errors import UserError

CONTEXT = 40


def tokenize(texts: list[str]) -> Tensor:
    """A token a character, padded with 0 to the context length."""
    tokens = torch.zeros(len(texts), CONTEXT, dtype=torch.int64)
    for row, text in enumerate(texts):
        for column, character in enumerate(text[:CONTEXT]):
            tokens[row, column] = ord(character)
    return tokens


def loader(folder: Path | Shards, **changes: Any) -> Loader:
    shards = folder if isinstance(folder, Shards) else Shards(folder)
    settings_of_test: dict[str, Any] = {"tokenize": tokenize, "image_size": 16, "batch_size": 4, "seed": 7}
    return Loader(shards, **(settings_of_test | changes))


def same(left: Batch, right: Batch) -> bool:
    assert left.neg_image is not None and right.neg_image is not None
    assert left.neg_text is not None and right.neg_text is not None
    return (
        left.keys == right.keys
        and torch.equal(left.image, right.image)
        and torch.equal(left.text, right.text)
        and torch.equal(left.neg_image, right.neg_image)
        and torch.equal(left.neg_text, right.neg_text)
    )


def all_same(left: Iterator[Batch], right: Iterator[Batch]) -> bool:
    return all(same(one, other) for one, other in zip(left, right, strict=True))


def keys(batches: Iterator[Batch]) -> list[str]:
    return [key for batch in batches for key in batch.keys]


def test_a_batch_holds_what_its_keys_say(tmp_path: Path) -> None:
    batch = next(loader(make_folder(tmp_path, 6, 5)).batches(0, 1))
    rows = {row.key: row for row in make_triplets(11)}
    assert len(set(batch.keys)) == 4
    assert batch.neg_image is not None and batch.neg_text is not None
    for slot, key in enumerate(batch.keys):
        row = rows[key]
        assert row.image is not None and row.neg_image is not None and row.neg_caption is not None
        assert torch.equal(batch.image[slot], decode_image(row.image, 16))
        assert torch.equal(batch.neg_image[slot], decode_image(row.neg_image, 16))
        for tokens, text in ((batch.text, row.caption), (batch.neg_text, row.neg_caption)):
            assert "".join(chr(token) for token in tokens[slot] if token) == text
    longest = max(len(text) for key in batch.keys for text in (rows[key].caption, rows[key].neg_caption or ""))
    assert batch.text.shape == batch.neg_text.shape == (4, longest)
    assert (batch.image.dtype, batch.text.dtype) == (torch.uint8, torch.int64)


def test_roles_that_are_not_asked_for_are_absent(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 6)
    batch = next(loader(folder, roles=(IMAGE, CAPTION)).batches(0, 1))
    assert batch.neg_image is None and batch.neg_text is None
    batch = next(loader(folder, roles=(IMAGE, CAPTION, NEG_CAPTION)).batches(0, 1))
    assert batch.neg_image is None and batch.neg_text is not None


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**63), rows=st.integers(1, 50), epoch=st.integers(0, 5))
def test_every_row_once_an_epoch(seed: int, rows: int, epoch: int) -> None:
    assert sorted(rows_at(seed, rows, range(epoch * rows, (epoch + 1) * rows))) == list(range(rows))


def test_epochs_and_seeds_differ() -> None:
    orders = [tuple(rows_at(seed, 50, range(50 * epoch, 50 * epoch + 50))) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4


def test_epochs_run_into_each_other_without_loss(tmp_path: Path) -> None:
    seen = keys(loader(make_folder(tmp_path, 6, 5)).batches(0, 11))  # 44 positions are 4 epochs of 11 rows
    assert set(Counter(seen).values()) == {4}
    assert len(set(seen[:11])) == 11 and len(set(seen[11:22])) == 11


def test_a_batch_larger_than_the_data(tmp_path: Path) -> None:
    seen = keys(loader(make_folder(tmp_path, 3), batch_size=9).batches(0, 1))
    assert set(Counter(seen).values()) == {3}


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(tmp_path: Path, workers: int) -> None:
    folder = make_folder(tmp_path, 6, 5)
    assert all_same(loader(folder).batches(2, 9), loader(folder, workers=workers).batches(2, 9))


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_together_give_the_global_batch(tmp_path: Path, world_size: int) -> None:
    folder = make_folder(tmp_path, 6, 5)
    ranks = [loader(folder, rank=rank, world_size=world_size).batches(0, 6) for rank in range(world_size)]
    whole = loader(folder, batch_size=4 * world_size).batches(0, 6)
    for *parts, together in zip(*ranks, whole, strict=True):
        assert [key for part in parts for key in part.keys] == together.keys
        assert torch.equal(torch.cat([part.image for part in parts]), together.image)


@pytest.mark.parametrize("step", [0, 1, 5, 9])
def test_resume_equals_uninterrupted(tmp_path: Path, step: int) -> None:
    folder = make_folder(tmp_path, 6, 5)
    uninterrupted = list(loader(folder).batches(0, 10))
    assert all_same(iter(uninterrupted[step:]), loader(folder).batches(step, 10))


@pytest.mark.parametrize("workers", [0, 1])
def test_global_random_state_is_left_alone(tmp_path: Path, workers: int) -> None:
    before = torch.get_rng_state()
    list(loader(make_folder(tmp_path, 5), workers=workers).batches(0, 3))
    assert torch.equal(torch.get_rng_state(), before)


# ---- bad images ----------------------------------------------------------------------------------------------------


def folder_with_bad(tmp_path: Path, rows: list[Triplet], bad: dict[int, dict[str, Any]]) -> Path:
    write_shard(tmp_path / "bad", 0, [replace(row, **bad.get(number, {})) for number, row in enumerate(rows)])
    return tmp_path / "bad"


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_images_are_counted_and_replaced(tmp_path: Path, workers: int) -> None:
    rows = make_triplets(10)
    truncated = (rows[3].image or b"")[:-60]
    folder = folder_with_bad(tmp_path, rows, {3: {"image": truncated}, 4: {"neg_image": b"<html>"}, 9: {"image": b""}})
    good, mended = make_triplets(10), loader(folder, batch_size=5, workers=workers, max_bad_fraction=0.5)
    write_shard(tmp_path / "good", 0, good)
    expected = keys(loader(tmp_path / "good", batch_size=5).batches(0, 4))
    instead = {"000003": "000005", "000004": "000005", "000009": "000000"}
    batches = list(mended.batches(0, 4))
    assert keys(iter(batches)) == [instead.get(key, key) for key in expected]
    assert mended.bad == {"image: truncated": 1, "neg_image: not an image": 1, "image: empty": 1}
    assert sorted(mended.bad_keys) == ["000003", "000004", "000009"]
    for batch in batches:
        for slot, key in enumerate(batch.keys):
            assert torch.equal(batch.image[slot], decode_image(good[int(key)].image or b"", 16))


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_bad_images_are_an_error(tmp_path: Path, workers: int) -> None:
    folder = folder_with_bad(tmp_path, make_triplets(20), {n: {"image": b"?"} for n in (2, 3, 11)})
    list(loader(folder, workers=workers, max_bad_fraction=0.15).batches(0, 5))
    with pytest.raises(UserError, match=r"3 of 20 rows .*bad.* max_bad_fraction .*image: not an image") as error:
        list(loader(folder, workers=workers, max_bad_fraction=0.14).batches(0, 5))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_decodes(tmp_path: Path, workers: int) -> None:
    folder = folder_with_bad(tmp_path, make_triplets(6), {n: {"image": b"?"} for n in range(6)})
    with pytest.raises(UserError, match="6 rows in a row") as error:
        list(loader(folder, workers=workers, max_bad_fraction=1.0).batches(0, 2))
    assert "\n" not in str(error.value)


def test_unread_roles_may_be_bad(tmp_path: Path) -> None:
    folder = folder_with_bad(tmp_path, make_triplets(6), {n: {"neg_image": b"?"} for n in range(6)})
    plain = loader(folder, roles=(IMAGE, CAPTION))
    assert len(keys(plain.batches(0, 2))) == 8 and plain.bad == {}


# ---- what is refused -----------------------------------------------------------------------------------------------


def test_missing_negatives_are_refused_at_once(tmp_path: Path) -> None:
    rows = make_triplets(4)
    write_shard(tmp_path, 0, [*rows[:3], replace(rows[3], neg_image=None)])
    loader(tmp_path, roles=(IMAGE, CAPTION, NEG_CAPTION))
    with pytest.raises(UserError, match=f"{tmp_path} has rows without neg_image, which the objective needs"):
        loader(tmp_path, roles=ROLES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"image_size": 0}, "image_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"workers": -1}, "workers is -1"),
        ({"rank": 2, "world_size": 2}, "rank 2 of world_size 2"),
        ({"max_bad_fraction": math.nan}, "max_bad_fraction is nan"),
        ({"roles": (IMAGE,)}, "lack 'caption'"),
        ({"roles": (IMAGE, CAPTION, "neg_imge")}, "unknown role 'neg_imge'; did you mean 'neg_image'"),
    ],
)
def test_bad_arguments(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        loader(make_folder(tmp_path, 2), **changes)


def test_steps_that_make_no_range(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 2)
    with pytest.raises(UserError, match="steps 3 to 2"):
        next(loader(folder).batches(3, 2))
    assert list(loader(folder, workers=1).batches(3, 3)) == []
