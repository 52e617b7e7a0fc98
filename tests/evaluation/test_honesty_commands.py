"""``contamination``, ``concepts`` and ``report`` as a user types them: files, counts, one line for a mistake."""

import json
import random
from pathlib import Path

import pytest
from made_pictures import painted, stored

from tripletclip import cli
from tripletclip.data.selection import read_selection, selection_about
from tripletclip.data.shards import write_shard
from tripletclip.data.triplet import Triplet


def run(*arguments: object) -> int:
    """The exit code of a command."""
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A benchmark of 20 pairs, and a training set with 3 of its pictures and 2 of its captions among 30 rows."""
    folder = tmp_path_factory.mktemp("honesty")
    benchmark = [
        Triplet(
            key=f"{n:012d}",
            caption=f"a dog with {n} balls",
            neg_caption=f"a cat with {n} balls",
            image=stored(painted(n)),
            extra={"split": "swap_obj"},
        )
        for n in range(20)
    ]
    training = [Triplet(key=f"t{n}", caption=f"row {n}", image=stored(painted(500 + n))) for n in range(25)]
    training += [
        Triplet(key=f"copy{n}", caption="mine", image=stored(painted(n), scale=0.5, kind="JPEG", quality=60))
        for n in range(3)
    ]
    training += [
        Triplet(key="text0", caption="A DOG, with 5 balls!"),
        Triplet(key="text1", caption="a cat with 6 balls."),
    ]
    write_shard(folder / "test-pairs", 0, benchmark)
    write_shard(folder / "train", 0, training)
    return folder / "train", folder / "test-pairs"


def test_contamination(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, benchmark = folders
    out, clean = tmp_path / "c.json", tmp_path / "clean.parquet"
    assert run("contamination", "--train", train, "--data", benchmark, "--out", out, "--clean", clean) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "3 of 20 pictures" in text and "2 of 40 captions" in text and "0 of 20 pictures" in text
    record = json.loads(out.read_text())
    assert [found["key"] for found in record["found"]["image"]] == ["copy0", "copy1", "copy2"]
    assert record["keys"] == ["copy0", "copy1", "copy2", "text0", "text1"] and record["rows"] == 30
    assert read_selection(clean).to_pylist() == [f"t{n}" for n in range(25)]
    assert selection_about(clean)["dropped"] == {"in the benchmark": 5}


def test_contamination_of_a_published_benchmark_by_file_id(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "coco/val2017").mkdir(parents=True)
    (root / "sugarcrepe").mkdir()
    for number, split in enumerate(
        ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")
    ):
        name = f"{number:012d}.jpg"
        (root / "coco/val2017" / name).write_bytes(stored(painted(number), kind="JPEG"))
        item = {"filename": name, "caption": f"a {split}", "negative_caption": f"no {split}"}
        (root / "sugarcrepe" / f"{split}.json").write_text(json.dumps({"0": item}))
    (tmp_path / "c.json").write_text(
        '{"images": [{"id": 3, "file_name": "x.jpg"}], "annotations": [{"image_id": 3, "caption": "NO swap_att"}]}'
    )
    out = tmp_path / "found.json"
    train = f"coco:{tmp_path / 'c.json'},images=none"
    assert run("contamination", "--train", train, "--benchmark", "sugarcrepe", "--data-root", root, "--out", out) == 0
    found = json.loads(out.read_text())["found"]
    assert [one["item"] for one in found["file id"]] == ["val2017/000000000003.jpg"] and found["image"] == []
    assert [one["item"] for one in found["caption"]] == ["no swap_att"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("contamination", "--train", "x"), "no benchmark given; add --benchmark NAME"),
        (("contamination", "--train", "x", "--data", "y", "--jobs", 0), "jobs is 0; give 1 or more"),
        (("concepts", "a", "b", "c"), "3 caption sets given"),
        (("report", "nowhere"), "no result files"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[object, ...], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert errors[-1].startswith("tripletclip: ") and line in errors[-1]


def test_concepts_of_one_set_and_subsets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wn")
    generator = random.Random(0)
    nouns = ["dog", "cat", "horse", "table", "violin", "glacier"]
    rows = [
        Triplet(key=f"k{n}", caption=nouns[min(5, int(generator.expovariate(0.7)))], neg_caption="a zebra")
        for n in range(60)
    ]
    write_shard(tmp_path / "s", 0, rows)
    out = tmp_path / "concepts.json"
    shares = (30, 60, 100)
    arguments = ("concepts", tmp_path / "s", "--out", out, "--subsets", tmp_path / "sub", "--shares", *shares)
    assert run(*arguments) == 0
    record = json.loads(out.read_text())
    assert record["captions"] == [60, 60] and record["shared"] == 0 and record["union"] == sum(record["unique"])
    kept = [set(read_selection(tmp_path / "sub" / f"concepts-{share}.parquet").to_pylist()) for share in shares]
    assert kept[0] < kept[1] < kept[2] == {row.key for row in rows}
    assert "shared" in capsys.readouterr().out
