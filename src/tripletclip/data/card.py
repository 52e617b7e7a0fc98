"""The data card of a folder: a README.md with the header that the Hugging Face Hub reads.

Every number comes from the shards' records and from ``audit.json`` when the card is written. What only people know,
above all the licences, is left open under the words that ``TO_FILL_IN`` holds.
Header: https://huggingface.co/docs/hub/datasets-cards
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tripletclip.data.audit_record import AUDIT_FILE, Auc, auc, length_auc, number, part, read_audit
from tripletclip.data.index import first_line
from tripletclip.data.markdown import fenced, plain, yaml_string
from tripletclip.data.triplet import ACCEPTED, CAPTION, FAILED, IMAGE, NEG_CAPTION, NEG_IMAGE, REJECTED
from tripletclip.data.yields import Yields, count_yields, rows_by_status
from tripletclip.errors import UserError
from tripletclip.files import write_atomic

CARD, NEW_CARD = "README.md", "README.new.md"
TO_FILL_IN = "**to be filled in**"
NOT_SAID = "not said"

_SEAL = re.compile(r"<!-- tripletclip card, sha256 ([0-9a-f]{64}) of the text above -->\n\Z")
_SIZES = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6), ("1M<n<10M", 10**7),
          ("10M<n<100M", 10**8), ("100M<n<1B", 10**9), ("1B<n<10B", 10**10))  # fmt: skip

_READ_TARS = """\
import glob
import webdataset
for row in webdataset.WebDataset(sorted(glob.glob({files})), shardshuffle=False).decode("pil"):
    print(row["__key__"], row["jpg"].size, row["txt"], row.get("neg.txt"))"""
_READ_TARS_AS_ROWS = """\
from datasets import load_dataset
rows = load_dataset("webdataset", data_files={files}, split="train")
print(rows[0]["txt"], rows[0].get("neg.txt"))"""
_READ_SHARDS = """\
from pathlib import Path
from tripletclip.data.shards import Shards
shards = Shards(Path("."))
print(len(shards), shards.caption(0), shards.rejected())"""
_READ_PARQUET = """\
from datasets import load_dataset
rows = load_dataset("parquet", data_files={files}, split="train")
print(rows[0]["caption"], rows[0].get("neg_caption"), rows[0]["image"].size)"""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What the records do not know.

    ``sources``     how each source names itself
    ``prompts``     prompt hash to the text of the prompt; hashes without text are shown alone
    ``data_files``  pattern of the files that hold the rows, relative to the card: tars, or parquet of an export
    ``command``     the command line that made the folder
    ``license``     of the whole, as the Hub writes it; the four others are for the parts, empty where nobody has said
    ``languages``   codes such as ``en``
    """

    title: str
    description: str = ""
    sources: Sequence[str] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    data_files: str = "*.tar"
    command: str = ""
    license: str = "other"
    image_license: str = ""
    caption_license: str = ""
    neg_caption_license: str = ""
    neg_image_license: str = ""
    languages: Sequence[str] = ()
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.data_files.endswith((".tar", ".parquet")):
            raise UserError(f"data_files '{self.data_files}' of the data card must end in .tar or .parquet")


def data_card(folder: Path, facts: CardFacts) -> str:
    """The card of the shards in ``folder``, with its YAML header. The same records and facts give the same text.

    Raises :class:`UserError` for a folder without finished shards, and for records or an audit that cannot be read.
    """
    yields = count_yields(folder)
    sections = (
        _what(yields, facts),
        _sources(facts),
        _makers(yields, facts),
        _yield_section(yields),
        _audit(folder / AUDIT_FILE),
        _reading(facts),
        _licences(yields, facts),
    )
    body = "\n\n".join("\n".join(lines) for lines in sections)
    text = f"{_header(yields, facts)}\n# {plain(facts.title)}\n\n{body}\n\n"
    return f"{text}<!-- tripletclip card, sha256 {_digest(text)} of the text above -->\n"


def write_card(folder: Path, facts: CardFacts, *, out: Path | None = None) -> Path:
    """Write the card of ``folder`` to ``OUT/README.md`` (``out`` is ``folder`` unless given) and return its path.

    A README.md that somebody wrote or changed stays as it is; the card then goes to ``README.new.md``.
    """
    target = (folder if out is None else out) / CARD
    try:
        if target.exists() and not _untouched(target.read_bytes()):
            target = target.with_name(NEW_CARD)
    except OSError as error:
        raise UserError(f"cannot read {target}: {first_line(error)}") from error
    write_atomic(target, data_card(folder, facts).encode())
    return target


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _untouched(content: bytes) -> bool:
    """Whether a card is as :func:`data_card` made it."""
    text = content.decode("utf-8", "replace")
    seal = _SEAL.search(text)
    return seal is not None and seal[1] == _digest(text[: seal.start()])


# ---- header --------------------------------------------------------------------------------------------------------


def _header(yields: Yields, facts: CardFacts) -> str:
    """YAML by way of JSON strings, which YAML reads as they are."""
    kind = "webdataset" if facts.data_files.endswith(".tar") else "parquet"
    has_images = yields.roles[IMAGE] > 0
    lists = {
        "language": list(facts.languages),
        "task_categories": ["image-to-text", "zero-shot-image-classification"] if has_images else ["text-generation"],
        "size_categories": [size_category(yields.statuses[ACCEPTED])],
        "tags": ["clip", "compositionality", "hard-negatives", "tripletclip", kind, *facts.tags],
    }
    lines = ["---", f"pretty_name: {yaml_string(facts.title)}", f"license: {yaml_string(facts.license)}"]
    if facts.license == "other":
        lines.append('license_name: "to-be-filled-in"')
    for name, values in lists.items():
        lines += [f"{name}:", *(f"  - {yaml_string(value)}" for value in values)] if values else []
    files = yaml_string(facts.data_files)
    lines += [
        "configs:",
        "  - config_name: default",
        "    data_files:",
        "      - split: train",
        f"        path: {files}",
    ]
    return "\n".join([*lines, "---", ""])


def size_category(rows: int) -> str:
    """The Hub's name for the size of a data set.

    >>> size_category(999), size_category(1000)
    ('n<1K', '1K<n<10K')
    """
    return next((name for name, below in _SIZES if rows < below), "10B<n<100B")


# ---- sections ------------------------------------------------------------------------------------------------------


def _what(yields: Yields, facts: CardFacts) -> list[str]:
    triplets = yields.roles
    lines = [plain(facts.description) or f"What this is for: {TO_FILL_IN}.", ""]
    lines.append(
        f"{yields.statuses[ACCEPTED]:,} rows in {yields.shards:,} shards: {triplets[IMAGE]:,} with an image, "
        f"{triplets[CAPTION]:,} with a caption, {triplets[NEG_CAPTION]:,} with a hard-negative caption, "
        f"{triplets[NEG_IMAGE]:,} with a hard-negative image. A hard negative differs from its positive in a few "
        f"words, and in what these words change in the picture."
    )
    if yields.categories.keys() - {""}:
        lines += ["", "| kind of edit | accepted rows |", "|---|---:|"]
        lines += [
            f"| {plain(name) or NOT_SAID} | {rows:,} |"
            for name, rows in sorted(yields.categories.items(), key=lambda item: (-item[1], item[0]))
        ]
    return lines


def _sources(facts: CardFacts) -> list[str]:
    lines = ["## Sources", "", *(f"- {plain(source)}" for source in facts.sources)]
    if not facts.sources:
        lines.append(f"Where the images and captions are from: {TO_FILL_IN}.")
    if facts.command:
        lines += ["", "Made with:", "", *fenced(facts.command, "sh")]
    return lines


def _makers(yields: Yields, facts: CardFacts) -> list[str]:
    lines = ["## Writers and painters", ""]
    writers = [(group, counts) for group, counts in rows_by_status(yields.writers) if any(group)]
    painters = [(group, counts) for group, counts in rows_by_status(yields.painters) if any(group)]
    if writers:
        lines += _table(("writer", "model", "prompt"), writers)
        hashes = sorted({group[2] for group, _ in writers} & facts.prompts.keys())
        for prompt_hash in hashes:
            lines += ["", f"### Prompt {plain(prompt_hash)}", "", *fenced(facts.prompts[prompt_hash])]
    else:
        lines.append("No record names a writer of negative captions.")
    lines += (
        ["", *(_table(("painter", "model"), painters))] if painters else ["", "No record names a painter of images."]
    )
    return lines


def _yield_section(yields: Yields) -> list[str]:
    lines = [
        "## Yields",
        "",
        f"Of {yields.rows:,} rows that entered:",
        "",
        "| status | reason | rows |",
        "|---|---|---:|",
    ]
    lines.append(f"| {ACCEPTED} | | {yields.statuses[ACCEPTED]:,} |")
    for status in (REJECTED, FAILED):
        lines.append(f"| {status} | | {yields.statuses[status]:,} |")
        reasons = [(reason, rows) for (found, reason), rows in yields.reasons.items() if found == status]
        lines += [f"| | {plain(reason)} | {rows:,} |" for reason, rows in sorted(reasons, key=lambda r: (-r[1], r[0]))]
    return lines


def _audit(path: Path) -> list[str]:
    lines = ["## Audit", ""]
    if not path.exists():
        return [*lines, "These negatives have not been audited: nobody has measured how far they betray themselves."]
    audit = read_audit(path)
    length, which = length_auc(audit)
    told = [
        _probe("Words alone (a probe that never sees an image)", auc(audit, "text_probe")),
        _probe(f"Length alone (the {which} caption is the negative)", length),
        _probe("Images alone (a probe that never sees a caption)", auc(audit, "image_probe")),
        _count("Captions that repeat an earlier one", number(audit, "duplicates", "captions")),
        _count("Negative captions that repeat an earlier one", number(audit, "duplicates", "neg_captions")),
        _count("Negative images nearly equal to their positive", number(audit, "near_copies", "images")),
        _count("Negative captions nearly equal to their positive", number(audit, "near_copies", "captions")),
    ]
    limit, passed = number(audit, "gate", "max_text_auc"), part(audit, "gate").get("passed")
    if limit is not None and isinstance(passed, bool):
        told.append(f"- Gate at a text AUC of {limit:g}: {'passed' if passed else 'not passed'}")
    if items := number(audit, "n"):
        lines += [f"Over {items:,.0f} items. AUC 0.5 means that negatives cannot be told apart, 1.0 that all can.", ""]
    return [*lines, *(line for line in told if line)]


def _probe(title: str, found: Auc) -> str:
    if found.value is None:
        return f"- {title}: not measured"
    interval = ""
    if found.low is not None and found.high is not None:
        interval = f" (95 % interval {found.low:.2f} to {found.high:.2f})"
    return f"- {title}: AUC {found.value:.2f}{interval}"


def _count(title: str, found: float | None) -> str:
    return "" if found is None else f"- {title}: {found:,.0f}"


def _reading(facts: CardFacts) -> list[str]:
    if facts.data_files.endswith(".parquet"):
        ways = {"Hugging Face `datasets`": _READ_PARQUET}
        lines = ["## Reading", "", "Columns: `key`, captions, images, and what is known of each row."]
    else:
        ways = {
            "`webdataset`": _READ_TARS,
            "Hugging Face `datasets`": _READ_TARS_AS_ROWS,
            "`tripletclip`": _READ_SHARDS,
        }
        lines = ["## Reading", "", "A row is `KEY.jpg` and `KEY.txt`, with negatives `KEY.neg.jpg` and `KEY.neg.txt`."]
    for name, code in ways.items():
        lines += ["", f"In this folder, with {name}:", "", *fenced(code.format(files=repr(facts.data_files)), "python")]
    return lines


def _licences(yields: Yields, facts: CardFacts) -> list[str]:
    generated = "and the terms of the model that made them"
    rows = [("images", facts.image_license, "of the source", yields.roles[IMAGE]),
            ("captions", facts.caption_license, "of the source", yields.roles[CAPTION]),
            ("hard-negative captions", facts.neg_caption_license, generated, yields.roles[NEG_CAPTION]),
            ("hard-negative images", facts.neg_image_license, generated, yields.roles[NEG_IMAGE])]  # fmt: skip
    lines = ["## Licences", "", "| part | rows | licence |", "|---|---:|---|"]
    return lines + [
        f"| {part_name} | {count:,} | {plain(said) or f'{TO_FILL_IN} ({hint})'} |"
        for part_name, said, hint, count in rows
        if count
    ]


def _table(heads: Sequence[str], lines: Iterable[tuple[tuple[str, ...], list[int]]]) -> list[str]:
    top = [f"| {' | '.join((*heads, ACCEPTED, REJECTED, FAILED))} |", f"|{'---|' * len(heads)}{'---:|' * 3}"]
    return top + [
        f"| {' | '.join([*(plain(name) or NOT_SAID for name in group), *(f'{count:,}' for count in counts)])} |"
        for group, counts in lines
    ]
