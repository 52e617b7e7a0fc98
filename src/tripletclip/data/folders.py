"""An image folder with a ``.txt`` beside each image, at any depth."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tripletclip.data.pairs import Chunk, Pair
from tripletclip.data.rows import MAX_CAPTION_BYTES, ImageIntake, Text, make_pair, read_inside, safe_key, unique_keys
from tripletclip.data.spec import Spec, existing_folder, max_side_of, shown
from tripletclip.data.transforms import ImageError
from tripletclip.errors import UserError

KEYS = {"max_side": "shrink images to this longer side, pixels"}
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """A folder of images with their captions."""

    title: str
    intake: ImageIntake
    folder: Path

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Chunks of ``rows`` images: of each folder its images by name, then its folders by name."""
        listing = list_images(self.folder)
        while entries := tuple(itertools.islice(listing, rows)):
            yield FolderChunk(folder=self.folder, intake=self.intake, entries=entries)


@dataclass(frozen=True, kw_only=True)
class FolderChunk:
    """Images by key and path below ``folder``."""

    folder: Path
    intake: ImageIntake
    entries: tuple[tuple[str, str], ...]

    def read(self) -> Iterator[Pair]:
        """Their pairs. A linked folder is not entered: it is a row with the problem ``folder: link not followed``."""
        return unique_keys(self._pair(key, path) for key, path in self.entries)

    def _pair(self, key: str, path: str) -> Pair:
        if path.endswith("/"):
            return Pair(key=key, caption="", problem="folder: link not followed")
        try:
            caption = self._caption(os.path.splitext(path)[0] + ".txt")
        except ImageError as error:
            return Pair(key=key, caption="", problem=f"caption: {error.reason}")
        return make_pair(key=key, caption=caption, image=lambda: self.intake.take(path))

    def _caption(self, path: str) -> Text:
        try:
            return read_inside(self.folder, path, limit=4 * MAX_CAPTION_BYTES)
        except ImageError as error:
            if error.reason == "too large":
                raise ImageError("too long") from error
            raise


def list_images(folder: Path) -> Iterator[tuple[str, str]]:
    """Key and path (relative to ``folder``) of each image, one folder's names in memory at a time.

    Names that begin with a dot are passed over. A link to a folder is listed with a slash at its end.
    """
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        images, folders, links = _names(folder, inside)
        taken: set[str] = set()
        for name in images:
            path = os.path.join(inside, name)
            stem = os.path.splitext(path)[0]
            yield safe_key(path if stem in taken else stem), path
            taken.add(stem)
        for name in links:
            yield safe_key(os.path.join(inside, name)), os.path.join(inside, name) + "/"
        waiting += [os.path.join(inside, name) for name in reversed(folders)]


def _names(folder: Path, inside: str) -> tuple[list[str], list[str], list[str]]:
    """Names of images, folders and links to folders in one folder, each sorted."""
    images, folders, links = [], [], []
    try:
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_dir():
                    links.append(entry.name)
                elif entry.name.lower().endswith(IMAGE_ENDINGS):
                    images.append(entry.name)
    except OSError as error:
        raise UserError(f"cannot list {folder / inside}: {error.strerror}; mend its permissions") from error
    images.sort(key=lambda name: (os.path.splitext(name)[0], name))
    return images, sorted(folders), sorted(links)


def open_folder(spec: Spec) -> FolderSource:
    """The source of ``folder:PATH``; :class:`UserError` for a folder without images."""
    folder = existing_folder(spec.path)
    if next(list_images(folder), None) is None:
        raise UserError(f"{folder} has no image ({', '.join(IMAGE_ENDINGS)}); give the folder that has")
    return FolderSource(
        title=f"folder: {shown(spec.path)}",
        folder=folder,
        intake=ImageIntake(base=folder, max_side=max_side_of(spec)),
    )
