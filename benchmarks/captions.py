"""Captions a second of the ``llm`` writer with parsing and checks, against an instant model behind a real HTTP server.

    python benchmarks/captions.py --captions 5000

The server is a process of its own on loopback (asyncio, one thread) that answers at once, so what is measured is the
writer: prompt, HTTP, JSON, parsing, checks, attempts. Peer, in the same process: the bare ``openai`` client that sends
the same requests and only reads the text.
"""

import argparse
import asyncio
import json
import multiprocessing
import time
from contextlib import closing
from multiprocessing.connection import Connection
from typing import Any

from tripletclip.negatives.captions.attempts import write_with_retries
from tripletclip.negatives.captions.checks import CaptionCheck
from tripletclip.negatives.captions.client import LlmConfig
from tripletclip.negatives.captions.prompts import PAPER
from tripletclip.negatives.captions.server import ServerWriter
from tripletclip.negatives.contract import Request, Written, seed_of

MODEL = "instant"
CAPTION = "A person wearing a green jacket walks a brown dog past house number {}."
ANSWER = "Output: A person wearing a {colour} jacket walks a brown dog past house number {number}."


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: changes the colour; one caption in twenty is left as it was at first, so retries happen."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            asked = json.loads(await reader.readexactly(length))
            number = asked["messages"][0]["content"].rsplit("number ", 1)[1].split(".")[0]
            text = ANSWER.format(colour="green" if asked["seed"] % 20 == 0 else "red", number=number)
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            fields = {"id": "x", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
            body = json.dumps(fields | {"usage": {"prompt_tokens": 190, "completion_tokens": 14}}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def serve(pipe: Connection) -> None:
    """Runs until it is ended; says its port first."""

    async def forever() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


def writer_rate(url: str, count: int, client: Any) -> tuple[float, int]:
    """Accepted captions a second through everything, and how many were accepted."""
    requests = [
        Request(key=f"k{i}", caption=CAPTION.format(i), seed=seed_of(f"k{i}", "caption", 0)) for i in range(count)
    ]
    config = LlmConfig(base_url=url, model=MODEL, client=client)
    check = CaptionCheck(prompt=PAPER)
    with closing(ServerWriter(config)) as writer:
        write_with_retries(writer, requests[:50], check, tries=3)
        start = time.perf_counter()
        outcomes = write_with_retries(writer, requests, check, tries=3)
        seconds = time.perf_counter() - start
    accepted = sum(isinstance(outcome.answer, Written) for outcome in outcomes)
    return accepted / seconds, accepted


def bare_openai_rate(url: str, count: int) -> float:
    """Answers a second of ``AsyncOpenAI`` alone, 32 at a time."""
    import openai

    async def everything() -> float:
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            places = asyncio.Semaphore(32)

            async def one(number: int) -> str | None:
                async with places:
                    content = PAPER.fill(CAPTION.format(number))
                    asked = client.chat.completions.create(
                        model=MODEL, messages=[{"role": "user", "content": content}], seed=1, max_tokens=96
                    )
                    return (await asked).choices[0].message.content

            await one(0)
            start = time.perf_counter()
            await asyncio.gather(*map(one, range(count)))
            return count / (time.perf_counter() - start)

    return asyncio.run(everything())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=5000)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{ours.recv()}/v1"
        few = max(options.captions // 8, 100)
        for client, count in (("plain", options.captions), ("openai", few), ("plain", options.captions)):
            rate, accepted = writer_rate(url, count, client)
            print(f"llm writer, client {client}: {rate:,.0f} captions/s ({accepted} of {count} accepted)")
        print(f"bare openai client: {bare_openai_rate(url, few):,.0f} answers/s")
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
