"""The classification sets of CLIP's paper through ``clip_benchmark`` (extra ``bench``): its class names and templates.

A set lies in ``clip_benchmark/NAME`` below the data root, as ``clip_benchmark --dataset_root`` leaves it there. Its
pictures come decoded and some from one large file, so they are written once as PNG into ``NAME/tripletclip-pictures``;
later runs read those. https://github.com/LAION-AI/CLIP_benchmark/blob/48de38c1689fa6d8b4dd53e3370c669c3bb18117/clip_benchmark/datasets/builder.py
"""

import json
import os
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from tripletclip.errors import UserError
from tripletclip.evaluation.published.benchmark import Benchmark
from tripletclip.evaluation.published.files import Wanted, gather, listing, place, read_json, texts_of
from tripletclip.evaluation.sets import BenchmarkSet, ClassSet
from tripletclip.extras import require

SETS = (
    "caltech101",
    "cars",
    "cifar10",
    "cifar100",
    "country211",
    "dtd",
    "eurosat",
    "fer2013",
    "fgvc_aircraft",
    "flowers",
    "food101",
    "gtsrb",
    "mnist",
    "pcam",
    "pets",
    "renderedsst2",
    "stl10",
    "sun397",
)
PICTURES, INDEX = "tripletclip-pictures", "index.json"


def read(root: Path, name: str) -> list[BenchmarkSet]:
    """The test split of ``name``; the first reading writes its pictures."""
    folder = place(root, f"clip_benchmark/{name}")
    pictures = folder / PICTURES
    if not (pictures / INDEX).exists():
        _write(name, folder, pictures)
    path = pictures / INDEX
    index = read_json(path)
    labels = index.get("labels") if isinstance(index, dict) else None
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise UserError(f"{path} is not what this program wrote; remove {pictures} to write it again")
    items = [(f"{number:06}.png", label) for number, label in enumerate(labels)]
    got = gather(items, lambda item: [Wanted(folders=(pictures,), name=item[0])], path)
    return [
        ClassSet(
            name=name,
            images=got.column(),
            labels=[label for _, label in got.items],
            class_names=texts_of(index, "classes", str(path)),
            templates=texts_of(index, "templates", str(path)),
            left_out=got.left_out,
        )
    ]


def _write(name: str, folder: Path, pictures: Path) -> None:
    """All pictures as PNG, then, by atomic rename, the index that says they are all there."""
    require("bench", f"the benchmark zeroshot-{name}", "clip_benchmark")
    dataset = _dataset(name, folder)
    labels = []
    try:
        pictures.mkdir(exist_ok=True)
        for number in range(len(dataset)):
            picture, label = dataset[number]
            picture.convert("RGB").save(pictures / f"{number:06}.png")
            labels.append(int(label))
        index = {
            "classes": list(dataset.classes),
            "templates": [template.replace("{c}", "{}") for template in dataset.templates],
            "labels": labels,
        }
        part = pictures / f"{INDEX}.{os.getpid()}.part"
        part.write_text(json.dumps(index), "utf8")
        part.replace(pictures / INDEX)
    except OSError as error:
        raise UserError(f"cannot write the pictures of {name} into {pictures}: {error.strerror or error}") from error


def _dataset(name: str, folder: Path) -> Any:
    build: Any = import_module("clip_benchmark.datasets.builder").build_dataset
    try:
        return build(name, root=str(folder), transform=None, split="test", download=False)
    except (RuntimeError, OSError, AssertionError, KeyError) as error:
        line = (str(error).splitlines() or [repr(error)])[0]
        raise UserError(
            f"clip_benchmark cannot read '{name}' in {folder} ({line}; it has {listing(folder)}); "
            f"download it there with clip_benchmark eval --dataset {name} --dataset_root {folder}"
        ) from error


BENCHMARKS: tuple[Benchmark, ...] = tuple(
    Benchmark(
        name=f"zeroshot-{name}",
        title=f"{name} zero-shot",
        tests="the class of an image, by the mean of clip_benchmark's prompts for it",
        family="zeroshot",
        files=(f"clip_benchmark/{name}",),
        source=f"clip_benchmark eval --dataset {name} --dataset_root DATA_ROOT/clip_benchmark/{name} downloads it",
        licence="that of the data set; see its page",
        read=partial(read, name=name),
        needs="bench",
    )
    for name in SETS
)
