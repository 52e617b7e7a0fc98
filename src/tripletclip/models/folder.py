"""Model folders on disk: written as an open_clip ``local-dir`` with its tokenizer; read from any of open_clip's."""

import contextlib
import hashlib
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import open_clip
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from tripletclip.errors import UserError
from tripletclip.files import write_atomic
from tripletclip.models.activation import checked_activation, origins
from tripletclip.models.build import build_model
from tripletclip.models.clip import Clip, preprocessing
from tripletclip.models.tokenizers import CLIP_WORDS, WordTokenizer, folder_tokenizer, words_of
from tripletclip.models.tokenizers import TOKENIZER_FILE as TOKENIZER_FILE

CONFIG_FILE, WEIGHTS_FILE = "open_clip_config.json", "open_clip_model.safetensors"

VISION_FOLDER, TEXT_FOLDER, TOWER_WEIGHTS = "vision-encoder", "text-encoder", "model.safetensors"
"""Where the checkpoints of TripletCLIP's authors have their two towers (:mod:`tripletclip.models.authors`)."""
_CHUNK = 2**20

WEIGHTS_FILES = (
    WEIGHTS_FILE,
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
"""Names of weights in the order in which open_clip 3.3.0 prefers them (``factory._find_checkpoint_in_dir``)."""


def save_clip(clip: Clip, folder: Path) -> None:
    """Write an open_clip ``local-dir``: configuration, weights as safetensors, and the tokenizer beside them.

    The configuration is written last, so a folder that has one is whole. CLIP's own tokenizer needs no file: open_clip
    tells it from the configuration.
    """
    tokenizer = clip.tokenizer
    known = (WordTokenizer, open_clip.SimpleTokenizer, open_clip.tokenizer.HFTokenizer)
    if not isinstance(tokenizer, known):
        raise UserError(f"a {type(tokenizer).__name__} cannot be saved; only words, CLIP's own and Hugging Face's can")
    if isinstance(tokenizer, open_clip.SimpleTokenizer) and words_of(clip.cfg) != CLIP_WORDS:
        raise UserError(f"CLIP's tokenizer cannot be saved with a model of {words_of(clip.cfg)} words; give it its own")
    config = {
        "model_cfg": clip.cfg,
        "preprocess_cfg": {
            "mean": clip.mean,
            "std": clip.std,
            "interpolation": clip.interpolation,
            "resize_mode": clip.resize_mode,
            "fill_color": clip.fill_color,
        },
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in clip.model.state_dict().items()}
    write_atomic(folder / WEIGHTS_FILE, save(weights, metadata={"format": "pt"}))
    if isinstance(tokenizer, WordTokenizer):
        write_atomic(folder / TOKENIZER_FILE, tokenizer.to_json())
    elif isinstance(tokenizer, open_clip.SimpleTokenizer):
        (folder / TOKENIZER_FILE).unlink(missing_ok=True)  # of a model that was here before
    else:
        tokenizer.save_pretrained(str(folder))
    write_atomic(folder / CONFIG_FILE, json.dumps(config, indent=1).encode())


def load_folder(folder: Path, *, origin: str = "", mend_gelu: bool = False) -> Clip:
    """Read an open_clip ``local-dir``, ours or another's. A missing, torn or foreign file is a :class:`UserError`.

    Weights are safetensors, or a PyTorch file read with ``weights_only``. ``origin`` names the repository that the
    folder is a copy of; an activation that it, or whatever the configuration names, contradicts is refused, or mended.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise UserError(f"{folder} is no model folder: {CONFIG_FILE} is missing")
    with readable(folder / CONFIG_FILE):
        config = json.loads((folder / CONFIG_FILE).read_text("utf8"))
        named = [*([origin] if origin else []), *origins(config)]
        quick_gelu = bool(config["model_cfg"].get("quick_gelu"))
        if checked_activation(quick_gelu, named, origin or str(folder), mend=mend_gelu) != quick_gelu:
            config["model_cfg"]["quick_gelu"] = not quick_gelu
        model = build_model(config["model_cfg"])
        pixels = preprocessing(config.get("preprocess_cfg", {}))
    weights = weights_file(folder)
    with readable(folder / TOKENIZER_FILE):
        tokenizer = folder_tokenizer(folder, config["model_cfg"])
    with readable(weights):
        load_weights(model, weights)
    return Clip(model=model, cfg=config["model_cfg"], tokenizer=tokenizer, **pixels)


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill ``model`` strictly: from a file of ours as it is, from others with what open_clip mends in old ones."""
    if path.name == WEIGHTS_FILE:
        model.load_state_dict(load_file(path))
    else:
        open_clip.load_checkpoint(model, str(path), strict=True, weights_only=True)


def weights_file(folder: Path) -> Path:
    """The file of weights in ``folder``, or a :class:`UserError` that names the one that should be there."""
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder} is no model folder: {WEIGHTS_FILE} is missing")


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """What goes wrong inside is the fault of the file at ``path``, and the user hears its name."""
    try:
        yield
    except UserError:
        raise
    except (
        SafetensorError, AttributeError, KeyError, LookupError, OSError, RuntimeError, TypeError, ValueError,
        AssertionError, pickle.UnpicklingError, EOFError,
    ) as error:  # fmt: skip
        fault = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"{path} is torn or foreign ({fault}); save the model again") from error


def weights_hash(folder: Path) -> str:
    """SHA-256 of a model folder's weights: the name of a checkpoint that cannot lie. Of two towers, of both files."""
    towers = [folder / tower / TOWER_WEIGHTS for tower in (VISION_FOLDER, TEXT_FOLDER)]
    whole = hashlib.sha256()
    for path in towers if all(path.is_file() for path in towers) else [weights_file(folder)]:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                whole.update(chunk)
    return whole.hexdigest()
