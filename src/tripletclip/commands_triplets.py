"""What the verbs of ``tripletclip triplets`` do beyond making: screen, audit, inspect, export."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from tripletclip.cli_triplets import Audit, Captions, Export, Images, Import, Inspect, Make, Screen
from tripletclip.data.audit_record import AUDIT_FILE
from tripletclip.data.card import CardFacts, write_card
from tripletclip.data.export import Exported, export_official, export_parquet
from tripletclip.errors import Incomplete, UserError, unknown_name
from tripletclip.files import write_atomic
from tripletclip.making import make_triplets, refuse_incomplete
from tripletclip.negatives.captions.prompts import load_prompt
from tripletclip.negatives.make import MANIFEST, NONE
from tripletclip.reporting.audit_page import write_audit_page
from tripletclip.reporting.inspect import InspectConfig, inspect_page

AUDIT_PAGE, GALLERY, KEPT = "audit.html", "inspect.html", "kept.parquet"


def run(verb: object) -> None:
    """Do what ``verb`` says."""
    match verb:
        case Make():
            make(verb)
        case Import() | Captions() | Images():
            stage(verb)
        case Screen():
            screen(verb)
        case Audit():
            audit(verb)
        case Inspect():
            inspect(verb)
        case Export():
            export(verb)


# ---- making ----------------------------------------------------------------------------------------------------------


def stage(verb: Import | Captions | Images) -> None:
    """One stage alone: shards out, and their card."""
    ran = make_triplets(verb)
    _say("card", write_card(verb.out, _facts(verb.out)))
    refuse_incomplete(ran, verb)


def make(verb: Make) -> None:
    """All stages, then audit, gallery and card: also of what a run left behind that has to go on."""
    ran = make_triplets(verb)
    if ran.tally.of("accepted"):
        if verb.captions != NONE:
            _audited(Audit(shards=verb.out, images=verb.images != NONE))
        inspect(Inspect(shards=verb.out))
    _say("card", write_card(verb.out, _facts(verb.out)))
    refuse_incomplete(ran, verb)


def _facts(folder: Path) -> CardFacts:
    """What the manifest of a making knows about its folder."""
    manifest = folder / MANIFEST
    made: dict[str, Any] = json.loads(manifest.read_text("utf8")) if manifest.exists() else {}
    prompts = {}
    for writer in ("llm", "transformers"):
        if writer in made:
            prompt = load_prompt(made[writer]["prompt"])
            prompts[prompt.hash] = prompt.text
    return CardFacts(
        title=folder.resolve().name,
        sources=[str(made["pairs"])] if "pairs" in made else [],
        prompts=prompts,
        command=f"tripletclip {shlex.join(sys.argv[1:])}",
    )


# ---- screening -------------------------------------------------------------------------------------------------------


def screen(verb: Screen) -> None:
    """Scores, then a selection, as asked."""
    from tripletclip.screening.filters import FilterConfig, filter_shards
    from tripletclip.screening.scores import ScoreConfig, write_scores

    filters = (verb.preset, verb.where, verb.rank_by, verb.top_count, verb.top_share)
    filtered = any(value is not None for value in filters)
    if not filtered and verb.balance is None and verb.model is None:
        raise UserError("nothing to do: give --model to score, a filter (--preset, --where, --rank-by) or --balance")
    if filtered and verb.balance is not None:
        raise UserError("--balance and a filter choose rows each in their own way; run one after the other with --out")
    out = verb.out or verb.shards / KEPT
    config = None
    if filtered:
        config = FilterConfig(
            preset=verb.preset,
            where=verb.where,
            rank_by=verb.rank_by,
            top_count=verb.top_count,
            top_share=verb.top_share,
        )
    if verb.model is not None:
        score = ScoreConfig(model=verb.model, device=verb.device, batch_size=verb.batch_size, precision=verb.precision)
        counts = write_scores(verb.shards, verb.shards, score)
        print(f"scored {counts.rows:,} rows of {counts.scored:,} shards; {counts.already:,} had their scores")
        for column, count in counts.missing.items():
            print(f"  {count:,} rows have no {column}")
    if config is not None:
        chosen = filter_shards(verb.shards, out, config)
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in chosen.dropped.items())
        print(f"kept {len(chosen.keys):,} rows; dropped: {dropped or 'none'}")
        _say("selection", out)
    if verb.balance is not None:
        _balanced(verb, verb.balance, out)


def _balanced(verb: Screen, target: float, out: Path) -> None:
    import pyarrow as pa

    from tripletclip.data.selection import write_selection
    from tripletclip.screening.balance import BalanceConfig, balance
    from tripletclip.screening.items import items_from_shards

    result = balance(list(items_from_shards(verb.shards)), BalanceConfig(max_text_auc=target))
    write_selection(out, pa.array(result.kept, pa.string()), {"made_by": "balance", **result.to_json()})
    print(f"kept {len(result.kept):,} of {result.n:,} rows")
    print(f"text-only AUC {result.before.auc:.3f} before, {result.after.auc:.3f} after (fresh folds)")
    _say("selection", out)
    if not result.reached:
        raise Incomplete(f"the target of {target} was not reached; fewer rows than allowed would be left")


# ---- looking ---------------------------------------------------------------------------------------------------------


def audit(verb: Audit) -> None:
    """Audit; the gate decides the exit code."""
    passed, measured = _audited(verb)
    if passed is False:
        told = "could not be measured on so few rows" if measured is None else f"is {measured:.3f}"
        raise Incomplete(f"the text-only AUC {told}, --max-text-auc allows {verb.max_text_auc}")


def _audited(verb: Audit) -> tuple[bool | None, float | None]:
    from tripletclip.screening.audit import AuditConfig, ImageFeatures, audit_items, audit_shards
    from tripletclip.screening.image_probe import pixel_features
    from tripletclip.screening.items import Item, items_from_negclip, items_from_sugarcrepe
    from tripletclip.screening.scores import ClipScorer, ScoreConfig

    config = AuditConfig(max_text_auc=verb.max_text_auc, sample=verb.sample, seed=verb.seed)
    readers: dict[str, Callable[[Path], Iterator[Item]]]
    readers = {".json": items_from_sugarcrepe, ".tsv": items_from_negclip}
    if verb.shards.is_file():
        if verb.shards.suffix not in readers:
            raise UserError(f"{verb.shards} is no folder of shards, no SugarCrepe .json and no NegCLIP .tsv")
        if verb.keep is not None:
            raise UserError(f"--keep chooses rows of shards; {verb.shards} is a file")
        found = audit_items(readers[verb.shards.suffix](verb.shards), config)
        out = verb.out or Path(f"{verb.shards.stem}-audit")
    else:
        features: ImageFeatures | None = pixel_features if verb.images else None
        if verb.images and verb.model:
            features = ClipScorer(ScoreConfig(model=verb.model)).image_features
        found = audit_shards(verb.shards, config, features, keep=verb.keep)
        out = verb.out or verb.shards
    result = found.to_json()
    write_atomic(out / AUDIT_FILE, (json.dumps(result, indent=1) + "\n").encode())
    write_audit_page(result, out / AUDIT_PAGE, title=f"Audit of {verb.shards.resolve().name}")
    if found.text_probe is None:
        print(f"audit: too few of {found.n:,} items for a probe")
    else:
        print(
            f"audit: captions alone tell the negative with AUC {found.text_probe.auc:.3f} "
            f"(0.5 is chance; {found.sampled:,} of {found.n:,} items), their length with {found.length_rule.told:.3f}"
        )
    if found.images is not None and found.images.probe is not None:
        print(f"audit: images alone tell it with AUC {found.images.probe.auc:.3f}")
    _say("audit", out / AUDIT_PAGE)
    return found.passed, found.text_auc


def inspect(verb: Inspect) -> None:
    """The gallery."""
    out = verb.out or verb.shards / GALLERY
    config = InspectConfig(
        title=f"{verb.shards.resolve().name}: triplets to inspect",
        rows=verb.rows,
        seed=verb.seed,
        status=verb.status,
        category=verb.category,
        thumbnail=verb.thumbnail,
    )
    shown = inspect_page(verb.shards, out, config)
    _say(f"gallery of {shown:,} rows", out)


def export(verb: Export) -> None:
    """Parquet or tars of others, and the card."""
    formats: dict[str, Callable[..., Exported]] = {"parquet": export_parquet, "official": export_official}
    if verb.format not in formats:
        raise unknown_name("format", verb.format, formats)
    made = formats[verb.format](verb.shards, verb.out, keep=verb.keep)
    print(f"{made.written:,} rows in {made.files:,} files; {made.resumed:,} shards were there already")
    for reason, count in made.left_out.items():
        print(f"  {count:,} left out: {reason}")
    facts = _facts(verb.shards)
    pattern = "*.parquet" if verb.format == "parquet" else "*.tar"
    _say("card", write_card(verb.shards, CardFacts(**{**vars(facts), "data_files": pattern}), out=verb.out))


def _say(what: str, path: Path) -> None:
    Console().print(f"{what}: {path}", highlight=False, soft_wrap=True)
