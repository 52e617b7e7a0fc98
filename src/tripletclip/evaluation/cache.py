"""Features that were computed once, kept on disk: by model with its preprocessing, tower, and hash of the item.

Every writer writes files of its own, under a name that no other has, by atomic rename; readers merge all files of a
model. So any number of processes may write at the same time. A file is a safetensors of two tensors, ``keys`` (uint8
[N, 32], SHA-256) and ``features`` (fp32 [N, D]), with their checksum; one that does not agree with it is removed, and
what it held is computed again.

Shapes: N items, D features.
"""

import hashlib
import sys
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.files import write_atomic

CACHE_VERSION = "1"
"""Part of the folder's name: features made by another version of the rules are never read."""

Tower: TypeAlias = Literal["image", "text"]


class FeatureCache:
    """The features of one model below ``folder``.

    ``model_digest`` must change with whatever changes a feature: weights, architecture, preprocessing, tokenizer.
    ``warn`` hears one line about each damaged file.
    """

    def __init__(self, folder: Path, model_digest: str, warn: Callable[[str], None] | None = None) -> None:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file; give a folder for the cache")
        self.folder = folder / f"v{CACHE_VERSION}-{model_digest[:32]}"
        self._warn = _to_stderr if warn is None else warn

    def load(self, tower: Tower, wanted: Iterable[str]) -> dict[str, Tensor]:
        """The features [D] that are there, by the SHA-256 (hex) of their items, of those that are ``wanted``."""
        missing = set(wanted)
        found: dict[str, Tensor] = {}
        for path in sorted(self.folder.glob(f"{tower}-*.safetensors")):
            if not missing:
                break
            for key, feature_D in self._read(path):
                if key in missing:
                    found[key] = feature_D
                    missing.discard(key)
        return found

    def add(self, tower: Tower, keys: list[str], features_ND: Tensor) -> Path:
        """Write a file of its own with the features of these items."""
        assert len(keys) == len(features_ND) > 0, (len(keys), features_ND.shape)
        raw_keys = torch.frombuffer(bytearray.fromhex("".join(keys)), dtype=torch.uint8).view(len(keys), 32)
        tensors = {"keys": raw_keys, "features": features_ND.float().contiguous()}
        path = self.folder / f"{tower}-{uuid.uuid4().hex}.safetensors"
        write_atomic(path, save(tensors, metadata={"checksum": _checksum(tensors)}))
        return path

    def _read(self, path: Path) -> list[tuple[str, Tensor]]:
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {"keys": file.get_tensor("keys"), "features": file.get_tensor("features")}
                checksum = (file.metadata() or {})["checksum"]
        except FileNotFoundError:
            return []  # another process found it damaged
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            return self._refuse(path, str(error))
        if checksum != _checksum(tensors):
            return self._refuse(path, "its checksum differs")
        keys = [bytes(row).hex() for row in tensors["keys"].numpy()]
        return list(zip(keys, tensors["features"], strict=True))

    def _refuse(self, path: Path, reason: str) -> list[tuple[str, Tensor]]:
        self._warn(f"{path} is damaged ({reason}); it is removed and its features are computed again")
        path.unlink(missing_ok=True)
        return []


def _checksum(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}\n".encode("ascii"))
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()


def _to_stderr(line: str) -> None:
    print(f"tripletclip: {line}", file=sys.stderr)
