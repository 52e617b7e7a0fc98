"""Asking again: a rejected answer gets another seed, up to a limit, and nothing is forgotten on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tripletclip.errors import UserError
from tripletclip.negatives.captions.checks import guess_category
from tripletclip.negatives.contract import Answer, CaptionWriter, Failed, Rejected, Request, Written, seed_of

BatchCheck = Callable[[Sequence[tuple[Request, Written]]], Sequence[str | Failed]]
"""'' where an answer is fine, else the reason; :class:`Failed` where the check itself could not be done."""

NO_ANSWER = "no candidate"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one request.

    ``attempts`` holds the reason of every attempt that was turned down, in order; several candidates of one attempt are
    joined by ``' + '``. For a rejected row the last of them is there too. ``seed`` is that of the last attempt.
    """

    answer: Answer
    attempts: tuple[str, ...]
    seed: int


def write_with_retries(
    writer: CaptionWriter, requests: Sequence[Request], check: BatchCheck, *, tries: int, keeps_meaning: bool = False
) -> list[Outcome]:
    """Ask until a candidate passes ``check``, at most ``tries`` times for each request.

    The first attempt uses the request's own seed, attempt k > 0 uses ``seed_of(key, "caption", k)``; only requests
    without an accepted answer go again, in one batch. Of several candidates the first that passes wins. ``Failed`` ends
    a request (the writer has done its waiting). An outcome depends on its own request alone, not on the batch.
    A written answer without category gets the guess of :func:`~tripletclip.negatives.captions.checks.guess_category`,
    unless ``keeps_meaning`` says that paraphrases are written.
    """
    if tries < 1:
        raise UserError(f"tries is {tries}; use at least 1")
    outcomes: dict[int, Outcome] = {}
    attempts: list[tuple[str, ...]] = [() for _ in requests]
    for attempt in range(tries):
        open_rows = [index for index in range(len(requests)) if index not in outcomes]
        if not open_rows:
            break
        asked = [_again(requests[index], attempt) for index in open_rows]
        for index, request, answer in zip(open_rows, asked, _attempt(writer, asked, check), strict=True):
            if isinstance(answer, Written) and not answer.category and not keeps_meaning:
                answer = replace(answer, category=guess_category(request.caption, answer.caption))
            if isinstance(answer, Rejected):
                attempts[index] = (*attempts[index], answer.reason)
            if not isinstance(answer, Rejected) or attempt == tries - 1:
                outcomes[index] = Outcome(answer=_final(answer), attempts=attempts[index], seed=request.seed)
    return [outcomes[index] for index in range(len(requests))]


def _again(request: Request, attempt: int) -> Request:
    return request if attempt == 0 else replace(request, seed=seed_of(request.key, "caption", attempt))


def _attempt(writer: CaptionWriter, asked: Sequence[Request], check: BatchCheck) -> list[Answer]:
    """One answer for each request: the first candidate that passes, a failure, or all reasons joined."""
    offered = writer.write(asked)
    assert len(offered) == len(asked), f"the writer '{writer.name}' answered {len(offered)} of {len(asked)} requests"
    written = [
        (request, candidate)
        for request, candidates in zip(asked, offered, strict=True)
        for candidate in candidates
        if isinstance(candidate, Written)
    ]
    verdicts = iter(check(written))
    answers = []
    for candidates in offered:
        judged = [
            _judged(candidate, next(verdicts)) if isinstance(candidate, Written) else candidate
            for candidate in candidates
        ]
        answers.append(_best(judged))
    return answers


def _judged(candidate: Written, verdict: str | Failed) -> Answer:
    if isinstance(verdict, Failed):
        return verdict
    return Rejected(reason=verdict) if verdict else candidate


def _best(judged: Sequence[Answer]) -> Answer:
    for answer in judged:
        if isinstance(answer, Written):
            return answer
    for answer in judged:
        if isinstance(answer, Failed):
            return answer
    return Rejected(reason=" + ".join(answer.reason for answer in judged if isinstance(answer, Rejected)) or NO_ANSWER)


def _final(answer: Answer) -> Answer:
    """A row's reason is that of its first candidate, so that reasons group; the attempts keep all of them."""
    return Rejected(reason=answer.reason.split(" + ")[0]) if isinstance(answer, Rejected) else answer
