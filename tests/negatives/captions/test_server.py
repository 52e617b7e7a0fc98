"""The ``llm`` writer against a real HTTP server: what goes over the wire, and every way in which it can go wrong."""

import pickle
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from fake_llm import MODEL, Act, FakeLlm, Script, serving

from tripletclip.errors import UserError
from tripletclip.negatives.captions.attempts import write_with_retries
from tripletclip.negatives.captions.checks import CaptionCheck
from tripletclip.negatives.captions.client import LlmConfig, LlmServer, read_answer, retry_after
from tripletclip.negatives.captions.entailment import LlmJudge, yes_or_no
from tripletclip.negatives.captions.exchange import OpenAiExchange, PlainExchange, Reply, open_exchange
from tripletclip.negatives.captions.prompts import PAPER, load_prompt
from tripletclip.negatives.captions.server import ServerWriter
from tripletclip.negatives.contract import Failed, Rejected, Request, Written, seed_of

CAPTION = "A dog to the left of the cat."
GOOD = "A dog behind the cat."
BOTH = pytest.mark.parametrize("client", ["plain", "openai"])


def requests(count: int) -> list[Request]:
    return [Request(key=f"k{i}", caption=CAPTION, seed=seed_of(f"k{i}", "caption", 0)) for i in range(count)]


@contextmanager
def writer_on(script: Script, **changes: Any) -> Iterator[tuple[ServerWriter, FakeLlm]]:
    with serving(script) as server, closing(ServerWriter(server.config(**changes))) as writer:
        yield writer, server


def reasons(answers: list[list[Any]]) -> list[str]:
    return [answer.reason if isinstance(answer, Rejected | Failed) else "written" for (answer,) in answers]


@BOTH
def test_the_prompt_and_the_settings_reach_the_server_and_the_caption_comes_back(client: str) -> None:
    with writer_on(lambda *_: Act(said=f"Sure! {GOOD}"), client=client, temperature=0.5, top_p=0.9) as (writer, server):
        (request,) = requests(1)
        assert writer.write([request]) == [[Written(caption=GOOD)]]
        (asked,) = server.asked
        assert server.paths == ["/v1/chat/completions"]
        assert asked == {
            "model": MODEL,
            "messages": [{"role": "user", "content": PAPER.fill(CAPTION)}],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 96,
            "seed": request.seed % 2**31,
        }
        cost = writer.cost()
        assert (cost.calls, cost.prompt_tokens, cost.new_tokens) == (1, 100, 9)
        assert cost.seconds > 0
        assert (writer.name, writer.model, writer.prompt_hash) == ("llm", MODEL, PAPER.hash)


def test_the_completions_endpoint_sends_a_bare_prompt_and_stops() -> None:
    with writer_on(lambda *_: Act(said=f" {GOOD}"), endpoint="completions", prompt="few-shot") as (writer, server):
        assert writer.write(requests(1)) == [[Written(caption=GOOD)]]
        assert server.paths == ["/v1/completions"]
        assert server.asked[0]["prompt"] == load_prompt("few-shot").fill(CAPTION)
        assert server.asked[0]["stop"] == ["\nInput:"]


def test_answers_stand_at_the_index_of_their_request_whatever_comes_first() -> None:
    def script(number: int, asked: dict[str, Any]) -> Act:
        return Act(said=f"A dog and {asked['seed']} cats.", hang_seconds=0.001 * (17 * number % 7))

    with writer_on(script, concurrency=8) as (writer, server):
        asked = requests(40)
        expected = [[Written(caption=f"A dog and {request.seed % 2**31} cats.")] for request in asked]
        assert writer.write(asked) == expected
        assert server.most_under_way <= 8
        assert len(server.connections) <= 8  # kept alive
        writer.write(asked)
        assert len(server.connections) <= 8  # also over batches


def test_several_candidates_have_seeds_of_their_own() -> None:
    with writer_on(lambda number, asked: Act(said=f"{asked['seed']} cats."), n=3) as (writer, _):
        (first, second) = requests(2)
        answers = writer.write([first, second])
        for request, candidates in zip((first, second), answers, strict=True):
            assert candidates == [Written(caption=f"{(request.seed + k) % 2**31} cats.") for k in range(3)]


@BOTH
def test_a_rate_limit_is_waited_for(client: str) -> None:
    def script(number: int, _: dict[str, Any]) -> Act:
        return Act(status=429, headers={"Retry-After": "0.3"}) if number == 0 else Act(said=GOOD)

    with writer_on(script, client=client) as (writer, _):
        start = time.perf_counter()
        assert writer.write(requests(1)) == [[Written(caption=GOOD)]]
        assert time.perf_counter() - start >= 0.3
        assert writer.cost().calls == 2


@BOTH
@pytest.mark.parametrize(
    ("act", "reason", "calls"),
    [
        (Act(status=429), "rate limited", 4),
        (Act(status=500), "server error", 4),
        (Act(status=503), "server error", 4),
        (Act(hang_up=True), "server gone", 4),
        (Act(raw=b'{"choices": [{"mess'), "malformed answer", 4),
        (Act(raw=b'{"choices": []}'), "malformed answer", 4),
        (Act(raw=b'{"choices": [{"message": "no object"}]}'), "malformed answer", 4),
        (Act(raw=b""), "malformed answer", 4),
        (Act(status=400), "request refused (400)", 1),
        (Act(status=401), "not authorised", 1),
        (Act(status=404), "no such model", 1),
    ],
)
def test_what_is_not_the_rows_fault_fails_it(client: str, act: Act, reason: str, calls: int) -> None:
    with writer_on(lambda *_: act, client=client) as (writer, server):
        assert writer.write(requests(1)) == [[Failed(reason=reason)]]
        assert len(server.asked) == calls


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (Act(said=""), "empty"),
        (Act(said=None), "empty"),
        (Act(said="I'm sorry, I cannot do that."), "refusal"),
        (Act(said="1. A dog.\n2. A cat."), "several alternatives"),
        (Act(said="A dog behind", finish="length"), "cut off"),
        (Act(said="A dog", finish="content_filter"), "refusal"),
    ],
)
def test_what_the_model_says_wrong_rejects_the_row(act: Act, reason: str) -> None:
    with writer_on(lambda *_: act) as (writer, server):
        assert writer.write(requests(1)) == [[Rejected(reason=reason)]]
        assert len(server.asked) == 1  # asking again is up to the attempts


@BOTH
def test_a_server_that_hangs_is_a_time_out(client: str) -> None:
    with writer_on(lambda *_: Act(hang_seconds=1.0), client=client, timeout_seconds=0.15, max_retries=1) as (writer, _):
        start = time.perf_counter()
        assert writer.write(requests(1)) == [[Failed(reason="time-out")]]
        assert time.perf_counter() - start < 0.9


def test_one_bad_row_does_not_touch_its_neighbours() -> None:
    def script(_: int, asked: dict[str, Any]) -> Act:
        return Act(status=500) if asked["seed"] % 3 == 0 else Act(said=GOOD)

    with writer_on(script) as (writer, _):
        asked = requests(30)
        expected = ["server error" if request.seed % 2**31 % 3 == 0 else "written" for request in asked]
        assert 0 < expected.count("server error") < 30
        assert reasons(writer.write(asked)) == expected


@BOTH
def test_a_server_that_dies_midway_fails_the_rest_quickly_and_a_new_one_goes_on(client: str) -> None:
    """300 rows with full back-off each would take 300 · 1.5 s / 4."""
    with writer_on(
        lambda number, _: Act(said=GOOD, hang_up=number >= 20), client=client, concurrency=4, backoff_seconds=0.1
    ) as (writer, server):
        start = time.perf_counter()
        found = reasons(writer.write(requests(300)))
        assert time.perf_counter() - start < 20
        assert found.count("written") == 20
        assert found.count("server gone") == 280
        server.script = lambda *_: Act(said=GOOD)
        assert reasons(writer.write(requests(8))) == ["written"] * 8
        asked = len(server.asked)
        server.script = lambda number, _: Act(said=GOOD, hang_up=number == asked)
        assert reasons(writer.write(requests(1))) == ["written"]  # patient again


def test_a_connection_that_the_server_hung_up_between_two_batches_is_not_a_failure() -> None:
    with writer_on(lambda *_: Act(said=GOOD, headers={"Keep-Alive": "timeout=1"}), max_retries=0) as (writer, server):
        assert reasons(writer.write(requests(1))) == ["written"]
        exchange = writer.server._exchange
        assert isinstance(exchange, PlainExchange)
        (line,) = exchange._idle
        line.reader.feed_eof()  # as if the server had gone away from this connection
        assert reasons(writer.write(requests(1))) == ["written"]
        assert len(server.connections) == 2


def test_chunked_answers_and_bytes_that_are_not_http() -> None:
    good = b'{"choices": [{"message": {"content": "A dog behind the cat."}, "finish_reason": "stop"}]}'
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (good[:20], good[20:]))
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    for sent, expected in ((chunked, Written(caption=GOOD)), (b"220 smtp ready\r\n\r\n", Failed(reason="server gone"))):
        with closing(socket.create_server(("127.0.0.1", 0))) as listening:

            def answer(listening: socket.socket = listening, sent: bytes = sent) -> None:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(sent)

            thread = threading.Thread(target=answer, daemon=True)
            thread.start()
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
            config = LlmConfig(base_url=url, model=MODEL, max_retries=0, client="plain", timeout_seconds=5)
            with closing(ServerWriter(config)) as writer:
                assert writer.write(requests(1)) == [[expected]]
            thread.join(timeout=5)


# ---- at the door ---------------------------------------------------------------------------------------------------


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@BOTH
def test_no_server_at_the_start_is_one_clear_line(client: Any) -> None:
    config = LlmConfig(base_url=f"http://127.0.0.1:{free_port()}/v1", model=MODEL, client=client)
    with (
        closing(ServerWriter(config)) as writer,
        pytest.raises(UserError, match=r"^no server answers at http://127\.0\.0\.1:\d+/v1; start it or mend") as error,
    ):
        writer.check_ready()
    assert "\n" not in str(error.value)


@BOTH
def test_a_server_that_lacks_the_model_says_which_it_has(client: str) -> None:
    with serving(lambda *_: Act(status=404), models=("other",)) as server:
        message = f"does not serve the model '{MODEL}' .*it has: other"
        with closing(ServerWriter(server.config(client=client))) as writer, pytest.raises(UserError, match=message):
            writer.check_ready()
        server.script = lambda *_: Act()  # a server that loads what it is asked for
        with closing(ServerWriter(server.config(client=client))) as writer:
            writer.check_ready()
        assert server.asked[-1]["max_tokens"] == 1


def test_a_server_that_has_the_model_is_not_asked_to_write() -> None:
    with writer_on(lambda *_: Act()) as (writer, server):
        writer.check_ready()
        assert server.asked == []


def test_a_wrong_key_names_the_variable_and_never_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret")
    with serving(lambda *_: Act(status=401), models=()) as server:
        writer = ServerWriter(server.config(api_key_env="MY_KEY"))
        with closing(writer), pytest.raises(UserError, match="MY_KEY") as error:
            writer.check_ready()
        assert server.keys == ["Bearer s3cret"]
        for shown in (str(error.value), repr(writer.config), repr(pickle.dumps(writer)), repr(vars(writer.server))):
            assert "s3cret" not in shown


def test_a_key_that_is_not_set_or_cannot_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda *_: Act(said=GOOD)) as server:
        writer = ServerWriter(server.config(api_key_env="MY_KEY"))
        monkeypatch.delenv("MY_KEY", raising=False)
        with pytest.raises(UserError, match=r"MY_KEY .* is not set"):
            writer.write(requests(1))
        monkeypatch.setenv("MY_KEY", "two\nlines")
        with pytest.raises(UserError, match=r"MY_KEY has characters") as error:
            writer.write(requests(1))
        assert "two" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_url": "localhost:8000"}, "no address"),
        ({"base_url": "http://me:secret@host/v1"}, "environment variable"),
        ({"n": 0}, "n is 0"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"timeout_seconds": 0}, "timeout_seconds is 0"),
        ({"n": 2, "temperature": 0.0}, "all 2 candidates"),
        ({"top_p": 0.0}, "top_p"),
    ],
)
def test_bad_settings_stop_before_anything_is_sent(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        LlmConfig(**changes)
    assert "secret" not in str(error.value)


def test_plain_is_chosen_for_http_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert isinstance(open_exchange("auto", "http://127.0.0.1:1/v1", None), PlainExchange)
    assert isinstance(open_exchange("auto", "https://host/v1", "key"), OpenAiExchange)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:2")
    assert isinstance(open_exchange("auto", "http://host/v1", None), OpenAiExchange)


# ---- the rest ------------------------------------------------------------------------------------------------------


def test_a_pickled_writer_connects_anew() -> None:
    with writer_on(lambda *_: Act(said=GOOD)) as (writer, _):
        writer.write(requests(1))
        with closing(pickle.loads(pickle.dumps(writer))) as copy:
            assert copy.write(requests(2)) == writer.write(requests(2))
            assert copy.cost().calls == 2


def test_several_threads_share_the_limit() -> None:
    with writer_on(lambda *_: Act(said=GOOD, hang_seconds=0.005), concurrency=4) as (writer, server):
        threads = [threading.Thread(target=writer.write, args=(requests(10),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert writer.cost().calls == 40
        assert server.most_under_way <= 4


def test_retries_checks_and_server_together() -> None:
    """First answers are bad by seed; another seed mends them, and the reasons stay."""
    first = {request.seed % 2**31: index for index, request in enumerate(requests(6))}

    def script(_: int, asked: dict[str, Any]) -> Act:
        said = {0: CAPTION, 1: "Sure, here is one", 2: PAPER.examples[1].output}
        return Act(said=said.get(first.get(asked["seed"], 9), GOOD))

    with writer_on(script) as (writer, _):
        outcomes = write_with_retries(writer, requests(6), CaptionCheck(prompt=PAPER), tries=3)
    assert [outcome.answer for outcome in outcomes] == [Written(caption=GOOD, category="relation")] * 6
    assert [outcome.attempts for outcome in outcomes[:4]] == [("unchanged",), ("chatter",), ("copied example",), ()]
    assert outcomes[0].seed == seed_of("k0", "caption", 1)


def test_the_judge_asks_about_the_pair_and_reads_one_word() -> None:
    def script(_: int, asked: dict[str, Any]) -> Act:
        text = asked["messages"][0]["content"]
        if "a {hypothesis} bus" in text:
            return Act(said="Maybe.")
        return Act(status=500) if "broken" in text else Act(said="Yes." if text.count("animal") == 1 else " no")

    pairs = [("A dog.", "An animal."), ("A dog.", "A cat."), ("a {hypothesis} bus", "x"), ("broken", "y")]
    with serving(script) as server, closing(LlmServer(server.config(max_retries=0))) as asked:
        expected = ["entailed", "not entailed", "unclear", Failed(reason="server error")]
        assert LlmJudge(asked).judge(pairs) == expected
        assert {(sent["temperature"], sent["max_tokens"]) for sent in server.asked} == {(0.0, 8)}


def test_yes_and_no() -> None:
    said = {
        "Yes": "entailed",
        "**No**, because": "not entailed",
        "yes or no": "unclear",
        "": "unclear",
        "It is": "unclear",
    }
    assert {text: yes_or_no(text) for text in said} == said


def test_retry_after_is_a_number_or_a_date() -> None:
    def asked(value: str) -> float:
        return retry_after(Reply(status=429, headers={"retry-after": value}))

    assert (asked("7"), asked("0.5"), asked("-3"), asked("soon"), asked("")) == (7.0, 0.5, 0.0, 0.0, 0.0)
    assert 50 < asked(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)) <= 60
    assert asked("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


def test_answers_without_usage_or_with_odd_types() -> None:
    said, cost = read_answer(b'{"choices": [{"text": "x"}]}')
    assert (getattr(said, "text"), cost.prompt_tokens) == ("x", 0)  # noqa: B009
    for body in (b"[]", b"null", b'{"choices": {"0": 1}}', b'{"choices": [{"text": 3}]}', b"[" * 100_000, b"\xff"):
        assert read_answer(body)[0] == Failed(reason="malformed answer")
