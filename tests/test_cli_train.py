"""``train`` and ``interpolate`` as a user types them: recipes, plans, mistakes, and what lands on disk."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from tripletclip import cli
from tripletclip.cli_train import Train
from tripletclip.objectives.losses import objective_named
from tripletclip.recipes.paper import recipe_named, recipes
from tripletclip.scenes.benchmark import SetConfig, write_set
from tripletclip.training.config import TrainConfig

SMALL = ["--passes-per-step", "24", "--warmup", "1"]


def run(*arguments: object) -> None:
    cli.main([str(argument) for argument in arguments])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a mistake gets; some come after the progress display has begun."""
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("tripletclip: ") == 1 and "Traceback" not in said
    return said.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def triplets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = SetConfig(world="natural", part="train", rows=24, seed=1)
    return write_set(settings, tmp_path_factory.mktemp("train") / "triplets")


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("benchmarks")
    parts = {"pairs": 14, "classes": 120}
    return [
        write_set(SetConfig(world="natural", part=part, rows=rows, seed=2), folder / part)
        for part, rows in parts.items()
    ]


def test_the_command_line_has_every_setting_of_a_run_with_its_default() -> None:
    verb, config = Train(), TrainConfig(data=Path("d"), out=Path("o"))
    names = {field.name for field in fields(TrainConfig)}
    assert names <= {field.name for field in fields(Train)}
    for name in names - {"data", "out", "model"}:
        assert vars(verb)[name] == vars(config)[name], name


def test_every_recipe_is_a_run_that_can_be_configured() -> None:
    """The paper's settings, from paper-facts: batch 1024 (512 for Table 15), lr 5e-4, decay 0.5, betas (0.9, 0.999)."""
    assert len(recipes()) == 28
    for recipe in recipes().values():
        given = {name: value for name, value in vars(recipe.train).items() if name in TrainConfig.__annotations__}
        config = TrainConfig(**(given | {"data": Path("d"), "out": Path("o"), "model": given["model"] or "ViT-B-32"}))
        assert config.pairs_per_step == (512 if "-512-" in recipe.name else 1024), recipe.name
        assert config.betas == (0.9, 0.999) and config.precision == "bf16" and config.tune.decay_everything
        fine_tuned = recipe.name.startswith("finetune")
        assert (config.learning_rate, config.weight_decay) == ((1e-6, 0.1) if fine_tuned else (5e-4, 0.5))
        assert (recipe.train.init is None) == (recipe.train.model is not None)
    steps = {name: recipes()[name].train.steps for name in ("cc3m-laclip", "cc12m-negclip", "coverage-tripletclip")}
    assert list(steps.values()) == [90_000, 230_000, 200_000]
    assert objective_named("negclip", neg_captions=4).passes == 6
    assert recipe_named("cc3m-negclip").train.passes_per_step == 6 * 1024


def test_a_recipe_at_equal_passes_has_clips_compute() -> None:
    assert recipe_named("cc3m-tripletclip@passes").train.passes_per_step == 2 * 1024
    assert recipe_named("cc3m-negclip++@passes").train.passes_per_step == 2 * 1024 - 2  # a multiple of three
    assert recipe_named("cc3m-512-tripletclip@passes").train.passes_per_step == 1024


def test_the_list_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    run("train", "--list")
    said = capsys.readouterr().out
    assert all(name in said for name in recipes())


def test_a_recipe_gives_defaults_and_the_rest_changes_them(
    triplets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        *("train", "--recipe=cc3m-negclip++", "--dry-run", "--data", triplets, "--out", tmp_path / "run"),
        *("--model", "None", "--steps", 7, "--passes-per-step", 24, "--device", "cpu"),
    )
    said = {
        line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1].strip() for line in capsys.readouterr().out.splitlines()
    }
    assert said["objective"] == "negclip" and said["steps"] == "7" and said["learning_rate"] == "0.0005"
    assert said["step"].startswith("8 pairs, 24 images and texts") and said["data"].startswith("24 rows, 2.33 epochs")
    assert not (tmp_path / "run").exists()


def test_the_plan_counts_what_trains(triplets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Adapters of rank 2 are less than a twentieth of the small model."""
    pytest.importorskip("peft")
    base = ["train", "--dry-run", "--data", triplets, "--out", tmp_path / "run"]
    run(*base, "--tune.lora-image", 2, "--tune.lora-text", 2)
    line = next(line for line in capsys.readouterr().out.splitlines() if "of them trained" in line)
    weights, trained = (int(word.replace(",", "")) for word in line.split() if word.replace(",", "").isdigit())
    assert 0 < trained < weights / 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "--data is missing; give a folder"),
        ("--recipe cc3m-triplet --data x --out y", "did you mean 'cc3m-tripletclip'"),
        ("--data D --out O --tune.freez-image 1", "did you mean '--tune.freeze-image'"),
        ("--data D --out O --tune.lora-text -1", "lora_text is -1"),
        ("--data D --out O --init a --model b", "init and model exclude each other"),
        ("--data D --out O --objective clip --hard.margin 0.1", "hard"),
        ("--data D --out O --trackers wandbb", "did you mean 'wandb'"),
        ("--data D --out O --skip-spikes 0.5", "skip_spikes is 0.5; give a factor above 1"),
        ("--data D --out O --learning-rate -1", "learning_rate is -1.0; give 0 or more"),
        ("--data D --out O --device cuda", "give --device cpu"),
    ],
)
def test_mistakes_are_one_line(
    arguments: str, message: str, triplets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [{"D": str(triplets), "O": str(tmp_path / "run")}.get(word, word) for word in arguments.split()]
    assert message in refused(capsys, "train", *given)
    assert not (tmp_path / "run").exists()


def test_the_best_model_is_kept_and_mixtures_are_measured(
    triplets: Path, benchmarks: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, end = tmp_path / "start", tmp_path / "end"
    run("train", "--data", triplets, "--out", start, "--objective", "clip", "--steps", 2, *SMALL)
    run(
        *("train", "--data", triplets, "--out", end, "--init", start, "--steps", 4, "--save-every", 1, *SMALL),
        *("--validation", benchmarks[0]),
    )
    done = json.loads((end / "done.json").read_text())
    assert 1 <= done["best_step"] <= 4 and 0 <= done["best"] <= 100
    assert (end / "best" / "open_clip_model.safetensors").exists()
    capsys.readouterr()
    out = tmp_path / "mixed"
    mix = ["interpolate", start, end, "--out", out, "--data", *benchmarks, "--alphas", 0, 0.5, 1]
    run(*mix)
    said = capsys.readouterr().out
    assert "Pareto front" in said and "●" in said and f"models and results: {out}" in said
    weights = {name: (out / name / "open_clip_model.safetensors").read_bytes() for name in ("alpha-0", "alpha-1")}
    assert weights["alpha-0"] == (start / "open_clip_model.safetensors").read_bytes()
    assert weights["alpha-1"] == (end / "open_clip_model.safetensors").read_bytes()
    names = {"sugarcrepe", "winoground", "zeroshot"}
    assert {path.name for path in (out / "results").iterdir()} == {
        f"alpha-{alpha}-{name}.json" for alpha in ("0", "0.5", "1") for name in names
    }
    assert "alpha-0 exists; give --overwrite" in refused(capsys, *mix)
    missing = refused(capsys, "interpolate", start, end, "--out", tmp_path / "m", "--data", benchmarks[0])
    assert "--data holds no benchmark of classes" in missing
