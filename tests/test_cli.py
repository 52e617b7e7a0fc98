"""The command line: help for every verb, and one clear line with exit code 2 for every mistake."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tripletclip import cli, cli_triplets
from tripletclip.data.shards import Shards, write_shard
from tripletclip.data.triplet import Triplet
from tripletclip.scenes.benchmark import SetConfig, write_set

Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must be refused: exit code 2 and one line on stderr, which is returned."""

    def run(*arguments: object) -> str:
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in arguments])
        output, lines = capsys.readouterr()
        # Some refusals come after the progress display has begun, whose lines hold no word of ours.
        *_, line = lines.strip().splitlines()
        assert stop.value.code == 2 and lines.count("tripletclip:") == 1 and line.startswith("tripletclip: ")
        assert "Traceback" not in lines + output
        return line

    return run


@pytest.fixture(scope="module")
def triplets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = SetConfig(world="natural", part="train", rows=24, seed=1)
    return write_set(settings, tmp_path_factory.mktemp("cli") / "triplets")


@pytest.fixture
def shards(tmp_path: Path, triplets: Path) -> Path:
    """A copy to damage."""
    (tmp_path / "shards").mkdir()
    for path in triplets.iterdir():
        (tmp_path / "shards" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "shards"


# ---- help ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["", *cli.VERBS])
def test_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([*([verb] if verb else []), "--help"])
    text = capsys.readouterr().out
    assert not stop.value.code
    own = {"": list(cli.VERBS), "triplets": list(cli_triplets.VERBS), "push": ["--repo"]}
    expected = own.get(verb, ["--out"])
    assert all(name in text for name in expected)


# ---- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("dmo", "unknown verb 'dmo'; did you mean 'demo'?"),
        ("evalute --model x", "unknown verb 'evalute'; did you mean 'evaluate'?"),
        ("demo --budgt quick", "unknown field '--budgt'; did you mean '--budget'?"),
        ("train --learning_rat=1", "unknown field '--learning-rat'; did you mean '--learning-rate'?"),
        ("scenes --out OUT --row 5", "unknown field '--row'; did you mean '--rows'?"),
        ("demo --out OUT --budget quik", "unknown budget 'quik'; did you mean 'quick'?"),
        ("demo --out OUT --world denes", "unknown world 'denes'; did you mean 'dense'?"),
        ("demo --out OUT --methods clip negclp", "unknown objective 'negclp'; did you mean 'negclip'?"),
        ("scenes --out OUT --world natrual", "unknown world 'natrual'; did you mean 'natural'?"),
        ("scenes --out OUT --part pair", "unknown part 'pair'; did you mean 'pairs'?"),
        ("train --data DATA --out OUT --objective tripletclp", "unknown objective 'tripletclp'; did you mean 'triplet"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(
    tmp_path: Path, refused: Refused, command: str, message: str
) -> None:
    words = [word.replace("OUT", str(tmp_path / "out")).replace("DATA", str(tmp_path)) for word in command.split()]
    assert message in refused(*words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("scenes --rows 0", "rows is 0"),
        ("demo --seeds 0", "count from 1"),
        ("demo --jobs 0", "count from 1"),
        ("train --data DATA --steps 0", "steps is 0"),
        ("train --data DATA --passes-per-step 7", "give a multiple of"),
        ("train --data DATA --precision fp8", "precision is 'fp8'; give fp32 or bf16"),
    ],
)
def test_a_value_that_makes_no_sense(tmp_path: Path, refused: Refused, command: str, message: str) -> None:
    words = [word.replace("DATA", str(tmp_path)) for word in command.split()]
    assert message in refused(*words, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["", "scenes", "train --out x", "demo --seeds many"])
def test_something_missing_or_of_the_wrong_type_exits_with_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(command.split())
    assert stop.value.code == 2 and "Traceback" not in capsys.readouterr().err


# ---- folders that hold something else ------------------------------------------------------------------------------


@pytest.fixture
def other_things(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("five years")
    yield folder
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("thesis.txt", "five years")]


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_demo_and_train_leave_other_peoples_folders_alone(
    other_things: Path, triplets: Path, refused: Refused, more: list[str]
) -> None:
    assert "is not empty" in refused("demo", "--out", other_things, *more)
    assert "is not empty" in refused("train", "--data", triplets, "--out", other_things, *more)
    assert "is not empty" in refused("scenes", "--out", other_things)


def test_resume_without_a_demo_is_refused(tmp_path: Path, refused: Refused) -> None:
    assert "holds no demo to resume" in refused("demo", "--resume", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_demo_is_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "demo.json").write_text(json.dumps({"world": "dense"}))
    assert "holds a demo with other settings" in refused("demo", "--out", tmp_path)
    assert (tmp_path / "demo.json").read_text() == json.dumps({"world": "dense"})


def test_a_torn_demo_file_is_a_clear_line(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "demo.json").write_text('{"world": "natu')
    assert "demo.json" in refused("demo", "--out", tmp_path)


def test_a_finished_run_is_not_replaced_in_silence(
    tmp_path: Path, triplets: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--data", triplets, "--out", tmp_path / "run", "--steps", 1, "--passes-per-step", 24]
    cli.main([str(word) for word in command])
    assert "local-dir:" in capsys.readouterr().out
    assert "give --resume to go on, --overwrite to replace" in refused(*command)
    assert "learning_rate" in refused(*command, "--resume", "--learning-rate", 1e-4)
    weights = (tmp_path / "run" / "open_clip_model.safetensors").stat().st_mtime_ns
    cli.main([str(word) for word in [*command, "--resume"]])  # finished, so nothing to do
    assert (tmp_path / "run" / "open_clip_model.safetensors").stat().st_mtime_ns == weights
    cli.main([str(word) for word in [*command, "--overwrite"]])
    assert (tmp_path / "run" / "open_clip_model.safetensors").stat().st_mtime_ns > weights


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/version").exists(), reason="root writes everywhere")
def test_a_place_that_cannot_be_written(tmp_path: Path, refused: Refused) -> None:
    out = Path("/proc/nothing/here") if os.geteuid() == 0 else tmp_path / "locked" / "out"
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
    assert "cannot write" in refused("scenes", "--out", out, "--rows", 3)
    assert "cannot write" in refused("demo", "--out", out)


# ---- data that cannot be used --------------------------------------------------------------------------------------


def cut_tar(folder: Path) -> None:
    os.truncate(folder / "00000.tar", 3000)


def unfinish(folder: Path) -> None:
    (folder / "00000.json").unlink()


def make_foreign(folder: Path) -> None:
    unfinish(folder)
    (folder / "00000.parquet").unlink()


def other_version(folder: Path) -> None:
    stats = json.loads((folder / "00000.json").read_text())
    (folder / "00000.json").write_text(json.dumps(stats | {"version": 99}))


def torn_json(folder: Path) -> None:
    (folder / "00000.json").write_bytes((folder / "00000.json").read_bytes()[:20])


def no_parquet(folder: Path) -> None:
    (folder / "00000.parquet").write_bytes(b"PAR1 is not enough")


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


DAMAGE: dict[Callable[[Path], None], str] = {
    cut_tar: r"00000\.tar",
    unfinish: r"00000\.tar has no 00000\.json",
    make_foreign: r"of another tool",
    other_version: r"version.*99",
    torn_json: r"00000\.json",
    no_parquet: r"00000\.parquet",
    empty: r"no finished shard",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_damaged_shards_are_refused_before_work(
    tmp_path: Path, shards: Path, refused: Refused, damage: Callable[[Path], None], verb: str
) -> None:
    damage(shards)
    model = ["--model", tmp_path / "model"] if verb == "evaluate" else []
    line = refused(verb, "--data", shards, "--out", tmp_path / "out", *model)
    assert re.search(DAMAGE[damage], line) and str(shards) in line
    assert not (tmp_path / "out").exists()


def test_a_folder_that_does_not_exist(tmp_path: Path, refused: Refused) -> None:
    for verb in (["train"], ["evaluate", "--model", tmp_path]):
        line = refused(*verb, "--data", tmp_path / "nowhere", "--out", tmp_path / "out")
        assert f"{tmp_path / 'nowhere'} is not a folder" in line
    assert "no result files" in refused("report", tmp_path / "nowhere")


def test_missing_negatives_name_the_objective_s_need(tmp_path: Path, triplets: Path, refused: Refused) -> None:
    full = Shards(triplets)
    rows = [
        Triplet(key=key, caption=full.caption(index), image=full.read(index, "image"))
        for index, key in enumerate(full.keys)
    ]
    write_shard(tmp_path / "pairs", 0, rows)
    for objective, role in (("negclip", "neg_caption"), ("negimage", "neg_image"), ("tripletclip", "neg_")):
        line = refused("train", "--data", tmp_path / "pairs", "--out", tmp_path / "out", "--objective", objective)
        assert role in line and str(tmp_path / "pairs") in line
    assert not (tmp_path / "out").exists()


def test_a_model_folder_that_holds_no_model(tmp_path: Path, triplets: Path, refused: Refused) -> None:
    line = refused("evaluate", "--model", tmp_path, "--data", triplets, "--out", tmp_path / "out")
    assert str(tmp_path) in line


# ---- the verbs do their work ---------------------------------------------------------------------------------------


def test_from_scenes_to_a_report(
    tmp_path: Path, triplets: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: object) -> str:
        cli.main([str(argument) for argument in arguments])
        return capsys.readouterr().out

    assert "14 rows" in run("scenes", "--out", tmp_path / "pairs-heldout", "--part", "pairs-heldout", "--rows", 14)
    run("scenes", "--out", tmp_path / "classes", "--part", "classes", "--rows", 12)
    run("scenes", "--out", tmp_path / "retrieval", "--part", "retrieval", "--rows", 12)
    run("train", "--data", triplets, "--out", tmp_path / "mine", "--steps", 2, "--passes-per-step", 24)
    measure = ["evaluate", "--model", tmp_path / "mine", "--out", tmp_path / "results", "--data"]
    run(*measure, tmp_path / "pairs-heldout", tmp_path / "classes", tmp_path / "retrieval")
    benchmarks = ("sugarcrepe-heldout", "winoground-heldout", "zeroshot", "retrieval")
    assert sorted(path.name for path in (tmp_path / "results").glob("*.json")) == sorted(
        f"mine-{name}.json" for name in benchmarks
    )
    assert "kept: 1 results of mine are there already" in run(*measure, tmp_path / "classes")
    run("report", tmp_path / "results", "--out", tmp_path / "page.html")
    assert "mine" in (tmp_path / "page.html").read_text("utf8")


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    """As in ``tripletclip train --help | head -1``: the exit code of a broken pipe and nothing on stderr."""
    command = [sys.executable, "-m", "tripletclip", "train", "--help"]
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as pipe:
        ran = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (128 + signal.SIGPIPE, "")
