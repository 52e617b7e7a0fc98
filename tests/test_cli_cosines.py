"""``tripletclip cosines``: a CLIP, a DINOv2 and a GTE built from configs, one table, one record, one page."""

import io
import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tripletclip import cli
from tripletclip.commands_cosines import encoder_name
from tripletclip.evaluation.towers import ImageTower, image_tower, text_tower
from tripletclip.models import ModelConfig, new_clip, save_clip
from tripletclip.models.identity import model_digest
from tripletclip.reporting.histograms import histogram_blocks
from tripletclip.reporting.looks import model_looks
from tripletclip.reporting.results import Result

Run = Callable[..., str]
WORDS = ["a", "red", "blue", "dog", "cat", "very", "big"]
LINES = [
    ("a red dog", "a blue dog"), ("a big cat", "a red cat"), ("a very red cat", "a very blue cat"),
    ("a blue dog", "a blue cat"), ("a big red dog", "a big blue dog"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> str:
        cli.main(["cosines", *(str(argument) for argument in arguments)])
        return capsys.readouterr().out

    return call


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> str:
        with pytest.raises(SystemExit) as stop:
            cli.main(["cosines", *(str(argument) for argument in arguments)])
        output, lines = capsys.readouterr()
        *_, line = lines.strip().splitlines()
        assert stop.value.code == 2 and line.startswith("tripletclip: ") and "Traceback" not in output + lines
        return line

    return call


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``clip``, ``dino``, ``gte``, and ``trips.jsonl`` of five triplets; the image of the last is torn."""
    folder = tmp_path_factory.mktemp("cosines")
    save_clip(new_clip(ModelConfig(image_size=16, patch_size=8, context_length=8), WORDS, 0), folder / "clip")
    dinov2(folder / "dino")
    gte(folder / "gte")
    entries = []
    for row, (caption, neg_caption) in enumerate(LINES):
        for kind in ("i", "j"):
            (folder / f"{kind}{row}.png").write_bytes(photo(2 * row + (kind == "j")))
        entries.append(
            {"image": f"i{row}.png", "caption": caption, "neg_image": f"j{row}.png", "neg_caption": neg_caption}
        )
    (folder / "i4.png").write_bytes(b"no picture")
    (folder / "trips.jsonl").write_text("\n".join(map(json.dumps, entries)))
    choices = [{"image": f"i{row}.png", "options": [one, two]} for row, (one, two) in enumerate(LINES[:4])]
    (folder / "choices.jsonl").write_text("\n".join(map(json.dumps, choices)))
    plain = [{"image": f"i{row}.png", "caption": one} for row, (one, _) in enumerate(LINES[:4])]
    (folder / "plain.jsonl").write_text("\n".join(map(json.dumps, plain)))
    return folder


def photo(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def dinov2(folder: Path) -> None:
    import torch
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)


def gte(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    words = ["<pad>", "<unk>", *WORDS]
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=8, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def everything(place: Path, out: Path, *more: object) -> list[object]:
    towers = ["--image-tower", place / "dino", "--text-tower", place / "gte", "--text-pooling", "mean"]
    return ["--data", place / "trips.jsonl", "--model", place / "clip", *towers, "--out", out, *more]


# ---- what comes out ------------------------------------------------------------------------------------------------


def test_each_encoder_measures_what_it_can(run: Run, place: Path, tmp_path: Path) -> None:
    output = run(*everything(place, tmp_path / "out"))
    assert max(map(len, output.splitlines())) <= 100
    assert "4 of 5 items measured (image and cross); image unreadable: 1." in " ".join(output.split())
    assert f"{'i4.png'}" in output and "pictures are unreadable" in output
    record = json.loads((tmp_path / "out" / "cosines.json").read_text())
    found = {(row["encoder"], row["comparison"]): row for row in record["cosines"]}
    assert list(found) == [("clip", "text"), ("clip", "image"), ("clip", "cross"), ("dino", "image"), ("gte", "text")]
    assert [found[key]["n"] for key in found] == [5, 4, 4, 4, 5]
    texts = text_tower(str(place / "gte"), pooling="mean")
    pairs = [texts.encode_texts(list(line)) for line in LINES]
    expected = np.mean([float(a @ b) for a, b in pairs])
    assert found["gte", "text"]["negative"]["mean"] == pytest.approx(expected, abs=1e-5)
    images = image_tower(str(place / "dino"))
    shown = [images.encode_images([photo(2 * row), photo(2 * row + 1)]) for row in range(4)]
    expected = np.mean([float(a @ b) for a, b in shown])
    assert found["dino", "image"]["negative"]["mean"] == pytest.approx(expected, abs=1e-5)


def test_the_record_says_how_to_repeat_it(
    run: Run, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = everything(place, tmp_path / "out", "--limit", 3)
    monkeypatch.setattr("sys.argv", ["tripletclip", "cosines", *map(str, arguments)])
    run(*arguments)
    record = json.loads((tmp_path / "out" / "cosines.json").read_text())
    clip = new_clip(ModelConfig(image_size=16, patch_size=8, context_length=8), WORDS, 0)
    digests = {one["name"]: (one["kind"], one["spec"], one["sha256"]) for one in record["encoders"]}
    assert digests == {
        "clip": ("CLIP", str(place / "clip"), model_digest(clip)),
        "dino": ("image tower", str(place / "dino"), image_tower(str(place / "dino")).digest()),
        "gte": ("text tower", str(place / "gte"), text_tower(str(place / "gte"), pooling="mean").digest()),
    }
    (one,) = record["sets"]
    assert (one["name"], one["listed"], one["n"], one["left_out"]) == ("trips", 5, 3, {"beyond --limit": 2})
    assert len(one["sha256"]) == len(one["sample_sha256"]) == 64 and one["sha256"] != one["sample_sha256"]
    assert record["command"].startswith("tripletclip cosines --data ") and record["command"].endswith("--limit 3")
    assert {"torch", "open_clip", "tripletclip", "python", "timm", "transformers"} == set(record["versions"])
    assert record["settings"] == {"limit": 3, "text_pooling": "mean", "device": "cpu", "batch_size": 64}


def test_features_are_kept_for_all_three(
    run: Run, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(*everything(place, tmp_path / "first", "--cache", tmp_path / "cache"))
    assert len(list((tmp_path / "cache").iterdir())) == 3
    assert not (tmp_path / "first" / "features").exists()
    asked: list[int] = []
    whole = ImageTower.encode_images

    def counting(tower: ImageTower, images: list[bytes]) -> Any:
        asked.append(len(images))
        return whole(tower, images)

    monkeypatch.setattr(ImageTower, "encode_images", counting)
    run(*everything(place, tmp_path / "second", "--cache", tmp_path / "cache"))
    assert asked == [1]  # the torn picture alone
    records = [json.loads((tmp_path / name / "cosines.json").read_text()) for name in ("first", "second")]
    assert records[0]["cosines"] == records[1]["cosines"]


def test_the_page_stands_alone_and_says_the_same(run: Run, place: Path, tmp_path: Path) -> None:
    run(*everything(place, tmp_path / "out"))
    page = (tmp_path / "out" / "cosines.html").read_text()
    assert not re.search(r"https?://(?!www\.w3\.org)|<script|<link|@import|src=", page)
    assert "default-src &#39;none&#39;" in page and page.count("<svg") == page.count('role="img"') == 5
    record = json.loads((tmp_path / "out" / "cosines.json").read_text())
    for row in record["cosines"]:
        words = {side: f"{row[side]['mean']:.2f}".replace("-", "\N{MINUS SIGN}") for side in ("negative", "other")}
        assert f">{row['negative']['mean']:.3f}<".replace("-", "\N{MINUS SIGN}") in page
        sides = ("other", "negative") if row["comparison"] == "cross" else ("negative", "other")
        alternatives = re.findall(rf'aria-label="Cosine histogram, [^"]*, {row["encoder"]}: ([^"]*)"', page)
        told = [re.findall(r"[\d−.-]*\d", text.replace("-", "\N{MINUS SIGN}"))[:2] for text in alternatives]
        assert [words[side] for side in sides] in told
    assert page.count("The numbers as a table") == 3 and "pictures unreadable" in page
    assert "4 of 5 items measured (image and cross); image unreadable: 1." in page


def test_sets_without_negative_images_and_several_models(run: Run, place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save_clip(new_clip(ModelConfig(image_size=16, patch_size=8, context_length=8), WORDS, 1), other)
    both = ["--model", place / "clip", f"--model={other}"]
    run("--data", place / "trips.jsonl", place / "choices.jsonl", *both, "--out", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "cosines.json").read_text())
    found = [(row["encoder"], row["set"], row["comparison"]) for row in record["cosines"]]
    names = [("trips", "text"), ("trips", "image"), ("trips", "cross"), ("choices", "text"), ("choices", "cross")]
    assert found == [(model, *name) for model in ("clip", "other") for name in names]


def test_names() -> None:
    assert encoder_name("timm:local-dir:/models/dino") == "dino"
    assert encoder_name("hf:thenlper/gte-base") == "hf:thenlper/gte-base"


@pytest.mark.parametrize(
    ("filled", "labels"),
    [
        ((0, 79), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]),
        ((50, 79), ["0.25", "0.50", "0.75", "1.00"]),
        ((64, 79), ["0.6", "0.7", "0.8", "0.9", "1.0"]),
        ((75, 79), ["0.85", "0.90", "0.95", "1.00"]),
    ],
)
def test_ticks_of_a_panel_have_room(filled: tuple[int, int], labels: list[str]) -> None:
    counts = [1.0 if place in filled else 0.0 for place in range(80)]
    edges = [round(-1 + step / 40, 3) for step in range(81)]
    result = Result(
        method="m", seed=0, step=0, benchmark="b", checkpoint="c", metrics={},
        histograms={"text": {"edges": edges, "positive": counts, "negative": counts}},
    )  # fmt: skip
    (block,) = histogram_blocks([result], model_looks(["m"]))
    assert re.findall(r"<text[^>]*>([^<]*)</text>", block.panels[0].svg) == labels


# ---- mistakes ------------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_overwritten(run: Run, refused: Run, place: Path, tmp_path: Path) -> None:
    towers = ["--data", place / "trips.jsonl", "--image-tower", place / "dino", "--out", tmp_path]
    for name in ("cosines.html", "cosines.json"):
        (tmp_path / name).write_text("mine")
        assert f"{name} exists already; give --overwrite to replace it" in refused(*towers)
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    (tmp_path / "cosines.json").write_text("mine")
    run(*towers, "--overwrite")
    assert (tmp_path / "cosines.json").read_text() != "mine"


def test_mistakes_are_one_line(refused: Run, place: Path, tmp_path: Path) -> None:
    data, model, out = ["--data", place / "trips.jsonl"], ["--model", place / "clip"], ["--out", tmp_path / "out"]
    assert "no encoder given; add --model, --image-tower or --text-tower" in refused(*data, *out)
    assert "no data given; add --data FOLDER-OR-JSONL" in refused(*model, *out)
    assert "--out is missing" in refused(*data, *model)
    assert "batch-size is 0; give at least 1" in refused(*data, *model, *out, "--batch-size", 0)
    assert "limit is 1; give at least 2" in refused(*data, *model, *out, "--limit", 1)
    assert "plain has no hard negatives; give triplets" in refused("--data", place / "plain.jsonl", *model, *out)
    assert "are both called 'clip'" in refused(*data, *model, "--image-tower", place / "clip", *out)
    assert "two sets are called 'trips'" in refused(*data, place / "trips.jsonl", *model, *out)
    alone = refused("--data", place / "choices.jsonl", "--image-tower", place / "dino", *out)
    assert "dino has nothing to measure: no set has negative images" in alone
    assert "does not say how its tokens are pooled" in refused(*data, "--text-tower", place / "gte", *out)
    assert "--data-root is missing" in refused("--benchmark", "sugarcrepe", *model, *out)
    assert not (tmp_path / "out").exists()
