"""Hugging Face data sets from disk: Image features, lists of captions, splits; names of the Hub without a network."""

import pickle
from pathlib import Path

import pytest
from source_files import jpeg, pairs_of, problems_of

from tripletclip.data.sources import open_source
from tripletclip.errors import UserError

datasets = pytest.importorskip("datasets")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Two splits of an Image feature and of a column of paths; ``save_to_disk`` itself puts images of paths inside."""
    (tmp_path / "outside.jpg").write_bytes(jpeg())
    inside = tmp_path / "saved" / "0.jpg"
    inside.parent.mkdir()
    inside.write_bytes(jpeg("blue"))
    content = {
        "image": [
            {"bytes": jpeg(), "path": None}, {"bytes": b"", "path": None}, {"bytes": None, "path": str(inside)}, None,
        ],
        "file": ["0.jpg", "../outside.jpg", str(tmp_path / "outside.jpg"), "1.jpg"],
        "sentences": [["a", "b"], ["c"], ["d"], ["e"]],
        "id": [7, 8, 9, 10],
    }  # fmt: skip
    train = datasets.Dataset.from_dict(content).cast_column("image", datasets.Image())
    folder = tmp_path / "saved"
    datasets.DatasetDict(train=train, test=train.select([0])).save_to_disk(str(folder))
    return folder


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_a_saved_data_set_is_read(saved: Path, rows: int) -> None:
    source = open_source(f"{saved},split=train,caption=sentences,key=id")
    pairs = [pair for chunk in source.chunks(rows) for pair in pickle.loads(pickle.dumps(chunk)).read()]
    assert [(pair.key, pair.caption, pair.problem) for pair in pairs] == [
        ("7", "a", ""), ("8", "c", "image: empty"), ("9", "d", ""),
        ("10", "e", "image: missing"),
    ]  # fmt: skip
    assert pairs[0].image == jpeg() and pairs[0].other_captions == ("b",) and pairs[2].image == jpeg("blue")


def test_paths_in_a_data_set_stay_in_its_folder(saved: Path) -> None:
    found = problems_of(f"hf:{saved},split=train,caption=sentences,image=file")
    assert list(found.values()) == ["", *["image: path outside the folder"] * 2, "image: missing file"]
    assert pairs_of(f"hf:{saved},split=train,caption=sentences,image=file")[0].image == jpeg("blue")


def test_every_caption_can_be_a_pair_and_images_can_stay_out(saved: Path) -> None:
    found = problems_of(f"hf:{saved},split=test,caption=sentences,captions=all")
    assert found == {"000000000-0": "", "000000000-1": ""}
    alone = pairs_of(f"hf:{saved},split=train,caption=sentences,images=none")
    assert [(pair.image, pair.problem) for pair in alone] == [(None, "")] * 4


def test_mistakes_are_named(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for text, expected in {
        f"hf:{saved}": r"several splits; add split=train \(of train, test\)",
        f"hf:{saved},split=tran": "did you mean 'train'",
        f"hf:{saved}/train,split=test": "leave out split=test",
        f"hf:{saved},split=train": "has no column 'caption'.*Columns: file, id, image, sentences",
        f"hf:{saved},split=train,caption=id": "captions must be text",
        f"hf:{tmp_path}": "no folder of save_to_disk",
    }.items():
        with pytest.raises(UserError, match=expected):
            open_source(text)


def test_a_name_that_cannot_be_loaded_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionError("no network\nsecond line")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(UserError, match=r"^cannot load the data set org/name: no network; give a save_to_disk"):
        open_source("hf:org/name")


def test_without_the_extra_the_door_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'tripletclip\[hf\]'"):
        open_source("hf:org/name")
