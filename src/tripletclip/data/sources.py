"""Other people's pairs by one short word: ``coco:captions_val2017.json,images=val2017/``.

``open_source`` is the door: every mistake of the user's is found there, before any work. docs/sources.md lists what
each source reads, its keys and the reasons under which bad rows are counted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tripletclip.data import coco, folders, hub, negclip, tables, tars
from tripletclip.data.pairs import Source
from tripletclip.data.spec import Spec, check_options, existing_file, is_url, parse_spec
from tripletclip.data.tar_names import ENDINGS
from tripletclip.errors import UserError, unknown_name


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A kind of source: one line of help, an example, its options with their help, and what opens it."""

    help: str
    example: str
    keys: Mapping[str, str]
    open: Callable[[Spec], Source]


SCHEMES: Mapping[str, Scheme] = {
    "tar": Scheme(
        help="webdataset, img2dataset or TripletCLIP tars: a file, folder, {00..99} or * pattern, or URL",
        example="tar:shards/{00000..00331}.tar",
        keys=tars.KEYS,
        open=tars.open_tars,
    ),
    "coco": Scheme(
        help="COCO captions JSON and its image folder",
        example="coco:captions_val2017.json,images=val2017/",
        keys=coco.KEYS,
        open=coco.open_coco,
    ),
    "csv": Scheme(
        help="CSV with columns of image paths and captions",
        example="csv:train.csv,image=filepath,caption=title",
        keys=tables.KEYS,
        open=tables.open_csv,
    ),
    "tsv": Scheme(
        help="the same, separated by tabs",
        example="tsv:captions.tsv,images=images/,captions=first",
        keys=tables.KEYS,
        open=tables.open_tsv,
    ),
    "parquet": Scheme(
        help="Parquet with image paths or bytes: a file, folder or * pattern",
        example="parquet:data/train-*.parquet,caption=text",
        keys=tables.KEYS,
        open=tables.open_parquet,
    ),
    "folder": Scheme(
        help="image folder with a .txt beside each image",
        example="folder:photos/,max_side=512",
        keys=folders.KEYS,
        open=folders.open_folder,
    ),
    "hf": Scheme(
        help="Hugging Face data set: a save_to_disk folder, or a name of the Hub",
        example="hf:org/name,split=train,caption=sentences,captions=all",
        keys=hub.KEYS,
        open=hub.open_hub,
    ),
    "negclip": Scheme(
        help="NegCLIP's TSV with its rule-made or mined negatives",
        example="negclip:train_neg_clip.tsv,images=coco/,negatives=mined",
        keys=negclip.KEYS,
        open=negclip.open_negclip,
    ),
}


def open_source(text: str) -> Source:
    """The source that ``scheme:path,key=value,...`` names; without a scheme it is told from the path if it is clear.

    Raises :class:`UserError` for an unknown scheme or key, a missing file, folder or column, and a path that could be
    several things.
    """
    spec = parse_spec(text)
    scheme = detect(spec) if spec.scheme is None else spec.scheme
    if scheme not in SCHEMES:
        raise unknown_name("source", scheme, SCHEMES)
    check_options(spec, scheme, SCHEMES[scheme].keys)
    return SCHEMES[scheme].open(replace(spec, scheme=scheme))


def detect(spec: Spec) -> str:
    """The scheme of a path without one: by its ending, by what a folder holds, by the columns of a TSV."""
    path = Path(spec.path).expanduser()
    if spec.path.endswith(ENDINGS):
        return "tar"
    if not is_url(spec.path) and path.is_dir():
        return _scheme_of_folder(path)
    ending = path.suffix.lower()
    if ending == ".tsv":
        header, _ = tables.csv_header(existing_file(spec.path), "\t")
        return "negclip" if set(negclip.HEADER) <= set(header) else "tsv"
    by_ending = {".json": "coco", ".csv": "csv", ".parquet": "parquet"}
    if ending in by_ending and not is_url(spec.path):
        return by_ending[ending]
    raise UserError(f"cannot tell what '{spec.path}' is; write a scheme before it: {', '.join(SCHEMES)} (SCHEME:PATH)")


def _scheme_of_folder(path: Path) -> str:
    marks = {
        "hf": hub.is_saved(path),
        "tar": any(name.name.endswith(ENDINGS) for name in path.iterdir()),
        "parquet": any(path.glob("*.parquet")),
    }
    # Shards have a .parquet beside each .tar; the tar has the images.
    found = [name for name, there in marks.items() if there and not (name == "parquet" and marks["tar"])]
    if not found and next(folders.list_images(path), None) is not None:
        found = ["folder"]
    if len(found) != 1:
        what = f"could be {' or '.join(found)}" if found else "has no tar, parquet file or image"
        raise UserError(f"{path} {what}; write the scheme before it: {', '.join(SCHEMES)} (SCHEME:PATH)")
    return found[0]
