"""What one compile is asked to do, as a value; the command line and the Python face both end here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgewright.core.budget import Budget
from edgewright.core.errors import UsageError
from edgewright.driver.search_budget import SearchBudget

PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8", "fp8")
SUFFIX = ".ewb"


def _quiet(_line: str) -> None:
    """Drops a line of talk."""


@dataclass(frozen=True)
class CompileRequest:
    """The words of ``edgewright compile``, parsed.

    Args:
        model: ``file.onnx``, ``file.pt2`` or ``module:factory``.
        targets: names or TOML paths, as typed.
        out: a file for one target, a folder for several.
        trials: how many variants of int8 may be tried per scheme before the layers that are left decide.
        plan: a bundle or ``plan.json`` whose choices are repeated instead of measured.
    """

    model: str
    targets: tuple[str, ...]
    out: Path
    data: str | None = None
    eval_data: str | None = None
    train_data: str | None = None
    """What ``prune``, ``distil`` and ``qat`` train on."""
    metric: str | None = None
    budget: Budget = field(default_factory=Budget)
    precision: str = "auto"
    shapes: tuple[str, ...] = ()
    recipe: Path | None = None
    plan: Path | None = None
    golden: Path | None = None
    seed: int = 0
    trials: int = 12
    time_limit_s: float | None = None
    """Seconds after which no further candidate or trial is begun; what is best until then is proven."""
    depfile: Path | None = None
    record: Path | None = None
    """Where what was timed is written; None for beside the bundle."""
    sbom: Path | None = None
    """Where the bundle's bill of materials is written; None for nowhere."""
    trust_pickle: bool = False
    allow_nonfinite: bool = False
    keep: tuple[str, ...] = ()
    """Glob patterns of modules that must not lose channels."""
    resume: bool = True
    """Go on from checkpoints of the very same inputs; False begins anew."""
    search_settings: SearchBudget | None = None
    """How long to search for settings of the training stages first."""
    work: Path | None = None
    """Where checkpoints and trained weights are kept; None for beside ``out``, until the bundle is there."""
    cache: bool = False
    """Take what was computed before from the user's cache, and keep what is computed now."""
    explain_miss: bool = False
    """Say what is otherwise than in the nearest thing that is kept."""
    trace: bool = False
    """Measure the model after every pass too, into the record beside the bundle."""
    progress: Callable[[str, float], None] = lambda _what, _share: None
    """Takes what is being done, and the share of it that is behind."""
    log: Callable[[str], None] = _quiet
    """Takes one line of talk at a time; the command line sends it to stderr."""

    def __post_init__(self) -> None:
        problems = []
        if not self.targets:
            problems.append("no target: give at least one --target (edgewright targets lists them)")
        if self.precision not in PRECISIONS:
            problems.append(f"precision '{self.precision}' is not one of {', '.join(PRECISIONS)}")
        if self.trials < 1:
            problems.append(f"trials must be 1 or more, not {self.trials}")
        if self.time_limit_s is not None and not 0 < self.time_limit_s < math.inf:
            problems.append(f"the time limit must be above 0 s, not {self.time_limit_s:g}")
        if self.plan is not None and self.precision != "auto":
            problems.append("--plan repeats a precision that was chosen before: leave --precision out")
        if self.plan is not None and self.search_settings is not None:
            problems.append(
                "--plan repeats what was found: write found settings into the recipe, not --search-settings"
            )
        if problems:
            raise UsageError("; ".join(problems), "edgewright compile --help shows every option.")
