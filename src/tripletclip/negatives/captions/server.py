"""The ``llm`` writer: captions through any OpenAI-compatible server, on the own machine or hosted."""

from collections.abc import Sequence

from tripletclip.negatives.captions.client import LlmConfig, LlmServer, Said
from tripletclip.negatives.captions.parse import REFUSAL, parse_answer
from tripletclip.negatives.captions.prompts import load_prompt
from tripletclip.negatives.contract import Answer, Cost, Failed, Rejected, Request


class ServerWriter:
    """Asks the server ``n`` times for each caption and parses what it says.

    Deterministic as far as the server honours seeds. Picklable; connects on first use in each process.
    """

    def __init__(self, config: LlmConfig) -> None:
        self.config, self.prompt, self.server = config, load_prompt(config.prompt), LlmServer(config)
        self.name = "rewrite" if self.prompt.keeps_meaning else "llm"
        self.model = config.model
        self.prompt_hash = self.prompt.hash

    def write(self, requests: Sequence[Request]) -> list[list[Answer]]:
        """``n`` candidates for each request, in the order of their seeds (``seed + candidate``)."""
        asked = [(request, request.seed + candidate) for request in requests for candidate in range(self.config.n)]
        texts = [self.prompt.fill(request.caption) for request, _ in asked]
        said = self.server.ask(texts, [seed for _, seed in asked], stop=self.prompt.stop)
        answers = [self._parsed(one, request) for one, (request, _) in zip(said, asked, strict=True)]
        return [answers[first : first + self.config.n] for first in range(0, len(answers), self.config.n)]

    def cost(self) -> Cost:
        """Spent so far."""
        return self.server.cost()

    def check_ready(self) -> None:
        """:class:`UserError` unless the server answers and has the model."""
        self.server.check_ready()

    def close(self) -> None:
        """Hang up."""
        self.server.close()

    def _parsed(self, said: Said | Failed, request: Request) -> Answer:
        if isinstance(said, Failed):
            return said
        if said.finish == "content_filter":
            return Rejected(reason=REFUSAL)
        return parse_answer(said.text, self.prompt, caption=request.caption, cut_off=said.finish == "length")
