"""``tripletclip triplets ...``: the verbs that make, screen, audit, show and hand on triplets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from tripletclip.cli_names import check_names
from tripletclip.negatives.captions.checks import CheckSettings
from tripletclip.negatives.captions.client import LlmConfig
from tripletclip.negatives.captions.entailment import NliConfig
from tripletclip.negatives.captions.local import LocalLlmConfig
from tripletclip.negatives.captions.rules import RulesConfig
from tripletclip.negatives.images.check import ClipScoreConfig
from tripletclip.negatives.images.diffusion import DiffusionConfig
from tripletclip.negatives.images.scenes import ScenesPainterConfig
from tripletclip.negatives.images.vqa import VqaModelConfig

Folder = Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Options of every verb that runs stages."""

    pairs: str
    """A source such as coco:captions.json,images=val2017/ (docs/sources.md), or shards:FOLDER of an earlier stage."""
    out: Path
    """Folder of the shards. The same command in the same folder goes on where it was."""
    keep: Path | None = None
    """A selection made by `triplets screen`: rows whose keys are not in it are left out."""
    limit: int | None = None
    """Only so many rows, for a first look."""
    shard_rows: int = 1000
    """Rows of a shard; one shard is one task. Sources made of tars keep their own."""
    block_rows: int = 64
    """Rows that go through the stages together; at most so many are lost when a worker is killed."""
    max_rejected: float = 1.0
    """Share of rejected rows above which the command ends with exit code 3 (the shards stay)."""
    engine: str = "local"
    """local (threads of this process) or ray (actors on this machine or a cluster)."""
    workers: int = 2
    """Threads or actors, a shard each."""
    gpus: float = 0.0
    """GPUs of a Ray actor."""
    address: str | None = None
    """Address of a running Ray cluster; none starts Ray on this machine."""
    overwrite: bool = False
    """Remove what the folder holds and start again."""


@dataclass(frozen=True, kw_only=True)
class _Writing:
    """Options of writing captions."""

    captions: str = "rules"
    """llm (any OpenAI-compatible server), transformers (in this process), rules, scenes (embedded world), or none."""
    tries: int = 3
    """Attempts for a caption, each with another seed."""
    rewrite: str = "none"
    """Paraphrase the positives first: replace (in the caption's place), column (beside it), or none."""
    rewriter: str = "llm"
    """Who paraphrases: llm or transformers."""
    entailed: str = "none"
    """Refuse negatives that still follow from the caption: llm (judged by the same server), nli, or none."""
    llm: LlmConfig = field(default_factory=LlmConfig)
    transformers: LocalLlmConfig = field(default_factory=lambda: LocalLlmConfig(model=""))
    rules: RulesConfig = field(default_factory=RulesConfig)
    nli: NliConfig = field(default_factory=lambda: NliConfig(model=""))
    check: CheckSettings = field(default_factory=CheckSettings)


@dataclass(frozen=True, kw_only=True)
class _Painting:
    """Options of painting images."""

    images: str = "diffusion"
    """diffusion (any diffusers text-to-image pipeline), scenes (embedded world), or none."""
    picture_check: str = "none"
    """Refuse pictures that miss their caption: clip (--clip-score.model), vqa (questions by --llm.model), or none."""
    least_vqa: float = 0.6
    """Share of the questions that must be answered right."""
    jpeg_quality: int = 90
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    scenes: ScenesPainterConfig = field(default_factory=ScenesPainterConfig)
    clip_score: ClipScoreConfig = field(default_factory=lambda: ClipScoreConfig(model=""))
    vqa: VqaModelConfig = field(default_factory=VqaModelConfig)


@dataclass(frozen=True, kw_only=True)
class Make(_Painting, _Writing, _Run):
    """Everything: pairs in; negative captions, negative images, audit, gallery and data card out."""


@dataclass(frozen=True, kw_only=True)
class Import(_Run):
    """Bring pairs into shards, every image checked, nothing made."""


@dataclass(frozen=True, kw_only=True)
class Captions(_Writing, _Run):
    """Write negative captions: pairs or shards in, shards out."""


@dataclass(frozen=True, kw_only=True)
class Images(_Painting, _Run):
    """Paint negative images of negative captions: shards in, shards out."""

    llm: LlmConfig = field(default_factory=LlmConfig)


@dataclass(frozen=True, kw_only=True)
class Screen:
    """Score triplets with a CLIP, choose rows by an expression, a preset or a balance; the tars stay as they are."""

    shards: Folder
    """Folder of shards."""
    model: str | None = None
    """Score with this model: a run folder, or an open_clip NAME:TAG such as ViT-L-14-quickgelu:openai."""
    device: str = "cpu"
    batch_size: int = 128
    precision: str = "fp32"
    preset: str | None = None
    """tripletclip++: rank by (s_xy + s_nxny) / 2, the paper's Table 6."""
    where: str | None = None
    """Keep rows where this is true, such as "s_xy > 0.25 and s_nxy < s_xy" (docs/screening.md)."""
    rank_by: str | None = None
    """Keep the best by this number, such as "s_xy - s_xny"."""
    top_count: int | None = None
    """How many of the best."""
    top_share: float | None = None
    """Which share of the best."""
    balance: float | None = None
    """Drop rows until a text-only probe cannot tell negatives better than this AUC, such as 0.6."""
    out: Path | None = None
    """The selection: a parquet of the kept keys. Default: kept.parquet in the folder of the shards."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Can the negatives be told without the other modality? Writes audit.json and audit.html; a gate is optional."""

    shards: Folder
    """Folder of shards; or a SugarCrepe .json, or a NegCLIP .tsv."""
    keep: Path | None = None
    """A selection made by `triplets screen`: audit only what it keeps (give --out to keep the audit of all)."""
    max_text_auc: float | None = None
    """The gate: exit code 3 if captions alone tell the negatives better than this AUC."""
    model: str | None = None
    """Look at images through this CLIP instead of their thumbnails."""
    images: bool = True
    """Audit the images too."""
    sample: int = 20_000
    """Items that the probes look at."""
    seed: int = 0
    out: Path | None = None
    """Folder of audit.json and audit.html. Default: that of the shards."""


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """One HTML page to look through triplets: positives beside negatives, reasons, scores, filters."""

    shards: Folder
    """Folder of shards."""
    out: Path | None = None
    """The page. Default: inspect.html in the folder of the shards."""
    rows: int = 200
    """Rows to show, drawn by their keys."""
    seed: int = 0
    status: tuple[str, ...] = ()
    """Only these: accepted, rejected, failed."""
    category: tuple[str, ...] = ()
    """Only these kinds of edit."""
    thumbnail: int = 256
    """Longer side of the pictures in pixels."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Hand triplets on: parquet for Hugging Face datasets, or the TripletCLIP authors' tars; with a data card."""

    shards: Folder
    """Folder of shards."""
    out: Path
    format: str = "parquet"
    """parquet or official."""
    keep: Path | None = None
    """A selection made by `triplets screen`."""


VERBS: dict[str, type[Any]] = {
    "make": Make,
    "import": Import,
    "captions": Captions,
    "images": Images,
    "screen": Screen,
    "audit": Audit,
    "inspect": Inspect,
    "export": Export,
}
DESCRIPTION = "Negative captions and images for anyone's pairs: make them, screen them, audit them, look at them."


def parse(arguments: Sequence[str]) -> Any:
    """The verb that the user gave, with its options."""
    check_names(arguments, VERBS, prefix="triplets ")
    return tyro.extras.subcommand_cli_from_dict(
        {**VERBS}, args=list(arguments), prog="tripletclip triplets", description=DESCRIPTION
    )
