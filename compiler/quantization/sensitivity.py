"""Where calibration shows that 8 bits cannot do: tensors that span too much, scales that float32 cannot hold.

1. A tensor of whose nonzero values most would round to zero is a mask, a sum of unlike things, or badly scaled. On some
   fifty nets whose int8 holds, at most 42 % do; on those that break, 80 % and more.
2. An accumulator's scale is that of the input times that of the weight, and must be a normal float32 number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx_ir as ir

from edgewright.compiler.quantization.calibration import Observation
from edgewright.compiler.quantization.grid import SCALE_TYPES, SMALLEST_PRODUCT, Grid
from edgewright.compiler.quantization.placement import Placement
from edgewright.compiler.quantization.prepare import numbers
from edgewright.compiler.quantization.quantized_op import QuantizedOp

LOST_SHARE = 0.6
"""Of a tensor's nonzero values; see 1."""


def unfit(
    placement: Placement,
    observed: Mapping[ir.Value, Observation],
    grids: Mapping[ir.Value, Grid],
    scales: str = "float32",
) -> dict[str, str]:
    """The operators of ``placement`` that had better stay float: name -> reason.

    Args:
        placement: what was to be quantised.
        observed: for each group's tensor, what its members were seen to hold; groups that were trained are not there.
        grids: for each tensor.
        scales: the type that scales are written in.
    """
    lost = {group: _lost(seen, grids[group]) for group, seen in observed.items()}
    found = {}
    for op in placement.ops:
        worst = max((lost.get(placement.grids[value], 0.0) for value in _touched(op, placement)), default=0.0)
        if worst > LOST_SHARE:
            found[op.node.name or ""] = f"{worst:.0%} of the values it reads or makes would round to zero"
        elif op.weight is not None and _too_small(op, grids, scales):
            found[op.node.name or ""] = f"its numbers are too small for scales in {scales}"
    return found


def _touched(op: QuantizedOp, placement: Placement) -> Iterator[ir.Value]:
    yield from op.read
    if op.output in placement.produced:
        yield op.output


def _lost(seen: Observation, grid: Grid) -> float:
    filled = int(seen.counts.sum())
    return float(seen.counts[np.abs(seen.centres) < grid.finest].sum()) / filled if filled else 0.0


def _too_small(op: QuantizedOp, grids: Mapping[ir.Value, Grid], scales: str) -> bool:
    """True when most of the weight's scales would have to be coarser than its numbers want."""
    assert op.weight is not None
    weight = np.abs(numbers(op.node.inputs[op.weight]))
    reach = float(weight.max(initial=0.0))
    if not op.read:
        return False
    return 0.0 < reach / 127 < max(SMALLEST_PRODUCT / float(grids[op.read[0]].scale), SCALE_TYPES[scales])
