"""A server that dies midway, seen by a user: rows marked failed, exit code 3, the same command completes only those."""

import json
from pathlib import Path
from typing import Any

from fake_llm import MODEL, Act, serving

from tripletclip import cli
from tripletclip.data.own import read_rows
from tripletclip.data.triplet import ACCEPTED, FAILED

ROWS = 30


def run(*arguments: object) -> int:
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def asked_caption(asked: dict[str, Any]) -> str:
    """The caption in the paper's prompt: what stands after its last *Input:*."""
    content: str = asked["messages"][0]["content"]
    return content.rsplit("Input:", 1)[1].split("Output:")[0].strip()


def test_a_server_that_dies_midway(tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    rows = [f"none.jpg,a red car beside house number {index}" for index in range(ROWS)]
    table.write_text("\n".join(["image,caption", *rows]))
    with serving(lambda number, asked: Act(said=asked_caption(asked).replace("red", "blue"))) as server:
        good = server.script
        server.script = lambda number, asked: Act(hang_up=True) if number >= 12 else good(number, asked)
        command = ["triplets", "captions", "--pairs", f"csv:{table},images=none", "--out", tmp_path / "out"]
        command += ["--captions", "llm", "--llm.base-url", server.url, "--llm.model", MODEL, "--block-rows", "10"]
        command += ["--llm.max-retries", "1", "--llm.backoff-seconds", "0.01", "--workers", "1"]
        assert run(*command) == 3
        first = {row.key: row.status for row in read_rows(tmp_path / "out", 0)}
        assert list(first.values()).count(ACCEPTED) == 12
        assert list(first.values()).count(FAILED) == ROWS - 12

        server.script = good
        before = len(server.asked)
        assert run(*command) == 0
        again = {asked_caption(asked) for asked in server.asked[before:]}
    made = list(read_rows(tmp_path / "out", 0))
    assert [row.key for row in made] == list(first)
    assert {row.caption for row in made if first[row.key] == FAILED} == again
    assert all(row.neg_caption == row.caption.replace("red", "blue") for row in made)
    record = json.loads((tmp_path / "out" / "00000.json").read_text())
    assert (record["accepted"], record["failed"]) == (ROWS, 0)
