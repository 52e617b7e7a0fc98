"""The same shards, read by three programs that know nothing of us: same keys, captions and image bytes or pixels."""

import argparse
import io
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import webdataset
from made_shards import make_folder, make_triplets
from open_clip_train.data import get_wds_dataset
from PIL import Image

from tripletclip.data.shards import Shards, write_shard
from tripletclip.data.triplet import IMAGE, NEG_IMAGE

COUNTS = (4, 3)
ROWS = sum(COUNTS)


def pixels(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return np.asarray(Image.open(io.BytesIO(data)))


def test_webdataset_reads_all_four_members(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, *COUNTS)
    shards = Shards(folder)
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == shards.keys
    for index, sample in enumerate(samples):
        assert sample["jpg"] == shards.read(index, IMAGE)
        assert sample["neg.jpg"] == shards.read(index, NEG_IMAGE)
        assert sample["txt"].decode() == shards.caption(index)
        assert sample["neg.txt"].decode() == shards.neg_caption(index)


def test_webdataset_decodes_and_names_them(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, *COUNTS)
    shards = Shards(folder)
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]
    pipeline = webdataset.WebDataset(urls, shardshuffle=False).decode("pil").to_tuple("neg.jpg", "neg.txt")
    for index, (image, text) in enumerate(pipeline):
        assert np.array_equal(np.asarray(image), pixels(shards.read(index, NEG_IMAGE)))
        assert text == shards.neg_caption(index)


def test_hugging_face_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    folder = make_folder(tmp_path, *COUNTS)
    shards = Shards(folder)
    files = [str(path) for path in sorted(folder.glob("*.tar"))]
    rows = datasets.load_dataset("webdataset", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["__key__"] == shards.keys
    for index, row in enumerate(rows):
        assert np.array_equal(np.asarray(row["jpg"]), pixels(shards.read(index, IMAGE)))
        assert np.array_equal(np.asarray(row["neg.jpg"]), pixels(shards.read(index, NEG_IMAGE)))
        assert (row["txt"], row["neg.txt"]) == (shards.caption(index), shards.neg_caption(index))


def test_open_clip(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, *COUNTS)
    shards = Shards(folder)
    arguments = argparse.Namespace(
        train_data=f"{folder}/{{00000..00001}}.tar", val_data=f"{folder}/{{00000..00001}}.tar", val_num_samples=ROWS,
        train_num_samples=ROWS, train_data_upsampling_factors=None, batch_size=3, workers=0, world_size=1, seed=0,
    )  # fmt: skip

    def to_tensor(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image))

    def code_points(text: str) -> torch.Tensor:
        padded = text.ljust(64, "\0")
        return torch.tensor([[ord(character) for character in padded]])

    info = get_wds_dataset(arguments, to_tensor, is_train=False, tokenizer=code_points)
    batches = list(info.dataloader)
    images = torch.cat([images for images, _ in batches])
    texts = ["".join(map(chr, row)).rstrip("\0") for _, tokens in batches for row in tokens.tolist()]
    assert texts == [shards.caption(index) for index in range(ROWS)]
    for index in range(ROWS):
        assert np.array_equal(images[index].numpy(), pixels(shards.read(index, IMAGE)))


def test_shards_of_pairs_alone_are_read_too(tmp_path: Path) -> None:
    rows = [replace(row, neg_image=None, neg_caption=None) for row in make_triplets(3)]
    write_shard(tmp_path, 0, rows)
    samples = list(webdataset.WebDataset(str(tmp_path / "00000.tar"), shardshuffle=False))
    assert [(s["__key__"], s["jpg"], s["txt"].decode()) for s in samples] == [(r.key, r.image, r.caption) for r in rows]


@pytest.mark.parametrize("reader", ["tripletclip", "webdataset", "datasets"])
def test_snippets_of_the_documentation_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "data-format.md").read_text(encoding="utf-8")
    snippets = [part.split("```")[0] for part in page.split("```python\n")[1:]]
    (snippet,) = [code for code in snippets if f"import {reader}" in code or f"from {reader}" in code]
    make_folder(tmp_path, 2, 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    exec(snippet, {})
