"""The audit on made folders: what was planted is in the result, the gate holds or not, the JSON is plain."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_items import coin_items, folder_of, item, picture, planted_items, triplet

from tripletclip.data.triplet import Triplet
from tripletclip.errors import UserError
from tripletclip.screening.audit import AuditConfig, audit_items, audit_shards

NAMES = {"n", "text_probe", "length_rule", "image_probe", "edits", "categories", "duplicates", "near_copies", "gate"}


def test_planted_mistakes_are_found_and_the_gate_shuts() -> None:
    result = audit_items(planted_items(300, share=1.0), AuditConfig(max_text_auc=0.6))
    assert result.text_probe is not None and result.text_probe.auc > 0.99
    assert result.passed is False
    found = json.loads(json.dumps(result.to_json()))
    assert set(found) >= NAMES
    assert found["gate"] == {"max_text_auc": 0.6, "text_auc": result.text_auc, "passed": False}
    assert found["text_probe"].keys() == {"auc", "low", "high", "negative_higher", "ties", "n"}
    assert found["image_probe"] is None and found["near_copies"]["images"] is None


def test_the_gate_opens_for_what_cannot_be_told() -> None:
    result = audit_items(coin_items(800), AuditConfig(max_text_auc=0.6))
    assert result.passed is True
    assert audit_items(coin_items(60), AuditConfig()).passed is None


def test_length_alone_shuts_the_gate() -> None:
    """Negatives that are always one word shorter, with words that tell nothing."""
    items = [item(one.caption, " ".join(one.neg_caption.split()[1:]), key=one.key) for one in coin_items(300)]
    result = audit_items(items, AuditConfig(max_text_auc=0.9))
    assert result.length_rule.shorter == 1
    assert result.text_auc == 1.0
    assert result.passed is False


def test_too_few_items_are_not_probed_and_do_not_pass() -> None:
    result = audit_items(coin_items(49), AuditConfig(max_text_auc=0.9))
    assert result.text_probe is None
    assert result.passed is False
    assert result.to_json()["text_probe"] is None


def test_counts_cover_all_items_and_looks_the_sample() -> None:
    items = [item("a red dog", "a blue dog", key=f"{row}", category="attribute") for row in range(70)]
    result = audit_items(items + coin_items(30), AuditConfig(sample=40))
    assert (result.n, result.sampled) == (100, 40)
    assert result.categories == {"attribute": 70, "unknown": 30}
    assert result.duplicates["captions"] == result.duplicates["neg_captions"] == 69
    assert sum(result.caption_distances.values()) == 40
    (before, after, count) = result.edits[0]
    assert (before, after) == ("red", "blue") and 15 <= count <= 40
    assert result.caption_distances[1] == count


def test_near_captions_are_counted() -> None:
    items = [item("the dog", "a dog!", key="1"), item("a dog", "a cat", key="2"), item("a dog", "two cats", key="3")]
    assert audit_items(items, AuditConfig()).near_captions == 1
    assert audit_items(items, AuditConfig(near_caption_words=1)).near_captions == 2


def rows(dark: int) -> list[Triplet]:
    """Negatives: the same picture again for the first three rows, one broken, the others darker by ``dark``."""
    made = []
    for row in range(80):
        again = picture(row) if row < 3 else picture(row + 500, brightness=128 - dark)
        neg = b"broken" if row == 3 else again
        made.append(triplet(f"{row:03d}", f"a dog {row}", f"a cat {row}", image=picture(row), neg_image=neg))
    return made


@pytest.mark.parametrize(("dark", "least", "most"), [(0, 0.3, 0.7), (40, 0.95, 1.0)])
def test_images_are_probed_and_copies_counted(tmp_path: Path, dark: int, least: float, most: float) -> None:
    folder = folder_of(tmp_path, rows(dark)[:50], rows(dark)[50:])
    images = audit_shards(folder, AuditConfig()).images
    assert images is not None and images.probe is not None
    assert least <= images.probe.auc <= most
    assert (images.near_copies, images.pairs, images.undecodable) == (3, 80, 1)
    assert images.probe.n == 79


def test_any_encoder_can_look_and_rows_of_nan_are_left_out(tmp_path: Path) -> None:
    seen: list[int] = []

    def encoder(images: list[bytes]) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
        seen.append(len(images))
        features = np.ones((len(images), 3))
        features[0] = np.nan
        return features

    images = audit_shards(folder_of(tmp_path, rows(0)), AuditConfig(), encoder).images
    assert images is not None and images.probe is not None
    assert seen == [79, 79]
    assert (images.probe.n, images.probe.auc, images.probe.ties) == (78, 0.5, 1.0)
    none = audit_shards(tmp_path / "shards", AuditConfig(), None).images
    assert none is not None and none.probe is None and none.near_copies == 3


def test_captions_without_images_have_no_image_part(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [triplet("a"), triplet("b", "x y", "y x")])
    assert audit_shards(folder, AuditConfig()).images is None


def test_nothing_to_audit_and_odd_settings_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no accepted row has a negative caption"):
        audit_shards(folder_of(tmp_path, [triplet("a", neg_caption=None)]), AuditConfig())
    with pytest.raises(UserError, match=r"max_text_auc is 0\.4"):
        AuditConfig(max_text_auc=0.4)
    with pytest.raises(UserError, match="sample is 0"):
        AuditConfig(sample=0)
