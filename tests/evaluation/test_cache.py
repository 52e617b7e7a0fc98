"""Features on disk: what was encoded is not encoded again, whoever wrote it, and damage costs time only."""

import hashlib
import multiprocessing
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tripletclip.errors import UserError
from tripletclip.evaluation.cache import FeatureCache
from tripletclip.evaluation.encoder import UnreadableImages
from tripletclip.evaluation.encoding import encode
from tripletclip.evaluation.pictures import ImageFile, Picture, image_file

MODEL = "ab" * 32


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


class Counting:
    """A unit vector from the hash of the item; remembers what it was asked for. Bytes that begin with ``bad`` fail."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        self.images: list[bytes] = []
        self.texts: list[str] = []
        self._stop_after = stop_after

    def encode_images(self, images: list[bytes]) -> Tensor:
        broken = {place: "not an image" for place, data in enumerate(images) if data.startswith(b"bad")}
        if broken:
            raise UnreadableImages(broken)
        if self._stop_after is not None and len(self.images) >= self._stop_after:
            raise KeyboardInterrupt
        self.images += images
        return torch.stack([vector(data) for data in images])

    def encode_texts(self, texts: list[str]) -> Tensor:
        self.texts += texts
        return torch.stack([vector(text.encode()) for text in texts])


def vector(data: bytes) -> Tensor:
    return nn.functional.normalize(torch.tensor(list(hashlib.sha256(data).digest()[:6])).float() + 1, dim=0)


def pictures(count: int) -> list[Picture]:
    return [f"image {number}".encode() for number in range(count)]


def test_what_was_added_comes_back_and_another_model_has_none(tmp_path: Path) -> None:
    features = torch.randn(3, 5)
    FeatureCache(tmp_path, MODEL).add("image", [key(0), key(1), key(2)], features)
    found = FeatureCache(tmp_path, MODEL).load("image", [key(2), key(0), key(9)])
    assert set(found) == {key(2), key(0)}
    assert torch.equal(found[key(2)], features[2]) and torch.equal(found[key(0)], features[0])
    assert FeatureCache(tmp_path, MODEL).load("text", [key(0)]) == {}
    assert FeatureCache(tmp_path, "cd" * 32).load("image", [key(0)]) == {}


def test_a_second_run_encodes_nothing_and_gives_the_same(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(30)]
    first, second = Counting(), Counting()
    one = encode(first, pictures(20), texts, cache=FeatureCache(tmp_path, MODEL))
    two = encode(second, pictures(20), texts, cache=FeatureCache(tmp_path, MODEL))
    assert (len(first.images), len(first.texts)) == (20, 30)
    assert (second.images, second.texts) == ([], [])
    assert torch.equal(one.images.rows(pictures(20)), two.images.rows(pictures(20)))
    assert torch.equal(one.texts.rows(texts), two.texts.rows(texts))


def test_only_what_is_new_is_encoded(tmp_path: Path) -> None:
    encode(Counting(), pictures(5), ["a"], cache=FeatureCache(tmp_path, MODEL))
    later = Counting()
    encode(later, pictures(7), ["a", "b"], cache=FeatureCache(tmp_path, MODEL))
    assert (later.images, later.texts) == ([b"image 5", b"image 6"], ["b"])


def test_an_interruption_keeps_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tripletclip.evaluation.encoding.PICTURES_AT_ONCE", 4)
    with pytest.raises(KeyboardInterrupt):
        encode(Counting(stop_after=8), pictures(20), ["a"], cache=FeatureCache(tmp_path, MODEL))
    later = Counting()
    encode(later, pictures(20), ["a"], cache=FeatureCache(tmp_path, MODEL))
    assert later.images == pictures(20)[8:] and later.texts == []


def test_nothing_is_asked_for_where_nothing_is_left(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    encode(Counting(), pictures(3), ["a", "b"], tell=lambda done, total: heard.append((done, total)))
    assert heard[0] == (0, 5) and heard[-1] == (5, 5)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


@pytest.mark.parametrize("damage", ["half", "flipped", "empty", "foreign"])
def test_a_damaged_file_is_named_and_its_features_are_made_again(tmp_path: Path, damage: str) -> None:
    encode(Counting(), pictures(6), [], cache=FeatureCache(tmp_path, MODEL))
    (path,) = tmp_path.rglob("*.safetensors")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 64
    path.write_bytes(
        {"half": whole[: len(whole) // 2], "flipped": bytes(flipped), "empty": b"", "foreign": b"x" * 400}[damage]
    )
    lines: list[str] = []
    again, after = Counting(), Counting()
    encode(again, pictures(6), [], cache=FeatureCache(tmp_path, MODEL, lines.append))
    assert again.images == pictures(6)
    assert len(lines) == 1 and str(path) in lines[0] and "damaged" in lines[0]
    encode(after, pictures(6), [], cache=FeatureCache(tmp_path, MODEL, lines.append))
    assert after.images == [] and len(lines) == 1


def write_many(folder: Path, first: int) -> None:
    cache = FeatureCache(folder, MODEL)
    for number in range(first, first + 12):
        cache.add("text", [key(number)], torch.full((1, 4), float(number)))


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Two processes with overlapping items, while a third reads."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(tmp_path, first)) for first in (0, 6)]
    for writer in writers:
        writer.start()
    lines: list[str] = []
    while any(writer.is_alive() for writer in writers):
        FeatureCache(tmp_path, MODEL, lines.append).load("text", [key(number) for number in range(18)])
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = FeatureCache(tmp_path, MODEL, lines.append).load("text", [key(number) for number in range(18)])
    assert {name: value.tolist() for name, value in found.items()} == {key(n): [float(n)] * 4 for n in range(18)}
    assert lines == []


def test_two_runs_at_once_agree(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(50)]
    results: list[Tensor] = []

    def run() -> None:
        results.append(encode(Counting(), pictures(30), texts, cache=FeatureCache(tmp_path, MODEL)).texts.rows(texts))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3 and torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_files_are_read_and_the_unreadable_are_counted_with_their_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tripletclip.evaluation.encoding.PICTURES_AT_ONCE", 3)
    for number in range(8):
        (tmp_path / f"{number}.jpg").write_text(f"{'bad' if number in (1, 2, 6) else 'file'} {number}")
    files: list[Picture] = [image_file(tmp_path / f"{number}.jpg") for number in range(8)]
    (tmp_path / "4.jpg").unlink()
    encoder = Counting()
    features = encode(encoder, files, ["a"], cache=FeatureCache(tmp_path / "cache", MODEL))
    assert encoder.images == [b"file 0", b"file 3", b"file 5", b"file 7"]
    names = {one.path.name: reason for one, reason in features.unreadable.items() if isinstance(one, ImageFile)}
    assert names == {
        "1.jpg": "not an image",
        "2.jpg": "not an image",
        "6.jpg": "not an image",
        "4.jpg": "No such file or directory",
    }
    assert torch.equal(features.images.rows([files[5]])[0], vector(b"file 5"))


def test_equal_files_are_encoded_once(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"the same")
    encoder = Counting()
    encode(encoder, [image_file(tmp_path / "a.jpg"), image_file(tmp_path / "b.jpg"), b"the same"], [])
    assert encoder.images == [b"the same"]


class Strange(Counting):
    def __init__(self, change: float) -> None:
        super().__init__()
        self._change = change

    def encode_texts(self, texts: list[str]) -> Tensor:
        return super().encode_texts(texts) * self._change


@pytest.mark.parametrize("change", [2.0, float("nan"), float("inf")])
def test_features_that_are_no_unit_vectors_are_refused_and_not_kept(tmp_path: Path, change: float) -> None:
    with pytest.raises(UserError, match="text features are not finite vectors of length 1"):
        encode(Strange(change), pictures(2), ["a"], cache=FeatureCache(tmp_path, MODEL))
    assert FeatureCache(tmp_path, MODEL).load("text", [hashlib.sha256(b"a").hexdigest()]) == {}


def test_a_cache_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(UserError, match="is a file"):
        FeatureCache(tmp_path / "cache", MODEL)
