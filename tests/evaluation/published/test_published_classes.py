"""ImageNet's folders, any folder with classes.json, clip_benchmark's sets, and zero-shot accuracy as it has it."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from made_files import write_image, write_images, write_json
from PIL import Image
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.evaluation import zeroshot
from tripletclip.evaluation.pictures import ImageFile, picture_bytes
from tripletclip.evaluation.published import clip_benchmark_sets, imagenet
from tripletclip.evaluation.published.registry import benchmark_named
from tripletclip.evaluation.scores import class_prototypes
from tripletclip.evaluation.sets import ClassSet

WNIDS = [f"n{number:08}" for number in range(1, 1001)]


def imagenet_of(root: Path) -> ClassSet:
    (item_set,) = imagenet.read(root)
    assert isinstance(item_set, ClassSet)
    return item_set


def write_imagenet(root: Path) -> None:
    for wnid in reversed(WNIDS):
        (root / "imagenet" / "val" / wnid).mkdir(parents=True)
    for place in (0, 1, 657, 744, 999):
        write_image(root / "imagenet" / "val" / WNIDS[place] / f"ILSVRC2012_val_{place:08}.JPEG", place)


def test_imagenet(tmp_path: Path) -> None:
    write_imagenet(tmp_path)
    item_set = imagenet_of(tmp_path)
    assert item_set.name == "imagenet" and len(item_set) == 5
    assert [item_set.class_names[label] for label in item_set.labels] == [
        "tench",
        "goldfish",
        "missile",
        "missile",  # the name stands twice in OpenAI's list, and both are one class here
        "toilet paper",
    ]
    assert len(item_set.class_names) == 998 and len(item_set.templates) == 80
    assert item_set.templates[0] == "a bad photo of a {}."
    assert item_set.prompts()[80] == "a bad photo of a goldfish."


def test_names_that_stand_twice() -> None:
    """Why 998: open_clip's list has two names for four classes. If that changes, the count above does."""
    names = list(open_clip.IMAGENET_CLASSNAMES)
    assert sorted({name for name in names if names.count(name) > 1}) == ["missile", "sunglasses"]


def test_imagenet_not_sorted_into_folders(tmp_path: Path) -> None:
    write_images(tmp_path / "imagenet" / "val", ["ILSVRC2012_val_00000001.JPEG"])
    with pytest.raises(UserError, match=r"has 0 folders, not 1000 .*ILSVRC2012_val_00000001\.JPEG.*sort the"):
        imagenet_of(tmp_path)


TEMPLATES = ["a photo of a {}", "a {}"]


def write_folder(folder: Path, classes: object) -> None:
    for number, (name, image) in enumerate([("a", "1.png"), ("a", "2.jpg"), ("b", "1.png")]):
        write_image(folder / name / image, number)
    (folder / "a" / "notes.txt").write_text("no image")
    write_json(folder / "classes.json", {"classes": classes, "templates": TEMPLATES})


@pytest.mark.parametrize("classes", [["cat", "dog"], {"b": "dog", "a": "cat"}])
def test_folder_of_classes(tmp_path: Path, classes: object) -> None:
    write_folder(tmp_path, classes)
    item_set = imagenet.read_folder(tmp_path, "pets")
    assert (item_set.name, item_set.class_names, item_set.labels) == ("pets", ["cat", "dog"], [0, 0, 1])
    assert [picture.path.name for picture in item_set.images if isinstance(picture, ImageFile)] == [
        "1.png",
        "2.jpg",
        "1.png",
    ]


@pytest.mark.parametrize(
    ("classes", "line"),
    [
        (["cat"], "names 1 classes, but .* has 2 folders"),
        ({"a": "cat", "c": "dog"}, "'b' is only in one of them"),
        ("cat", "must be a list of names"),
    ],
)
def test_classes_that_do_not_fit(tmp_path: Path, classes: object, line: str) -> None:
    write_folder(tmp_path, classes)
    with pytest.raises(UserError, match=line):
        imagenet.read_folder(tmp_path, "pets")


def write_mnist(folder: Path, digits: list[int]) -> None:
    """The four files that torchvision looks for; test images have one bright pixel, in the column of their digit."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.zeros((len(digits), 28, 28), np.uint8)
    for row, digit in enumerate(digits):
        pixels[row, 5, digit] = 255
    images = struct.pack(">IIII", 2051, len(digits), 28, 28) + pixels.tobytes()
    labels = struct.pack(">II", 2049, len(digits)) + bytes(digits)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(labels)
        for name in ("images-idx3", "labels-idx1"):
            with gzip.open(raw / f"{part}-{name}-ubyte.gz", "wb") as file:
                file.write(b"")


def test_a_set_of_clip_benchmark(tmp_path: Path) -> None:
    pytest.importorskip("clip_benchmark")
    write_mnist(tmp_path / "clip_benchmark" / "mnist", [3, 0, 9])
    (item_set,) = benchmark_named("zeroshot-mnist").read(tmp_path)
    assert isinstance(item_set, ClassSet)
    assert (item_set.name, item_set.labels, item_set.class_names) == ("mnist", [3, 0, 9], [*"0123456789"])
    assert item_set.templates == ['a photo of the number: "{}".']
    first = item_set.images[0]
    assert isinstance(first, ImageFile)
    with Image.open(first.path) as image:
        assert image.size == (28, 28) and image.getpixel((3, 5)) == (255, 255, 255)
    assert len(picture_bytes(first)) > 0


def test_a_set_is_read_again_without_clip_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "clip_benchmark" / "stl10"
    pictures = folder / clip_benchmark_sets.PICTURES
    write_images(pictures, ["000000.png", "000001.png"])
    index = {"classes": ["a", "b"], "templates": ["a {}"], "labels": [1, 0]}
    write_json(pictures / clip_benchmark_sets.INDEX, index)
    monkeypatch.setattr(clip_benchmark_sets, "require", lambda *_: pytest.fail("asked for the extra"))
    (item_set,) = benchmark_named("zeroshot-stl10").read(tmp_path)
    assert isinstance(item_set, ClassSet) and item_set.labels == [1, 0]
    write_json(pictures / clip_benchmark_sets.INDEX, index | {"labels": ["1"]})
    with pytest.raises(UserError, match="not what this program wrote"):
        benchmark_named("zeroshot-stl10").read(tmp_path)


def test_a_set_that_clip_benchmark_does_not_find(tmp_path: Path) -> None:
    pytest.importorskip("clip_benchmark")
    (tmp_path / "clip_benchmark" / "dtd").mkdir(parents=True)
    with pytest.raises(UserError, match=r"clip_benchmark cannot read 'dtd' in .* it has nothing.*download it there"):
        benchmark_named("zeroshot-dtd").read(tmp_path)


def test_clip_benchmark_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip_benchmark" / "dtd").mkdir(parents=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"zeroshot-dtd needs clip_benchmark; run: pip install 'tripletclip\[bench\]'"):
        benchmark_named("zeroshot-dtd").read(tmp_path)


def test_imagenet_prompts_are_clip_benchmarks() -> None:
    builder = pytest.importorskip("clip_benchmark.datasets.builder")
    folder = Path(builder.__file__).parent
    names = read_json_key(folder / "en_classnames.json", "imagenet1k")
    templates = read_json_key(folder / "en_zeroshot_classification_templates.json", "imagenet1k")
    assert names == list(open_clip.IMAGENET_CLASSNAMES)
    assert [text.replace("{c}", "{}") for text in templates] == [t("{}") for t in open_clip.OPENAI_IMAGENET_TEMPLATES]


def read_json_key(path: Path, key: str) -> list[str]:
    texts: list[str] = json.loads(path.read_text("utf8"))[key]
    return texts


N, K, T, D = 60, 7, 3, 8


def made() -> tuple[Tensor, Tensor, list[int]]:
    """Features of images [N, D] and of prompts [K, T, D], not yet of unit length, and labels, unevenly many."""
    generator = torch.Generator().manual_seed(5)
    prompt_KTD = torch.randn(K, T, D, generator=generator) * torch.rand(K, T, 1, generator=generator)
    labels = [min(n % 11, K - 1) for n in range(N)]
    image_ND = prompt_KTD.mean(dim=1)[labels] + 0.4 * torch.randn(N, D, generator=generator)
    return image_ND, prompt_KTD, labels


def ours(image_ND: Tensor, prompt_KTD: Tensor, labels: list[int]) -> dict[str, float]:
    images = torch.nn.functional.normalize(image_ND, dim=1)
    prototypes_KD = class_prototypes(torch.nn.functional.normalize(prompt_KTD, dim=2))
    outcome = zeroshot.decide((images @ prototypes_KD.T).numpy(), labels, [f"class {k}" for k in range(K)])
    values = {name: float(np.mean(decisions)) for name, decisions in outcome.decisions.items()}
    parts = outcome.parts
    means = {name: float(np.mean([np.mean(parts[one]) for one in members])) for name, members in outcome.groups.items()}
    return values | means


def test_accuracy_by_hand() -> None:
    """A class is the mean of its prompts' unit vectors; its image counts if no other class is nearer."""
    image_ND, prompt_KTD, labels = made()
    found = ours(image_ND, prompt_KTD, labels)
    units = prompt_KTD.double() / prompt_KTD.double().pow(2).sum(dim=2, keepdim=True).sqrt()
    sums = [units[k].sum(dim=0) for k in range(K)]
    cosine = [[float(image @ s / s.norm() / image.norm()) for s in sums] for image in image_ND.double()]
    place = [sum(score > row[label] for score in row) for row, label in zip(cosine, labels, strict=True)]
    assert found["top1"] == pytest.approx(sum(p == 0 for p in place) / N)
    assert found["top5"] == pytest.approx(sum(p < 5 for p in place) / N)
    per_class = [np.mean([p == 0 for p, label in zip(place, labels, strict=True) if label == k]) for k in range(K)]
    assert found["mean_per_class"] == pytest.approx(float(np.mean(per_class)))
    assert found["top1"] < found["top5"] < 1 and found["mean_per_class"] != pytest.approx(found["top1"])


class Fixed:
    """A model in clip_benchmark's eyes: "images" and "tokens" are features already."""

    def encode_image(self, images: Tensor) -> Tensor:
        return images

    def encode_text(self, tokens: Tensor) -> Tensor:
        return tokens


def test_accuracy_equals_clip_benchmarks() -> None:
    theirs = pytest.importorskip("clip_benchmark.metrics.zeroshot_classification")
    image_ND, prompt_KTD, labels = made()
    classifier = theirs.zero_shot_classifier(
        Fixed(),
        lambda texts: torch.stack([prompt_KTD[int(text.split()[1]), int(text.split()[0])] for text in texts]),
        [str(k) for k in range(K)],
        [f"{t} {{c}}" for t in range(T)],
        "cpu",
        amp=False,
    )
    batches = [(image_ND[at : at + 16], torch.tensor(labels[at : at + 16])) for at in range(0, N, 16)]
    logits, target = theirs.run_classification(Fixed(), classifier, batches, "cpu", amp=False)
    found = ours(image_ND, prompt_KTD, labels)
    # Its function ``accuracy`` counts these hits and then calls float() on an array of one, which NumPy 2.4 refuses.
    hits_N5 = logits.topk(5, dim=1).indices == target[:, None]
    top1, top5 = float(hits_N5[:, 0].float().mean()), float(hits_N5.any(dim=1).float().mean())
    assert found["top1"] == pytest.approx(top1) and found["top5"] == pytest.approx(top5)
    recall = theirs.balanced_accuracy_score(target, logits.argmax(dim=1))
    assert found["mean_per_class"] == pytest.approx(float(recall))
