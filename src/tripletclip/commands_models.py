"""What ``export`` and ``push`` do."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tripletclip.errors import UserError
from tripletclip.files import write_atomic
from tripletclip.models import load_clip
from tripletclip.models.card import CARD, Measured, model_card
from tripletclip.models.clip import Clip
from tripletclip.models.export import export_clip
from tripletclip.models.folder import weights_hash
from tripletclip.models.hub import check_repository, push_folder
from tripletclip.models.identity import model_digest
from tripletclip.reporting.results import load_results

if TYPE_CHECKING:
    from tripletclip.cli_models import Export, Push

_READS = {
    "open_clip": 'open_clip.create_model_from_pretrained("local-dir:{out}")',
    "hf": 'transformers.CLIPModel.from_pretrained("{out}")',
    "authors": 'transformers.CLIPVisionModelWithProjection.from_pretrained("{out}", subfolder="vision-encoder")',
}
_NO_PLACE = "logit_scale is not in it: this format has no place for it"


def export(verb: "Export") -> None:
    """Write the folder and say what is in it and how it is read."""
    clip = load_clip(verb.model)
    names = export_clip(clip, verb.out, to=verb.to, name=verb.model, overwrite=verb.overwrite)
    for note in (*clip.notes, *([_NO_PLACE] if verb.to == "authors" else [])):
        print(f"note: {note}")
    print(f"{verb.out}: {', '.join(names)}")
    print(f"read with: {_READS[verb.to].replace('{out}', str(verb.out))}")


def push(verb: "Push") -> None:
    """Export to a temporary folder with a card, and upload it. Everything that can be wrong here is checked first."""
    check_repository(verb.repo)
    clip = load_clip(verb.model)
    measured = _measured(verb.results, clip, verb.model) if verb.results else []
    card = model_card(clip, repo=verb.repo, source=verb.model, to=verb.format, license=verb.license, measured=measured)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        export_clip(clip, folder, to=verb.format, name=verb.model)
        write_atomic(folder / CARD, card.encode())
        address = push_folder(folder, verb.repo, private=verb.private, message=verb.message)
    print(address)


def _measured(results: Path, clip: Clip, model: str) -> list[Measured]:
    """The numbers of the result files that were made with these very weights."""
    mine = _hashes(clip, model)
    found = [result for result in load_results(results) if result.checkpoint in mine]
    if not found:
        raise UserError(
            f"{results} holds no result of {model} (weights {', '.join(sorted(mine))}); measure it with "
            f"`tripletclip evaluate --model {model}`, or leave --results out"
        )
    return [
        Measured(benchmark=result.benchmark, metric=name, value=m.value, low=m.low, high=m.high, n=m.n)
        for result in sorted(found, key=lambda result: result.benchmark)
        for name, m in result.metrics.items()
    ]


def _hashes(clip: Clip, model: str) -> set[str]:
    """Names under which results may know the weights: the digest of the model, and that of a folder's file."""
    hashes, folder = {model_digest(clip)}, Path(model.removeprefix("local-dir:"))
    return hashes | {weights_hash(folder)} if folder.is_dir() else hashes
