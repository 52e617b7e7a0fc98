"""From what a model said to the one caption in it, or the reason why there is none.

Strict on purpose: a caption that might be chatter costs a retry, a chatter that passes for a caption costs a row.
"""

import re
import unicodedata

from tripletclip.negatives.captions.prompts import INPUT, OUTPUT, Prompt
from tripletclip.negatives.contract import Rejected, Written

EMPTY, ECHO, CHATTER, REFUSAL = "empty", "prompt echo", "chatter", "refusal"
ALTERNATIVES, LINES, MARKUP, CUT_OFF = "several alternatives", "several lines", "markup", "cut off"

MAX_CHARACTERS = 10_000
"""What a model says beyond this is not looked at."""

_TOKENS = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>|<(?:bos|eos|pad)>")
_THOUGHT = re.compile(r"<think>.*?</think>", re.S | re.I)
_LABEL = re.compile(
    r"^[\s*_#>`]*(?:output|answer|result|response|assistant"
    r"|(?:(?:the|an?|my)\s+)?(?:(?:updated|new|modified|changed|revised|altered|rewritten|rephrased)\s+)?"
    r"(?:image\s+)?(?:description|caption|version|sentence)(?: (?:is|would be|could be))?)\s*[*_`]*\s*:[\s*_`]*",
    re.I,
)
_GREETING = re.compile(r"^(?:sure(?: thing)?|certainly|of course|okay|ok|absolutely|great)\s*[!.,]+(?:\s+|$)", re.I)
_OPENING = re.compile(
    r"^[\s*_#>`]*(?:(?:sure|certainly|of course|okay|ok|absolutely)\b|great[!,.]|here(?:'s|’s| is| are| you go)\b)",
    re.I,
)
_OPENING_TO_COLON = re.compile(r"^[^:\n]{0,160}:\s*")
_CLOSING = re.compile(
    r"^[\s*_(\[]*(?:note\b|explanation\b|changes?(?: made)?\s*:|reason(?:ing)?\s*:"
    r"|i(?:'ve|’ve| have)? (?:changed|replaced|modified|kept|made)\b|in this (?:version|description|caption)\b"
    r"|this (?:new|updated|description|caption|version)\b|the (?:changes?|updated|modified|new|original) "
    r"|let me know\b|i hope\b|feel free\b|(?:is there|do you|would you)\b)",
    re.I,
)
_REFUSING = re.compile(
    r"^(?:i(?:'m|’m| am) (?:sorry|unable|not able|afraid)|sorry\b|i (?:can(?:'t|’t|not| not)|cannot|won(?:'t|’t))\b"
    r"|i do(?:n't|n’t| not) (?:have|see|know|understand)\b|as an ai\b|unfortunately\b"
    r"|please (?:provide|give|share|upload)\b)",
    re.I,
)
_STILL_CHATTER = re.compile(
    r"\b(?:(?:updated|new|modified|original|above|following|given|provided) (?:image )?(?:description|caption)s?"
    r"|let me know|i hope this|as an ai|language model|here(?:'s|’s| is) (?:the|an?|my|your)\b.*:)",
    re.I,
)
_BULLET = re.compile(
    r"^\s*(?:[-*•–·]\s+|\(?\d{1,2}[.)]\s+|\(?[a-d]\)\s+|(?:option|version|alternative)\s+\w{1,3}\s*[:.]\s*)", re.I
)
_INLINE_LIST = re.compile(r"^\(?1[.)]\s.+\s\(?2[.)]\s|\sOR\s|^(?:option|alternative) (?:1|a)\b", re.S)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "„": "“", "`": "`", "*": "*", "_": "_"}
_EMPHASIS = re.compile(r"(\*{1,3}|__)(\S(?:.*?\S)?)\1")
_MARKUP = re.compile(r"[{}<>|]|\[[^\]]*\]|\*\*|```|https?://")


def parse_answer(raw: str, prompt: Prompt, *, caption: str, cut_off: bool = False) -> Written | Rejected:
    """The caption in ``raw``; ``caption`` is the one that was asked about, ``cut_off`` says that the tokens ran out.

    Cut away: special tokens and thoughts, an echoed prompt, ``Output:`` and its like, greetings, notes, bullets,
    quotes, markdown, and further examples from the next ``Input:`` on. Rejected: what is empty, a refusal, several
    answers, or still not plain. An answer that was cut off counts only when a note or a further example ended the
    caption before.
    """
    text = _visible(raw[:MAX_CHARACTERS])
    if "<think>" in text:
        return Rejected(reason=CUT_OFF)
    if not text:
        return Rejected(reason=EMPTY)
    text, echoed = _without_echo(text, prompt, caption)
    if not text:
        return Rejected(reason=ECHO if echoed else EMPTY)
    text, *more = re.split(rf"\s*{re.escape(INPUT)}", text, maxsplit=1)
    if _REFUSING.match(text):
        return Rejected(reason=REFUSAL)
    lines, dropped_end = _caption_lines(text)
    if _INLINE_LIST.search(text) or (len(lines) > 1 and sum(map(bool, map(_BULLET.match, lines))) > 1):
        return Rejected(reason=ALTERNATIVES)
    if not lines:
        return Rejected(reason=CHATTER if text.strip() else ECHO)
    if len(lines) > 1:
        return Rejected(reason=LINES)
    if cut_off and not (more or dropped_end):
        return Rejected(reason=CUT_OFF)
    return _judged(_plain(lines[0]))


def _judged(text: str) -> Written | Rejected:
    if not any(letter.isalnum() for letter in text):
        return Rejected(reason=EMPTY)
    if _REFUSING.match(text):
        return Rejected(reason=REFUSAL)
    if OUTPUT.lower() in text.lower():
        return Rejected(reason=ECHO)
    if text.endswith(":") or _OPENING.match(text) or _STILL_CHATTER.search(text):
        return Rejected(reason=CHATTER)
    if _MARKUP.search(text):
        return Rejected(reason=MARKUP)
    return Written(caption=text)


def _visible(raw: str) -> str:
    """Without special tokens, finished thoughts and control characters; line ends become ``\\n``."""
    text = _TOKENS.sub("", _THOUGHT.sub("", raw)).replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() and text.replace("\n", "").isprintable():
        return text.strip()
    kept = (" " if unicodedata.category(letter) in ("Cc", "Zs") and letter != "\n" else letter for letter in text)
    return "".join(letter for letter in kept if unicodedata.category(letter) not in ("Cf", "Cs", "Co")).strip()


def _without_echo(text: str, prompt: Prompt, caption: str) -> tuple[str, bool]:
    """What comes after a repetition of the prompt or of its last line, and whether there was one."""
    first = text.split(None, 1)[0]
    for sent in (prompt.fill(caption), f"{INPUT} {caption} {OUTPUT}"):
        if not sent.lstrip().startswith(first):
            continue
        words = sent.split()
        if text.split()[: len(words)] == words:
            rest = text.split(None, len(words))
            return (rest[len(words)] if len(rest) > len(words) else ""), True
    if text.startswith(INPUT):
        return text.partition(OUTPUT)[2].strip(), True
    return text, False


def _caption_lines(text: str) -> tuple[list[str], bool]:
    """The lines that may be captions, and whether something after them was dropped."""
    lines: list[str] = []
    for line in text.split("\n"):
        if not line.strip(" `-=*_"):
            continue
        if _CLOSING.match(line) and lines:
            return lines, True
        line = line if lines else _GREETING.sub("", line.strip())
        if not lines and _OPENING.match(line):
            line = _OPENING_TO_COLON.sub("", line) if ":" in line else line
            if not line.strip(" *_`") or line.rstrip().endswith("!"):
                continue
        while match := _LABEL.match(line):
            line = line[match.end() :]
        if line.strip(" *_`"):
            lines.append(line.strip())
    return lines, False


def _plain(line: str) -> str:
    """One line without bullet, heading marks, and quotes or emphasis around the whole of it."""
    text = _EMPHASIS.sub(r"\2", _BULLET.sub("", line.strip().lstrip("#> "), count=1)).strip()
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1].replace("'s", ""):
        text = text[1:-1].strip()
    while match := _LABEL.match(text):
        text = text[match.end() :]
    return " ".join(text.split())
