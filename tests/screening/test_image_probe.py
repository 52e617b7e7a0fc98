"""The image probe finds a planted difference, none where there is none, and keeps one photo in one fold."""

import numpy as np
import pytest
from made_items import picture

from tripletclip.errors import UserError
from tripletclip.screening.image_probe import digest, image_probe, pixel_features


def test_no_difference_is_not_found_and_a_planted_one_is() -> None:
    rng = np.random.default_rng(0)
    real, negative = rng.normal(size=(500, 8)), rng.normal(size=(500, 8))
    groups = list(range(500))
    assert image_probe(real, negative, groups).auc == pytest.approx(0.5, abs=0.06)
    negative[:, 3] += 4
    assert image_probe(real, negative, groups).auc > 0.98


def test_one_photo_with_many_captions_stays_in_one_fold() -> None:
    """Ten photos, each with 20 random negatives: a probe that had learned a photo would know it again at once."""
    rng = np.random.default_rng(1)
    photos = rng.normal(size=(10, 200))
    real, negative = np.repeat(photos, 20, axis=0), rng.normal(size=(200, 200))
    together = image_probe(real, negative, [row // 20 for row in range(200)])
    torn = image_probe(real, negative, list(range(200)))
    assert torn.auc > 0.95
    assert together.auc < 0.8


def test_pixel_features_find_darker_pictures_and_mark_broken_ones() -> None:
    real = [picture(seed, brightness=150) for seed in range(60)]
    negative = [picture(seed + 1000, brightness=100) for seed in range(60)]
    result = image_probe(pixel_features(real), pixel_features(negative), [digest(image) for image in real])
    assert result.auc > 0.95
    features = pixel_features([real[0], b"no image"])
    assert features.shape == (2, 198)
    assert np.isfinite(features[0]).all() and np.isnan(features[1]).all()
    assert pixel_features([]).shape == (0, 198)


def test_too_few_photos_are_said() -> None:
    with pytest.raises(UserError, match="at least 5 different items; got 1"):
        image_probe(np.zeros((9, 2)), np.zeros((9, 2)), [0] * 9)
