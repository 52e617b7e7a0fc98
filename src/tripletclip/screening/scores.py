"""Similarities of images and captions as columns beside the shards: ``NNNNN.scores.parquet``.

Screening never rewrites a tar. Any open_clip model scores: a folder that we trained or exported, an open_clip
``local-dir``, or ``NAME:TAG`` such as ``ViT-L-14:openai`` (the paper's).

Shapes: B rows of a batch, D features.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from tripletclip.data.index import KEY, STATUS, shard_paths
from tripletclip.data.one_shard import OneShard, opened_shard, scores_path
from tripletclip.data.shards import required_shards
from tripletclip.data.transforms import ImageError
from tripletclip.data.triplet import ACCEPTED, CAPTION, IMAGE, NEG_CAPTION, NEG_IMAGE, Triplet
from tripletclip.errors import UserError, unknown_name
from tripletclip.evaluation.encoder import text_lengths
from tripletclip.files import write_atomic
from tripletclip.models import image_features, text_features
from tripletclip.screening.score_models import ScoreModel, load_score_model

Floats = NDArray[np.float32]

SCORE_SIDES = {
    "s_xy": (IMAGE, CAPTION),
    "s_nxny": (NEG_IMAGE, NEG_CAPTION),
    "s_xny": (IMAGE, NEG_CAPTION),
    "s_nxy": (NEG_IMAGE, CAPTION),
    "s_xnx": (IMAGE, NEG_IMAGE),
    "s_yny": (CAPTION, NEG_CAPTION),
}
"""Column to the two roles whose cosine it is: x image, y caption, n negative."""

SCORE_COLUMNS = tuple(SCORE_SIDES)
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ABOUT = b"tripletclip_scores"
"""Name of the metadata entry of a score file, JSON: the model, its precision and the shard that was scored."""


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """``model`` is a folder or ``NAME:TAG``; ``batch_size`` rows, of two images and two captions each."""

    model: str
    device: str = "cpu"
    batch_size: int = 128
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        if self.batch_size < 1:
            raise UserError(f"batch_size is {self.batch_size}; give at least 1")


class ClipScorer:
    """Scores triplets by one model. The scores of a row depend on neither its batch nor its neighbours (to 1e-5)."""

    def __init__(self, config: ScoreConfig) -> None:
        self.config = config
        self._device = torch.device(config.device)
        self._loaded: ScoreModel = load_score_model(config.model, self._device)

    @property
    def model_name(self) -> str:
        """Name of the model that tells weights apart."""
        return self._loaded.name

    def score(self, rows: Sequence[Triplet]) -> list[dict[str, float]]:
        """All of ``SCORE_COLUMNS`` for each row: cosines, NaN where a side is missing or does not decode."""
        return [
            scored
            for start in range(0, len(rows), self.config.batch_size)
            for scored in self._score_batch(rows[start : start + self.config.batch_size])
        ]

    def _score_batch(self, rows: Sequence[Triplet]) -> list[dict[str, float]]:
        count = len(rows)
        images = self.image_features([*(row.image for row in rows), *(row.neg_image for row in rows)])
        texts = self.text_features([*(row.caption for row in rows), *(row.neg_caption for row in rows)])
        side = {IMAGE: images[:count], NEG_IMAGE: images[count:], CAPTION: texts[:count], NEG_CAPTION: texts[count:]}
        columns = {name: (side[one] * side[other]).sum(axis=1) for name, (one, other) in SCORE_SIDES.items()}
        return [{name: float(columns[name][index]) for name in SCORE_COLUMNS} for index in range(count)]

    def image_features(self, images: Sequence[bytes | None]) -> Floats:
        """Unit features [N, D] of encoded images; a row of NaN for ``None`` and for what does not decode."""
        return self._encode(images, self._pixels, lambda batch: image_features(self._loaded.model, batch))

    def text_features(self, texts: Sequence[str | None]) -> Floats:
        """Unit features [N, D]; a row of NaN for ``None``."""

        def encode(tokens_BL: Tensor) -> Tensor:
            return text_features(self._loaded.model, tokens_BL, int(text_lengths(tokens_BL).max()))

        return self._encode(texts, lambda text: self._loaded.tokenize([text])[0], encode)

    def _pixels(self, image: bytes) -> Tensor | None:
        try:
            return self._loaded.prepare(image)
        except ImageError:
            return None

    def _encode(
        self, items: Sequence[Any], prepare: Callable[[Any], Tensor | None], encode: Callable[[Tensor], Tensor]
    ) -> Floats:
        """Prepare and encode in batches of ``batch_size``; what is ``None`` at either end stays a row of NaN."""
        features: Floats = np.full((len(items), self._loaded.width), np.nan, dtype=np.float32)
        for start in range(0, len(items), self.config.batch_size):
            found = [
                (start + offset, prepared)
                for offset, item in enumerate(items[start : start + self.config.batch_size])
                if item is not None and (prepared := prepare(item)) is not None
            ]
            if not found:
                continue
            batch = torch.stack([prepared for _, prepared in found]).to(self._device)
            with torch.inference_mode(), self._autocast():
                encoded_BD = encode(batch)
            unit_BD = torch.nn.functional.normalize(encoded_BD.float(), dim=1).cpu()
            features[[index for index, _ in found]] = unit_BD.numpy()
        return features

    def _autocast(self) -> torch.autocast:
        dtype = PRECISIONS[self.config.precision]
        return torch.autocast(self._device.type, dtype=dtype, enabled=dtype != torch.float32)


@dataclass(frozen=True, kw_only=True)
class ScoreCounts:
    """``scored`` and ``already`` are shards; ``missing`` counts rows by the column that they have no score in."""

    scored: int
    already: int
    rows: int
    missing: dict[str, int] = field(default_factory=dict)


def write_scores(folder: Path, out: Path, config: ScoreConfig) -> ScoreCounts:
    """Score the accepted rows of every finished shard that ``out`` has no scores of yet; ``out`` may be ``folder``.

    Each file appears whole or not at all, so a stopped run goes on where it was. A shard that was written anew is
    scored anew. Raises :class:`UserError` if ``out`` holds the scores of another model.
    """
    numbers = required_shards(folder)
    scorer = ClipScorer(config)
    made_by = {"model": scorer.model_name, "precision": config.precision}
    left = [number for number in numbers if not _is_scored(folder, out, number, made_by)]
    missing: Counter[str] = Counter()
    rows = 0
    for number in left:
        table = _shard_scores(folder, number, scorer)
        about = made_by | {"shard": _fingerprint(folder, number)}
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata({ABOUT: json.dumps(about)}), sink)
        write_atomic(scores_path(out, number), sink.getvalue().to_pybytes())
        rows += table.num_rows
        missing.update({name: table[name].null_count for name in SCORE_COLUMNS if table[name].null_count})
    return ScoreCounts(scored=len(left), already=len(numbers) - len(left), rows=rows, missing=dict(missing))


def read_scores(folder: Path) -> pa.Table:
    """All score files of a folder as one table: ``key`` and the score columns, null where a row has no value."""
    paths = sorted(folder.glob("*.scores.parquet"))
    if not paths:
        raise UserError(f"{folder} has no scores (NNNNN.scores.parquet); score the shards first")
    try:
        return pa.concat_tables([pq.ParquetFile(path).read().replace_schema_metadata() for path in paths])
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"scores of {folder} are truncated or no parquet: {error}; remove and score again") from error


def _shard_scores(folder: Path, number: int, scorer: ClipScorer) -> pa.Table:
    """Scores of the accepted rows of one shard, in their order."""
    keys: list[str] = []
    scored: list[dict[str, float]] = []
    with opened_shard(folder, number) as shard:
        for rows in _row_batches(shard, scorer.config.batch_size):
            keys += [row.key for row in rows]
            scored += scorer.score(rows)
    columns: dict[str, Any] = {KEY: pa.array(keys, pa.string())}
    for name in SCORE_COLUMNS:
        values = np.array([row[name] for row in scored], dtype=np.float64)
        columns[name] = pa.array(values, pa.float64(), from_pandas=True)  # NaN becomes null
    return pa.table(columns)


def _row_batches(shard: OneShard, batch_size: int) -> Iterator[list[Triplet]]:
    """The accepted rows with their bytes, a batch at a time."""
    statuses = shard.table[STATUS].to_pylist()
    accepted = [row for row, status in enumerate(statuses) if status == ACCEPTED]
    for start in range(0, len(accepted), batch_size):
        chosen = accepted[start : start + batch_size]
        texts = shard.table.select([KEY, CAPTION, NEG_CAPTION]).take(chosen).to_pylist()
        yield [
            Triplet(
                key=text[KEY],
                caption=text[CAPTION],
                neg_caption=text[NEG_CAPTION],
                image=shard.read(row, IMAGE) if shard.has(row, IMAGE) else None,
                neg_image=shard.read(row, NEG_IMAGE) if shard.has(row, NEG_IMAGE) else None,
            )
            for row, text in zip(chosen, texts, strict=True)
        ]


def is_stale(folder: Path, scores: Path, number: int) -> bool:
    """Whether the score file says that it was made of another version of the shard. Others' files say nothing."""
    path = scores_path(scores, number)
    return path.exists() and _about(path).get("shard", _fingerprint(folder, number)) != _fingerprint(folder, number)


def _is_scored(folder: Path, out: Path, number: int, made_by: dict[str, str]) -> bool:
    """Whether ``out`` has the scores of this very shard by this very model; another model's are refused."""
    path = scores_path(out, number)
    if not path.exists():
        return False
    about = _about(path)
    if {name: about.get(name) for name in made_by} != made_by:
        raise UserError(
            f"{path} has the scores of {about.get('model')} in {about.get('precision')}, not of {made_by['model']} "
            f"in {made_by['precision']}; choose another output folder"
        )
    return bool(about.get("shard") == _fingerprint(folder, number))


def _about(path: Path) -> dict[str, str]:
    """How a score file was made; empty for a parquet file of somebody else's."""
    try:
        about: dict[str, str] = json.loads((pq.read_schema(path).metadata or {}).get(ABOUT, b"{}"))
    except (OSError, pa.ArrowException, ValueError) as error:
        raise UserError(f"{path} is truncated or no score file: {error}; remove it and score again") from error
    return about


def _fingerprint(folder: Path, number: int) -> str:
    """SHA-256 of the shard's record: another one means that the shard was written anew."""
    return hashlib.sha256(shard_paths(folder, number).parquet.read_bytes()).hexdigest()
