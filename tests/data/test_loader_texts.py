"""Texts that a visit draws: LaCLIP's captions, NegCLIP's several negatives; the same dice in every process."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from made_shards import make_triplets
from torch import Tensor

from tripletclip.data.loader import Batch, Loader
from tripletclip.data.shards import Shards, write_shard
from tripletclip.data.texts import choose_several
from tripletclip.data.triplet import CAPTION, IMAGE, NEG_CAPTION, Triplet
from tripletclip.errors import UserError

CONTEXT = 30
TEXT_ROLES = (IMAGE, CAPTION, NEG_CAPTION)


def tokenize(texts: list[str]) -> Tensor:
    """A token a character, padded with 0 to the context length."""
    codes = [[ord(character) for character in text[:CONTEXT]] for text in texts]
    return torch.tensor([row + [0] * (CONTEXT - len(row)) for row in codes])


def words(tokens: Tensor) -> list[str]:
    return ["".join(chr(code) for code in row if code) for row in tokens.tolist()]


def rows() -> list[Triplet]:
    """Row n: caption cN, one rewrite rN, other captions oN and pN; negative nN, in ``negatives`` n % 3 + 1 others."""
    made = []
    for number, row in enumerate(make_triplets(9)):
        extra = {
            "rewritten_caption": f"r{number}",
            "other_captions": json.dumps([f"o{number}", f"p{number}"]),
            "negatives": json.dumps([f"{kind}{number}" for kind in "xyz"[: number % 3 + 1]]),
        }
        made.append(replace(row, caption=f"c{number}", neg_caption=f"n{number}", extra=extra))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shard(tmp_path / "rows", 0, rows())
    return tmp_path / "rows"


def loader(folder: Path | Shards, **changes: Any) -> Loader:
    shards = folder if isinstance(folder, Shards) else Shards(folder)
    settings: dict[str, Any] = {"tokenize": tokenize, "image_size": 16, "batch_size": 3, "seed": 5}
    return Loader(shards, **(settings | {"roles": TEXT_ROLES} | changes))


def said(batches: Iterator[Batch]) -> list[tuple[list[str], list[str], list[str]]]:
    return [
        (batch.keys, words(batch.text), [] if batch.neg_text is None else words(batch.neg_text)) for batch in batches
    ]


ALL = (CAPTION, "rewritten_caption", "other_captions")


def test_every_caption_of_a_row_is_drawn_alike(folder: Path) -> None:
    """9 rows and 4 captions each, 900 visits: each of the 36 about 25 times (standard deviation 4.3)."""
    seen = Counter[str]()
    for keys, texts, _ in said(loader(folder, captions=ALL).batches(0, 300)):
        for key, text in zip(keys, texts, strict=True):
            assert text in {f"{kind}{int(key)}" for kind in "crop"}
            seen[text] += 1
    assert len(seen) == 36 and min(seen.values()) > 8 and max(seen.values()) < 45


def test_the_order_of_the_rows_is_that_of_one_caption(folder: Path) -> None:
    several, one = (loader(folder, captions=names) for names in (ALL, (CAPTION,)))
    assert [keys for keys, _, _ in said(several.batches(0, 9))] == [keys for keys, _, _ in said(one.batches(0, 9))]


def test_the_draws_change_from_epoch_to_epoch_and_with_the_seed(folder: Path) -> None:
    def drawn(seed: int, epoch: int) -> dict[str, str]:
        visits = said(loader(folder, captions=ALL, seed=seed).batches(3 * epoch, 3 * epoch + 3))
        return {key: text for keys, texts, _ in visits for key, text in zip(keys, texts, strict=True)}

    choices = [tuple(sorted(drawn(seed, epoch).items())) for seed in (5, 6) for epoch in (0, 1)]
    assert len(set(choices)) == 4


NEGATIVES: dict[str, Any] = {"captions": ALL, "neg_captions": (NEG_CAPTION, "negatives"), "neg_count": 3}


def test_negative_k_of_all_rows_is_block_k(folder: Path) -> None:
    batch = next(loader(folder, **NEGATIVES).batches(0, 1))
    assert batch.neg_text is not None and batch.neg_text.shape[0] == 9
    assert batch.text.shape[1] == batch.neg_text.shape[1] == 2
    for place, text in enumerate(words(batch.neg_text)):
        assert text[1:] == str(int(batch.keys[place % 3]))


def test_negatives_differ_until_there_are_no_more(folder: Path) -> None:
    """Row n has n % 3 + 2 negatives: with two of them, three places hold both, one of them twice."""
    seen = Counter[str]()
    for keys, _, negatives in said(loader(folder, **NEGATIVES).batches(0, 60)):
        for slot, key in enumerate(keys):
            chosen = negatives[slot::3]
            assert len(set(chosen)) == min(3, int(key) % 3 + 2)
            seen.update(chosen)
    assert set(seen) == {f"{kind}{n}" for n in range(9) for kind in "nxyz"[: n % 3 + 2]}


def test_a_text_in_two_columns_counts_once(folder: Path) -> None:
    with_column(folder, "again", pa.array([[f"n{n}", f"x{n}"] for n in range(9)]))
    batches = said(loader(folder, neg_captions=(NEG_CAPTION, "again"), neg_count=2).batches(0, 9))
    assert all(first != second for _, _, texts in batches for first, second in zip(texts[:3], texts[3:], strict=True))


def test_fewer_negatives_than_asked_for_come_in_turn() -> None:
    """Six places for two texts: each three times, one after the other."""
    six = choose_several(["a", "b"], 6, bits=1)
    assert six[:2] * 3 == six and set(six) == {"a", "b"}


def test_one_negative_of_several(folder: Path) -> None:
    got = loader(folder, neg_captions=("negatives",)).batches(0, 60)
    texts = {text for _, _, negatives in said(got) for text in negatives}
    assert texts == {f"{kind}{n}" for n in range(9) for kind in "xyz"[: n % 3 + 1]}


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_draw_the_same(folder: Path, workers: int) -> None:
    assert said(loader(folder, **NEGATIVES).batches(1, 5)) == said(
        loader(folder, workers=workers, **NEGATIVES).batches(1, 5)
    )


def test_ranks_draw_the_same(folder: Path) -> None:
    ranks = [said(loader(folder, rank=rank, world_size=2, **NEGATIVES).batches(0, 5)) for rank in (0, 1)]
    whole = said(loader(folder, batch_size=6, **NEGATIVES).batches(0, 5))
    for (keys, texts, negatives), first, second in zip(whole, *ranks, strict=True):
        assert (keys, texts) == (first[0] + second[0], first[1] + second[1])
        for block in range(3):
            rank_blocks = first[2][3 * block : 3 * block + 3] + second[2][3 * block : 3 * block + 3]
            assert negatives[6 * block : 6 * block + 6] == rank_blocks


def test_a_mined_pair_is_a_negative_like_any_other(tmp_path: Path) -> None:
    """LaCLIP+HN: the negative is another row's picture and caption."""
    made = make_triplets(4)
    mined = [replace(row, neg_caption=made[n - 1].caption, neg_image=made[n - 1].image) for n, row in enumerate(made)]
    write_shard(tmp_path, 0, mined)
    batch = next(loader(tmp_path, roles=(IMAGE, CAPTION, "neg_image", NEG_CAPTION), batch_size=4).batches(0, 1))
    assert batch.neg_image is not None and batch.neg_text is not None
    place = {key: slot for slot, key in enumerate(batch.keys)}
    for key, slot in place.items():
        other = place[f"{(int(key) - 1) % 4:06d}"]
        assert torch.equal(batch.neg_image[slot], batch.image[other])
        assert torch.equal(batch.neg_text[slot], batch.text[other])


# ---- what a column may hold ----------------------------------------------------------------------------------------


def with_column(folder: Path, name: str, values: pa.Array) -> Path:
    """The shard with a column of another tool's making."""
    table = pq.read_table(folder / "00000.parquet")
    pq.write_table(table.append_column(name, values), folder / "00000.parquet")
    return folder


def test_arrow_lists_are_lists(folder: Path) -> None:
    with_column(folder, "listed", pa.array([[f"a{n}", None, f"b{n}"] for n in range(9)]))
    texts = {text for _, texts, _ in said(loader(folder, captions=("listed",)).batches(0, 40)) for text in texts}
    assert texts == {f"{kind}{n}" for n in range(9) for kind in "ab"}


def test_text_in_brackets_is_text(folder: Path) -> None:
    odd = ["[sic] a dog", "[1, 2]", '["half', "[]a", "[x]", "[y]", "[z]", "[u]", "[v]"]
    with_column(folder, "odd", pa.array(odd))
    texts = {text for _, texts, _ in said(loader(folder, captions=("odd",)).batches(0, 3)) for text in texts}
    assert texts == set(odd)


def test_a_row_without_any_text_is_named(folder: Path) -> None:
    with_column(folder, "holes", pa.array([None, "[]", ""] * 3))
    assert len(said(loader(folder, captions=(CAPTION, "holes")).batches(0, 3))) == 3
    for workers in (0, 1):
        with pytest.raises(UserError, match=r"'00000\d' in .*rows has no text in holes"):
            list(loader(folder, captions=("holes",), workers=workers).batches(0, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"captions": ("rewriten_caption",)}, "unknown column 'rewriten_caption'; did you mean 'rewritten_caption'"),
        ({"captions": ()}, "no column of captions is named"),
        ({"neg_captions": ()}, "no column of captions is named"),
        ({"captions": ("number",)}, "column 'number' of .* holds int64"),
        ({"neg_count": 0}, "neg_count is 0; give 1 or more"),
    ],
)
def test_bad_columns_are_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    with_column(folder, "number", pa.array(range(9)))
    with pytest.raises(UserError, match=message):
        loader(folder, **changes)


def test_another_column_does_for_missing_negatives(tmp_path: Path) -> None:
    """The member ``neg_caption`` is asked for only where it is drawn from."""
    write_shard(tmp_path, 0, [replace(row, neg_caption=None) for row in rows()])
    assert len(said(loader(tmp_path, neg_captions=("negatives",)).batches(0, 3))) == 3
    with pytest.raises(UserError, match="rows without neg_caption"):
        loader(tmp_path, neg_captions=(NEG_CAPTION, "negatives"))
