"""What one search for the guilty is asked to do, as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgewright.core.errors import CannotWriteError, UsageError
from edgewright.driver.request import PRECISIONS

SAMPLES = 8
"""Every tensor of each is held in memory for a moment."""
CHECK_SECONDS = 60.0


def _quiet(_line: str) -> None:
    """Drops a line of talk."""


@dataclass(frozen=True)
class BlameRequest:
    """The words of ``edgewright blame``, parsed.

    Args:
        subject: a model, or a bundle.
        against: the model that the bundle was compiled from.
        check: a command that is called with a model and its inputs and fails where they do.
        out: a folder for the smallest piece that still fails.
    """

    subject: str
    target: str = "native/onnxruntime"
    data: str | None = None
    eval_data: str | None = None
    metric: str | None = None
    precision: str = "auto"
    recipe: Path | None = None
    against: str | None = None
    check: str | None = None
    check_seconds: float = CHECK_SECONDS
    """How long one call may take."""
    samples: int = SAMPLES
    """What errors of answers and layers are over; the metric is over all samples of the proof set."""
    out: Path | None = None
    shapes: tuple[str, ...] = ()
    seed: int = 0
    trust_pickle: bool = False
    allow_nonfinite: bool = False
    log: Callable[[str], None] = _quiet
    """Takes one line of talk at a time."""

    def __post_init__(self) -> None:
        problems = []
        if self.precision not in PRECISIONS:
            problems.append(f"precision '{self.precision}' is not one of {', '.join(PRECISIONS)}")
        if not 1 <= self.samples <= 1024:
            problems.append(f"--samples must be 1 to 1024, not {self.samples}")
        if not 0 < self.check_seconds <= 86400:
            problems.append(f"--check-seconds must be above 0 and at most a day, not {self.check_seconds:g}")
        if self.check is not None and not self.check.strip():
            problems.append("--check is empty")
        if problems:
            raise UsageError("; ".join(problems), "edgewright blame --help shows every option.")

    def require_room(self) -> None:
        """Lets through a folder that is not there yet, or is empty.

        Raises:
            CannotWriteError: saying what stands in the way.
        """
        if self.out is None:
            return
        if self.out.is_dir() and any(self.out.iterdir()):
            raise CannotWriteError(f"{self.out} is not empty", "Give -o a folder that is new or empty.")
        if self.out.exists() and not self.out.is_dir():
            raise CannotWriteError(f"{self.out} is a file; -o names a folder", "Give -o another name.")
        if not self.out.parent.is_dir():
            raise CannotWriteError(f"the folder {self.out.parent} does not exist", f"Type: mkdir -p {self.out.parent}")
