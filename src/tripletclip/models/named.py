"""Models by one short word: a folder, an open_clip NAME:TAG, or a repository of the Hugging Face Hub."""

import contextlib
from pathlib import Path

import open_clip
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

from tripletclip.data.index import first_line
from tripletclip.errors import UserError, unknown_name
from tripletclip.models.build import check_extras, fresh_clip
from tripletclip.models.clip import Clip, preprocessing
from tripletclip.models.folder import CONFIG_FILE, WEIGHTS_FILES, load_folder
from tripletclip.models.huggingface import HF_WEIGHTS, is_hf_folder, load_hf_folder

HUB, LOCAL = "hf-hub:", "local-dir:"


def load_clip(source: str | Path, *, fresh: bool = False, seed: int = 0, mend_gelu: bool = False) -> Clip:
    """A model with everything that its inputs need, from

    - a folder: one of ours, any open_clip ``local-dir``, or a Hugging Face ``CLIPModel`` (``config.json`` and
      ``model.safetensors``);
    - ``NAME:TAG`` of open_clip (``ViT-B-32-quickgelu:openai``); the tag may also be a file of weights;
    - ``hf-hub:ORG/MODEL``, a repository that holds one of the first two kinds of folder;
    - with ``fresh``, a ``NAME`` alone: fresh weights drawn from ``seed``.

    Weights are read as safetensors or with ``weights_only``. A tag whose weights were trained with QuickGELU under a
    name with the plain one is refused, because every feature would be off and nothing would say so; ``mend_gelu`` loads
    it with the right activation instead. Raises :class:`UserError` that names the thing, and the nearest known name.
    """
    spec = str(source)
    folder = Path(spec.removeprefix(LOCAL))
    if fresh:
        return fresh_clip(spec, seed)
    if isinstance(source, Path) or spec.startswith(LOCAL) or folder.is_dir():
        return _load_any_folder(folder)
    if spec.startswith(HUB):
        return _load_any_folder(_hub_folder(spec.removeprefix(HUB)))
    return _load_named(spec, mend_gelu=mend_gelu)


def _load_any_folder(folder: Path) -> Clip:
    if not (folder / CONFIG_FILE).is_file() and is_hf_folder(folder):
        return load_hf_folder(folder)
    return load_folder(folder)


def _hub_folder(repository: str) -> Path:
    """A local copy of the files that a repository's model needs; of several formats of weights the one that we read.

    What was fetched before is found without network.
    """
    try:
        folder = Path(snapshot_download(repository, allow_patterns=["*.json", "*.txt", "*.model"]))
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
