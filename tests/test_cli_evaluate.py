"""``tripletclip evaluate``: any number of models and benchmarks, nothing twice, nothing lost, one line for mistakes."""

import io
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tripletclip import cli
from tripletclip.cli_evaluate import gathered
from tripletclip.commands_evaluate import model_name
from tripletclip.evaluation.encoder import ClipEncoder
from tripletclip.evaluation.pairs import SPLITS
from tripletclip.models import ModelConfig, new_clip, save_clip
from tripletclip.reporting.results import load_result, save_result
from tripletclip.scenes.benchmark import SetConfig, write_set
from tripletclip.trained import trained

Run = Callable[..., str]
WORDS = ["a", "red", "dog", "cat", "of", "photo"]


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> str:
        cli.main(["evaluate", *(str(argument) for argument in arguments)])
        return capsys.readouterr().out

    return call


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> str:
        with pytest.raises(SystemExit) as stop:
            cli.main(["evaluate", *(str(argument) for argument in arguments)])
        *_, line = capsys.readouterr().err.strip().splitlines()
        assert stop.value.code == 2 and line.startswith("tripletclip: ")
        return line

    return call


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call of the encoder gets."""
    counts: list[int] = []
    whole = ClipEncoder.encode_images

    def counting(encoder: ClipEncoder, images: list[bytes]) -> object:
        counts.append(len(images))
        return whole(encoder, images)

    monkeypatch.setattr(ClipEncoder, "encode_images", counting)
    return counts


def model_folder(path: Path, seed: int = 0) -> Path:
    save_clip(new_clip(ModelConfig(image_size=16, patch_size=8, context_length=8), WORDS, seed), path)
    return path


def photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file, "JPEG")
    path.write_bytes(file.getvalue())


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Twenty pairs of the user's own."""
    lines = []
    for number in range(20):
        photo(tmp_path / "mine" / f"{number}.jpg", number)
        lines.append({"image": f"{number}.jpg", "caption": "a red dog " * (1 + number % 4), "neg_caption": "a cat"})
    (tmp_path / "mine" / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "mine" / "pairs.jsonl"


@pytest.fixture
def sugarcrepe(tmp_path: Path) -> Path:
    """A data root with three items a split of SugarCrepe."""
    root = tmp_path / "data"
    for place, split in enumerate(SPLITS):
        items = {}
        for number in range(3):
            photo(root / "coco" / "val2017" / f"{number}.jpg", number)
            items[str(number)] = {
                "filename": f"{number}.jpg",
                "caption": f"a red dog {place}",
                "negative_caption": "cat",
            }
        (root / "sugarcrepe").mkdir(exist_ok=True)
        (root / "sugarcrepe" / f"{split}.json").write_text(json.dumps(items))
    return root


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.json"))


def test_models_and_benchmarks_in_one_command(
    tmp_path: Path, own: Path, sugarcrepe: Path, run: Run, encoded: list[int]
) -> None:
    models = [model_folder(tmp_path / name, seed) for seed, name in enumerate(("one", "two", "three"))]
    out = tmp_path / "out"
    said = run(
        "--model", models[0], models[1], "--data", own, f"--model={models[2]}", "--benchmark", "sugarcrepe",
        "--data-root", sugarcrepe, "--out", out,
    )  # fmt: skip
    assert names(out) == sorted(f"{m}-{b}.json" for m in ("one", "two", "three") for b in ("sugarcrepe", "pairs-pairs"))
    assert encoded == [20] * 3  # three of SugarCrepe's images are three of mine
    assert "results:" in said
    result = load_result(out / "two-sugarcrepe.json")
    assert (result.method, result.items["n"], result.headline) == ("two", 21, "macro")
    assert result.config["model"] == str(models[1]) and result.config["image_size"] == 16
    assert {"random", "constant encoder", "fewer words", "fewer words, ties half"} <= set(result.blind)
    for example in result.examples:
        assert (out / "thumbnails" / f"{example.image}.jpg").is_file()
    long = load_result(out / "one-pairs-pairs.json").notes
    assert long["texts longer than the context"] == 2.0  # of 9 and 12 words, where 6 have room


def test_a_second_run_keeps_everything_and_encodes_nothing(
    tmp_path: Path, own: Path, run: Run, encoded: list[int]
) -> None:
    command = ["--model", model_folder(tmp_path / "one"), "--data", own, "--out", tmp_path / "out"]
    run(*command)
    first = (tmp_path / "out" / "one-pairs-pairs.json").read_bytes()
    assert "kept: 1 results of one" in run(*command)
    assert (tmp_path / "out" / "one-pairs-pairs.json").read_bytes() == first
    (tmp_path / "out" / "one-pairs-pairs.json").unlink()
    run(*command)
    assert encoded == [20]
    again, before = load_result(tmp_path / "out" / "one-pairs-pairs.json"), json.loads(first)
    assert again.decisions == before["decisions"]
    run(*command, "--overwrite")
    assert encoded == [20]


def test_a_cache_that_runs_share(tmp_path: Path, own: Path, run: Run, encoded: list[int]) -> None:
    model = model_folder(tmp_path / "one")
    for out in ("a", "b"):
        run("--model", model, "--data", own, "--out", tmp_path / out, "--cache", tmp_path / "cache")
    assert encoded == [20] and not (tmp_path / "a" / "features").exists()


def test_another_checkpoint_or_other_data_of_the_same_name_is_not_replaced(
    tmp_path: Path, own: Path, run: Run, refused: Run, encoded: list[int]
) -> None:
    out, model = tmp_path / "out", model_folder(tmp_path / "one")
    run("--model", model, "--data", own, "--out", out)
    before = (out / "one-pairs-pairs.json").read_bytes()
    model_folder(model, seed=5)
    line = refused("--model", model, "--data", own, "--out", out)
    assert "one-pairs-pairs.json has the numbers of another checkpoint" in line and "--overwrite" in line
    assert encoded == [20] and (out / "one-pairs-pairs.json").read_bytes() == before
    run("--model", model, "--data", own, "--out", out, "--overwrite")
    assert (out / "one-pairs-pairs.json").read_bytes() != before
    own.write_text("\n".join(own.read_text().splitlines()[:15]))
    line = refused("--model", model, "--data", own, "--out", out)
    assert "measured on other data (20 items, now 15)" in line


def test_results_of_another_version_are_refused(tmp_path: Path, own: Path, run: Run, refused: Run) -> None:
    command = ["--model", model_folder(tmp_path / "one"), "--data", own, "--out", tmp_path / "out"]
    run(*command)
    path = tmp_path / "out" / "one-pairs-pairs.json"
    save_result(replace(load_result(path), version=99), path, overwrite=True)
    assert "has result version 99" in refused(*command)


def test_an_unreadable_image_is_refused_or_counted(tmp_path: Path, own: Path, run: Run, refused: Run) -> None:
    (own.parent / "3.jpg").write_bytes(b"no image")
    command = ["--model", model_folder(tmp_path / "one"), "--data", own, "--out", tmp_path / "out"]
    line = refused(*command)
    assert "pairs-pairs: 1 of 20 items cannot be measured (image unreadable: 1, the first" in line
    assert "3.jpg (not an image)" in line and "--min-coverage 95" in line
    assert names(tmp_path / "out") == []
    run(*command, "--min-coverage", 95)
    items = load_result(tmp_path / "out" / "one-pairs-pairs.json").items
    assert (items["n"], items["listed"], items["image unreadable"]) == (19, 20, 1)
    assert "kept" in run(*command, "--min-coverage", 95)


def test_a_missing_image_is_refused_or_counted(tmp_path: Path, sugarcrepe: Path, run: Run, refused: Run) -> None:
    (sugarcrepe / "coco" / "val2017" / "1.jpg").unlink()
    command = ["--model", model_folder(tmp_path / "one"), "--benchmark", "sugarcrepe", "--data-root", sugarcrepe]
    command += ["--out", tmp_path / "out"]
    assert "sugarcrepe: 7 of 21 items cannot be measured" in refused(*command)
    run(*command, "--min-coverage", 60)
    assert load_result(tmp_path / "out" / "one-sugarcrepe.json").items["n"] == 14


def test_the_list_says_what_is_found(tmp_path: Path, sugarcrepe: Path, run: Run) -> None:
    said = run("--list", "--data-root", sugarcrepe)
    rows = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert "found" in rows["sugarcrepe"] and "missing" in rows["winoground"]
    card = run("--list", "--benchmark", "sugarcrepe", "--data-root", sugarcrepe)
    assert "https://github.com/RAIVNLab/sugar-crepe" in card and "MIT" in card
    assert "found    sugarcrepe/swap_att.json" in card
    assert "missing" not in card
    assert "file     winoground/examples.jsonl" in run("--list", "--benchmark", "winoground")


def test_all_takes_what_is_found(tmp_path: Path, sugarcrepe: Path, run: Run, refused: Run) -> None:
    model = model_folder(tmp_path / "one")
    run("--model", model, "--benchmark", "all", "--data-root", sugarcrepe, "--out", tmp_path / "out")
    assert names(tmp_path / "out") == ["one-sugarcrepe.json"]
    (tmp_path / "empty").mkdir()
    command = ["--model", model, "--benchmark", "all", "--data-root", tmp_path / "empty", "--out", tmp_path / "x"]
    assert "no benchmark's files are found" in refused(*command)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "OWN", "--out", "OUT"], "--model is missing"),
        (["--model", "MODEL", "--out", "OUT"], "--benchmark or --data is missing"),
        (["--model", "MODEL", "--data", "OWN"], "--out is missing"),
        (["--model", "MODEL", "--benchmark", "sugarcrepe", "--out", "OUT"], "--data-root is missing"),
        (
            ["--model", "MODEL", "--benchmark", "sugarcrep", "--data-root", ".", "--out", "OUT"],
            "did you mean 'sugarcrepe'",
        ),
        (
            ["--model", "MODEL", "--benchmark", "aro", "--data-root", "nowhere", "--out", "OUT"],
            "nowhere is not a folder",
        ),
        (["--model", "MODEL", "--data", "OWN", "--out", "OUT", "--min-coverage", "0"], "min-coverage is 0"),
        (["--model", "MODEL", "--data", "OWN", "--out", "OUT", "--batch-size", "0"], "batch-size is 0"),
        (["--model", "MODEL", "MODEL", "--data", "OWN", "--out", "OUT"], "both called 'one'"),
        (
            ["--model", "MODEL", "--data", "OWN", "OWN", "--out", "OUT"],
            "two sets give the benchmark 'pairs-pairs'",
        ),
        (
            ["--model", "MODEL", "--data", "OWN", "--out", "OUT", "--language-model", "no/such/place"],
            "the language model",
        ),
        (["--model", "ViT-B-32", "--data", "OWN", "--out", "OUT"], "has no weights without a tag"),
    ],
)
def test_mistakes(tmp_path: Path, own: Path, refused: Run, arguments: list[str], says: str) -> None:
    places = {"OWN": own, "OUT": tmp_path / "out", "MODEL": model_folder(tmp_path / "one")}
    assert says in refused(*(places.get(argument, argument) for argument in arguments))
    assert not (tmp_path / "out").exists() or names(tmp_path / "out") == []


def test_runs_with_seeds_are_seeds_of_a_method(tmp_path: Path, run: Run) -> None:
    data = write_set(SetConfig(world="natural", part="pairs", rows=28, seed=1), tmp_path / "pairs")
    models = [
        model_folder(tmp_path / f"{method}-seed{seed}", seed) for method in ("clip", "tripletclip") for seed in (0, 1)
    ]
    said = run("--model", *models, "--data", data, "--out", tmp_path / "out")
    result = load_result(tmp_path / "out" / "tripletclip-seed1-sugarcrepe.json")
    assert (result.method, result.seed) == ("tripletclip", 1)
    assert "tripletclip" in said.lower()


def test_budgets_count_from_the_first_step(tmp_path: Path) -> None:
    """What the start had seen is counted, wherever the folders were moved to; an unknown start makes all unknown."""
    for name, init, images in (
        ("start-seed2", None, 100),
        ("clip-seed2", "runs/start-seed2", 30),
        ("other", "gone", 30),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "done.json").write_text(json.dumps({"budget": {"steps": 7, "images": images}}))
        (folder / "train.json").write_text(json.dumps({"init": init}))
    found = trained("clip-seed2", tmp_path / "clip-seed2")
    assert (found.method, found.seed, found.step, found.budget) == ("clip", 2, 14, {"steps": 14, "images": 130})
    assert trained("other", tmp_path / "other").budget == {}
    assert trained("ViT-B-32:openai", Path("ViT-B-32:openai")).method == "ViT-B-32:openai"


def test_names_of_models(tmp_path: Path) -> None:
    assert model_name(str(tmp_path)) == tmp_path.name == model_name(f"local-dir:{tmp_path}")
    assert model_name("hf:ORG/NAME") == "hf:ORG/NAME"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--model", "a", "b", "--out", "o"], ["--out", "o", "--model", "a", "b"]),
        (["--model", "a", "--data", "d", "--model", "b"], ["--model", "a", "b", "--data", "d"]),
        (["--data-root", "r", "--data=d", "--list"], ["--data-root", "r", "--list", "--data", "d"]),
    ],
)
def test_options_given_again_are_one_option(given: list[str], expected: list[str]) -> None:
    assert gathered(given) == expected
