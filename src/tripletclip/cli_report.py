"""``tripletclip report``: its arguments."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Report:
    """Tables and one self-contained page from result files: rankings, differences, figures, failures, exports."""

    results: Annotated[Path, tyro.conf.Positional]
    """Folder of result files."""
    out: Path = Path("report.html")
    markdown: Path | None = None
    """Also write the tables as Markdown."""
    latex: Path | None = None
    """Also write the tables as LaTeX (needs the package booktabs)."""
    against: str | None = None
    """The model that all others are compared with; the first one if not given."""
    before: str | None = None
    """The model before fine-tuning: adds a table of what every other one gained and lost."""
    control: Path | None = None
    """For a demo: folder of the same runs' results in the dense world."""
