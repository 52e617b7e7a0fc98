"""What a language model is asked: built-in prompts, prompt files, and the hash that goes into every row.

A prompt is a text with one place for the caption. Everything before that place is the same for all captions (the
*prefix*), which is what makes its key-value cache worth keeping.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tripletclip.errors import UserError, unknown_name

SLOTS = ("{}", "{caption}")
INPUT, OUTPUT = "Input:", "Output:"

PAPER_TEXT = (
    "You are given the description of an image. You should provide a mostly similar description, changing the original "
    "one slightly but introducing enough significant differences such that the two descriptions could not possibly be "
    "for the same image. Keep the description length the same. Finally, only a few things (such as counting, objects, "
    "attributes, and relationships) can be modified to change the image structure significantly. Provide just the "
    "updated description. Examples: Input: A dog to the left of the cat. Output: A dog to the right of the cat. Input: "
    "A person wearing a red helmet drives a motorbike on a dirt road. Output: A person in a blue helmet rides a "
    "motorbike on a gravel path. Now, do the same for the following captions: Input: {} Output:"
)
"""The prompt of the paper, word for word (arXiv 2411.02545, a fact of the method)."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One shown pair of caption and answer."""

    input: str
    output: str


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A text with exactly one ``{}`` or ``{caption}``, and the examples that stand in it.

    ``keeps_meaning`` tells paraphrases (LaCLIP's rewriting) from hard negatives: the checks differ. ``examples`` are
    known so that an answer that copies one is caught. ``stop`` ends an answer that goes on with examples of its own.
    """

    name: str
    text: str
    examples: tuple[Example, ...] = ()
    keeps_meaning: bool = False
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        found = sum(self.text.count(slot) for slot in SLOTS)
        if found != 1:
            raise UserError(
                f"prompt '{self.name}' has {found} places for the caption; write {{}} or {{caption}} exactly once"
            )

    @property
    def prefix(self) -> str:
        """What comes before the caption, the same for every caption."""
        return self._halves()[0]

    @property
    def suffix(self) -> str:
        """What comes after the caption."""
        return self._halves()[1]

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of all that is sent for any caption: the text with its place, and the stop strings."""
        sent = json.dumps([self.prefix, self.suffix, *self.stop], ensure_ascii=False)
        return hashlib.sha256(sent.encode("utf-8", "surrogatepass")).hexdigest()

    def fill(self, caption: str) -> str:
        """The text for one caption; braces inside of the caption stay as they are."""
        return f"{self.prefix}{caption}{self.suffix}"

    def _halves(self) -> tuple[str, str]:
        slot = next(slot for slot in SLOTS if slot in self.text)
        before, _, after = self.text.partition(slot)
        return before, after


def few_shot_text(instruction: str, examples: Sequence[Example]) -> str:
    """Instruction, examples and the place for the caption, each on lines of its own."""
    shown = [f"{INPUT} {example.input}\n{OUTPUT} {example.output}" for example in examples]
    return "\n\n".join([instruction.strip(), *shown, f"{INPUT} {{}}\n{OUTPUT}"])


def _built_in(name: str, instruction: str, shots: Mapping[str, str], *, keeps_meaning: bool) -> Prompt:
    examples = tuple(Example(input=given, output=answer) for given, answer in shots.items())
    text = few_shot_text(instruction, examples)
    return Prompt(name=name, text=text, examples=examples, keeps_meaning=keeps_meaning, stop=(f"\n{INPUT}",))


PAPER = Prompt(
    name="paper",
    text=PAPER_TEXT,
    examples=(
        Example(input="A dog to the left of the cat.", output="A dog to the right of the cat."),
        Example(
            input="A person wearing a red helmet drives a motorbike on a dirt road.",
            output="A person in a blue helmet rides a motorbike on a gravel path.",
        ),
    ),
)

FEW_SHOT = _built_in(
    "few-shot",
    "Change one thing in the caption so that it fits a different photo: one object, one colour, one number, one place "
    "or one action. Leave all other words as they are. Write the new caption only.",
    {
        "A woman in a red coat waits at the bus stop.": "A woman in a yellow coat waits at the bus stop.",
        "Two horses graze in front of a barn.": "Five horses graze in front of a barn.",
        "A bowl of soup stands on top of a wooden table.": "A bowl of soup stands under a wooden table.",
        "A boy throws a frisbee in the park.": "A boy throws a boomerang in the park.",
        "A man is riding a bicycle along the beach.": "A man is pushing a bicycle along the beach.",
        "A white cat sleeps beside a black dog.": "A black cat sleeps beside a white dog.",
        "Several people eat lunch inside a crowded restaurant.": "Several people eat lunch inside an empty restaurant.",
    },
    keeps_meaning=False,
)

REWRITE = _built_in(
    "rewrite",
    "Say the caption in other words. It must still describe the same photo: keep every object, colour, number, place "
    "and action, and add nothing. Write the new caption only.",
    {
        "A woman in a red coat waits at the bus stop.": "At the bus stop, a lady wearing a red coat is waiting.",
        "Two horses graze in front of a barn.": "A pair of horses eats grass before a barn.",
        "A boy throws a frisbee in the park.": "In the park, a young boy is tossing a frisbee.",
    },
    keeps_meaning=True,
)

BUILT_IN = {prompt.name: prompt for prompt in (PAPER, FEW_SHOT, REWRITE)}

_SHOWN = re.compile(
    rf"{INPUT}\s*(?P<input>\S.*?)\s*{OUTPUT}[ \t]*(?P<output>\S[^\n]*?(?:[.!?](?=\s)|(?=\s*{INPUT})|(?=\n)|$))", re.S
)


def load_prompt(name_or_path: str) -> Prompt:
    """A built-in prompt by name, or a prompt file.

    A ``.json`` file holds ``instruction``, ``examples`` (a list of ``{"input": …, "output": …}``, may be empty) and
    optionally ``keeps_meaning``. Any other file is plain text with one ``{}`` or ``{caption}``; examples written as
    ``Input: … Output: …`` are recognised. :class:`UserError` for anything else.
    """
    if name_or_path in BUILT_IN:
        return BUILT_IN[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        if len(path.parts) == 1 and not path.suffix:
            raise unknown_name("prompt", name_or_path, BUILT_IN)
        raise UserError(f"there is no prompt file {path}; built-in prompts: {', '.join(BUILT_IN)}")
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the prompt file {path}: {error}") from error
    return _from_json(path, content) if path.suffix == ".json" else _from_text(path, content)


def _from_text(path: Path, content: str) -> Prompt:
    shown = [match for match in _SHOWN.finditer(content) if not any(slot in match.group() for slot in SLOTS)]
    examples = tuple(Example(input=match["input"], output=match["output"].strip()) for match in shown)
    return Prompt(name=str(path), text=content.strip("\n"), examples=examples)


def _from_json(path: Path, content: str) -> Prompt:
    try:
        fields = json.loads(content)
    except json.JSONDecodeError as error:
        raise UserError(f"the prompt file {path} is not JSON: {error}") from error
    known = ("instruction", "examples", "keeps_meaning")
    if not isinstance(fields, dict) or not isinstance(fields.get("instruction"), str):
        raise UserError(f"the prompt file {path} needs an object with a text under 'instruction'")
    for field in fields:
        if field not in known:
            raise unknown_name(f"field of the prompt file {path}:", field, known)
    keeps_meaning = fields.get("keeps_meaning", False)
    if not isinstance(keeps_meaning, bool):
        raise UserError(f"'keeps_meaning' in the prompt file {path} is {keeps_meaning!r}; write true or false")
    if any(slot in fields["instruction"] for slot in SLOTS):
        raise UserError(f"'instruction' in the prompt file {path} has a place for the caption; it is put at the end")
    examples = _examples(path, fields.get("examples", []))
    text = few_shot_text(fields["instruction"], examples)
    return Prompt(name=str(path), text=text, examples=examples, keeps_meaning=keeps_meaning, stop=(f"\n{INPUT}",))


def _examples(path: Path, listed: object) -> tuple[Example, ...]:
    if not isinstance(listed, list):
        raise UserError(f"'examples' in the prompt file {path} is not a list")
    examples = []
    for number, entry in enumerate(listed, start=1):
        if not (isinstance(entry, dict) and set(entry) == {"input", "output"}):
            raise UserError(f"example {number} in the prompt file {path} needs exactly 'input' and 'output'")
        if not all(isinstance(text, str) and text.strip() for text in entry.values()):
            raise UserError(f"example {number} in the prompt file {path} has an empty text or one that is no text")
        if any(slot in text for slot in SLOTS for text in entry.values()):
            raise UserError(f"example {number} in the prompt file {path} holds a place for a caption")
        examples.append(Example(input=entry["input"].strip(), output=entry["output"].strip()))
    return tuple(examples)
