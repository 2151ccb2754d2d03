"""Grids that quantisation-aware training found: they come in a model's metadata and are taken as they are."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgewright.compiler.pass_base import Note
from edgewright.compiler.quantization.grid import LARGEST_MAGNITUDE, LIMITS, SMALLEST_SCALE, Grid, grid_over, written
from edgewright.compiler.quantization.placement import Placement
from edgewright.compiler.torch_stage.exporting import GRIDS_KEY
from edgewright.core.errors import BadInputError
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import QuantRule

UNFIT = ""
"""Where tensors' names are keys, this one, which no tensor has, leads to the operators that were left in float."""
_LONGEST = 64 << 20
_DTYPES = ("int8", "uint8")
_NAMED = 3


@dataclass(frozen=True, eq=False)
class TrainedGrids:
    """What of a model's trained grids one plan uses."""

    groups: Mapping[ir.Value, Grid] = field(default_factory=dict)
    """Group of the placement -> the grid of its tensors, in the form the target's rule asks for."""
    notes: tuple[Note, ...] = ()


def read_grids(model: OnnxModel) -> dict[str, Grid]:
    """Tensor -> trained grid, empty for a model that was not trained with codes.

    Raises:
        BadInputError: the metadata, which anybody may have written, is not what a training leaves.
    """
    text = model.ir.metadata_props.get(GRIDS_KEY)
    if text is None:
        return {}
    try:
        return _parsed(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(
            f"the metadata '{GRIDS_KEY}' of {model.name:.100} holds no grids: {error!s:.200}",
            "Remove it from the model, or train again.",
        ) from error


def _parsed(text: str) -> dict[str, Grid]:
    if len(text) > _LONGEST:
        raise ValueError("it is too long")
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - one kind of error for all that a text may be
    if not isinstance(found.pop(UNFIT, {}), dict):
        raise ValueError("what stays float is no object")  # noqa: TRY004 - as above
    return {str(name): _grid(entry) for name, entry in found.items()}


def read_unfit(model: OnnxModel) -> dict[str, str]:
    """Operators that training left in float because calibration had found them unfit, and why.

    Raises:
        BadInputError: as :func:`read_grids`.
    """
    read_grids(model)
    found = json.loads(model.ir.metadata_props.get(GRIDS_KEY, "{}")).get(UNFIT, {})
    return {str(name): str(reason)[:200] for name, reason in found.items()}


def strip_grids(model: ir.Model) -> None:
    """Takes them out of ``model``: once its codes are written they say nothing more."""
    model.metadata_props.pop(GRIDS_KEY, None)


def use_grids(
    trained: Mapping[str, Grid],
    placement: Placement,
    graph: ir.Graph,
    rule: QuantRule,
    scales: str,
) -> TrainedGrids:
    """The grids of ``trained`` that ``placement`` has a use for, and what does not fit.

    Args:
        trained: from :func:`read_grids`.
        placement: for this target.
        graph: the prepared graph.
        rule: says which codes the target takes; a grid of others is converted through its real range.
        scales: the type scales are written in.
    """
    if not trained:
        return TrainedGrids()
    members: dict[ir.Value, list[tuple[str, Grid]]] = {}
    for value, group in placement.grids.items():
        if (grid := trained.get(value.name or "")) is not None:
            members.setdefault(group, []).append((value.name or "", grid))
    groups: dict[ir.Value, Grid] = {}
    converted: list[str] = []
    joined: list[str] = []
    for group, found in members.items():
        grids = [grid for _, grid in found]
        if any(not _alike(grids[0], other) for other in grids[1:]):
            joined.append(found[0][0])
        grid = _joined(grids)
        if not _fits(grid, rule):
            converted.append(found[0][0])
            grid = grid_over(grid.low, grid.high, rule.activation, rule.activation_symmetric, scales)
        groups[group] = Grid(written(grid.scale, scales), grid.zero_point, grid.dtype)
    return TrainedGrids(groups, (*_notes(trained, placement, graph, groups), *_changed(converted, joined, rule)))


def kept_float(trained: Mapping[str, Grid], refused: Iterable[ir.Node]) -> tuple[Note, ...]:
    """A warning where layers that were trained with codes are left in float."""
    names = [
        node.name or ""
        for node in refused
        if any(value is not None and value.name in trained for value in node.inputs[:1])
    ]
    if not trained or not names:
        return ()
    return (_note("warning", names, "trained with codes, and left in float all the same"),)


def _notes(
    trained: Mapping[str, Grid], placement: Placement, graph: ir.Graph, groups: Mapping[ir.Value, Grid]
) -> list[Note]:
    wanted = {value.name or "" for value in placement.grids}
    untrained = [value.name or "" for value, group in placement.grids.items() if group not in groups]
    present = {value.name for node in graph for value in node.outputs} | {value.name for value in graph.inputs}
    gone = [name for name in trained if name not in present]
    unused = [name for name in trained if name in present and name not in wanted]
    notes = [Note("did", "graph", f"{len(wanted) - len(untrained)} tensors have the grids they were trained with")]
    if untrained:
        notes.append(_note("skipped", untrained, "no trained grid: calibrated instead"))
    if gone:
        notes.append(_note("skipped", gone, "trained grids of tensors that no pass left: not used"))
    if unused:
        notes.append(_note("skipped", unused, "trained grids of tensors that this target does not quantise: not used"))
    return notes


def _changed(converted: Sequence[str], joined: Sequence[str], rule: QuantRule) -> list[Note]:
    notes = []
    if joined:
        notes.append(_note("warning", joined, "trained on grids of their own, share one on this target"))
    if converted:
        form = f"{'symmetric ' if rule.activation_symmetric else ''}{rule.activation}"
        notes.append(_note("warning", converted, f"trained on other codes: converted to {form} over the same range"))
    return notes


def _note(kind: str, names: Sequence[str], text: str) -> Note:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return Note(kind, names[0], f"{', '.join(name[:60] for name in names[:_NAMED])}{more}: {text}")


def _grid(entry: object) -> Grid:
    if not isinstance(entry, list) or len(entry) != 3:
        raise ValueError("an entry is not [scale, zero point, dtype]")
    scale, zero, dtype = entry
    if dtype not in _DTYPES:
        raise ValueError(f"codes of type {str(dtype)[:40]!r}")
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale):
        raise ValueError(f"a scale of {str(scale)[:40]}")
    if not SMALLEST_SCALE <= scale <= LARGEST_MAGNITUDE:
        raise ValueError(f"a scale of {scale:g}")
    low, high = LIMITS[dtype]
    if isinstance(zero, bool) or not isinstance(zero, int) or not low <= zero <= high:
        raise ValueError(f"a zero point of {str(zero)[:40]}")
    return Grid(np.asarray(scale, np.float32), np.asarray(zero, np.int64), dtype)


def _joined(grids: Sequence[Grid]) -> Grid:
    """The grid of tensors that share one: over all their ranges where these differ."""
    first = grids[0]
    if all(_alike(first, other) for other in grids[1:]):
        return first
    low, high = min(grid.low for grid in grids), max(grid.high for grid in grids)
    return grid_over(low, high, first.dtype, _is_symmetric(first))


def _alike(one: Grid, other: Grid) -> bool:
    return (float(one.scale), int(one.zero_point), one.dtype) == (
        float(other.scale),
        int(other.zero_point),
        other.dtype,
    )


def _fits(grid: Grid, rule: QuantRule) -> bool:
    return grid.dtype == rule.activation and (_is_symmetric(grid) or not rule.activation_symmetric)


def _is_symmetric(grid: Grid) -> bool:
    return int(grid.zero_point) == (sum(LIMITS[grid.dtype]) + 1) // 2
