"""Contamination: what the training set has is found, whatever its size, file format, case and punctuation; no more."""

import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from made_pictures import painted, stored
from PIL import Image, ImageDraw

from tripletclip.data.shards import write_shard
from tripletclip.data.triplet import Triplet
from tripletclip.errors import UserError
from tripletclip.evaluation.contamination import (
    BY_CAPTION,
    BY_ID,
    BY_IMAGE,
    Contamination,
    KnownPicture,
    TrainingRow,
    contamination,
    normal_caption,
)
from tripletclip.evaluation.file_ids import file_ids
from tripletclip.evaluation.near_pictures import PictureIndex, fingerprint
from tripletclip.evaluation.training_rows import training_parts
from tripletclip.screening.copies import bits_apart

PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "flickr8k_200"


def known(images: Sequence[bytes], names: Sequence[str] = ()) -> list[KnownPicture]:
    return [
        KnownPicture(names=(names[place] if names else f"picture {place}",), read=lambda data=data: data)  # type: ignore[misc]
        for place, data in enumerate(images)
    ]


def rows(*given: TrainingRow) -> list[object]:
    def part() -> Iterator[TrainingRow]:
        yield from given

    return [part]


def row(key: str, *, caption: str = "", image: bytes | None = None, names: tuple[str, ...] = ()) -> TrainingRow:
    return TrainingRow(
        key=key,
        names=names or (key,),
        captions=(caption,) if caption else (),
        images=(image,) if image is not None else (),
    )


def counts(found: Contamination) -> tuple[int, int, int]:
    return tuple(len(found.found[way]) for way in (BY_ID, BY_IMAGE, BY_CAPTION))  # type: ignore[return-value]


def test_ten_smaller_jpegs_and_ten_changed_captions_among_two_hundred(tmp_path: Path) -> None:
    benchmark = [painted(seed) for seed in range(100)]
    texts = [f"A dog, number {number}, runs: it's quick." for number in range(100)]
    training = [
        Triplet(key=f"row-{n}", caption=f"another caption {n}", image=stored(painted(1000 + n), kind="JPEG"))
        for n in range(180)
    ]
    for n in range(10):
        copy = stored(benchmark[n], scale=0.4, kind="JPEG", quality=50)
        training.append(Triplet(key=f"copy-{n}", caption=f"a copied picture {n}", image=copy))
        text = f"  a DOG number {50 + n} runs - its   quick!"
        training.append(Triplet(key=f"text-{n}", caption=text, image=stored(painted(5000 + n))))
    write_shard(tmp_path, 0, training[:110])
    write_shard(tmp_path, 1, training[110:])
    found = contamination("made", known([stored(one) for one in benchmark]), texts, training_parts(str(tmp_path)))
    assert (found.pictures, found.captions, found.rows) == (100, 100, 200)
    assert counts(found) == (0, 10, 10)
    assert [(one.item, one.key) for one in found.found[BY_IMAGE]] == [(f"picture {n}", f"copy-{n}") for n in range(10)]
    assert [one.item for one in found.found[BY_CAPTION]] == texts[50:60]
    assert found.keys == sorted([f"copy-{n}" for n in range(10)] + [f"text-{n}" for n in range(10)])
    assert found.not_compared == {} and found.refuted == 0 and found.union == 10


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="no real photos here")
def test_ten_and_ten_on_real_photos() -> None:
    files = sorted((PHOTOS / "images").iterdir())
    captions: dict[str, list[str]] = {}
    with (PHOTOS / "captions.tsv").open(encoding="utf8", newline="") as lines:
        for line in csv.DictReader(lines, delimiter="\t"):
            captions.setdefault(line["image"], []).append(line["caption"])
    benchmark, other = files[:100], files[100:]
    texts = [captions[path.name][0] for path in benchmark]
    training = [row(f"o{n}", caption=captions[path.name][1], image=path.read_bytes()) for n, path in enumerate(other)]
    for n in range(10):
        copy = stored(Image.open(benchmark[n]).convert("RGB"), scale=0.3, kind="JPEG", quality=40)
        training.append(row(f"copy{n}", caption=f"my picture {n}", image=copy))
        training.append(row(f"text{n}", caption=texts[20 + n].upper().replace(" .", "!!").replace(" ", "  ")))
    pictures = [KnownPicture(names=(path.name,), read=path.read_bytes) for path in benchmark]
    found = contamination("photos", pictures, texts, rows(*training))  # type: ignore[arg-type]
    assert counts(found) == (0, 10, 10)
    assert [one.item for one in found.found[BY_IMAGE]] == [path.name for path in benchmark[:10]]
    assert [one.item for one in found.found[BY_CAPTION]] == texts[20:30]


def test_an_edited_object_is_another_picture() -> None:
    image = painted(3)
    edited = image.copy()
    ImageDraw.Draw(edited).rectangle((100, 80, 150, 130), fill="white")
    assert counts(contamination("x", known([stored(image)]), [], rows(row("k", image=stored(edited)))))[1] == 0  # type: ignore[arg-type]
    assert counts(contamination("x", known([stored(image)]), [], rows(row("k", image=stored(image)))))[1] == 1  # type: ignore[arg-type]


def test_a_slightly_brighter_object_is_another_picture() -> None:
    image = painted(3)
    brighter = image.copy()
    area = (100, 60, 180, 120)
    brighter.paste(image.crop(area).point(lambda value: min(255, value + 25)), area)
    assert PictureIndex([fingerprint(stored(image))]).find(fingerprint(stored(brighter))) == []


def test_ids_count_unless_the_picture_is_another_one() -> None:
    pictures = known([stored(painted(1)), stored(painted(2))], ["000000000139.jpg", "1000268201_693b08cb0e.jpg"])
    url = ("http://images.cocodataset.org/train2017/000000000139.jpg",)
    found = contamination(
        "x",
        pictures,
        [],
        rows(  # type: ignore[arg-type]
            row("a", names=("COCO_val2014_000000000139",)),  # captions alone: the id is all there is
            row("b", names=url, image=stored(painted(1), scale=0.5)),
            row("c", names=url, image=stored(painted(7))),
            row("d", names=("COCO_val2014_000000000140", "000000139")),
        ),
    )
    assert [(one.item, one.rows, one.key) for one in found.found[BY_ID]] == [("000000000139.jpg", 2, "a")]
    assert (found.refuted, found.union, found.keys) == (1, 1, ["a", "b"])


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("val2017/000000391895.jpg", {"coco:391895"}),
        ("COCO_val2014_000000391895-3", {"coco:391895"}),
        ("0000003918951", set()),
        ("00000391895", set()),
        ("https://farm4.staticflickr.com/3153/2970773875_164f0c0b83_z.jpg", {"flickr:2970773875"}),
        ("1000092795.jpg", {"flickr:1000092795"}),
        ("000092795.jpg", set()),
        ("VG_100K_2/2315353.jpg", {"vg:2315353"}),
        ("a dog 1000092795 runs", set()),
    ],
)
def test_file_ids(text: str, ids: set[str]) -> None:
    assert file_ids(text) == ids


def test_captions_are_compared_by_letters_and_digits() -> None:
    assert normal_caption("Ａ Dog—runs…\t“fast” (№5)") == "a dog runs fast no5"
    assert normal_caption("The man's") == normal_caption("the mans") != normal_caption("the man s")
    assert normal_caption("a red cat") != normal_caption("a redcat") and normal_caption(" .,!") == ""
    found = contamination("x", [], ["...", "a dog"], rows(row("k", caption="!!!")))  # type: ignore[arg-type]
    assert found.captions == 1 and counts(found) == (0, 0, 0)


def test_what_cannot_be_compared_is_counted_and_never_found() -> None:
    plain = stored(Image.new("RGB", (40, 40), "red"))
    found = contamination("x", known([plain, b"torn"]), [], rows(row("k", image=plain), row("l", image=b"no")))  # type: ignore[arg-type]
    assert counts(found) == (0, 0, 0)
    assert found.not_compared == {
        "benchmark: not an image": 1,
        "benchmark: one colour": 1,
        "training set: not an image": 1,
        "training set: one colour": 1,
    }


def test_the_index_finds_what_a_look_at_each_finds() -> None:
    prints = [fingerprint(stored(painted(seed))) for seed in range(60)]
    index = PictureIndex(prints)
    for seed in range(60):
        again = fingerprint(stored(painted(seed), scale=0.5, kind="JPEG", quality=60))
        assert bits_apart(again.bits, prints[seed].bits) <= 7
        assert index.find(again) == [seed]


def test_any_seven_bits_apart_are_candidates() -> None:
    one = fingerprint(stored(painted(5)))
    generator = random.Random(0)
    for _ in range(200):
        turned = sum(1 << bit for bit in generator.sample(range(64), 7))
        assert PictureIndex([type(one)(bits=one.bits ^ turned, thumbnail=one.thumbnail, plain=False)]).find(one) == [0]


def test_rejected_rows_are_not_training_and_negatives_are(tmp_path: Path) -> None:
    picture = stored(painted(1))
    write_shard(
        tmp_path,
        0,
        [
            Triplet(key="r", caption="a dog", status="rejected", reason="made up"),
            Triplet(key="n", caption="x", neg_caption="A cat", image=stored(painted(9)), neg_image=picture),
        ],
    )
    found = contamination("x", known([picture]), ["a dog", "a cat"], training_parts(str(tmp_path)))
    assert counts(found) == (0, 1, 1) and found.found[BY_CAPTION][0].item == "a cat"


def test_other_peoples_pairs_and_coco_keys(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(
        '{"images": [{"id": 139, "file_name": "000000000139.jpg"}],'
        ' "annotations": [{"image_id": 139, "caption": "A Dog."}, {"image_id": 139, "caption": "A hen."}]}'
    )
    pictures = known([stored(painted(1))], ["val2017/000000000139.jpg"])
    parts = training_parts(f"coco:{tmp_path / 'c.json'},images=none")
    assert counts(contamination("x", pictures, ["a hen", "a dog"], parts)) == (1, 0, 2)


def test_an_empty_training_set_is_a_mistake() -> None:
    with pytest.raises(UserError, match="no row to compare"):
        contamination("x", known([stored(painted(1))]), [], [])


def test_thumbnails_are_small_numbers() -> None:
    assert fingerprint(stored(painted(1))).thumbnail.dtype == np.uint8
