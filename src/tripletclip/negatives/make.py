"""From a config to a job: which source, which writers and painters by name, which checks, and whose folder it is."""

import functools
import json
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tripletclip.data.own import OwnShards
from tripletclip.data.pairs import Source
from tripletclip.data.selection import read_selection
from tripletclip.data.shards import finished_shards
from tripletclip.data.sources import open_source
from tripletclip.errors import UserError, unknown_name
from tripletclip.files import write_atomic
from tripletclip.negatives.captions.checks import CaptionCheck, CheckSettings
from tripletclip.negatives.captions.client import LlmConfig, LlmServer
from tripletclip.negatives.captions.entailment import Entailment, LlmJudge, NliConfig, NliModel
from tripletclip.negatives.captions.local import LocalLlmConfig, TransformersWriter
from tripletclip.negatives.captions.prompts import Prompt, load_prompt
from tripletclip.negatives.captions.rules import RulesConfig, RulesWriter
from tripletclip.negatives.captions.scenes import ScenesConfig, ScenesWriter
from tripletclip.negatives.captions.server import ServerWriter
from tripletclip.negatives.contract import CaptionWriter, Painter, PictureCheck
from tripletclip.negatives.images.check import ClipScoreCheck, ClipScoreConfig, VqaCheck
from tripletclip.negatives.images.diffusion import DiffusionConfig, DiffusionPainter
from tripletclip.negatives.images.questions import LlmAsker
from tripletclip.negatives.images.scenes import ScenesPainter, ScenesPainterConfig
from tripletclip.negatives.images.vqa import VqaModel, VqaModelConfig
from tripletclip.negatives.job import Job
from tripletclip.negatives.stages import CaptionStage, ImageStage, RewriteStage, Stage

MANIFEST = "triplets.json"
NONE = "none"
OWN = "shards:"


@dataclass(frozen=True, kw_only=True)
class MakeConfig:
    """What is made of which pairs. A writer or painter is named; its settings stand under its own name.

    pairs        a source (docs/sources.md), or ``shards:FOLDER`` of an earlier stage
    captions     llm, transformers, rules, scenes, or none
    images       diffusion, scenes, or none
    rewrite      paraphrase the positives by ``rewriter`` (llm or transformers, prompt ``rewrite``): ``replace`` puts
                 the paraphrase in the caption's place, ``column`` beside it; none
    picture_check  refuse pictures: clip (too far from their caption by a CLIP), vqa (too few of five questions, written
                 by the model of ``llm``, answered right), none
    entailed     refuse negatives that still follow from the caption: none, llm (the model of ``llm``), nli
    tries        attempts for a caption, each with another seed
    keep         a selection (a parquet of keys); other rows are left out
    limit        only so many rows, for a first look
    """

    pairs: str
    out: Path
    captions: str = NONE
    images: str = NONE
    rewrite: str = NONE
    rewriter: str = "llm"
    entailed: str = NONE
    picture_check: str = NONE
    tries: int = 3
    llm: LlmConfig = field(default_factory=LlmConfig)
    transformers: LocalLlmConfig = field(default_factory=lambda: LocalLlmConfig(model=""))
    rules: RulesConfig = field(default_factory=RulesConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    scenes: ScenesPainterConfig = field(default_factory=ScenesPainterConfig)
    nli: NliConfig = field(default_factory=lambda: NliConfig(model=""))
    clip_score: ClipScoreConfig = field(default_factory=lambda: ClipScoreConfig(model=""))
    vqa: VqaModelConfig = field(default_factory=VqaModelConfig)
    least_vqa: float = 0.6
    check: CheckSettings = field(default_factory=CheckSettings)
    jpeg_quality: int = 90
    shard_rows: int = 1000
    block_rows: int = 64
    keep: Path | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        for option, name, known in (
            ("captions", self.captions, (*WRITERS, NONE)),
            ("images", self.images, (*PAINTERS, NONE)),
            ("rewrite", self.rewrite, ("replace", "column", NONE)),
            ("rewriter", self.rewriter, ("llm", "transformers")),
            ("entailed", self.entailed, ("llm", "nli", NONE)),
            ("picture_check", self.picture_check, ("clip", "vqa", NONE)),
        ):
            if name not in known:
                raise unknown_name(f"value of {option}", name, known)
        if self.tries < 1:
            raise UserError(f"tries is {self.tries}; give at least 1")
        if not 1 <= self.jpeg_quality <= 100:
            raise UserError(f"jpeg_quality is {self.jpeg_quality}; give 1 to 100")
        asked = {self.captions} | ({self.rewriter} if self.rewrite != NONE else set())
        if "transformers" in asked and not self.transformers.model:
            raise UserError("transformers.model is empty; name a model of the Hugging Face Hub or a folder")
        if self.picture_check == "clip" and not self.clip_score.model:
            raise UserError("clip_score.model is empty; name an open_clip NAME:TAG or a model folder")
        if not 0 <= self.least_vqa <= 1:
            raise UserError(f"least_vqa is {self.least_vqa}; give a share between 0 and 1")
        if self.entailed == "nli" and not self.nli.model:
            raise UserError("nli.model is empty; name a sequence classifier with an entailment label")

    def identity(self) -> dict[str, Any]:
        """What must be equal for a folder to be gone on with: all that changes a row, nothing that changes the pace."""
        said: dict[str, Any] = {"pairs": self.pairs, "shard_rows": self.shard_rows, "limit": self.limit}
        said |= {"captions": self.captions, "images": self.images, "rewrite": self.rewrite, "entailed": self.entailed}
        said |= {"keep": None if self.keep is None else str(self.keep)}
        if self.captions != NONE:
            said |= {"tries": self.tries, "check": asdict(self.check)}
        used = {self.captions, self.entailed} | ({self.rewriter} if self.rewrite != NONE else set())
        for name, settings in (("llm", self.llm), ("transformers", self.transformers), ("rules", self.rules)):
            if name in used:
                said[name] = {key: value for key, value in asdict(settings).items() if key not in PACE}
        if "nli" in used:
            said["nli"] = asdict(self.nli)
        painters: Mapping[str, Any] = {"diffusion": self.diffusion, "scenes": self.scenes}
        if self.images != NONE:
            settings = painters[self.images]
            said[f"paint {self.images}"] = {key: value for key, value in asdict(settings).items() if key not in PACE}
            said |= {"jpeg_quality": self.jpeg_quality, "picture_check": self.picture_check}
        if self.picture_check == "clip":
            said["clip_score"] = {"model": self.clip_score.model, "least": self.clip_score.least}
        if self.picture_check == "vqa":
            said["vqa"] = {"model": self.vqa.model, "revision": self.vqa.revision, "least": self.least_vqa}
            said |= {"vqa_questions": self.llm.model}
        return json.loads(json.dumps(said)) | {"prompts": self.prompt_hashes()}  # type: ignore[no-any-return]

    def prompt_hashes(self) -> dict[str, str]:
        """Hash of every prompt that is used: a prompt file may change under its name."""
        prompts: dict[str, Prompt] = {}
        if self.captions in ("llm", "transformers"):
            prompts["captions"] = load_prompt(self.llm.prompt if self.captions == "llm" else self.transformers.prompt)
        if self.rewrite != NONE:
            prompts["rewrite"] = load_prompt("rewrite")
        return {name: prompt.hash for name, prompt in prompts.items()}


PACE = frozenset(
    ("base_url", "api_key_env", "client", "concurrency", "timeout_seconds", "max_retries", "backoff_seconds")
).union(("longest_wait_seconds", "device", "batch_size", "reuse_prefix", "compile", "local"))
"""Settings that change how fast and where, not what."""

Turn = AbstractContextManager[object]


def _writer_llm(config: MakeConfig) -> CaptionWriter:
    return ServerWriter(config.llm)


def _writer_transformers(config: MakeConfig) -> CaptionWriter:
    return TransformersWriter(config.transformers)


def _writer_rules(config: MakeConfig) -> CaptionWriter:
    return RulesWriter(config.rules)


def _writer_scenes(config: MakeConfig) -> CaptionWriter:
    return ScenesWriter(ScenesConfig())


WRITERS: dict[str, Callable[[MakeConfig], CaptionWriter]] = {
    "llm": _writer_llm,
    "transformers": _writer_transformers,
    "rules": _writer_rules,
    "scenes": _writer_scenes,
}
"""Adding a writer: one file that fulfils ``CaptionWriter`` and one line here."""


def _painter_diffusion(config: MakeConfig) -> Painter:
    return DiffusionPainter(config.diffusion)


def _painter_scenes(config: MakeConfig) -> Painter:
    return ScenesPainter(config.scenes)


PAINTERS: dict[str, Callable[[MakeConfig], Painter]] = {"diffusion": _painter_diffusion, "scenes": _painter_scenes}
"""Adding a painter: one file that fulfils ``Painter`` and one line here."""


# ---- stages --------------------------------------------------------------------------------------------------------


def make_stages(config: MakeConfig) -> list[Stage]:
    """The stages in their order, with their models loaded."""
    stages: list[Stage] = []
    if config.rewrite != NONE:
        named = replace(
            config,
            llm=replace(config.llm, prompt="rewrite"),
            transformers=replace(config.transformers, prompt="rewrite"),
        )
        stages.append(
            RewriteStage(
                writer=WRITERS[config.rewriter](named),
                check=CaptionCheck(prompt=load_prompt("rewrite"), settings=config.check),
                tries=config.tries,
                replace_caption=config.rewrite == "replace",
                turn=_turn(config.rewriter),
            )
        )
    if config.captions != NONE:
        stages.append(
            CaptionStage(
                writer=WRITERS[config.captions](config),
                check=CaptionCheck(prompt=_prompt(config), settings=config.check, entailment=_entailment(config)),
                tries=config.tries,
                turn=_turn(config.captions),
            )
        )
    if config.images != NONE:
        painter = PAINTERS[config.images](config)
        checks = _picture_checks(config)
        stages.append(ImageStage(painter=painter, checks=checks, quality=config.jpeg_quality, turn=threading.Lock()))
    return stages


def _picture_checks(config: MakeConfig) -> list[PictureCheck]:
    if config.picture_check == "clip":
        return [ClipScoreCheck(config.clip_score)]
    if config.picture_check == "vqa":
        asker = LlmAsker(LlmServer(config.llm))
        return [VqaCheck(asker, VqaModel(config.vqa), least=config.least_vqa)]
    return []


def _turn(writer: str) -> Turn:
    """Only the server's client serves many threads at once; in-process models and taggers take turns."""
    return nullcontext() if writer == "llm" else threading.Lock()


def _prompt(config: MakeConfig) -> Prompt | None:
    prompts = {"llm": config.llm.prompt, "transformers": config.transformers.prompt}
    return load_prompt(prompts[config.captions]) if config.captions in prompts else None


def _entailment(config: MakeConfig) -> Entailment | None:
    if config.entailed == "llm":
        return LlmJudge(LlmServer(config.llm))
    return NliModel(config.nli) if config.entailed == "nli" else None


# ---- the job and its folder ------------------------------------------------------------------------------------------


def make_job(config: MakeConfig) -> Job:
    """The job of ``config``; what is wrong with its source or its server is found here, before any work."""
    source = open_pairs(config.pairs, None if config.keep is None else read_selection(config.keep))
    asks = "llm" in (config.captions, config.entailed) or config.picture_check == "vqa"
    if asks or (config.rewrite != NONE and config.rewriter == "llm"):
        ServerWriter(config.llm).check_ready()
    return Job(
        source=source,
        out=config.out,
        make_stages=functools.partial(make_stages, config),
        shard_rows=config.shard_rows,
        block_rows=config.block_rows,
        limit=config.limit,
    )


def open_pairs(spec: str, kept: pa.ChunkedArray | None) -> Source | OwnShards:
    """A source by its short name; a folder of our own shards needs no scheme."""
    path = Path(spec.removeprefix(OWN))
    if spec.startswith(OWN) or (path.is_dir() and finished_shards(path)):
        shards = OwnShards(folder=path, kept=None if kept is None else kept.combine_chunks())
        shards.numbers()
        return shards
    if kept is not None:
        raise UserError("a selection holds keys of shards; give shards:FOLDER as the pairs, or leave out --keep")
    return open_source(spec)


def claim_folder(config: MakeConfig, *, overwrite: bool) -> None:
    """Take the output folder: go on where this job was, refuse what is something else's."""
    manifest, wanted = config.out / MANIFEST, config.identity()
    if config.pairs.removeprefix(OWN) and Path(config.pairs.removeprefix(OWN)).resolve() == config.out.resolve():
        raise UserError(f"{config.out} would be read and written at once; choose another --out")
    if manifest.exists() and overwrite:
        shutil.rmtree(config.out)
    elif manifest.exists():
        try:
            found = json.loads(manifest.read_text("utf8"))
        except ValueError as error:
            raise UserError(f"{manifest} is not a job's settings ({error}); replace it with --overwrite") from error
        if found != wanted:
            names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
            raise UserError(
                f"{config.out} was made with other settings ({', '.join(names)} differ); choose another --out, or "
                f"replace it with --overwrite"
            )
    elif config.out.exists() and any(config.out.iterdir()):
        raise UserError(f"{config.out} is not empty and holds no triplets; choose another --out")
    write_atomic(manifest, json.dumps(wanted, indent=1).encode())
