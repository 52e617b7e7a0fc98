"""The card of a model: a README.md with the header that the Hugging Face Hub reads.

Everything in it comes from the model itself and from result files; what only people know stays open. The same facts
give the same text. Header: https://huggingface.co/docs/hub/model-cards#model-card-metadata
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tripletclip.data.markdown import fenced, plain, yaml_string
from tripletclip.models.clip import Clip
from tripletclip.models.export import Format
from tripletclip.models.identity import model_digest

CARD = "README.md"
TO_FILL_IN = "**to be filled in**"

_LIBRARY: dict[Format, str] = {"open_clip": "open_clip", "hf": "transformers", "authors": "transformers"}
_OPEN_CLIP = """\
import open_clip
model, preprocess = open_clip.create_model_from_pretrained("hf-hub:{repo}")
tokenizer = open_clip.get_tokenizer("hf-hub:{repo}")"""
_WORDS = """\
import open_clip
from tripletclip.models import load_clip
model, preprocess = open_clip.create_model_from_pretrained("hf-hub:{repo}")
tokenizer = load_clip("hf:{repo}").tokenizer  # words of a small world, which open_clip has no tokenizer for"""
_HF = """\
from transformers import AutoProcessor, CLIPModel
model = CLIPModel.from_pretrained("{repo}")
processor = AutoProcessor.from_pretrained("{repo}")"""
_AUTHORS = """\
from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection
image_tower = CLIPVisionModelWithProjection.from_pretrained("{repo}", subfolder="vision-encoder")
text_tower = CLIPTextModelWithProjection.from_pretrained("{repo}", subfolder="text-encoder")"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number of a result file: percent with its 95 % interval on ``n`` items."""

    benchmark: str
    metric: str
    value: float
    low: float
    high: float
    n: int


def model_card(
    clip: Clip, *, repo: str, source: str, to: Format, license: str = "", measured: Sequence[Measured] = ()
) -> str:
    """The card of ``clip``, made from ``source``, for the repository ``repo`` that holds it in the format ``to``."""
    sections = (
        _title(repo, source),
        _use(clip, repo, to),
        _facts(clip),
        _numbers(measured),
        _licence(license),
    )
    return _header(to, license) + "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _header(to: Format, license: str) -> str:
    lines = ["---", f"license: {yaml_string(license or 'other')}"]
    lines += [] if license else ['license_name: "to-be-filled-in"']
    lines += [f"library_name: {yaml_string(_LIBRARY[to])}", "pipeline_tag: zero-shot-image-classification", "tags:"]
    lines += [f"  - {tag}" for tag in ("clip", "compositionality", "hard-negatives", "tripletclip")]
    return "\n".join([*lines, "---", "", ""])


def _title(repo: str, source: str) -> list[str]:
    return [
        f"# {plain(repo.split('/')[-1])}",
        "",
        f"A CLIP model, uploaded with tripletclip from {plain(_without_folders(source))}.",
        f"What it was trained on and for: {TO_FILL_IN}.",
    ]


def _without_folders(source: str) -> str:
    """A local path is the writer's own business: its last name says enough. Names of models stay whole."""
    local = source.startswith(("/", ".", "~", "local-dir:")) or (":" not in source and "/" in source)
    return source.rstrip("/").rsplit("/", 1)[-1].removeprefix("local-dir:") if local else source


def _use(clip: Clip, repo: str, to: Format) -> list[str]:
    words = type(clip.tokenizer).__name__ == "WordTokenizer"
    code = {"open_clip": _WORDS if words else _OPEN_CLIP, "hf": _HF, "authors": _AUTHORS}[to]
    return ["## Use", "", *fenced(code.replace("{repo}", repo), "python"), "", *_ours(repo)]


def _ours(repo: str) -> list[str]:
    command = f"tripletclip evaluate --model hf:{repo} --benchmark sugarcrepe --data-root DATA --out results"
    return ["With tripletclip:", "", *fenced(command, "bash")]


def _facts(clip: Clip) -> list[str]:
    count = sum(parameter.numel() for parameter in clip.model.parameters())
    rows = {
        "Parameters": f"{count:,}",
        "Features": str(clip.cfg["embed_dim"]),
        "Images": f"{clip.image_size} x {clip.image_size} pixels, {clip.interpolation}, {clip.resize_mode}",
        "Mean and deviation of pixels": f"{list(clip.mean)}, {list(clip.std)}",
        "Tokens of a text": str(clip.tokenizer.context_length),
        "Activation": "QuickGELU" if clip.cfg.get("quick_gelu") else "GELU",
        "Digest of weights, configuration and preprocessing": model_digest(clip),
    }
    return ["## Model", "", "| | |", "|---|---|", *(f"| {name} | {plain(value)} |" for name, value in rows.items())]


def _numbers(measured: Sequence[Measured]) -> list[str]:
    if not measured:
        return ["## Results", "", f"Measured with `tripletclip evaluate`: {TO_FILL_IN}."]
    head = ["## Results", "", "Percent, with 95 % intervals.", "", "| benchmark | metric | value | interval | n |"]
    rows = [f"| {plain(row.benchmark)} | {plain(row.metric)} | {_interval(row)} | {row.n} |" for row in measured]
    return [*head, "|---|---|---:|---:|---:|", *rows]


def _interval(row: Measured) -> str:
    return f"{row.value:.1f} | {row.low:.1f} to {row.high:.1f}"


def _licence(license: str) -> list[str]:
    return ["## Licence", "", f"{plain(license) if license else TO_FILL_IN}"]
