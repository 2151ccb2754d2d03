"""What training made of the model: candidates start from it instead of the original, and are judged against that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgewright.compiler.journal import JournalEntry
from edgewright.core.model import OnnxModel
from edgewright.driver.choice import Choice

RECOVERED, QAT = "recovered", "qat"


@dataclass(frozen=True)
class Variant:
    """A model that candidates start from, and how it came about."""

    name: str
    """``recovered`` (pruned, distilled, in float) or ``qat`` (its weights trained for int8, its ranges with them)."""
    model: OnnxModel
    entries: tuple[JournalEntry, ...]
    """The journal of what was done to it, from the original on."""
    drop: float | None
    """The metric's drop on the selection set, in float; None where nothing was judged."""
    widths: tuple[str, ...] = ()
    """What pruning left of each group, as its option ``widths`` takes it: a plan repeats that."""


def varied(choices: Sequence[Choice], variants: Sequence[Variant], *, trained_first: bool) -> list[Choice]:
    """``choices`` from the original and from every variant that is made for them.

    Weights that were trained for int8 are for int8 alone. Without ``trained_first`` the original comes first: of equals
    the simpler one is taken.
    """
    found = list(choices)
    for variant in variants:
        fitting = [one for one in choices if variant.name != QAT or one.precision == "int8"]
        more = [replace(one, variant=variant.name, widths=variant.widths) for one in fitting]
        found = [*more, *found] if trained_first else [*found, *more]
    return found
