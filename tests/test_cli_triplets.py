"""`tripletclip triplets` as a user types it: what comes out, which exit code, which one line for a mistake."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from tripletclip import cli
from tripletclip.data.shards import Shards
from tripletclip.models import ModelConfig, new_clip, save_clip
from tripletclip.scenes.grammar import vocabulary
from tripletclip.scenes.world import natural

CAPTIONS = (
    "a red car next to a small dog",
    "two men on a wooden bench",
    "a woman in a blue dress holds a cat",
    "a brown horse under a large tree",
    "a boy rides a bicycle on the street",
    "a white plate on a wooden table",
)


def run(*arguments: object) -> int:
    """The exit code of a command."""
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def photo(index: int) -> bytes:
    buffer = io.BytesIO()
    picture = Image.linear_gradient("L").resize((48, 40)).convert("RGB")
    picture.paste((index * 30 % 256, 90, 200), (index % 8, 5, 30, 20))
    picture.save(buffer, "JPEG")
    return buffer.getvalue()


def photos(folder: Path, rows: int = 24) -> Path:
    """An image folder with a .txt beside each image."""
    folder.mkdir(parents=True)
    for index in range(rows):
        (folder / f"{index:03d}.jpg").write_bytes(photo(index))
        (folder / f"{index:03d}.txt").write_text(CAPTIONS[index % len(CAPTIONS)])
    return folder


def the_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a mistake gets."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    return lines[0]


def test_make_then_look_then_select_then_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = photos(tmp_path / "photos"), tmp_path / "triplets"
    command = ("triplets", "make", "--pairs", f"folder:{source}", "--captions", "rules", "--images", "none")
    assert run(*command, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "accepted" in printed and "audit: " in printed
    made = Shards(out)
    assert len(made) >= 20 and all(made.neg_caption(row) != made.caption(row) for row in range(len(made)))
    for name in ("README.md", "audit.json", "audit.html", "inspect.html", "00000.json"):
        assert (out / name).is_file(), name
    before = (out / "00000.tar").read_bytes()

    assert run(*command, "--out", out) == 0  # goes on where it was: nothing to do
    assert (out / "00000.tar").read_bytes() == before

    model = tmp_path / "model"
    words = sorted({*vocabulary(natural()), *" ".join(CAPTIONS).split()})
    config = ModelConfig(image_size=32, patch_size=16, vision_width=32, vision_layers=1, text_width=32, text_layers=1)
    save_clip(new_clip(config, words, 0), model)
    kept = tmp_path / "kept.parquet"
    top = ("--model", model, "--rank-by", "s_xy", "--top-share", "0.5", "--out", kept)
    assert run("triplets", "screen", out, *top) == 0
    assert len(Shards(out, keep=kept)) == len(made) // 2
    assert (out / "00000.tar").read_bytes() == before

    training = ("train", "--data", out, "--keep", kept, "--objective", "negclip", "--steps", "2", "--init", model)
    assert run(*training, "--passes-per-step", "6", "--out", tmp_path / "run") == 0
    assert (tmp_path / "run" / "open_clip_config.json").is_file()


def test_stages_alone_give_what_make_gives(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", rows=7)
    writing = ("--captions", "rules", "--out")
    assert run("triplets", "make", "--pairs", f"folder:{source}", "--images", "none", *writing, tmp_path / "all") == 0
    assert run("triplets", "import", "--pairs", f"folder:{source}", "--out", tmp_path / "pairs") == 0
    assert run("triplets", "captions", "--pairs", f"shards:{tmp_path / 'pairs'}", *writing, tmp_path / "written") == 0
    assert (tmp_path / "written" / "00000.tar").read_bytes() == (tmp_path / "all" / "00000.tar").read_bytes()


def test_both_exports(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", rows=6)
    out = tmp_path / "triplets"
    assert run("triplets", "import", "--pairs", f"folder:{source}", "--out", out) == 0
    assert run("triplets", "export", out, "--out", tmp_path / "none", "--format", "official") == 2  # no negatives yet
    assert not (tmp_path / "none").exists()


def test_a_gate_that_does_not_hold_is_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"caption": f"a {word} dog", "negative_caption": f"a {word} alien"} for word in "abcdefghijklmnopqrst"]
    table = {str(index): row | {"filename": f"{index}.jpg"} for index, row in enumerate(rows)}
    path = tmp_path / "tell_tale.json"
    path.write_text(json.dumps(table))
    assert run("triplets", "audit", path, "--max-text-auc", "0.6", "--out", tmp_path / "audit") == 3
    assert "--max-text-auc allows 0.6" in capsys.readouterr().err
    assert json.loads((tmp_path / "audit" / "audit.json").read_text())["gate"]["passed"] is False


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("mke",), "did you mean 'triplets make'"),
        (("make", "--paris", "x"), "did you mean '--pairs'"),
        (("make", "--pairs", "folder:photos", "--out", "o", "--llm.modle", "x"), "did you mean '--llm.model'"),
        (("make", "--pairs", "folder:nowhere", "--out", "o", "--images", "none"), "nowhere"),
        (("make", "--pairs", "coko:photos", "--out", "o", "--images", "none"), "did you mean 'coco'"),
        (("make", "--pairs", "folder:photos", "--out", "o", "--captions", "ruls"), "did you mean 'rules'"),
        (("make", "--pairs", "folder:photos", "--out", "o", "--images", "difusion"), "did you mean 'diffusion'"),
        (("make", "--pairs", "folder:photos", "--out", "photos", "--images", "none"), "is not empty"),
        (("import", "--pairs", "folder:photos", "--out", "o", "--keep", "k"), "k is no file"),
        (("import", "--pairs", "folder:photos", "--out", "o", "--engine", "rya"), "did you mean 'ray'"),
        (("import", "--pairs", "folder:photos", "--out", "o", "--workers", "0"), "workers is 0"),
        (("captions", "--pairs", "shards:photos", "--out", "o"), "no finished shard"),
        (("screen", "photos"), "nothing to do"),
        (("screen", "photos", "--rank-by", "s_xy"), "needs top_count or top_share"),
        (("audit", "photos"), "photos"),
        (("inspect", "photos"), "photos"),
        (("export", "photos", "--out", "o", "--format", "parket"), "did you mean 'parquet'"),
    ],
)
def test_mistakes_get_one_line(
    arguments: Sequence[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos", rows=1)
    assert run("triplets", *arguments) == 2
    assert line in the_line(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_a_server_that_is_not_there_is_said_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = photos(tmp_path / "photos", rows=1)
    server = ("--captions", "llm", "--llm.base-url", "http://127.0.0.1:9/v1", "--llm.max-retries", "0")
    command = ("triplets", "make", "--pairs", f"folder:{source}", "--images", "none", "--out", tmp_path / "out")
    assert run(*command, *server) == 2
    assert "127.0.0.1:9" in the_line(capsys)
    assert not (tmp_path / "out").exists()


def test_another_setting_in_the_same_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = photos(tmp_path / "photos", rows=3)
    command = ("triplets", "captions", "--pairs", f"folder:{source}", "--out", tmp_path / "out")
    assert run(*command) == 0
    capsys.readouterr()
    assert run(*command, "--rules.per-caption", "1") == 2
    assert "rules differ" in the_line(capsys)
    assert run(*command, "--rules.per-caption", "1", "--overwrite") == 0


def test_too_many_rejected_rows_are_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = photos(tmp_path / "photos", rows=4)
    (source / "000.jpg").write_bytes(b"")
    command = ("triplets", "import", "--pairs", f"folder:{source}", "--out", tmp_path / "out")
    assert run(*command, "--max-rejected", "0.1") == 3
    assert "25.0% of the rows were rejected" in capsys.readouterr().err
    assert run(*command, "--max-rejected", "0.3") == 0
