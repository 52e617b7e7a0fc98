"""Models by one short word: a folder, an open_clip NAME:TAG, or a repository of the Hugging Face Hub."""

import contextlib
import zipfile
from pathlib import Path

import open_clip
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

from tripletclip.data.index import first_line
from tripletclip.errors import UserError, unknown_name
from tripletclip.models.authors import TEXT_FOLDER, VISION_FOLDER, is_authors_folder, load_authors_folder
from tripletclip.models.build import check_extras, fresh_clip
from tripletclip.models.clip import Clip, preprocessing
from tripletclip.models.folder import CONFIG_FILE, WEIGHTS_FILES, load_folder
from tripletclip.models.huggingface import HF_WEIGHTS, load_hf_folder, model_type

HUB, HUB_SHORT, LOCAL = "hf-hub:", "hf:", "local-dir:"


def load_clip(source: str | Path, *, fresh: bool = False, seed: int = 0, mend_gelu: bool = False) -> Clip:
    """A model with everything that its inputs need, from

    - a folder: one of ours, any open_clip ``local-dir``, a Hugging Face ``CLIPModel`` (``config.json`` and
      ``model.safetensors``), or the two towers of TripletCLIP's authors (``vision-encoder`` and ``text-encoder``);
    - ``NAME:TAG`` of open_clip (``ViT-B-32-quickgelu:openai``); the tag may also be a file of weights;
    - ``hf:ORG/MODEL`` or ``hf-hub:ORG/MODEL``, a repository that holds one of these kinds of folder;
    - with ``fresh``, a ``NAME`` alone: fresh weights drawn from ``seed``.

    Weights are read as safetensors or with ``weights_only``. A tag, repository or configuration that names weights
    trained with QuickGELU and sets the plain one, or the other way round, is refused, because every feature would be
    off and nothing would say so; ``mend_gelu`` loads it with the right activation instead. Raises :class:`UserError`
    that names the thing, and the nearest known name.
    """
    spec = str(source)
    folder = Path(spec.removeprefix(LOCAL))
    if fresh:
        return fresh_clip(spec, seed)
    if isinstance(source, Path) or spec.startswith(LOCAL) or folder.is_dir():
        return _load_any_folder(folder, mend_gelu=mend_gelu)
    for prefix in (HUB, HUB_SHORT):
        if spec.startswith(prefix):
            repository = spec.removeprefix(prefix)
            return _load_any_folder(_hub_folder(repository), origin=repository, mend_gelu=mend_gelu)
    return _load_named(spec, mend_gelu=mend_gelu)


def _load_any_folder(folder: Path, *, origin: str = "", mend_gelu: bool) -> Clip:
    if not (folder / CONFIG_FILE).is_file():
        kind = model_type(folder)
        if kind == "clip":
            return load_hf_folder(folder, origin=origin, mend_gelu=mend_gelu)
        if is_authors_folder(folder):
            return load_authors_folder(folder, mend_gelu=mend_gelu)
        if kind in ("siglip", "siglip2"):
            raise UserError(
                f"{folder} is transformers' SigLIP, whose towers use the tanh form of GELU, which open_clip's SigLIP "
                f"does not; take the same weights in open_clip's form, such as ViT-B-16-SigLIP:webli"
            )
        if kind:
            raise UserError(f"{folder} holds a '{kind}' of Hugging Face's; known are clip and open_clip's folders")
    return load_folder(folder, origin=origin, mend_gelu=mend_gelu)


def _hub_folder(repository: str) -> Path:
    """A local copy of the files that a repository's model needs; of several formats of weights the one that we read.

    What was fetched before is found without network.
    """
    towers = [f"{tower}/{HF_WEIGHTS}" for tower in (VISION_FOLDER, TEXT_FOLDER)]
    try:
        folder = Path(snapshot_download(repository, allow_patterns=["*.json", "*.txt", "*.model"]))
        if is_authors_folder(folder):
            fetched = [Path(hf_hub_download(repository, name)) for name in towers]
            return fetched[0].parents[1]
        names = WEIGHTS_FILES if (folder / CONFIG_FILE).is_file() else (HF_WEIGHTS,)
        for name in names:
            with contextlib.suppress(EntryNotFoundError):
                return Path(hf_hub_download(repository, name)).parent
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise UserError(
            f"cannot load the model '{HUB}{repository}': {first_line(error)}; check the name and network"
        ) from error
    raise UserError(f"{HUB}{repository} has no weights that we read ({', '.join(names)}); check the name and network")


def _load_named(spec: str, *, mend_gelu: bool) -> Clip:
    name, _, tag = spec.partition(":")
    if name not in open_clip.list_models():
        if "/" in spec or spec.startswith("."):
            raise UserError(
                f"model folder {spec} does not exist; give a folder or NAME:TAG such as ViT-B-32:laion2b_s34b_b79k"
            )
        raise unknown_name("open_clip model", name, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not tag:
        raise UserError(
            f"model '{name}' has no weights without a tag; write {name}:TAG, one of {', '.join(tags) or 'none'}, or "
            f"ask for fresh weights"
        )
    if tag not in tags and not Path(tag).is_file():
        raise unknown_name(f"tag of {name}", tag, tags)
    _refuse_torchscript(name, tag)
    quick_gelu = bool((open_clip.get_pretrained_cfg(name, tag) or {}).get("quick_gelu"))
    cfg = open_clip.get_model_config(name)
    if quick_gelu and not cfg.get("quick_gelu"):
        if not mend_gelu:
            raise UserError(
                f"the weights '{tag}' were trained with QuickGELU and {name} has the plain one: every feature would be "
                f"off; write {name}-quickgelu:{tag}"
            )
        cfg["quick_gelu"] = True
    check_extras(cfg)
    try:
        model, _, _ = open_clip.create_model_and_transforms(name, pretrained=tag, force_quick_gelu=quick_gelu)
        tokenizer = open_clip.get_tokenizer(name)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot load the model '{spec}': {first_line(error)}; check the name and network") from error
    return Clip(model=model, cfg=cfg, tokenizer=tokenizer, **preprocessing(model.visual.preprocess_cfg))


def _refuse_torchscript(name: str, tag: str) -> None:
    """OpenAI's own files are programs, which ``weights_only`` cannot read."""
    if Path(tag).is_file() and zipfile.is_zipfile(tag):
        with zipfile.ZipFile(tag) as archive:
            if any(entry.endswith("/constants.pkl") for entry in archive.namelist()):
                plain = name.removesuffix("-quickgelu")
                raise UserError(
                    f"{tag} is TorchScript, as OpenAI's files are, and is not run; for OpenAI's weights write "
                    f"{plain}-quickgelu:openai"
                )
