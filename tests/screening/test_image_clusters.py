"""The image-based filter keeps the clusters that the reference lies in."""

from pathlib import Path

import numpy as np
import pytest
from made_items import folder_of, triplet
from numpy.typing import NDArray

from tripletclip.data.selection import read_selection, selection_about
from tripletclip.errors import UserError
from tripletclip.screening.image_clusters import ImageClusterConfig, filter_by_reference, near_reference

CENTRES = np.eye(4) * 10


def around(centre: int, count: int, seed: int) -> NDArray[np.float64]:
    noise: NDArray[np.float64] = np.random.default_rng(seed).normal(size=(count, 4))
    points: NDArray[np.float64] = CENTRES[centre] + noise * 0.1
    return points


def test_clusters_near_the_reference_are_kept() -> None:
    sample = np.concatenate([around(centre, 30, centre) for centre in range(4)])
    marked = near_reference(sample, np.concatenate([around(1, 3, 9), around(3, 2, 8)]), ImageClusterConfig(clusters=4))
    kept = marked.keeps(np.concatenate([around(centre, 5, 20 + centre) for centre in range(4)]))
    assert kept.tolist() == [False] * 5 + [True] * 5 + [False] * 5 + [True] * 5


def features(images: list[bytes]) -> NDArray[np.float64]:
    """The first byte says the cluster; "?" does not decode."""
    rows = [np.full(4, np.nan) if image == b"?" else CENTRES[int(image[:1])] + len(image) / 100 for image in images]
    return np.stack(rows)


def test_a_folder_is_filtered_by_another(tmp_path: Path) -> None:
    pool = [triplet(f"k{row:02d}", image=str(row % 4).encode() * (1 + row % 7)) for row in range(40)]
    pool += [triplet("bad", image=b"?"), triplet("none"), triplet("gone", status="rejected", reason="x")]
    folder = folder_of(tmp_path / "pool", pool[:20], pool[20:])
    reference = folder_of(tmp_path / "reference", [triplet("r", image=b"2"), triplet("s", image=b"?")])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    out = tmp_path / "kept.parquet"
    chosen = filter_by_reference(folder, reference, out, features, ImageClusterConfig(clusters=4))
    assert read_selection(out).to_pylist() == [f"k{row:02d}" for row in range(40) if row % 4 == 2]
    assert chosen.dropped == {"far from the reference": 30, "image does not decode": 1}
    assert selection_about(out)["clusters"] == 4
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_too_few_images_and_an_empty_reference_are_said() -> None:
    with pytest.raises(UserError, match="clusters need as many images"):
        near_reference(np.zeros((3, 4)), np.zeros((1, 4)), ImageClusterConfig(clusters=4))
    with pytest.raises(UserError, match="no image that decodes"):
        near_reference(np.zeros((4, 4)), np.zeros((0, 0)), ImageClusterConfig(clusters=4))
    with pytest.raises(UserError, match="give 2 or more"):
        ImageClusterConfig(clusters=1)
