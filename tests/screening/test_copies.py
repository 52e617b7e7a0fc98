"""Repeated texts, word distances against a plain definition, and picture hashes that survive recompression."""

import io
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from made_items import item, picture
from PIL import Image

from tripletclip.screening.copies import TextCensus, bits_apart, content_distance, difference_hash, token_distance


def test_repeated_texts_by_hand() -> None:
    census = TextCensus()
    items = [
        item("A dog.", "a cat", category="object"),
        item("a dog", "a cow", category="object"),
        item("a bird", "a dog"),
        item("a fish", "A fish!"),
        item("a hen", "a cat"),
    ]
    assert list(census.watch(items)) == items
    assert census.n == 5
    assert census.categories == {"object": 2, "unknown": 3}
    assert census.duplicates() == {
        "captions": 1,
        "neg_captions": 1,
        "neg_captions_unchanged": 1,
        "neg_captions_among_captions": 1,
    }


WORDS = st.lists(st.sampled_from("abc"), max_size=5)


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS)
def test_token_distance_is_levenshtein(before: list[str], after: list[str]) -> None:
    @cache
    def distance(one: int, other: int) -> int:
        if one == 0 or other == 0:
            return one + other
        same = before[one - 1] == after[other - 1]
        return min(
            distance(one - 1, other) + 1, distance(one, other - 1) + 1, distance(one - 1, other - 1) + (not same)
        )

    assert token_distance(before, after) == distance(len(before), len(after))


def test_articles_punctuation_and_case_are_no_difference() -> None:
    assert content_distance(item("A dog on the bed.", "the dog, on a Bed")) == 0
    assert content_distance(item("a dog on the bed", "a cat on the bed")) == 1


def scaled(image: bytes, size: int, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(image)).resize((size, size), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def smooth(seed: int) -> bytes:
    cells = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(cells).resize((216, 216), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def hash_of(image: bytes) -> int:
    value = difference_hash(image)
    assert value is not None
    return value


def test_a_rescaled_recompressed_picture_is_near_and_another_is_far() -> None:
    for seed in range(5):
        assert bits_apart(hash_of(smooth(seed)), hash_of(scaled(smooth(seed), 150, 60))) <= 4
        assert bits_apart(hash_of(smooth(seed)), hash_of(smooth(seed + 100))) > 16


def test_the_hash_reads_rows_from_left_to_right() -> None:
    """Brighter to the right in the upper half alone: the first 32 bits are set."""
    ramp = np.tile(np.linspace(0, 255, 72), (72, 1))
    ramp[36:] = ramp[36:, ::-1]
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(ramp[:, :, None], 3, axis=2).astype(np.uint8)).save(buffer, "PNG")
    assert difference_hash(buffer.getvalue()) == 0xFFFFFFFF00000000


def test_what_is_no_picture_has_no_hash() -> None:
    assert difference_hash(b"nothing") is None
    assert difference_hash(picture(0)[:50]) is None
