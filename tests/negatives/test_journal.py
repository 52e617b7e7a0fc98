"""What was appended is there again, whatever was cut off."""

from pathlib import Path

import pytest

from tripletclip.data.triplet import FAILED, REJECTED, Triplet
from tripletclip.errors import UserError
from tripletclip.negatives.journal import Journal, with_image_of

ROWS = [
    Triplet(
        key="a", caption="één", neg_caption="twee\nlines", neg_image=b"\xff\xd8\n\x00", extra={"seed": 7, "s": 0.5}
    ),
    Triplet(key="b", caption="b", status=REJECTED, reason="caption: unchanged"),
    Triplet(key="c", caption="c"),
]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "sub" / "x.journal")
    assert journal.rows() == {}
    journal.append(ROWS[:1])
    journal.append(ROWS[1:])
    assert list(Journal(tmp_path / "sub" / "x.journal").rows().values()) == ROWS


def test_every_torn_tail_is_cut_off_and_the_journal_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    Journal(path).append(ROWS)
    whole = path.read_bytes()
    Journal(tmp_path / "two").append(ROWS[:2])
    two = len((tmp_path / "two").read_bytes())
    for cut in range(two, len(whole)):
        path.write_bytes(whole[:cut])
        assert list(Journal(path).rows()) == ["a", "b"]
        Journal(path).append(ROWS[2:])
        assert list(Journal(path).rows()) == ["a", "b", "c"]


def test_a_flipped_byte_ends_the_journal_there(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    Journal(path).append(ROWS)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert list(Journal(path).rows()) == ["a", "b"]


def test_failed_rows_are_tried_again_and_the_last_word_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "x.journal")
    journal.append([Triplet(key="a", caption="x", status=FAILED, reason="server gone"), ROWS[1]])
    assert list(journal.rows()) == ["b"]
    journal.append(ROWS[:1])
    assert journal.rows()["a"] == ROWS[0]


def test_the_positive_image_comes_from_the_source() -> None:
    source = Triplet(key="a", caption="één", image=b"jpeg")
    assert with_image_of(ROWS[0], source).image == b"jpeg"
    assert with_image_of(ROWS[0], source).neg_image == ROWS[0].neg_image


def test_a_journal_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file/x.journal"):
        Journal(tmp_path / "file" / "x.journal").append(ROWS)
