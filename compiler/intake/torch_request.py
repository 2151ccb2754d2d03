"""What the parent asks the exporting child, and what it answers; both travel as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

OPSET = 20
"""What torch 2.13's exporter writes by default."""


@dataclass(frozen=True)
class ExportRequest:
    """What the child is asked to do."""

    kind: str
    """``factory``, ``pt2`` or ``pickle``."""
    text: str
    """``module:function``, or the file's path."""
    name: str
    shapes: tuple[str, ...] = ()
    opset: int = OPSET
    trust_pickle: bool = False
    program: str | None = None
    """Where to write the exported program (``.pt2``) too, for runtimes that take the torch form."""
    listen: bool = False
    """Tell which files were opened for it."""


@dataclass
class ExportAnswer:
    """What came of it. ``error`` is the class name, problem and remedy of an EdgewrightError."""

    notes: list[str] = field(default_factory=list)
    error: tuple[str, str, str] | None = None
    opened: list[str] = field(default_factory=list)
    """Absolute paths of the files that somebody may edit, where the request asks for them."""
