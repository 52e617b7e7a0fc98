"""Plain and triplet batches in a fixed share, random crops, and the seconds that a caller waits."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_shards import encoded, make_folder, make_triplets
from torch import Tensor

from tripletclip.data.loader import Loader
from tripletclip.data.order import draw, mix
from tripletclip.data.shards import Shards, write_shard
from tripletclip.data.transforms import TransformConfig
from tripletclip.errors import UserError


def tokenize(texts: list[str]) -> Tensor:
    return torch.tensor([[len(text), 1, 0] for text in texts])


def loader(folder: Path, **changes: Any) -> Loader:
    settings: dict[str, Any] = {"tokenize": tokenize, "image_size": 16, "batch_size": 4, "seed": 7}
    return Loader(Shards(folder), **(settings | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path, 11)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Seven pairs without negatives, with keys of their own."""
    rows = [replace(row, key=f"p{row.key}", neg_caption=None, neg_image=None) for row in make_triplets(7, 50)]
    write_shard(tmp_path / "plain", 0, rows)
    return tmp_path / "plain"


Seen = list[tuple[list[str], bool]]


def seen(of: Loader, start: int, stop: int) -> Seen:
    """Keys of every batch, and whether it is plain."""
    batches = []
    for batch in of.batches(start, stop):
        assert (batch.neg_image is None) == (batch.neg_text is None)
        batches.append((batch.keys, batch.neg_text is None))
    return batches


# ---- plain batches -------------------------------------------------------------------------------------------------


@given(st.integers(0, 100), st.integers(0, 10_000))
def test_the_share_is_exact_and_even(percent: int, steps: int) -> None:
    """In any hundred steps there are ``percent`` plain ones, and never one more or less than their share so far."""
    of = mix(percent / 100, 1, 1)
    assert of.plain_before(steps) == percent * steps // 100
    assert sum(of.is_plain(step) for step in range(steps, steps + 100)) == percent


def test_plain_batches_have_no_negatives(folder: Path) -> None:
    batches = seen(loader(folder, plain_share=0.25), 0, 8)
    assert [is_plain for _, is_plain in batches] == [False, False, False, True] * 2
    assert [loader(folder, plain_share=0.25).is_plain(step) for step in range(8)] == [False, False, False, True] * 2


def test_without_a_folder_of_their_own_they_are_the_next_rows(folder: Path) -> None:
    mixed = [keys for keys, _ in seen(loader(folder, plain_share=0.5), 0, 11)]
    assert mixed == [keys for keys, _ in seen(loader(folder), 0, 11)]


def test_larger_plain_batches_lose_no_row(folder: Path) -> None:
    """4 + 7 + 4 + 7 pairs: two epochs of eleven rows."""
    batches = seen(loader(folder, plain_share=0.5, plain_size=7), 0, 4)
    assert [len(keys) for keys, _ in batches] == [4, 7, 4, 7]
    assert set(Counter(key for keys, _ in batches for key in keys).values()) == {2}


def test_two_folders_keep_their_own_epochs(folder: Path, plain: Path) -> None:
    """11 triplet batches of 4 are four epochs of 11; 11 plain batches of 7 are eleven epochs of 7."""
    batches = seen(loader(folder, plain_share=0.5, plain_data=Shards(plain), plain_size=7), 0, 22)
    for is_plain, epochs in ((False, 4), (True, 11)):
        visits = Counter(key for keys, said in batches for key in keys if said == is_plain)
        assert set(visits.values()) == {epochs}
        assert all(key.startswith("p") == is_plain for key in visits)
    orders = {tuple(keys) for keys, is_plain in batches if is_plain}
    assert len(orders) == 11


def test_a_folder_of_the_same_rows_comes_in_another_order(folder: Path) -> None:
    batches = seen(loader(folder, batch_size=11, plain_share=0.5, plain_data=Shards(folder)), 0, 2)
    assert sorted(batches[0][0]) == sorted(batches[1][0]) and batches[0][0] != batches[1][0]


def test_triplets_come_as_without_plain_batches(folder: Path, plain: Path) -> None:
    mixed = seen(loader(folder, plain_share=0.4, plain_data=Shards(plain)), 0, 10)
    assert [keys for keys, is_plain in mixed if not is_plain] == [keys for keys, _ in seen(loader(folder), 0, 6)]


MIXED: dict[str, Any] = {"plain_share": 0.3, "plain_size": 6}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_mixed_runs_resume(folder: Path, plain: Path, workers: int, start: int) -> None:
    settings = MIXED | {"plain_data": Shards(plain)}
    assert seen(loader(folder, **settings), 0, 10)[start:] == seen(
        loader(folder, workers=workers, **settings), start, 10
    )


@pytest.mark.parametrize("apart", [False, True])
def test_ranks_of_mixed_runs_give_the_global_batch(folder: Path, plain: Path, apart: bool) -> None:
    data = {"plain_data": Shards(plain)} if apart else {}
    ranks = [seen(loader(folder, rank=rank, world_size=2, **(MIXED | data)), 0, 10) for rank in (0, 1)]
    whole = seen(loader(folder, batch_size=8, **(MIXED | data | {"plain_size": 12})), 0, 10)
    for (keys, is_plain), first, second in zip(whole, *ranks, strict=True):
        assert keys == first[0] + second[0]
        assert is_plain == first[1] == second[1]


def test_captions_of_the_plain_folder_have_their_own_columns(folder: Path, tmp_path: Path) -> None:
    rows = [replace(row, extra={"long": row.caption + "!" * 90}) for row in make_triplets(4)]
    write_shard(tmp_path / "long", 0, rows)
    settings = {"plain_share": 0.5, "plain_data": Shards(tmp_path / "long"), "plain_captions": ("long",)}
    triplet, plain = loader(folder, **settings).batches(0, 2)
    assert triplet.text[:, 0].max() < 90 < plain.text[:, 0].min()


def test_bad_pictures_of_both_folders_are_counted(folder: Path, tmp_path: Path) -> None:
    rows = make_triplets(4)
    write_shard(tmp_path / "bad", 0, [replace(rows[0], image=b"?"), *rows[1:]])
    settings = {"plain_share": 0.5, "plain_data": Shards(tmp_path / "bad")}
    tolerant = loader(folder, max_bad_fraction=0.07, **settings)
    list(tolerant.batches(0, 4))
    assert tolerant.bad_keys == {"plain_data:000000": "image: not an image"}
    with pytest.raises(UserError, match=r"1 of 15 rows of .*shards and .*bad have images that do not decode"):
        list(loader(folder, max_bad_fraction=0.06, **settings).batches(0, 4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plain_share": 1.5}, "plain_share is 1.5; give a fraction between 0 and 1"),
        ({"plain_share": float("nan")}, "plain_share is nan"),
        ({"plain_size": 0}, "plain_size is 0; give 1 or more"),
        ({"prefetch": 0}, "prefetch is 0; give 1 or more"),
    ],
)
def test_bad_arguments(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        loader(folder, **changes)


def test_a_plain_folder_that_is_never_used_is_refused(folder: Path, plain: Path) -> None:
    with pytest.raises(UserError, match="plain_data is given and plain_share is 0"):
        loader(folder, plain_data=Shards(plain))


# ---- random crops --------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rows = [
        replace(row, image=encoded(n, (40, 30)), neg_image=encoded(99 - n, (30, 40)))
        for n, row in enumerate(make_triplets(6))
    ]
    write_shard(tmp_path / "photos", 0, rows)
    return tmp_path / "photos"


RANDOM = TransformConfig(crop="random", scale=(0.3, 1.0))


def pixels(of: Loader, start: int, stop: int) -> list[Tensor]:
    found = []
    for batch in of.batches(start, stop):
        assert batch.neg_image is not None
        found.append(torch.cat([batch.image, batch.neg_image]))
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_and_resuming_crop_the_same(photos: Path, workers: int) -> None:
    alone = pixels(loader(photos, transform=RANDOM), 0, 5)
    there = pixels(loader(photos, transform=RANDOM, workers=workers), 2, 5)
    assert all(torch.equal(one, other) for one, other in zip(alone[2:], there, strict=True))


def test_ranks_crop_the_same(photos: Path) -> None:
    ranks = [pixels(loader(photos, transform=RANDOM, batch_size=2, rank=r, world_size=2), 0, 4) for r in (0, 1)]
    for first, second, whole in zip(*ranks, pixels(loader(photos, transform=RANDOM), 0, 4), strict=True):
        assert torch.equal(torch.cat([first[:2], second[:2], first[2:], second[2:]]), whole)


def test_a_picture_is_cropped_anew_at_every_visit(photos: Path) -> None:
    """Six rows, three epochs of one batch: no two crops of a picture are alike."""
    visits: dict[str, set[bytes]] = {}
    for batch in loader(photos, transform=RANDOM, batch_size=6).batches(0, 3):
        for key, image in zip(batch.keys, batch.image, strict=True):
            visits.setdefault(key, set()).add(image.numpy().tobytes())
    assert {len(crops) for crops in visits.values()} == {3}


def test_an_image_and_its_negative_are_cropped_apart(tmp_path: Path) -> None:
    rows = [replace(row, image=encoded(1, (40, 30)), neg_image=encoded(1, (40, 30))) for row in make_triplets(4)]
    write_shard(tmp_path, 0, rows)
    (both,) = pixels(loader(tmp_path, transform=RANDOM), 0, 1)
    assert len({crop.numpy().tobytes() for crop in both}) == 8


def test_dice_differ_by_seed_position_and_purpose() -> None:
    dice = {draw(*names) for names in ((1, 2, "image"), (1, 3, "image"), (2, 2, "image"), (1, 2, "neg_image"))}
    assert len(dice) == 4 and all(0 <= bits < 2**64 for bits in dice)
    assert draw(1, 2, "image") == 0xED7A12136A230A83  # printf "image 1 2" | b2sum -l 64


# ---- waiting and pinning -------------------------------------------------------------------------------------------


def test_waiting_is_the_loaders_time_alone(folder: Path) -> None:
    def slow(texts: list[str]) -> Tensor:
        time.sleep(0.05)
        return tokenize(texts)

    slow_one = loader(folder, tokenize=slow, roles=("image", "caption"))
    for _ in slow_one.batches(0, 4):
        time.sleep(0.1)
    assert 0.2 <= slow_one.waited < 0.4
    slow_one.waited = 0.0
    list(slow_one.batches(0, 1))
    assert 0.05 <= slow_one.waited < 0.15


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_for_cuda_are_pinned(folder: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without workers by ourselves; with them torch's loader is told to, and calls ``Batch.pin_memory`` in a thread."""
    asked: list[Tensor] = []
    told: list[bool] = []

    def pin(tensor: Tensor) -> Tensor:
        asked.append(tensor)
        return tensor

    def torchs_loader(reader: object, *, pin_memory: bool, **_: object) -> list[object]:
        told.append(pin_memory)
        return []

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr("tripletclip.data.loader.DataLoader", torchs_loader)
    list(loader(folder, device="cuda", workers=workers).batches(0, 1))
    list(loader(folder, device="cpu", workers=workers).batches(0, 1))
    assert (len(asked), told) == ((4, []) if workers == 0 else (0, [True, False]))
