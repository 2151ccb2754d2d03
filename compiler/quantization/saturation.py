"""What int8 loses on CPUs that add pairs of u8 x s8 products in 16 bits, found without having such a CPU.

``vpmaddubsw`` (AVX2, AVX-512 without VNNI) multiplies unsigned by signed bytes, adds neighbours and saturates the sum
to int16: ``255 * 127 * 2 = 64770`` does not fit 32767. Weights of 7 bits never overflow: ``255 * 63 * 2 = 32130``.
Source: Intel 64 and IA-32 Architectures Software Developer's Manual, PMADDUBSW. Neighbours are neighbouring input
channels, since runtimes lay activations out channels-last for these kernels; depthwise kernels do not use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgewright.compiler.graphs import int_attribute, ints_attribute
from edgewright.compiler.pass_base import Note
from edgewright.compiler.quantization.calibration import sample_count
from edgewright.compiler.quantization.grid import Grid
from edgewright.compiler.quantization.insertion import quantized_weight
from edgewright.compiler.quantization.planning import QuantizationPlan
from edgewright.compiler.quantization.quantized_op import QuantizedOp
from edgewright.compiler.quantization.smoothing import is_depthwise
from edgewright.compiler.site import Absent, Site
from edgewright.core.tensors import Array
from edgewright.targets.schema import QuantRule

SAMPLES = 4
PRODUCTS = 1 << 20
"""Pairs of products emulated per layer and sample; more positions are skipped evenly."""
ERROR_WORTH_A_WORD = 1e-3
"""Relative error from which a layer gets a warning: about what rounding to 8 bits costs anyway."""

Codes = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Saturation:
    """What one layer would suffer."""

    layer: str
    share: float
    """Of all pairs of products, how many saturate, 0 to 1."""
    error: float
    """Root mean square of the change, relative to that of the layer's accumulated products."""


def find_saturation(plan: QuantizationPlan, site: Site) -> list[Saturation]:
    """Every layer of ``plan`` that saturates on a few calibration samples, worst first; [] where nothing can.

    Raises:
        UsageError: there are no samples, or nothing to run the model with.
    """
    rule = plan.policy.rule
    if not rule.saturates_int16 or rule.reduce_range or rule.activation != "uint8":
        return []
    layers = [op for op in plan.placement.ops if op.weight is not None and not is_depthwise(op.node)]
    if not layers:
        return []
    weights = [_weight_rows(op, plan) for op in layers]
    sums, counts = np.zeros((len(layers), 3)), np.zeros(len(layers))
    for activations in _activations(plan, layers, site):
        for index, op in enumerate(layers):
            grid, array = plan.grids[_source(op)], activations[_source(op).name or ""]
            for columns, own in _operands(op, grid, array, weights[index]):
                sums[index] += _measure(columns, own, int(grid.zero_point))
                counts[index] += 1
    found = []
    for op, (share, change, size), count in zip(layers, sums, counts, strict=True):
        if share > 0.0:
            error = float(np.sqrt(change / size)) if size > 0.0 else float("inf")
            found.append(Saturation(op.node.name or "", float(share / count), error))
    return sorted(found, key=lambda item: -item.error)


def saturation_notes(found: list[Saturation], rule: QuantRule) -> tuple[Note, ...]:
    """A warning for each layer whose error matters, or why there is none to look for."""
    if rule.saturates_int16 and rule.reduce_range:
        return (Note("did", "", "weights have 7 bits: sums of two products fit the 16 bits this CPU adds them in"),)
    return tuple(
        Note(
            "warning",
            item.layer,
            f"{item.share:.2%} of its sums saturate 16 bits on a CPU without VNNI, an error of {item.error:.1%}; "
            "use reduce_range (7-bit weights) for such a CPU",
        )
        for item in found
        if item.error >= ERROR_WORTH_A_WORD
    )


def saturated_product(columns: Codes, weights: Codes) -> tuple[Codes, Codes, float]:
    """The integer product of codes, exactly and with 16-bit saturation of neighbouring pairs.

    Args:
        columns: unsigned codes of shape (positions, K).
        weights: signed codes of shape (K, outputs).

    Returns:
        The exact product, the saturated one, both (positions, outputs), and the share of pairs that saturate.
    """
    if columns.shape[1] % 2:
        columns = np.pad(columns, ((0, 0), (0, 1)))
        weights = np.pad(weights, ((0, 1), (0, 0)))
    left, right = columns.astype(np.int32), weights.astype(np.int32)
    pairs = left[:, 0::2, None] * right[None, 0::2, :] + left[:, 1::2, None] * right[None, 1::2, :]
    clipped = np.clip(pairs, -(2**15), 2**15 - 1)
    share = float(np.mean(clipped != pairs)) if pairs.size else 0.0
    return pairs.sum(axis=1, dtype=np.int64), clipped.sum(axis=1, dtype=np.int64), share


def _measure(columns: Codes, weights: Codes, zero_point: int) -> npt.NDArray[np.float64]:
    """Share of saturated pairs, squared change, squared size of the product without the zero point's part."""
    exact, saturated, share = saturated_product(columns, weights)
    real = exact - zero_point * weights.astype(np.int64).sum(axis=0)
    change = (saturated - exact).astype(np.float64)
    return np.asarray([share, float(np.mean(change**2)), float(np.mean(real.astype(np.float64) ** 2))])


def _activations(plan: QuantizationPlan, layers: list[QuantizedOp], site: Site) -> Iterator[dict[str, Array]]:
    """What the layers read, on a few samples."""
    count = sample_count(site, SAMPLES)
    assert not isinstance(site.samples, Absent)
    assert not isinstance(site.run, Absent)
    probe = plan.model.copy()
    names = {_source(op).name for op in layers}
    graph = probe.ir.graph
    values = [
        value for value in [*graph.inputs, *(out for node in graph for out in node.outputs)] if value.name in names
    ]
    fed = {value.name or "" for value in values if value.is_graph_input()}
    graph.outputs[:] = [value for value in values if not value.is_graph_input()] or graph.outputs[:1]
    stride = max(1, len(site.samples) // count)
    picked = list(islice(site.samples, 0, stride * (count - 1) + 1, stride))
    for feeds, outputs in zip(picked, site.run(replace(probe), picked), strict=True):
        yield {**outputs, **{name: feeds[name] for name in fed}}


def _source(op: QuantizedOp) -> ir.Value:
    source = op.node.inputs[0]
    assert source is not None
    return source


def _weight_rows(op: QuantizedOp, plan: QuantizationPlan) -> list[Codes]:
    """The weight's codes as (K, outputs) per group, neighbouring input channels next to each other."""
    weight = quantized_weight(op, plan.grids[_source(op)], plan.policy)
    assert weight is not None
    codes = weight.codes.astype(np.int32)
    if op.node.op_type == "MatMul":
        return [codes]
    if op.node.op_type == "Gemm":
        return [codes.T if int_attribute(op.node, "transB", 0) else codes]
    if op.node.op_type == "ConvTranspose":
        # Each output is a sum over input channels at one kernel position: pairs are of channels.
        return [np.moveaxis(codes, 1, -1).reshape(codes.shape[0], -1)]
    rows = np.moveaxis(codes, 1, -1).reshape(codes.shape[0], -1)
    return [part.T for part in np.split(rows, int_attribute(op.node, "group", 1))]


def _operands(op: QuantizedOp, grid: Grid, array: Array, weights: list[Codes]) -> Iterator[tuple[Codes, Codes]]:
    """Code columns (positions, K) and weights (K, outputs) of each group, at evenly spaced positions."""
    codes = grid.codes(np.asarray(array, np.float32)).astype(np.int32)
    if op.node.op_type == "Conv":
        yield from _patches(op.node, codes, weights, int(grid.zero_point))
        return
    if op.node.op_type == "ConvTranspose":
        rows = np.moveaxis(codes, 1, -1).reshape(-1, codes.shape[1])
    else:
        rows = codes.reshape(-1, codes.shape[-1])
    yield rows[:: _stride(len(rows), weights[0])], weights[0]


def _patches(node: ir.Node, codes: Codes, weights: list[Codes], zero_point: int) -> Iterator[tuple[Codes, Codes]]:
    """The input patches a convolution multiplies, channels last; borders are left out unless there is nothing else."""
    weight = node.inputs[1]
    assert weight is not None
    assert weight.shape is not None
    kernel = [int(size) for size in weight.shape.numpy()[2:]]
    dilations = ints_attribute(node, "dilations") or [1] * len(kernel)
    extents = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    short = [max(0, extent - have) for extent, have in zip(extents, codes.shape[2:], strict=True)]
    codes = np.pad(codes, [(0, 0), (0, 0), *((0, lack) for lack in short)], constant_values=zero_point)
    axes = tuple(range(2, codes.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(codes, extents, axis=axes)
    steps: tuple[slice, ...] = tuple(slice(None, None, step) for step in dilations)
    windows = windows[(slice(None),) * codes.ndim + steps]
    positions = np.stack(np.unravel_index(np.arange(0, _positions(windows, axes)), _outer(windows, axes)))
    chosen = positions[:, :: _stride(positions.shape[1], weights[0]) * len(weights)]
    picked = windows[(chosen[0], slice(None), *chosen[1:])]
    columns = np.moveaxis(picked, 1, -1)
    for part, own in zip(np.split(columns, len(weights), axis=-1), weights, strict=True):
        yield part.reshape(len(part), -1), own


def _outer(windows: Codes, axes: tuple[int, ...]) -> tuple[int, ...]:
    return (windows.shape[0], *(windows.shape[axis] for axis in axes))


def _positions(windows: Codes, axes: tuple[int, ...]) -> int:
    return int(np.prod(_outer(windows, axes)))


def _stride(positions: int, weights: Codes) -> int:
    """Which positions to look at so that about PRODUCTS pairs are formed."""
    pairs = max(1, weights.size // 2)
    return max(1, -(-positions * pairs // PRODUCTS))
