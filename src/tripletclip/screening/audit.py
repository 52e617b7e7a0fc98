"""Can the negatives be told from the positives without the other modality, and what else is wrong with them?

One pass over all items counts; everything costlier looks at a sample drawn by the hash of the key.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletclip.data.index import KEY
from tripletclip.data.one_shard import opened_shard
from tripletclip.data.shards import finished_shards
from tripletclip.data.triplet import IMAGE, NEG_IMAGE
from tripletclip.errors import UserError
from tripletclip.screening.copies import TextCensus, bits_apart, content_distance, difference_hash
from tripletclip.screening.edits_table import edits_table
from tripletclip.screening.image_probe import digest, image_probe, pixel_features
from tripletclip.screening.items import Item, items_from_shards, sample_items
from tripletclip.screening.probing import ProbeResult
from tripletclip.screening.text_probe import LengthRule, ProbeConfig, length_rule, text_probe

FEWEST_ITEMS = 50
"""Below that no probe is trained: its interval would span everything."""

FURTHEST = 10
"""Caption distances from here on are counted together."""

ImageFeatures = Callable[[list[bytes]], NDArray[Any]]
"""Encoded images to features [N, D]; a row of NaN for an image that does not decode."""


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """``max_text_auc`` is the gate: the better of the text probe and the length rule may not exceed it.

    ``sample``            items that probes, edits table and near-copies look at
    ``near_image_bits``   images whose difference hashes are at most so many of 64 bits apart are near-copies
    ``near_caption_words`` captions at most so many words apart, articles not counted, are near-copies
    """

    max_text_auc: float | None = None
    sample: int = 20_000
    seed: int = 0
    top_edits: int = 50
    near_image_bits: int = 4
    near_caption_words: int = 0
    probe: ProbeConfig = field(default_factory=ProbeConfig)

    def __post_init__(self) -> None:
        if self.max_text_auc is not None and not 0.5 <= self.max_text_auc <= 1:
            raise UserError(f"max_text_auc is {self.max_text_auc}; give a number from 0.5 (chance) to 1")
        if self.sample < 1:
            raise UserError(f"sample is {self.sample}; give at least 1 item")


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What the images of the sample give away; ``undecodable`` pairs have an image that does not decode."""

    probe: ProbeResult | None
    near_copies: int
    pairs: int
    undecodable: int


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """Everything the audit found; ``None`` where there was too little to look at.

    ``n`` items in all, ``sampled`` of them looked at closely; ``duplicates`` as :meth:`TextCensus.duplicates` says;
    ``caption_distances`` number of changed words (articles not counted) to items.
    """

    n: int
    sampled: int
    text_probe: ProbeResult | None
    length_rule: LengthRule
    images: ImageFacts | None
    edits: tuple[tuple[str, str, int], ...]
    different_edits: int
    reordered: int
    rewritten: int
    categories: dict[str, int]
    duplicates: dict[str, int]
    caption_distances: dict[int, int]
    near_captions: int
    config: AuditConfig

    @property
    def text_auc(self) -> float | None:
        """What the gate looks at: the larger of the text probe's and the better length rule's area under the curve."""
        return None if self.text_probe is None else max(self.text_probe.auc, self.length_rule.told)

    @property
    def passed(self) -> bool | None:
        """Whether the gate holds; ``None`` without a gate. What could not be measured has not passed."""
        if self.config.max_text_auc is None:
            return None
        return self.text_auc is not None and self.text_auc <= self.config.max_text_auc

    def to_json(self) -> dict[str, Any]:
        """Plain values; the page and the data card read these names."""
        images = self.images
        return {
            "n": self.n,
            "sampled": self.sampled,
            "text_probe": self.text_probe and self.text_probe.to_json(),
            "length_rule": self.length_rule.to_json(),
            "image_probe": images.probe.to_json() if images and images.probe else None,
            "edits": [list(edit) for edit in self.edits],
            "edits_different": self.different_edits,
            "items_reordered": self.reordered,
            "items_rewritten": self.rewritten,
            "categories": dict(self.categories),
            "duplicates": dict(self.duplicates),
            "caption_distances": {str(words): count for words, count in self.caption_distances.items()},
            "near_copies": {
                "images": images.near_copies if images else None,
                "captions": self.near_captions,
                "image_pairs": images.pairs if images else None,
                "image_pairs_undecodable": images.undecodable if images else None,
            },
            "gate": {"max_text_auc": self.config.max_text_auc, "text_auc": self.text_auc, "passed": self.passed},
            "config": asdict(self.config),
        }


def audit_items(items: Iterable[Item], config: AuditConfig) -> AuditResult:
    """Audit captions alone, from any iterator. :class:`UserError` without a single item."""
    return _audited(items, config, lambda sample: None)


def audit_shards(
    folder: Path,
    config: AuditConfig,
    image_features: ImageFeatures | None = pixel_features,
    *,
    keep: Path | None = None,
) -> AuditResult:
    """Audit the accepted rows of a folder, captions and images; only those of the selection ``keep`` if there is one.

    ``image_features`` is any encoder's (:meth:`~tripletclip.screening.scores.ClipScorer.image_features`); the default
    looks at thumbnails alone; ``None`` leaves the image probe out.
    """
    return _audited(
        items_from_shards(folder, keep), config, lambda sample: _image_facts(folder, sample, config, image_features)
    )


def _audited(
    items: Iterable[Item], config: AuditConfig, look_at_images: Callable[[list[Item]], ImageFacts | None]
) -> AuditResult:
    census = TextCensus()
    sample = sample_items(census.watch(items), config.sample, config.seed)
    if not sample:
        raise UserError("nothing to audit: no accepted row has a negative caption; make the negatives first")
    edits = edits_table(sample, config.top_edits)
    distances = Counter(content_distance(item) for item in sample)
    capped: Counter[int] = Counter()
    for distance, count in distances.items():
        capped[min(distance, FURTHEST)] += count
    enough = len({item.caption for item in sample}) >= FEWEST_ITEMS
    return AuditResult(
        n=census.n,
        sampled=len(sample),
        text_probe=text_probe(sample, config.probe) if enough else None,
        length_rule=length_rule(sample),
        images=look_at_images(sample),
        edits=edits.top,
        different_edits=edits.different,
        reordered=edits.reordered,
        rewritten=edits.rewritten,
        categories=dict(sorted(census.categories.items())),
        duplicates=census.duplicates(),
        caption_distances=dict(sorted(capped.items())),
        near_captions=sum(count for distance, count in distances.items() if distance <= config.near_caption_words),
        config=config,
    )


def _image_facts(
    folder: Path, sample: list[Item], config: AuditConfig, image_features: ImageFeatures | None
) -> ImageFacts | None:
    """Both images of the sampled rows, shard by shard; ``None`` if no sampled row has both."""
    wanted = {item.key for item in sample}
    groups: list[bytes] = []
    real: list[NDArray[Any]] = []
    negative: list[NDArray[Any]] = []
    pairs = near = undecodable = 0
    for number in finished_shards(folder):
        images, neg_images = _image_pairs(folder, number, wanted)
        distances = [_image_distance(*pair) for pair in zip(images, neg_images, strict=True)]
        good = [row for row, distance in enumerate(distances) if distance is not None]
        near += sum(distance is not None and distance <= config.near_image_bits for distance in distances)
        pairs, undecodable = pairs + len(distances), undecodable + len(distances) - len(good)
        if image_features is not None and good:
            real.append(image_features([images[row] for row in good]))
            negative.append(image_features([neg_images[row] for row in good]))
            groups += [digest(images[row]) for row in good]
    if pairs == 0:
        return None
    probe = None
    if len(set(groups)) >= FEWEST_ITEMS:
        probe = _finite_probe(np.concatenate(real), np.concatenate(negative), groups, config)
    return ImageFacts(probe=probe, near_copies=near, pairs=pairs, undecodable=undecodable)


def _finite_probe(
    real_ND: NDArray[Any], negative_ND: NDArray[Any], groups: list[bytes], config: AuditConfig
) -> ProbeResult | None:
    """The image probe on the pairs whose features are all finite."""
    finite = np.isfinite(real_ND).all(axis=1) & np.isfinite(negative_ND).all(axis=1)
    kept = [group for group, good in zip(groups, finite, strict=True) if good]
    if len(set(kept)) < FEWEST_ITEMS:
        return None
    return image_probe(real_ND[finite], negative_ND[finite], kept, folds=config.probe.folds, seed=config.probe.seed)


def _image_distance(image: bytes, neg_image: bytes) -> int | None:
    """Bits between the difference hashes; ``None`` if one of the two does not decode."""
    first, second = difference_hash(image), difference_hash(neg_image)
    return None if first is None or second is None else bits_apart(first, second)


def _image_pairs(folder: Path, number: int, wanted: set[str]) -> tuple[list[bytes], list[bytes]]:
    """Encoded images and negative images of the wanted rows of a shard that have both."""
    images, neg_images = [], []
    with opened_shard(folder, number) as shard:
        for row, key in enumerate(shard.table[KEY].to_pylist()):
            if key in wanted and shard.has(row, IMAGE) and shard.has(row, NEG_IMAGE):
                images.append(shard.read(row, IMAGE))
                neg_images.append(shard.read(row, NEG_IMAGE))
    return images, neg_images
