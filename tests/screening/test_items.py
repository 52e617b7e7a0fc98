"""Items from shards and from the files of benchmarks; samples that do not depend on the order."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from made_items import coin_items, folder_of, item, triplet

from tripletclip.data.selection import write_selection
from tripletclip.errors import UserError
from tripletclip.screening.items import items_from_negclip, items_from_shards, items_from_sugarcrepe, sample_items


def test_shards_give_their_accepted_rows_with_negatives(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path,
        [triplet("a", extra={"category": "swap"}), triplet("b", neg_caption=None), triplet("c", extra={})],
        [triplet("d", "x", "y"), triplet("e", status="rejected", reason="chatter")],
    )
    assert list(items_from_shards(folder)) == [
        item("a dog", "a cat", "a", "swap"),
        item("a dog", "a cat", "c"),
        item("x", "y", "d"),
    ]


def test_a_selection_leaves_the_other_rows_out(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "shards", [triplet("a"), triplet("b")], [triplet("c")])
    write_selection(tmp_path / "kept.parquet", pa.array(["c", "a"]), {})
    assert [found.key for found in items_from_shards(folder, tmp_path / "kept.parquet")] == ["a", "c"]


def test_a_folder_without_shards_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished shard"):
        list(items_from_shards(tmp_path))


def test_sugarcrepe(tmp_path: Path) -> None:
    path = tmp_path / "swap_att.json"
    path.write_text(json.dumps({"3": {"caption": "a", "negative_caption": "b", "filename": "1.jpg"}}))
    assert list(items_from_sugarcrepe(path)) == [item("a", "b", "swap_att-3", "swap_att")]


@pytest.mark.parametrize(
    "content", ['{"0": {"caption": "a"}}', '{"0": 3}', "[]", "{", '{"0": {"caption": 1, "negative_caption": 2}}']
)
def test_a_broken_sugarcrepe_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"broken\.json"):
        list(items_from_sugarcrepe(path))


def test_negclip_gives_the_first_negative_and_leaves_out_rows_without(tmp_path: Path) -> None:
    path = tmp_path / "valid.tsv"
    path.write_text(
        "\ttitle\tfilepath\tneg_caption\tneg_image\n"
        "0\tA dog's ball.\tx.jpg\t['A ball\\'s dog.', 'B']\t[1]\n"
        "1\tNothing\ty.jpg\t[]\t[0]\n"
        '2\tLast\tz.jpg\t["It\'s"]\t[0]\n'
    )
    assert list(items_from_negclip(path)) == [
        item("A dog's ball.", "A ball's dog.", "000000000"),
        item("Last", "It's", "000000002"),
    ]


@pytest.mark.parametrize(
    "negatives", ["[__import__('os').getcwd()]", "[str(1)]", "[1]", "'text'", "[" * 3000, "{'a': 1}"]
)
def test_negclip_lists_are_literals_and_nothing_else(tmp_path: Path, negatives: str) -> None:
    path = tmp_path / "valid.tsv"
    path.write_text(f"title\tneg_caption\nA\t{negatives}\n")
    with pytest.raises(UserError, match=r"valid\.tsv, row 0"):
        list(items_from_negclip(path))


def test_negclip_without_a_column_names_it(tmp_path: Path) -> None:
    path = tmp_path / "valid.tsv"
    path.write_text("title\tneg\nA\t[]\n")
    with pytest.raises(UserError, match="'neg_caption'; it has title, neg"):
        list(items_from_negclip(path))


def test_a_sample_is_chosen_by_key_whatever_the_order() -> None:
    items = coin_items(200)
    chosen = sample_items(items, 20)
    assert chosen == sample_items(reversed(items), 20)
    assert len({one.key for one in chosen}) == 20
    assert chosen != sample_items(items, 20, seed=1)
    assert chosen[:5] == sample_items(items, 5)
    assert {one.key for one in chosen} != {one.key for one in items[:20]}
    assert sorted(one.key for one in sample_items(items, 1000)) == sorted(one.key for one in items)
