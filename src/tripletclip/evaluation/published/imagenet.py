"""Zero-shot classification of folders of images, a folder a class: ImageNet, and any with a ``classes.json``.

ImageNet's class names and 80 templates are OpenAI's, as open_clip has them, for the 1,000 folders in sorted order.
Two names stand twice there ("missile", "sunglasses"). No model can tell classes of one name apart.
Deviation: classes of the same name are one class here; clip_benchmark lets the first of two equal scores win.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tripletclip.data.folders import IMAGE_ENDINGS
from tripletclip.errors import UserError
from tripletclip.evaluation.published.benchmark import Benchmark
from tripletclip.evaluation.published.files import Wanted, gather, listing, place, read_json
from tripletclip.evaluation.sets import BenchmarkSet, ClassSet

VALIDATION = "{imagenet/val,imagenet/validation,ILSVRC2012/val,imagenet}"
CLASSES = 1000
CLASSES_FILE = "classes.json"


def read(root: Path) -> list[BenchmarkSet]:
    """ImageNet's validation images, sorted into folders by WordNet id."""
    import open_clip  # a second of imports that --list can do without

    folder = place(root, VALIDATION)
    folders = _folders(folder)
    if len(folders) != CLASSES:
        raise UserError(
            f"{folder} has {len(folders)} folders, not {CLASSES} such as n01440764 (it has {listing(folder)}); "
            f"sort the validation images into folders by WordNet id"
        )
    templates = [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
    return [class_set("imagenet", folder, folders, open_clip.IMAGENET_CLASSNAMES, templates)]


def read_folder(folder: Path, name: str) -> ClassSet:
    """A folder with a folder a class and ``classes.json``: ``{"classes": ..., "templates": ["a photo of a {}", ...]}``.

    ``classes`` is an object of folder name to class name, or a list of names for the folders in sorted order.
    """
    path = folder / CLASSES_FILE
    content = read_json(path)
    if not isinstance(content, dict) or not _are_texts(content.get("templates")):
        raise UserError(f'{path} must hold {{"classes": ..., "templates": ["a photo of a {{}}", ...]}}')
    folders, classes = _folders(folder), content.get("classes")
    if isinstance(classes, dict) and _are_texts(list(classes.values())):
        unknown = sorted(set(folders) ^ set(classes))
        if unknown:
            raise UserError(f"{path} and the folders beside it differ: '{unknown[0]}' is only in one of them")
        names = [classes[one] for one in folders]
    elif isinstance(classes, list) and _are_texts(classes):
        names = list(classes)
    else:
        raise UserError(f"{path}: 'classes' must be a list of names, or an object of folder name to class name")
    if len(names) != len(folders):
        raise UserError(f"{path} names {len(names)} classes, but {folder} has {len(folders)} folders")
    return class_set(name, folder, folders, names, content["templates"])


def class_set(
    name: str, folder: Path, folders: Sequence[str], class_names: Sequence[str], templates: Sequence[str]
) -> ClassSet:
    """The images of ``folders`` (below ``folder``), whose classes are ``class_names``, in that order."""
    distinct = list(dict.fromkeys(class_names))
    index_of = {class_name: index for index, class_name in enumerate(distinct)}
    labels = {inside: index_of[class_name] for inside, class_name in zip(folders, class_names, strict=True)}
    images = [(inside, image) for inside in folders for image in _images(folder / inside)]
    got = gather(images, lambda one: [Wanted(folders=(folder / one[0],), name=one[1])], folder)
    return ClassSet(
        name=name,
        images=got.column(),
        labels=[labels[inside] for inside, _ in got.items],
        class_names=distinct,
        templates=list(templates),
        left_out=got.left_out,
    )


def _folders(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"cannot list {folder}: {error.strerror}; give a folder of folders of images") from error


def _images(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name.lower().endswith(IMAGE_ENDINGS))


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(value, str) and value for value in values)


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="zeroshot-imagenet",
        title="ImageNet-1k zero-shot",
        tests="the class of a photo among 1,000, by the mean of 80 prompts a class",
        family="zeroshot",
        files=(VALIDATION,),
        source="https://image-net.org/download-images.php (ILSVRC2012_img_val.tar, after agreeing), in 1,000 folders",
        licence="research and education only, no redistribution",
        read=read,
    ),
)
