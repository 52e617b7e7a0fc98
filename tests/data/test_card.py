"""The data card: a header that the Hub reads, numbers from the records alone, and nobody's edits lost."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
import yaml  # type: ignore[import-untyped]
from made_shards import make_triplets

from tripletclip.data.card import CARD, NEW_CARD, TO_FILL_IN, CardFacts, data_card, size_category, write_card
from tripletclip.data.export import export_parquet
from tripletclip.data.shards import write_shard
from tripletclip.data.triplet import FAILED, REJECTED, Triplet
from tripletclip.data.yields import count_yields
from tripletclip.errors import UserError

EVIL = '<script>alert("1")</script> | `x`\n---\n: "\U0001f415'
FACTS = CardFacts(title="Dogs", sources=("coco:dogs.json",), prompts={"p1": "Change it.\n```\n{}"}, languages=("en",))
LLM = {"writer": "llm", "writer_model": "some/model", "prompt_hash": "p1"}
RULES = {"writer": "rules", "writer_model": "wordnet", "prompt_hash": "p2"}
PAINTER = {"painter": "diffusion", "painter_model": "turbo"}


def made(parent: Path) -> Path:
    """Seven rows in two shards: four accepted (one without a negative image), two rejected, one failed."""
    rows = make_triplets(4)
    first = [
        replace(rows[0], extra=LLM | PAINTER | {"category": "swap"}),
        Triplet(key="long", caption="x", status=REJECTED, reason="too|long", extra=LLM),
        replace(rows[1], extra=LLM | PAINTER | {"category": "count"}),
        Triplet(key="gone", caption="x", status=FAILED, reason="server gone", extra=LLM),
    ]
    second = [
        replace(rows[2], extra=RULES | {"category": "swap"}, neg_image=None),
        Triplet(key="empty", caption="", status=REJECTED, reason="caption: empty"),
        replace(rows[3], extra=RULES | PAINTER),
    ]
    write_shard(parent / "made", 0, first)
    write_shard(parent / "made", 1, second)
    return parent / "made"


def header(card: str) -> dict[str, Any]:
    start, text, _ = card.split("---\n", 2)
    assert start == ""
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def table_rows(card: str) -> list[list[str]]:
    """The cells of every table line, split at pipes that are not escaped."""
    lines = [line for line in card.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_counts_are_those_of_the_records(tmp_path: Path) -> None:
    yields = count_yields(made(tmp_path))
    assert (yields.shards, yields.rows) == (2, 7)
    assert yields.statuses == {"accepted": 4, "rejected": 2, "failed": 1}
    assert yields.reasons == {
        ("rejected", "too|long"): 1, ("rejected", "caption: empty"): 1, ("failed", "server gone"): 1,
    }  # fmt: skip
    assert yields.roles == {"image": 4, "caption": 4, "neg_caption": 4, "neg_image": 3}
    assert yields.categories == {"swap": 2, "count": 1, "": 1}
    assert yields.writers["llm", "some/model", "p1", "accepted"] == 2
    assert yields.writers["", "", "", "rejected"] == 1
    assert yields.painters["diffusion", "turbo", "accepted"] == 3


def test_tables_say_who_wrote_how_many(tmp_path: Path) -> None:
    rows = table_rows(data_card(made(tmp_path), FACTS))
    for row in (
        ["llm", "some/model", "p1", "2", "1", "1"],
        ["rules", "wordnet", "p2", "2", "0", "0"],
        ["diffusion", "turbo", "3", "0", "0"],
        ["rejected", "", "2"],
        ["", "too\\|long", "1"],
        ["failed", "", "1"],
        ["swap", "2"],
        ["not said", "1"],
        ["images", "4", f"{TO_FILL_IN} (of the source)"],
    ):
        assert row in rows


def test_header_is_what_the_hub_expects(tmp_path: Path) -> None:
    card = data_card(made(tmp_path), replace(FACTS, title=EVIL))
    found = header(card)
    assert found["pretty_name"] == EVIL.replace("\n", " ")
    assert (found["license"], found["license_name"]) == ("other", "to-be-filled-in")
    assert (found["size_categories"], found["language"]) == (["n<1K"], ["en"])
    assert found["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "*.tar"}]}]
    read: Any = huggingface_hub.DatasetCard(card)
    assert read.data.to_dict()["task_categories"] == ["image-to-text", "zero-shot-image-classification"]
    assert read.text.lstrip().startswith("# ")
    named = header(data_card(tmp_path / "made", replace(FACTS, license="cc-by-4.0", languages=())))
    assert named["license"] == "cc-by-4.0" and "license_name" not in named and "language" not in named


@pytest.mark.parametrize(("data_files", "builder"), [("*.tar", "webdataset"), ("train-*.parquet", "parquet")])
def test_load_dataset_follows_the_card(
    tmp_path: Path, data_files: str, builder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = out = tmp_path / "whole"
    write_shard(folder, 0, make_triplets(3))
    if builder == "parquet":
        out = tmp_path / "out"
        export_parquet(folder, out)
    write_card(folder, replace(FACTS, data_files=data_files), out=out)
    rows = datasets.load_dataset(str(out), split="train")
    assert rows.builder_name == builder and len(rows) == 3
    assert (rows["txt"] if builder == "webdataset" else rows["caption"]) == [row.caption for row in make_triplets(3)]


@pytest.mark.parametrize("data_files", ["*.tar", "train-*.parquet"])
def test_snippets_of_the_card_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_files: str) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    write_shard(tmp_path / "in", 0, make_triplets(2))
    export_parquet(tmp_path / "in", tmp_path / "out")
    card = data_card(tmp_path / "in", replace(FACTS, data_files=data_files))
    monkeypatch.chdir(tmp_path / ("in" if data_files == "*.tar" else "out"))
    snippets = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert len(snippets) == (3 if data_files == "*.tar" else 1)
    for snippet in snippets:
        exec(snippet, {})


def test_text_of_others_stays_text(tmp_path: Path) -> None:
    rows = make_triplets(1)
    evil = {"writer": EVIL, "writer_model": EVIL, "prompt_hash": "p1"}
    bad = Triplet(key="bad", caption="x", status=REJECTED, reason=EVIL)
    write_shard(tmp_path / "in", 0, [replace(rows[0], extra=evil), bad])
    facts = replace(FACTS, title=EVIL, description=EVIL, sources=(EVIL,), image_license=EVIL)
    card = data_card(tmp_path / "in", facts)
    body = card.split("---\n", 2)[2]
    assert "<script" not in body and "&lt;script&gt;" in body and card.splitlines().count("---") == 2
    assert all(len(row) in (2, 3, 6) for row in table_rows(card))
    assert "````\nChange it.\n```\n{}\n````" in card


def test_prompts_without_text_are_known_by_hash_alone(tmp_path: Path) -> None:
    card = data_card(made(tmp_path), FACTS)
    assert "### Prompt p1" in card and "### Prompt p2" not in card


def test_what_nobody_said_is_left_open(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, make_triplets(1))
    card = data_card(tmp_path, CardFacts(title="x"))
    assert card.count(TO_FILL_IN) == 6  # purpose, source, and four licences
    assert "No record names a writer" in card and "have not been audited" in card
    full = CardFacts(title="x", description="d", sources=("s",), image_license="a", caption_license="b",
                     neg_caption_license="c", neg_image_license="d")  # fmt: skip
    assert TO_FILL_IN not in data_card(tmp_path, full)


def test_a_shard_without_rows_counts_nothing(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, [])
    write_shard(tmp_path, 1, make_triplets(1))
    yields = count_yields(tmp_path)
    assert (yields.shards, yields.rows, yields.roles["image"]) == (2, 1, 1)


def test_captions_alone_are_no_image_data(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, [replace(row, image=None, neg_image=None) for row in make_triplets(2)])
    card = data_card(tmp_path, FACTS)
    assert header(card)["task_categories"] == ["text-generation"]
    assert not any(row[0] in ("images", "hard-negative images") for row in table_rows(card))


def test_the_audit_is_summed_up(tmp_path: Path) -> None:
    folder = made(tmp_path)
    audit = {
        "n": 4, "text_probe": {"auc": 0.8123, "low": 0.79, "high": 0.831}, "image_probe": {"auc": float("nan")},
        "length_rule": {"auc": 0.3, "low": 0.25, "high": 0.35}, "duplicates": {"captions": 1200},
        "gate": {"max_text_auc": 0.6, "passed": False},
    }  # fmt: skip
    (folder / "audit.json").write_text(json.dumps(audit))
    card = data_card(folder, FACTS)
    for words in (
        "AUC 0.81 (95 % interval 0.79 to 0.83)",
        "Images alone (a probe that never sees a caption): not measured",
        "Length alone (the shorter caption is the negative): AUC 0.70 (95 % interval 0.65 to 0.75)",
        "Captions that repeat an earlier one: 1,200",
        "Gate at a text AUC of 0.6: not passed",
    ):
        assert words in card
    for broken, message in (
        ("[", r"audit.json is not JSON"),
        ("[]", "holds no JSON object"),
        ('{"text_probe": {"auc": "high"}}', r"'text_probe.auc' of the audit is 'high', not a number"),
        ('{"text_probe": 3}', "field 'text_probe' of the audit is '3', not an object"),
    ):
        (folder / "audit.json").write_text(broken)
        with pytest.raises(UserError, match=message):
            data_card(folder, FACTS)


def test_own_card_is_renewed_and_an_edited_one_is_kept(tmp_path: Path) -> None:
    folder = made(tmp_path)
    assert write_card(folder, FACTS) == folder / CARD
    assert write_card(folder, replace(FACTS, title="Cats")) == folder / CARD
    text = (folder / CARD).read_text()
    assert "# Cats" in text and text == data_card(folder, replace(FACTS, title="Cats"))
    edited = text.replace(TO_FILL_IN, "CC BY 4.0", 1)
    (folder / CARD).write_text(edited)
    assert write_card(folder, FACTS) == folder / NEW_CARD
    assert (folder / CARD).read_text() == edited and "# Dogs" in (folder / NEW_CARD).read_text()
    (folder / CARD).write_bytes(b"\xff mine")
    assert write_card(folder, FACTS) == folder / NEW_CARD


@pytest.mark.parametrize(
    ("rows", "name"), [(0, "n<1K"), (999_999, "100K<n<1M"), (10**6, "1M<n<10M"), (10**10, "10B<n<100B")]
)
def test_size_categories(rows: int, name: str) -> None:
    assert size_category(rows) == name


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no finished shard"):
        data_card(tmp_path, FACTS)
    with pytest.raises(UserError, match=r"must end in \.tar or \.parquet"):
        CardFacts(title="x", data_files="*.json")
    write_shard(tmp_path, 0, make_triplets(1))
    (tmp_path / "00000.parquet").write_text("x")
    with pytest.raises(UserError, match=r"00000\.parquet is truncated or no parquet"):
        data_card(tmp_path, FACTS)
