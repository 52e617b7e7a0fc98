"""What ``tripletclip cosines`` does: sets in; a table, one JSON and one page out."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from torch import Tensor

from tripletclip.cli_evaluate import Evaluate
from tripletclip.commands import progress_display
from tripletclip.commands_evaluate import model_name, read_sets
from tripletclip.commands_report import command_line
from tripletclip.demo import revision
from tripletclip.errors import UserError
from tripletclip.evaluation.cache import FeatureCache
from tripletclip.evaluation.cosines import Comparison, compare, comparisons, hard_pairs, needed, sample
from tripletclip.evaluation.encoder import Encoder, clip_encoder
from tripletclip.evaluation.encoding import Features, encode
from tripletclip.evaluation.measurable import first_of
from tripletclip.evaluation.measuring import benchmark_names
from tripletclip.evaluation.sets import BenchmarkSet, PairSet
from tripletclip.evaluation.suite import package_versions
from tripletclip.evaluation.towers import ImageTower, TextTower, image_tower, text_tower
from tripletclip.files import write_atomic
from tripletclip.models import load_clip
from tripletclip.models.identity import model_digest
from tripletclip.reporting.catalog import title_of
from tripletclip.reporting.cosines_page import print_cosines, write_cosines_page
from tripletclip.reporting.grids import report_console

if TYPE_CHECKING:
    from tripletclip.cli_cosines import Cosines

JSON_FILE, PAGE_FILE = "cosines.json", "cosines.html"
RECORD_VERSION = 1
NAMED = 20
"""Unreadable pictures that the record names; the others are counted."""
TIMM_FOLDER = "timm:local-dir:"

Kind: TypeAlias = Literal["CLIP", "image tower", "text tower"]


@dataclass(frozen=True, kw_only=True)
class Named:
    """An encoder as it was asked for, and what it is called."""

    name: str
    spec: str
    kind: Kind

    def wanted(self, pairs: PairSet) -> list[Comparison]:
        """What it can measure on a set."""
        return comparisons(pairs, images=self.kind != "text tower", texts=self.kind != "image tower")


@dataclass(frozen=True, kw_only=True)
class HardSet:
    """A set with its label, its hash as a whole, and the items that are measured."""

    label: str
    sha256: str
    pairs: PairSet


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that is ready, with the SHA-256 of all that its features depend on."""

    encoder: Encoder
    digest: str


class OneKind:
    """An :class:`Encoder` of which only the half that is there is asked."""

    def __init__(self, images: ImageTower | None = None, texts: TextTower | None = None) -> None:
        self._images, self._texts = images, texts

    def encode_images(self, images: list[bytes]) -> Tensor:
        assert self._images is not None, "a text tower was given pictures"
        return self._images.encode_images(images)

    def encode_texts(self, texts: list[str]) -> Tensor:
        assert self._texts is not None, "an image tower was given texts"
        return self._texts.encode_texts(texts)


def cosines(verb: "Cosines") -> None:
    """Encode every set with every encoder; print the table, write the record and the page made of it."""
    out = _checked(verb)
    encoders = _encoders(verb)
    sets = _sets(verb)
    _check_use(encoders, sets)
    measured: list[dict[str, Any]] = []
    models: list[dict[str, Any]] = []
    for one in encoders:
        loaded = _load(one, verb)
        cache = FeatureCache(verb.cache or out / "features", loaded.digest)
        features = _encode(one, loaded.encoder, sets, cache)
        measured += _measure(one, sets, features)
        unreadable = [f"{first_of(picture)}: {reason}" for picture, reason in features.unreadable.items()]
        models.append(asdict(one) | {"sha256": loaded.digest, "cut": len(features.cut), "unreadable": len(unreadable)})
        models[-1]["unreadable_first"] = unreadable[:NAMED]
    record = _record(verb, sets, models, measured)
    write_atomic(out / JSON_FILE, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    write_cosines_page(out / PAGE_FILE, record)
    print_cosines(record, report_console())
    print(f"numbers: {out / JSON_FILE}")
    print(f"page:    {out / PAGE_FILE}")


def _checked(verb: "Cosines") -> Path:
    """The folder of the outputs; :class:`UserError` for what is missing or makes no sense."""
    if not verb.model and not verb.image_tower and not verb.text_tower:
        raise UserError("no encoder given; add --model, --image-tower or --text-tower")
    if not verb.data and not verb.benchmark:
        raise UserError("no data given; add --data FOLDER-OR-JSONL, or --benchmark NAME --data-root DIR")
    if verb.out is None:
        raise UserError("--out is missing; give a folder for cosines.json and cosines.html")
    if verb.batch_size < 1:
        raise UserError(f"batch-size is {verb.batch_size}; give at least 1")
    if verb.limit is not None and verb.limit < 2:
        raise UserError(f"limit is {verb.limit}; give at least 2, so that an item has another to be compared with")
    for name in (JSON_FILE, PAGE_FILE):
        if (verb.out / name).exists() and not verb.overwrite:
            raise UserError(f"{verb.out / name} exists already; give --overwrite to replace it, or another --out")
    return verb.out


def _encoders(verb: "Cosines") -> list[Named]:
    given: list[tuple[str, Kind]] = [
        *((spec, "CLIP") for spec in verb.model),
        *((spec, "image tower") for spec in verb.image_tower),
        *((spec, "text tower") for spec in verb.text_tower),
    ]
    encoders = [Named(name=encoder_name(spec), spec=spec, kind=kind) for spec, kind in given]
    names = [one.name for one in encoders]
    for name in names:
        if names.count(name) > 1:
            twice = " and ".join(one.spec for one in encoders if one.name == name)
            raise UserError(f"{twice} are both called '{name}'; rename a folder, or give each an --out of its own")
    return encoders


def encoder_name(spec: str) -> str:
    """A folder's own name, or the word that the encoder was asked for with.

    >>> encoder_name("timm:local-dir:/models/dino")
    'dino'
    """
    return Path(spec).name if spec.startswith(TIMM_FOLDER) else model_name(spec)


def _sets(verb: "Cosines") -> list[HardSet]:
    """The sets of ``--data``, called as their files are, then those of ``--benchmark``."""
    found: list[tuple[str, BenchmarkSet]] = []
    for path in verb.data:
        found += [(path.resolve().name.removesuffix(".jsonl"), one) for one in read_sets(Evaluate(data=(path,)))]
    if verb.benchmark:
        published = read_sets(Evaluate(benchmark=verb.benchmark, data_root=verb.data_root))
        found += [(title_of(benchmark_names(one)[0]), one) for one in published]
    labels = [label for label, _ in found]
    sets = []
    for label, whole in found:
        if labels.count(label) > 1:
            raise UserError(f"two sets are called '{label}'; rename a folder, or measure them one by one")
        pairs = hard_pairs(whole)
        if pairs is None:
            raise UserError(
                f"{label} has no hard negatives; give triplets, or a .jsonl file with neg_caption, neg_image or options"
            )
        sets.append(HardSet(label=label, sha256=whole.digest(), pairs=sample(pairs, verb.limit)))
    return sets


def _check_use(encoders: Sequence[Named], sets: Sequence[HardSet]) -> None:
    """Before any model is loaded: an encoder that has nothing to measure is a mistake."""
    for one in encoders:
        if not any(one.wanted(hard.pairs) for hard in sets):
            raise UserError(
                f"{one.spec} has nothing to measure: no set has negative images; leave it out, or give data with "
                f"neg_image"
            )


def _load(one: Named, verb: "Cosines") -> Loaded:
    device, batch_size = verb.device, verb.batch_size
    if one.kind == "image tower":
        images = image_tower(one.spec, device, batch_size)
        return Loaded(encoder=OneKind(images=images), digest=images.digest())
    if one.kind == "text tower":
        texts = text_tower(one.spec, pooling=verb.text_pooling, device=device, batch_size=batch_size)
        return Loaded(encoder=OneKind(texts=texts), digest=texts.digest())
    clip = load_clip(one.spec)
    digest = model_digest(clip)
    clip.model.to(device)
    return Loaded(encoder=clip_encoder(clip, device, batch_size=batch_size), digest=digest)


def _encode(one: Named, encoder: Encoder, sets: Sequence[HardSet], cache: FeatureCache) -> Features:
    asked = [needed(hard.pairs, one.wanted(hard.pairs)) for hard in sets]
    pictures = [picture for column, _ in asked for picture in column]
    texts = [text for _, column in asked for text in column]
    with progress_display() as show:
        task = show.add_task(f"encode · {one.name}", total=None)
        return encode(
            encoder,
            pictures,
            texts,
            cache=cache,
            tell=lambda done, total: show.update(task, completed=done, total=total),
        )


def _measure(one: Named, sets: Sequence[HardSet], features: Features) -> Iterator[dict[str, Any]]:
    for hard in sets:
        for comparison in one.wanted(hard.pairs):
            found = compare(hard.label, hard.pairs, comparison, features)
            yield {"encoder": one.name, "set": hard.label, **asdict(found)}


def _record(verb: "Cosines", sets: Sequence[HardSet], models: Sequence[Any], measured: Sequence[Any]) -> dict[str, Any]:
    """Everything that a repetition needs; the page is made of it alone."""
    return {
        "version": RECORD_VERSION,
        "command": command_line(),
        "revision": revision(),
        "versions": package_versions() | _further_versions(),
        "settings": {"limit": verb.limit, "text_pooling": verb.text_pooling, "device": verb.device}
        | {"batch_size": verb.batch_size},
        "sets": [
            {
                "name": hard.label,
                "sha256": hard.sha256,
                "listed": len(hard.pairs) + sum(hard.pairs.left_out.values()),
                "n": len(hard.pairs),
                "sample_sha256": hard.pairs.digest(),
                "left_out": dict(hard.pairs.left_out),
                "negative_images": hard.pairs.neg_images is not None,
            }
            for hard in sets
        ],
        "encoders": list(models),
        "cosines": list(measured),
    }


def _further_versions() -> dict[str, str]:
    found = {}
    for package in ("timm", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
