"""Can a negative image be told from a true one without the caption? Real photos against synthetic ones often can.

Shapes: N items, D features.
"""

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from tripletclip.data.transforms import ImageError, decode_image
from tripletclip.extras import require
from tripletclip.screening.probing import ProbeResult, folds_by_group, held_out_scores, judged

_SIDE, _CELL = 32, 4


def image_probe(
    real_ND: NDArray[np.floating],
    negative_ND: NDArray[np.floating],
    groups: Sequence[Hashable],
    *,
    folds: int = 5,
    seed: int = 0,
) -> ProbeResult:
    """Logistic regression on features of the images, five folds; items of one group are in one fold.

    ``groups`` should be a digest of the true image: several captions of one photo must not meet across folds.
    Features are standardised with the training folds' mean and deviation. Needs the extra ``text`` (scikit-learn).
    """
    require("text", "the image-only probe", "sklearn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    assert real_ND.shape == negative_ND.shape and len(groups) == len(real_ND), (real_ND.shape, negative_ND.shape)
    features_2ND = np.stack([real_ND, negative_ND], axis=1).reshape(2 * len(real_ND), -1).astype(np.float64)
    fold_N = folds_by_group(groups, folds, seed)
    scores = held_out_scores(
        features_2ND,
        fold_N,
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)),
        fit_on_at_most=len(groups),
        seed=seed,
    )
    return judged(*scores)


def pixel_features(images: Sequence[bytes]) -> NDArray[np.float64]:
    """Features [N, 198] that need no model: an 8×8 colour thumbnail and, per channel, contrast and sharpness.

    A floor for the image probe: what these find, any encoder's features find. An image that does not decode gets a
    row of NaN.
    """
    rows = [_pixel_row(image) for image in images]
    return np.stack(rows) if rows else np.zeros((0, 3 * (_SIDE // _CELL) ** 2 + 6))


def _pixel_row(image: bytes) -> NDArray[np.float64]:
    cells = _SIDE // _CELL
    try:
        pixels_3HW = decode_image(image, _SIDE).numpy().astype(np.float64) / 255
    except ImageError:
        return np.full(3 * cells**2 + 6, np.nan)
    thumbnail = pixels_3HW.reshape(3, cells, _CELL, cells, _CELL).mean(axis=(2, 4)).ravel()
    edges = np.abs(np.diff(pixels_3HW, axis=2)).mean(axis=(1, 2))
    return np.concatenate([thumbnail, pixels_3HW.std(axis=(1, 2)), edges])


def digest(image: bytes) -> bytes:
    """A short name of an image's bytes, to group items by."""
    return hashlib.blake2b(image, digest_size=12).digest()
