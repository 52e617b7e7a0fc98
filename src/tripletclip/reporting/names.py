"""The report's vocabulary: what methods, benchmarks and metrics are called, in which order they stand."""

from collections.abc import Iterable

START = "start"
"""The checkpoint that every method of a run goes on from."""
VALIDATION = "validation"
"""The benchmark of learning-curve points."""
HELD_OUT = "-heldout"
"""Suffix of a benchmark's part with combinations that training never showed."""

METHODS = ("clip", "clip-on-triplets", "negclip", "negimage", "tripletclip")
PAPER_ORDER = ("clip", "negclip", "tripletclip")
"""The ordering that the paper claims, from low to high."""

_DISPLAY = {
    "clip": "CLIP",
    "clip-on-triplets": "CLIP on triplets (control)",
    "negclip": "NegCLIP++",
    "negimage": "NegImage",
    "tripletclip": "TripletCLIP",
    START: "Common start",
}

BENCHMARKS = ("sugarcrepe", "winoground", "retrieval", "zeroshot")
_BENCHMARK_TITLES = {
    "sugarcrepe": "SugarCrepe",
    "winoground": "Winoground",
    "retrieval": "retrieval",
    "zeroshot": "zero-shot",
}

SPLITS = {
    "replace_obj": "Replace object",
    "replace_att": "Replace attribute",
    "replace_rel": "Replace relation",
    "swap_obj": "Swap object",
    "swap_att": "Swap attribute",
    "add_obj": "Add object",
    "add_att": "Add attribute",
}
NOT_COMPOSITIONAL = ("replace_obj", "add_obj")

RANKING_COLUMNS = (
    ("compositional", "sugarcrepe", "compositional"),
    ("macro of 7", "sugarcrepe", "macro"),
    ("Winoground group", "winoground", "group"),
    ("R@1 image → text", "retrieval", "i2t_r1"),
    ("R@1 text → image", "retrieval", "t2i_r1"),
    ("zero-shot top-1", "zeroshot", "top1"),
)
"""(heading, benchmark, metric) of the ranking, the deciding one first."""

BLIND_RULES = (
    "random",
    "fewer words",
    "fewer words, ties half",
    "text-only probe",
    "text likelihood",
    "constant encoder",
)


def display(method: str) -> str:
    """A method's name for people; an unknown method keeps its own."""
    return _DISPLAY.get(method, method)


def short(method: str) -> str:
    """The display name without its remark in brackets, for the margins of figures."""
    return display(method).split(" (")[0] if method in _DISPLAY else method


def css_class(method: str) -> str:
    """The class that carries a method's colour; every unknown method shares one."""
    return f"m-{method}" if method in (*METHODS, START) else "m-other"


def benchmark_title(benchmark: str) -> str:
    """``sugarcrepe-heldout`` becomes ``SugarCrepe (held out)``; an unknown benchmark keeps its name."""
    base = benchmark.removesuffix(HELD_OUT)
    title = _BENCHMARK_TITLES.get(base, base)
    return f"{title} (held out)" if benchmark.endswith(HELD_OUT) else title


def in_order(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """``names`` without repetition: those of ``known`` first and in its order, then the rest by name."""
    given = set(names)
    first = [name for name in known if name in given]
    return first + sorted(given - set(first))


def listed(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
