"""The list of benchmarks, and which of their files are there."""

from pathlib import Path

import pytest
from made_files import write_images, write_json

from tripletclip.errors import UserError
from tripletclip.evaluation.published import cola
from tripletclip.evaluation.published.files import alternatives
from tripletclip.evaluation.published.registry import BENCHMARKS, benchmark_named, found

DOCS = Path(__file__).parents[3] / "docs" / "benchmarks.md"


def test_every_benchmark_of_the_paper_is_listed() -> None:
    named = {
        "sugarcrepe",
        "sugarcrepe++",
        "aro-relation",
        "aro-attribution",
        "aro-coco-order",
        "aro-flickr30k-order",
        "winoground",
        "cola",
        "valse",
        "crepe-productivity",
        "crepe-systematicity",
        "whatsup-a",
        "whatsup-b",
        "retrieval-coco",
        "retrieval-flickr30k",
        "zeroshot-imagenet",
        "zeroshot-cifar10",
    }
    assert named <= set(BENCHMARKS)
    assert len([name for name in BENCHMARKS if name.startswith("zeroshot-")]) == 19


@pytest.mark.parametrize("name", BENCHMARKS)
def test_what_the_list_says(name: str) -> None:
    benchmark = BENCHMARKS[name]
    assert benchmark.name == name and benchmark_named(name) is benchmark
    for text in (benchmark.title, benchmark.tests, benchmark.family, benchmark.source, benchmark.licence):
        assert text.strip() and "\n" not in text
    assert benchmark.files and benchmark.needs in ("", "text", "bench")
    assert not [path for pattern in benchmark.files for path in alternatives(pattern) if path.startswith("/")]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_an_empty_folder_lacks_every_file(tmp_path: Path, name: str) -> None:
    benchmark = BENCHMARKS[name]
    assert len(found(benchmark, tmp_path)) == len(benchmark.files)
    with pytest.raises(UserError, match="it has nothing") as error:
        benchmark.read(tmp_path)
    assert "\n" not in str(error.value)


def test_unknown_name() -> None:
    with pytest.raises(UserError, match=r"unknown benchmark 'sugarcreep'; did you mean 'sugarcrepe'\?"):
        benchmark_named("sugarcreep")


def test_found_says_what_is_missing(tmp_path: Path) -> None:
    write_json(tmp_path / "cola" / cola.NAME, [])
    (missing,) = found(BENCHMARKS["cola"], tmp_path)
    assert missing.startswith("cola/images or cola/vg_gqa_images or visual_genome/VG_100K or ")
    write_images(tmp_path / "visual_genome" / "VG_100K_2", ["1.jpg"])
    assert found(BENCHMARKS["cola"], tmp_path) == []


def test_every_benchmark_is_documented() -> None:
    text = DOCS.read_text("utf8")
    assert [name for name in BENCHMARKS if f"`{name}`" not in text] == []
