"""The three disjoint sets: calibrate, select (every choice made by measuring accuracy) and prove (what is reported)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgewright.core.data import DataSet, Preprocessing, open_data, split
from edgewright.core.errors import LimitMissedError
from edgewright.core.tensors import TensorSpec

ALONE_SHARES = (0.4, 0.2, 0.4)
"""Calibrate, select, prove, when one data set has to serve all three."""
EVALUATION_SHARES = (1 / 3, 2 / 3)
"""Select and prove, of the evaluation data."""
MOST_TO_SELECT = 1000
"""More samples than this prove rather than select: every trial walks the selection set, the proof is done once."""
FEWEST_SAMPLES = 6
"""Below this a three-way split leaves a set with a single sample."""


@dataclass(frozen=True)
class DataSets:
    """What each set holds, and what the report says of how they came about."""

    calibrate: DataSet
    select: DataSet
    prove: DataSet
    notes: tuple[str, ...]


def open_sets(
    data: str | None,
    eval_data: str | None,
    specs: tuple[TensorSpec, ...],
    preprocessing: Mapping[str, Preprocessing],
    seed: int,
) -> DataSets | None:
    """Opens and divides what the user gave; None when nothing was given.

    Raises:
        BadInputError: data that is broken or does not fit the model.
        LimitMissedError: too few samples to hold three disjoint sets.
    """
    given = [text for text in (data, eval_data) if text is not None]
    if not given:
        return None
    sets = [open_data(text, specs, preprocessing) for text in given]
    notes = [warning for one in sets for warning in one.warnings]
    _require(sets[-1])
    if len(sets) == 1:
        calibrate, select, prove = split(sets[0], ALONE_SHARES, seed)
        notes.append(
            f"{sets[0].name} serves alone: {len(calibrate)} samples calibrate, {len(select)} select, {len(prove)} prove"
            " (disjoint)"
        )
        return DataSets(calibrate, select, prove, tuple(notes))
    if sets[0].digest == sets[1].digest:
        notes.append("--data and --eval-data hold the same samples: they are split like one set")
        calibrate, select, prove = split(sets[0], ALONE_SHARES, seed)
        return DataSets(calibrate, select, prove, tuple(notes))
    share = min(EVALUATION_SHARES[0], MOST_TO_SELECT / len(sets[1]))
    select, prove = split(sets[1], (share, 1 - share), seed)
    notes.append(f"{sets[1].name}: {len(select)} samples select, {len(prove)} prove (disjoint)")
    return DataSets(sets[0], select, prove, tuple(notes))


def _require(data: DataSet) -> None:
    if len(data) < FEWEST_SAMPLES:
        raise LimitMissedError(
            f"{data.name} has {len(data)} samples; proving accuracy takes at least {FEWEST_SAMPLES}, better hundreds",
            "Give more samples, or compile without data at --precision fp32.",
        )
