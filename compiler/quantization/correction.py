"""Takes the mean error that rounding the weights makes out of the biases (Nagel et al., 2019, section 4.2).

A layer with weights W + E computes ``W x + E x + b``. The mean of ``E x`` over the data is a constant per output
channel, ``E`` summed over the kernel times the mean of each input channel, and is subtracted from the bias. At padded
borders of a convolution that mean is slightly too large; the interior dominates.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgewright.compiler.graphs import int_attribute
from edgewright.compiler.quantization.channels import channel_statistics
from edgewright.compiler.quantization.grid import Grid
from edgewright.compiler.quantization.insertion import WeightPolicy, quantized_weight
from edgewright.compiler.quantization.placement import Placement
from edgewright.compiler.quantization.prepare import numbers
from edgewright.compiler.quantization.quantized_op import QuantizedOp
from edgewright.compiler.quantization.smoothing import store
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel


def correct_biases(
    model: OnnxModel,
    placement: Placement,
    grids: Mapping[ir.Value, Grid],
    policy: WeightPolicy,
    *,
    site: Site,
    limit: int,
) -> int:
    """Changes the float biases of ``model`` (prepared, in place) so that rounding shifts no channel's mean.

    Args:
        model: the model the placement was made for.
        placement: which layers are quantised.
        grids: of the activations.
        policy: how weights are rounded.
        site: gives samples.
        limit: the most calibration samples to use.

    Returns:
        How many layers were corrected. Layers without a bias, or whose bias others share, are not.
    """
    layers = [op for op in placement.ops if _correctable(op)]
    axes = {_source(op).name or "": 1 for op in layers}
    if not axes:
        return 0
    means = {name: found.mean for name, found in channel_statistics(model, axes, site, limit).items()}
    # All shifts first: the statistics are of the model as it is.
    shifts = [(op, _mean_error(op, grids[_source(op)], policy, means[_source(op).name or ""])) for op in layers]
    for op, shift in shifts:
        assert op.bias is not None
        bias = op.node.inputs[op.bias]
        assert bias is not None
        store(bias, numbers(bias) - shift)
    return len(shifts)


def _correctable(op: QuantizedOp) -> bool:
    if op.weight is None or op.bias is None or op.node.op_type not in ("Conv", "Gemm"):
        return False
    bias, source = op.node.inputs[op.bias], op.node.inputs[0]
    plain = not int_attribute(op.node, "transA", 0)
    return plain and bias is not None and len(bias.uses()) == 1 and source is not None and source.shape is not None


def _source(op: QuantizedOp) -> ir.Value:
    source = op.node.inputs[0]
    assert source is not None
    return source


def _mean_error(
    op: QuantizedOp, grid: Grid, policy: WeightPolicy, mean: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The mean of ``E x`` for each output channel."""
    assert op.weight is not None
    rounded = quantized_weight(op, grid, policy)
    assert rounded is not None
    error = rounded.reals.astype(np.float64) - numbers(op.node.inputs[op.weight])
    if op.node.op_type == "Gemm":
        rows = error if int_attribute(op.node, "transB", 0) else error.T
        return np.asarray(rows @ mean, np.float64)
    groups = int_attribute(op.node, "group", 1)
    summed = error.reshape(groups, error.shape[0] // groups, error.shape[1], -1).sum(axis=3)
    return np.asarray(np.einsum("goi,gi->go", summed, mean.reshape(groups, -1)).reshape(-1), np.float64)
