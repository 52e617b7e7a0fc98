"""Scores of a tiny random model against cosines computed apart, and score files that resume."""

import io
import json
from pathlib import Path

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from made_items import folder_of, picture, triplet
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from tripletclip.data.shards import write_shard
from tripletclip.errors import UserError
from tripletclip.models import ModelConfig, new_clip, save_clip
from tripletclip.screening.filters import candidates
from tripletclip.screening.scores import SCORE_COLUMNS, ClipScorer, ScoreConfig, read_scores, write_scores

WORDS = ["a", "red", "blue", "dog", "cat", "on", "mat"]
MODEL = ModelConfig(
    embed_dim=8,
    image_size=16,
    patch_size=8,
    vision_width=16,
    vision_layers=1,
    text_width=16,
    text_layers=1,
    heads=2,
    context_length=12,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_clip(new_clip(MODEL, WORDS, seed=0), folder)
    return folder


ROWS = [
    triplet("a", "a red dog", "a blue dog", image=picture(0, size=16), neg_image=picture(1, size=16)),
    triplet("b", "a cat on a mat", "a mat on a cat", image=picture(2, size=16), neg_image=picture(3, size=16)),
    triplet("c", "a cat", "a dog", image=picture(4, size=16)),
    triplet("d", "a cat", None, image=picture(5, size=16)),
    triplet("e", "a blue cat on a red mat", "a dog", image=b"no image", neg_image=picture(6, size=16)),
    triplet("f", "a red cat", "a cat"),
]


def expected(folder: Path, row: int) -> dict[str, float]:
    """Through open_clip's own loader, one item at a time, full context, pixels normalised here."""
    clip: nn.Module = open_clip.create_model(f"local-dir:{folder}")
    tokenize = new_clip(MODEL, WORDS, seed=0).tokenizer

    def image(data: bytes) -> torch.Tensor:
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.float32) / 255
        normal = torch.from_numpy((pixels - 0.5) / 0.27).permute(2, 0, 1)[None]
        return nn.functional.normalize(clip.encode_image(normal)[0], dim=0)  # type: ignore[operator]

    def text(caption: str) -> torch.Tensor:
        return nn.functional.normalize(clip.encode_text(tokenize([caption]))[0], dim=0)  # type: ignore[operator]

    one = ROWS[row]
    assert one.image and one.neg_image and one.neg_caption
    with torch.no_grad():
        x, nx, y, ny = image(one.image), image(one.neg_image), text(one.caption), text(one.neg_caption)
    pairs = {"s_xy": (x, y), "s_nxny": (nx, ny), "s_xny": (x, ny), "s_nxy": (nx, y), "s_xnx": (x, nx), "s_yny": (y, ny)}
    return {name: float(first @ second) for name, (first, second) in pairs.items()}


@pytest.mark.parametrize("row", [0, 1])
def test_scores_are_the_cosines_of_the_named_sides(model: Path, row: int) -> None:
    scores = ClipScorer(ScoreConfig(model=str(model))).score(ROWS)[row]
    assert scores == pytest.approx(expected(model, row), abs=1e-5)
    assert len({round(value, 4) for value in scores.values()}) == 6


def test_scores_do_not_depend_on_the_batch(model: Path) -> None:
    whole, alone = (ClipScorer(ScoreConfig(model=str(model), batch_size=size)).score(ROWS) for size in (99, 1))
    for one, other in zip(whole, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-5, nan_ok=True)


def test_what_is_missing_or_broken_has_no_score(model: Path) -> None:
    scores = ClipScorer(ScoreConfig(model=str(model))).score(ROWS)
    missing = [{name for name, value in row.items() if np.isnan(value)} for row in scores]
    assert missing == [
        set(),
        set(),
        {"s_nxny", "s_nxy", "s_xnx"},
        {"s_nxny", "s_nxy", "s_xnx", "s_xny", "s_yny"},
        {"s_xy", "s_xny", "s_xnx"},
        {"s_xy", "s_xny", "s_nxny", "s_nxy", "s_xnx"},
    ]


def test_lower_precision_is_near(model: Path) -> None:
    exact, short = (
        ClipScorer(ScoreConfig(model=str(model), precision=precision)).score(ROWS[:2]) for precision in ("fp32", "bf16")
    )
    for one, other in zip(exact, short, strict=True):
        assert one == pytest.approx(other, abs=0.03)
        assert one != other


TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def test_an_open_clip_name_with_a_weights_file_scores_by_its_own_preprocessing(tmp_path: Path) -> None:
    (tmp_path / "tiny-for-tests.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    clip, _, preprocess = open_clip.create_model_and_transforms("tiny-for-tests")
    save_file({name: tensor.contiguous() for name, tensor in clip.state_dict().items()}, tmp_path / "w.safetensors")
    photo = picture(7, size=40)
    with torch.no_grad():
        x = clip.eval().encode_image(preprocess(Image.open(io.BytesIO(photo)))[None], normalize=True)
        y = clip.encode_text(open_clip.get_tokenizer("tiny-for-tests")(["a red dog"]), normalize=True)
    scorer = ClipScorer(ScoreConfig(model=f"tiny-for-tests:{tmp_path / 'w.safetensors'}"))
    scores = scorer.score([triplet("a", "a red dog", image=photo)])[0]
    assert scores["s_xy"] == pytest.approx(float((x * y).sum()), abs=1e-5)


@pytest.mark.parametrize(("spec", "quick"), [("ViT-B-32:openai", True), ("ViT-B-32:laion2b_s34b_b79k", False)])
def test_weights_trained_with_quick_gelu_get_it(monkeypatch: pytest.MonkeyPatch, spec: str, quick: bool) -> None:
    def no_network(*_: object, force_quick_gelu: bool, **__: object) -> None:
        raise RuntimeError(f"quick={force_quick_gelu}")

    monkeypatch.setattr(open_clip, "create_model_and_transforms", no_network)
    with pytest.raises(UserError, match=f"cannot load the model '{spec}': quick={quick}"):
        ClipScorer(ScoreConfig(model=spec))


def make_folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path, ROWS[:3], [*ROWS[3:], triplet("g", status="rejected", reason="chatter")])


def test_files_hold_the_accepted_rows_and_nulls(model: Path, tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    tars = {path.name: path.read_bytes() for path in folder.iterdir()}
    counts = write_scores(folder, folder, ScoreConfig(model=str(model), batch_size=2))
    assert (counts.scored, counts.already, counts.rows) == (2, 0, 6)
    assert counts.missing == {"s_xy": 2, "s_nxny": 3, "s_xny": 3, "s_nxy": 3, "s_xnx": 4, "s_yny": 1}
    table = read_scores(folder)
    assert table.column_names == ["key", *SCORE_COLUMNS]
    assert table["key"].to_pylist() == list("abcdef")
    assert table["s_nxny"].is_null().to_pylist() == [False, False, True, True, False, True]
    direct = ClipScorer(ScoreConfig(model=str(model))).score(ROWS)
    assert table["s_yny"].to_pylist()[0] == pytest.approx(direct[0]["s_yny"], abs=1e-5)
    assert {name: (folder / name).read_bytes() for name in tars} == tars


def test_scoring_goes_on_where_it_stopped(model: Path, tmp_path: Path) -> None:
    folder, out, config = make_folder(tmp_path), tmp_path / "scores", ScoreConfig(model=str(model))
    write_scores(folder, out, config)
    first = (out / "00000.scores.parquet").stat().st_mtime_ns
    (out / "00001.scores.parquet").unlink()
    counts = write_scores(folder, out, config)
    assert (counts.scored, counts.already) == (1, 1)
    assert (out / "00000.scores.parquet").stat().st_mtime_ns == first
    assert sorted(path.name for path in out.iterdir()) == ["00000.scores.parquet", "00001.scores.parquet"]


def test_a_shard_written_anew_is_scored_anew_and_old_scores_are_refused(model: Path, tmp_path: Path) -> None:
    folder, out, config = make_folder(tmp_path), tmp_path / "scores", ScoreConfig(model=str(model))
    write_scores(folder, out, config)
    write_shard(folder, 0, [ROWS[1], ROWS[0]], overwrite=True)
    with pytest.raises(UserError, match="earlier shard 0; score it again"):
        candidates(folder, ["s_xy"], out)
    assert write_scores(folder, out, config).scored == 1
    assert candidates(folder, ["s_xy"], out)["key"].to_pylist()[:2] == ["b", "a"]
    assert pq.read_table(out / "00000.scores.parquet")["key"].to_pylist() == ["b", "a"]


def test_scores_of_another_model_are_not_mixed_in(model: Path, tmp_path: Path) -> None:
    folder, out = make_folder(tmp_path), tmp_path / "scores"
    write_scores(folder, out, ScoreConfig(model=str(model)))
    save_clip(new_clip(MODEL, WORDS, seed=1), tmp_path / "tiny")
    with pytest.raises(UserError, match="choose another output folder"):
        write_scores(folder, out, ScoreConfig(model=str(tmp_path / "tiny")))
    with pytest.raises(UserError, match=r"in fp32, not of .* in bf16"):
        write_scores(folder, out, ScoreConfig(model=str(model), precision="bf16"))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("ViT-B-23:openai", "did you mean 'ViT-B-32'"),
        ("ViT-B-32", "no weights without a tag"),
        ("ViT-B-32:openia", "did you mean 'openai'"),
        ("runs/nowhere", "does not exist"),
    ],
)
def test_unknown_models_are_named(spec: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        ClipScorer(ScoreConfig(model=spec))


def test_broken_files_and_settings_are_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no model folder"):
        ClipScorer(ScoreConfig(model=str(tmp_path)))
    with pytest.raises(UserError, match="did you mean 'fp32'"):
        ScoreConfig(model=str(model), precision="fp23")
    with pytest.raises(UserError, match="batch_size is 0"):
        ScoreConfig(model=str(model), batch_size=0)
    with pytest.raises(UserError, match="no scores"):
        read_scores(tmp_path)
    folder = make_folder(tmp_path)
    (folder / "00000.scores.parquet").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"00000\.scores\.parquet is truncated"):
        write_scores(folder, folder, ScoreConfig(model=str(model)))
