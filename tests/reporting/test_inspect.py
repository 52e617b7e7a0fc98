"""The inspect page: the drawn rows and no others, everything escaped, nothing loaded, bad images said to be bad."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tripletclip.data.shards import write_shard
from tripletclip.data.transforms import ImageError
from tripletclip.data.triplet import FAILED, REJECTED, Triplet
from tripletclip.errors import UserError
from tripletclip.reporting.html import content_policy, environment, legible, script
from tripletclip.reporting.inspect import InspectConfig, inspect_page
from tripletclip.reporting.thumbnails import thumbnail

EVIL = "</script><script>alert('1')</script> \"quoted\" & <b>"
PHOTOS = Path(__file__).parents[2] / "../shared/data/flickr8k_200/images"


def encoded(seed: int = 0, size: tuple[int, int] = (20, 10), kind: str = "JPEG", mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def triplet(key: str, **fields: Any) -> Triplet:
    return replace(
        Triplet(key=key, caption="a red dog", image=encoded(1), neg_caption="a blue dog", neg_image=encoded(2)),
        **fields,
    )


def unmade(key: str, status: str, reason: str, **extra: str | int | float) -> Triplet:
    return Triplet(key=key, caption=f"caption of {key}", status=status, reason=reason, extra=extra)


def shown(folder: Path, config: InspectConfig | None = None) -> str:
    out = folder.parent / "page.html"
    assert inspect_page(folder, out, config or InspectConfig()) == out.read_text("utf8").count("<article")
    return out.read_text("utf8")


def keys(html: str) -> list[str]:
    return re.findall(r'<span class="key">([^<]*)</span>', html)


def card(html: str, key: str) -> str:
    (found,) = [
        text for text in re.findall(r"<article.*?</article>", html, flags=re.DOTALL) if f">{key}</span>" in text
    ]
    return str(found)


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def pictures(html: str) -> list[bytes]:
    return [base64.b64decode(text) for text in re.findall(r'src="data:image/jpeg;base64,([^"]*)"', html)]


class Elements(HTMLParser):
    """Every start tag with its attributes, and the contents of script elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Mapping[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inside = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts.append(data)


@pytest.fixture(scope="module")
def evil_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Markup in every text that a row can hold."""
    folder = tmp_path_factory.mktemp("evil") / "in"
    extra: dict[str, str | int | float] = {
        "writer": EVIL, "writer_model": EVIL, "prompt_hash": EVIL, "painter": EVIL, "category": EVIL, "own": EVIL,
        "attempts": json.dumps([EVIL]), "other_captions": json.dumps([EVIL]),
    }  # fmt: skip
    write_shard(folder, 0, [
        triplet("good", caption=EVIL, neg_caption=f"not {EVIL}", extra=extra),
        replace(unmade("bad", REJECTED, EVIL), neg_caption=EVIL),
        replace(unmade("alone", FAILED, "x"), caption=EVIL),
    ])  # fmt: skip
    return shown(folder, InspectConfig(title=EVIL))


def test_everything_is_escaped(evil_page: str) -> None:
    elements = Elements(evil_page)
    assert [tag for tag, _ in elements.tags].count("script") == 2 and len(elements.scripts) == 2
    assert "<script>alert" not in evil_page and EVIL not in evil_page
    for name in ("good", "bad", "alone"):
        assert "</script><script>alert('1')</script>" in words(card(evil_page, name)).replace("> <", "><")
    index = json.loads(elements.scripts[0])
    assert index[0]["category"] == EVIL and EVIL.lower() in index[0]["text"]
    assert not any(name.startswith("on") for _, attributes in elements.tags for name in attributes)


def test_nothing_is_loaded_and_only_the_own_script_may_run(evil_page: str) -> None:
    elements = Elements(evil_page)
    assert not {"link", "iframe", "object", "base", "form"} & {tag for tag, _ in elements.tags}
    for _, attributes in elements.tags:
        assert (attributes.get("src") or "data:").startswith("data:image/jpeg;base64,") or "src" not in attributes
        assert "href" not in attributes
    (policy,) = [a["content"] or "" for tag, a in elements.tags if tag == "meta" and "http-equiv" in a]
    own = base64.b64encode(hashlib.sha256(elements.scripts[1].encode()).digest()).decode()
    assert "default-src 'none'" in policy and policy.endswith(f"script-src 'sha256-{own}'")


def test_rows_are_listed_in_order_with_their_verdict(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_shard(folder, 0, [triplet("b"), unmade("c", REJECTED, "too long"), unmade("a", FAILED, "server gone")])
    write_shard(folder, 1, [triplet("e"), unmade("d", REJECTED, "too long")])
    html = shown(folder)
    assert keys(html) == ["b", "c", "a", "e", "d"]
    assert "rejected c too long" in words(card(html, "c")) and "<img" not in card(html, "c")
    assert "failed a server gone" in words(card(html, "a"))
    head = words(html.split("<header>")[1].split("</header>")[0])
    assert "5 rows 2 accepted 2 rejected 1 failed" in head
    assert "rejected too long 2 failed server gone 1" in head
    assert "All rows" in html


def test_changed_words_are_marked_on_both_sides(tmp_path: Path) -> None:
    write_shard(tmp_path / "in", 0, [triplet("k")])
    text = card(shown(tmp_path / "in"), "k")
    assert "a <mark>red</mark> dog" in text and "a <ins>blue</ins> dog" in text


def test_the_sample_depends_on_seed_and_key_alone(tmp_path: Path) -> None:
    rows = [unmade(f"k{number}", REJECTED, "r") for number in range(60)]
    write_shard(tmp_path / "one", 0, rows)
    for number in range(3):
        write_shard(tmp_path / "three", number, rows[20 * (2 - number) : 20 * (3 - number)])
    sample = keys(shown(tmp_path / "one", InspectConfig(rows=9)))
    hashes = {row.key: hashlib.sha256(f"0\x1f{row.key}".encode()).digest() for row in rows}
    assert sample == sorted(sorted(hashes, key=hashes.__getitem__)[:9], key=lambda key: int(key[1:]))
    assert sorted(keys(shown(tmp_path / "three", InspectConfig(rows=9)))) == sorted(sample)
    other = shown(tmp_path / "one", InspectConfig(rows=9, seed=1))
    assert keys(other) != sample and "9 of 60 rows" in other and "seed 1" in other
    assert keys(shown(tmp_path / "one", InspectConfig(rows=60))) == [row.key for row in rows]


def test_filters_choose_rows_before_the_draw(tmp_path: Path) -> None:
    rows = [unmade(f"r{number}", REJECTED, "x", category="swap" if number % 2 else "count") for number in range(8)]
    write_shard(tmp_path / "in", 0, [triplet("a"), *rows, unmade("f", FAILED, "y")])
    folder = tmp_path / "in"
    assert keys(shown(folder, InspectConfig(status=("accepted", "failed")))) == ["a", "f"]
    assert keys(shown(folder, InspectConfig(category=("swap",)))) == ["r1", "r3", "r5", "r7"]
    assert keys(shown(folder, InspectConfig(category=("no category",)))) == ["a", "f"]
    page = shown(folder, InspectConfig(status=("rejected",), category=("count",), rows=2))
    assert len(keys(page)) == 2 and set(keys(page)) < {"r0", "r2", "r4", "r6"}
    assert "10 rows 1 accepted" in words(page)  # the head counts all


def test_scores_and_provenance_are_shown(tmp_path: Path) -> None:
    extra: dict[str, str | int | float] = {
        "writer": "llm", "writer_model": "m-7b", "prompt_hash": "cafe", "seed": 12,
        "attempts": '["unchanged", "length"]', "other_captions": '["a hound"]',
        "painter": "diffusion", "image_seed": 7, "vqa": 0.75, "s_xy": 0.111,
    }  # fmt: skip
    write_shard(tmp_path / "in", 0, [triplet("k", extra=extra), triplet("plain")])
    scores = {"key": ["plain", "k"], "s_xy": [0.5, 0.3123], "s_xny": [None, float("nan")], "s_yny": [None, 0.9]}
    pq.write_table(pa.table(scores), tmp_path / "in" / "00000.scores.parquet")
    text = card(shown(tmp_path / "in"), "k")
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)<", row) for row in re.findall(r"<tr>.*?</tr>", text, flags=re.DOTALL)]
    assert rows == [
        ["cosine", "caption", "neg. caption", "neg. image"],
        ["image", "0.312", "none", ""],
        ["caption", "", "0.900", ""],
    ]
    assert "written by llm m-7b prompt cafe seed 12 painted by diffusion seed 7" in words(text)
    assert "2 earlier attempts" in text and "unchanged length" in words(text) and "a hound" in text
    assert "vqa 0.750" in words(text) and "s_xy" not in text
    assert "written by" not in card(shown(tmp_path / "in"), "plain")
    only = card(shown(tmp_path / "in", InspectConfig(columns=("vqa",))), "k")
    assert "vqa" in only and "m-7b" not in only


def test_scores_may_lie_elsewhere(tmp_path: Path) -> None:
    write_shard(tmp_path / "in", 3, [triplet("k")])
    (tmp_path / "scores").mkdir()
    pq.write_table(pa.table({"key": ["k"], "s_xy": [0.25]}), tmp_path / "scores" / "00003.scores.parquet")
    assert "0.250" not in shown(tmp_path / "in")
    assert "0.250" in shown(tmp_path / "in", InspectConfig(scores=tmp_path / "scores"))


def test_bad_images_are_said_to_be_bad(tmp_path: Path) -> None:
    whole = encoded(0, (64, 64))
    write_shard(tmp_path / "in", 0, [
        triplet("cut", neg_image=whole[: len(whole) // 2]),
        triplet("text", image=b"hello"),
        triplet("none", neg_image=None, neg_caption=None),
    ])  # fmt: skip
    html = shown(tmp_path / "in")
    assert "does not decode: truncated" in card(html, "cut") and len(pictures(card(html, "cut"))) == 1
    assert "does not decode: not an image" in card(html, "text")
    assert "no negative image" in card(html, "none") and "no negative caption" in card(html, "none")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_pictures_are_small_jpegs_of_the_whole(tmp_path: Path, kind: str) -> None:
    write_shard(tmp_path / "in", 0, [triplet("k", image=encoded(0, (300, 150), kind))])
    first, second = pictures(shown(tmp_path / "in", InspectConfig(thumbnail=60)))
    sizes = [Image.open(io.BytesIO(data)).size for data in (first, second)]
    assert sizes == [(60, 30), (20, 10)]  # the second was small already
    assert first.startswith(b"\xff\xd8\xff")


def test_thumbnails_are_upright_rgb() -> None:
    buffer = io.BytesIO()
    wide = Image.new("CMYK", (40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    wide.save(buffer, "JPEG", exif=exif, comment=b"secret")
    image = Image.open(io.BytesIO(thumbnail(buffer.getvalue(), 10)))
    assert (image.size, image.mode, dict(image.getexif())) == ((5, 10), "RGB", {})
    assert "comment" not in image.info
    with pytest.raises(ImageError, match="empty"):
        thumbnail(b"", 10)


def test_long_and_unprintable_captions_stay_readable(tmp_path: Path) -> None:
    assert legible("a\x00b\x1b\u202ec\td", 99) == "a␀b␛\N{REPLACEMENT CHARACTER}c\td"
    assert legible("x" * 5, 5) == "xxxxx" and legible("x" * 1234, 3) == "xxx… (1,234 characters)"
    write_shard(tmp_path / "in", 0, [triplet("k", caption="word " * 2000)])
    assert "(10,000 characters)" in shown(tmp_path / "in") and len(shown(tmp_path / "in")) < 60_000


def test_columns_that_are_no_json_are_shown_as_they_are(tmp_path: Path) -> None:
    extra: dict[str, str | int | float] = {"attempts": "[broken", "other_captions": '{"a": 1}'}
    write_shard(tmp_path / "in", 0, [triplet("k", extra=extra)])
    assert '[broken Other captions of the image: {"a": 1}' in words(shown(tmp_path / "in"))


def test_the_same_shards_give_the_same_page(tmp_path: Path) -> None:
    write_shard(tmp_path / "in", 0, [triplet("k"), unmade("r", REJECTED, "x")])
    assert shown(tmp_path / "in") == shown(tmp_path / "in")


def test_a_shard_without_rows_is_passed_over(tmp_path: Path) -> None:
    write_shard(tmp_path / "in", 0, [])
    write_shard(tmp_path / "in", 1, [triplet("k")])
    config = InspectConfig(status=("accepted",), category=("no category",))
    assert keys(shown(tmp_path / "in", config)) == ["k"]


def test_no_row_that_fits_is_still_a_page(tmp_path: Path) -> None:
    write_shard(tmp_path / "in", 0, [triplet("k")])
    assert "No row fits." in shown(tmp_path / "in", InspectConfig(status=("failed",)))


def test_bad_arguments_stop_before_work(tmp_path: Path) -> None:
    write_shard(tmp_path / "in", 0, [triplet("k", extra={"category": "swap", "vqa": 1.0})])
    (tmp_path / "empty").mkdir()
    out = tmp_path / "page.html"
    for folder, wrong, message in (
        ("in", {"category": ("swop",)}, "unknown category 'swop'; did you mean 'swap'"),
        ("in", {"columns": ("vqb",)}, "unknown column 'vqb'; did you mean 'vqa'"),
        ("in", {"status": ("acepted",)}, "unknown status 'acepted'; did you mean 'accepted'"),
        ("in", {"rows": 0}, "rows is 0; give 1 to 10,000"),
        ("in", {"thumbnail": 4000}, "thumbnail is 4000; give 1 to 512"),
        ("empty", {}, "has no finished shard"),
    ):
        with pytest.raises(UserError, match=re.escape(message)) as error:
            inspect_page(tmp_path / folder, out, InspectConfig(**wrong))
        assert "\n" not in str(error.value) and not out.exists()


def test_without_scripts_the_controls_are_hidden_and_the_rows_are_not(tmp_path: Path) -> None:
    write_shard(tmp_path / "in", 0, [triplet("k")])
    tags = Elements(shown(tmp_path / "in")).tags
    for name in ("filters", "search", "steps"):
        (attributes,) = [a for tag, a in tags if tag == "div" and a.get("class") == name]
        assert "hidden" in attributes
    assert all("hidden" not in attributes for tag, attributes in tags if tag == "article")


def test_policy_and_script_agree_with_the_templates() -> None:
    code = script(environment(), "inspect.js")
    assert "ArrowRight" in code and "</" not in code
    assert content_policy().endswith("script-src 'none'")


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs the shared photos")
def test_real_photos_stand_beside_each_other(tmp_path: Path) -> None:
    photos = [path.read_bytes() for path in sorted(PHOTOS.glob("*.jpg"))[:6]]
    write_shard(tmp_path / "in", 0, [
        triplet(f"p{place}", image=photo, neg_image=photos[place - 1]) for place, photo in enumerate(photos)
    ])  # fmt: skip
    html = shown(tmp_path / "in", InspectConfig(thumbnail=128))
    found = pictures(html)
    assert len(found) == 12 and found[0] == found[3] and len(html) < 150_000
    assert {max(Image.open(io.BytesIO(data)).size) for data in found} == {128}
