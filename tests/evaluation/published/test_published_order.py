"""COCO-Order and Flickr30k-Order: four other orders of a caption's words."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from made_files import write_images, write_json, write_lines

from tripletclip.errors import UserError
from tripletclip.evaluation.published import order
from tripletclip.evaluation.sets import ChoiceSet

pytest.importorskip("textblob")

TAGGED = [("a", "DT"), ("brown", "JJ"), ("dog", "NN"), ("chases", "VBZ"), ("the", "DT"), ("small", "JJ"), ("cat", "NN")]
SEEDS = range(200)
IMAGE = "COCO_val2014_000000000042.jpg"


def read(root: Path) -> ChoiceSet:
    (item_set,) = order.BENCHMARKS[0].read(root)
    assert isinstance(item_set, ChoiceSet)
    return item_set


def seen(make: str) -> set[str]:
    (function,) = (one for one in order.ORDERS if one.__name__ == make)
    return {" ".join(function(TAGGED, Random(seed))) for seed in SEEDS}


def test_nouns_and_adjectives_change_places_with_their_kind() -> None:
    assert seen("nouns_and_adjectives") == {
        f"a {one} {first} chases the {two} {second}"
        for one, two in (("brown", "small"), ("small", "brown"))
        for first, second in (("dog", "cat"), ("cat", "dog"))
    }


def test_all_but_nouns_and_adjectives_change_places() -> None:
    orders = seen("all_but_nouns_and_adjectives")
    assert len(orders) == 6
    assert orders >= {"a brown dog chases the small cat", "the brown dog a chases small cat"}
    assert all(words.split()[1:3] == ["brown", "dog"] and words.endswith("small cat") for words in orders)


def test_words_change_places_within_threes() -> None:
    orders = seen("within_trigrams")
    assert len(orders) == 36
    for words in map(str.split, orders):
        assert (set(words[:3]), set(words[3:6])) == ({"a", "brown", "dog"}, {"chases", "the", "small"})
        assert words[6] == "cat"


def test_threes_change_places() -> None:
    parts = ["a brown dog", "chases the small", "cat"]
    expected = {" ".join(parts[i] for i in (i, j, 3 - i - j)) for i in range(3) for j in range(3) if i != j}
    assert seen("trigrams") == expected


def test_orders_of_a_caption() -> None:
    caption = "A brown dog (small) chases the old cat's toy, then sleeps."
    options = order.orders(caption)
    assert options[0] == "a brown dog small chases the old cat's toy, then sleeps"
    assert 2 <= len(options) <= 5 and len(set(options)) == len(options)
    bags = [Counter(option.replace(",", " , ").split()) for option in options]
    assert all(bag == bags[0] for bag in bags)  # nothing is lost, nothing is added
    assert order.orders(caption) == options  # whatever came before


def test_cleaning() -> None:
    """The official rules: lower case, these nine signs away, 30 words."""
    assert order.cleaned(' A "Red" hat;  on(a)#man!~: it*s. OK? yes, ') == "a red hat on a man it s ok? yes,"
    assert order.cleaned(" ".join(f"w{n}" for n in range(40))) == " ".join(f"w{n}" for n in range(30))


def test_coco_order(tmp_path: Path) -> None:
    captions = ["A man rides a red bike.", "Dog", "Two dogs run after a ball in the park"]
    write_json(tmp_path / "coco" / "coco_karpathy_test.json", [{"image": f"val2014/{IMAGE}", "caption": captions}])
    write_images(tmp_path / "coco" / "val2014", [IMAGE])
    item_set = read(tmp_path)
    assert item_set.name == "aro-coco-order" and item_set.keys == [f"{IMAGE}-0", f"{IMAGE}-2"]
    assert item_set.left_out == {"no order differs from the caption": 1}
    assert [options[0] for options in item_set.options] == ["a man rides a red bike", captions[2].lower()]
    assert all(len(options) > 2 for options in item_set.options)


def test_prepared_options_come_first(tmp_path: Path) -> None:
    write_json(tmp_path / "coco" / "coco_karpathy_test.json", [{"image": f"val2014/{IMAGE}", "caption": ["A man"]}])
    write_images(tmp_path / "coco" / "val2014", [IMAGE])
    prepared = {"image": f"val2014/{IMAGE}", "options": ["a man rides", "rides a man", "rides a man", "man a rides"]}
    path = write_lines(tmp_path / "aro" / "coco_order.jsonl", [prepared, prepared | {"options": ["a", "a"]}])
    item_set = read(tmp_path)
    assert item_set.options == [["a man rides", "rides a man", "man a rides"]]
    assert item_set.left_out == {"no order differs from the caption": 1}
    write_lines(path, [prepared, {"image": "a.jpg", "options": ["alone"]}])
    with pytest.raises(UserError, match=r"line 2 of .* at least 2 texts in 'options'"):
        read(tmp_path)
