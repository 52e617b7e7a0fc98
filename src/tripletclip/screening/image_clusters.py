"""DataComp's image-based filter: keep the rows whose image lies in a cluster near a reference set's images.

DataComp (https://arxiv.org/abs/2304.14108, section 3.3) clusters the features of the pool and keeps the clusters
that are nearest to at least one image of a reference set (ImageNet's training images there).

Shapes: N images, D features, R reference images, K clusters.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tripletclip.data.index import KEY, STATUS
from tripletclip.data.one_shard import opened_shard
from tripletclip.data.selection import write_selection
from tripletclip.data.shards import finished_shards
from tripletclip.data.triplet import ACCEPTED, IMAGE
from tripletclip.errors import UserError
from tripletclip.extras import require
from tripletclip.negatives.contract import seed_of
from tripletclip.screening.audit import ImageFeatures
from tripletclip.screening.filters import Selected

AT_ONCE = 512
"""Images encoded together."""

_HASHES = 2**63


@dataclass(frozen=True, kw_only=True)
class ImageClusterConfig:
    """``clusters`` K-means clusters (DataComp took 100,000), learned from about ``sample`` images."""

    clusters: int = 1000
    sample: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clusters < 2 or self.sample < self.clusters:
            raise UserError(f"{self.clusters} clusters from {self.sample} images; give 2 or more, and as many images")


def near_reference(sample_ND: NDArray[Any], reference_RD: NDArray[Any], config: ImageClusterConfig) -> "NearReference":
    """Learn the clusters of a sample and mark those that are nearest to a reference image.

    Raises :class:`UserError` for fewer images than clusters or without a reference. Needs the extra ``text``.
    """
    require("text", "the image-based filter", "sklearn")
    from sklearn.cluster import MiniBatchKMeans

    if len(sample_ND) < config.clusters:
        raise UserError(f"{config.clusters} clusters need as many images; the sample has {len(sample_ND)} good ones")
    if not len(reference_RD):
        raise UserError("the reference set has no image that decodes; give a folder of shards that has")
    means = MiniBatchKMeans(config.clusters, random_state=config.seed % 2**32, n_init=3, batch_size=4096)
    means.fit(sample_ND.astype(np.float64))
    near_K = np.zeros(config.clusters, dtype=bool)
    near_K[means.predict(reference_RD.astype(np.float64))] = True
    return NearReference(means=means, near_K=near_K)


@dataclass(frozen=True, kw_only=True)
class NearReference:
    """Cluster centres and which of them a reference image is nearest to."""

    means: Any
    near_K: NDArray[np.bool_]

    def keeps(self, features_ND: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each image lies in a marked cluster, bool [N]."""
        kept: NDArray[np.bool_] = self.near_K[self.means.predict(features_ND.astype(np.float64))]
        return kept


def filter_by_reference(
    folder: Path, reference: Path, out: Path, image_features: ImageFeatures, config: ImageClusterConfig
) -> Selected:
    """Write the selection of the accepted rows of ``folder`` whose image is near those of the shards ``reference``.

    Two passes: one over a sample, drawn by the hash of the key, one over all. The features of the sample and of the
    reference are in memory, never those of all rows.
    """
    accepted = sum(len(keys) for keys, _ in _features(folder, None, 1.0, config.seed))
    share = min(1.0, config.sample / max(1, accepted))
    sample = _stacked(features for _, features in _features(folder, image_features, share, config.seed))
    marked = near_reference(
        sample, _stacked(found for _, found in _features(reference, image_features, 1.0, 0)), config
    )
    kept: list[str] = []
    far = bad = 0
    for keys, features_ND in _features(folder, image_features, 1.0, config.seed):
        finite_N = np.isfinite(features_ND).all(axis=1)
        near_N = finite_N.copy()
        near_N[finite_N] = marked.keeps(features_ND[finite_N]) if finite_N.any() else False
        kept += [key for key, near in zip(keys, near_N, strict=True) if near]
        bad += int((~finite_N).sum())
        far += int((finite_N & ~near_N).sum())
    chosen = Selected(
        keys=pa.chunked_array([pa.array(kept, pa.string())]),
        dropped={"far from the reference": far, "image does not decode": bad},
    )
    about = {
        "made_by": "image clusters",
        "reference": reference.name,
        **asdict(config),
        "dropped": dict(chosen.dropped),
    }
    write_selection(out, chosen.keys, about)
    return chosen


def _features(
    folder: Path, image_features: ImageFeatures | None, share: float, seed: int
) -> Iterator[tuple[list[str], NDArray[Any]]]:
    """Keys and features of about a ``share`` of the accepted rows with image, a few at a time; keys alone for None."""
    for number in finished_shards(folder):
        with opened_shard(folder, number) as shard:
            keys, statuses = shard.table[KEY].to_pylist(), shard.table[STATUS].to_pylist()
            rows = [
                row
                for row, key in enumerate(keys)
                if statuses[row] == ACCEPTED
                and shard.has(row, IMAGE)
                and seed_of(key, "cluster", seed) < share * _HASHES
            ]
            for start in range(0, len(rows), AT_ONCE):
                chosen = rows[start : start + AT_ONCE]
                images = [shard.read(row, IMAGE) for row in chosen] if image_features else []
                features = image_features(images) if image_features else np.zeros((0, 0))
                yield [keys[row] for row in chosen], features


def _stacked(parts: Iterator[NDArray[Any]]) -> NDArray[Any]:
    """All finite rows."""
    found = list(parts)
    if not found:
        return np.zeros((0, 0))
    features_ND = np.concatenate(found)
    finite_ND: NDArray[Any] = features_ND[np.isfinite(features_ND).all(axis=1)]
    return finite_ND
