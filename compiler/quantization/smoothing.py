"""Evens out the channels of an activation by moving their scale from its producer into its readers' weights.

For a tensor X whose channels c are divided by s_c and whose readers' weights are multiplied by s_c, the product is
unchanged: ``W x = (W diag(s)) (diag(1/s) x)``. A producer takes 1/s into its own weights and bias, or into the affine
part of a normalisation; Relu and pooling commute with positive factors. SmoothQuant (Xiao et al., 2022, equation 4)
chooses ``s_c = peak(x_c)^a / peak(W_c)^(1-a)``; between convolutions this is cross-layer equalisation (Nagel et al.,
2019), measured on activations instead of bounded by weights.

Tensors that residual Adds join take one factor together (see ``streams.py``). That moves the weights of many layers, so
it is done only where much is gained: two bits of the activations' codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgewright.compiler.graphs import input_at, int_attribute, is_standard
from edgewright.compiler.quantization.channels import ChannelStatistics, channel_statistics
from edgewright.compiler.quantization.placement import Placement
from edgewright.compiler.quantization.prepare import numbers
from edgewright.compiler.quantization.quantized_op import QuantizedOp, is_constant
from edgewright.compiler.quantization.streams import COMMUTES, Stream, find_streams
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel

_STRONGEST = 2.0**24
"""A channel's factor stays within this of the tensor's middle one, so that no weight leaves float32's range."""
_WORTH_A_STREAM = 16.0
"""By how much the rounding noise that a stream's codes put into its readers' results has to fall: two bits."""


@dataclass(frozen=True)
class Evened:
    """One tensor whose channels were evened out; nodes go by their names."""

    tensor: str
    producer: str
    readers: tuple[str, ...]
    factor: tuple[float, ...]
    """What each channel was divided by: a power of two."""


@dataclass(frozen=True, eq=False)
class _Pair:
    """A tensor, who makes it, and the quantised operators that read it and nothing else does."""

    tensor: ir.Value
    axis: int
    producer: ir.Node
    readers: tuple[QuantizedOp, ...]


def smooth(
    model: OnnxModel, placement: Placement, site: Site, *, per_channel: frozenset[str], strength: float, limit: int
) -> list[Evened]:
    """Rescales weights of ``model`` (prepared, changed in place) where the placement's tensors allow it.

    Args:
        model: the model the placement was made for.
        placement: tells which tensors become codes.
        site: gives samples.
        per_channel: operator kinds whose weights have a scale per output channel; a producer of another kind would
            pay in its weights for what the activation gains.
        strength: the exponent a: 0 moves nothing, 1 makes all channels of an activation equally large.
        limit: the most calibration samples to use.

    Returns:
        The tensors that were evened out by themselves; those of streams are not among them.
    """
    pairs = _pairs(model.ir.graph, placement)
    pairs = [pair for pair in pairs if pair.producer.op_type in per_channel | {"LayerNormalization"}]
    streams = find_streams(placement, frozenset(pair.tensor for pair in pairs), per_channel)
    if not (pairs or streams) or strength <= 0.0:
        return []
    axes = {pair.tensor.name or "": pair.axis for pair in pairs}
    axes |= {tensor.name or "": 1 for stream in streams for tensor in stream.tensors}
    found = channel_statistics(model, axes, site, limit)
    factors = [(pair, _even_out(pair, found, strength, per_channel)) for pair in pairs]
    for stream in streams:
        _even_out_stream(stream, found, strength)
    return [
        Evened(
            pair.tensor.name or "",
            pair.producer.name or "",
            tuple(op.node.name or "" for op in pair.readers),
            tuple(factor.tolist()),
        )
        for pair, factor in factors
        if factor is not None
    ]


def _pairs(graph: ir.Graph, placement: Placement) -> list[_Pair]:
    by_node = {op.node: op for op in placement.ops}
    taken: set[ir.Node] = set()
    pairs = []
    for value in placement.grids:
        readers = tuple(dict.fromkeys(node for node, _ in value.uses()))
        ops = tuple(by_node[node] for node in readers if node in by_node)
        if value.is_graph_output() or not ops or len(ops) != len(readers) or value.shape is None:
            continue
        axis = _channel_axis(ops, len(value.shape))
        producer = _producer(value)
        if axis is None or producer is None or producer.graph is not graph or producer in taken:
            continue
        if any(op.node.inputs[0] is not value or op.weight is None for op in ops):
            continue
        taken.add(producer)
        pairs.append(_Pair(value, axis, producer, ops))
    return pairs


def _channel_axis(readers: tuple[QuantizedOp, ...], rank: int) -> int | None:
    kinds = {op.node.op_type for op in readers}
    if kinds == {"Conv"}:
        return 1
    if kinds == {"MatMul"} or (kinds == {"Gemm"} and not any(int_attribute(op.node, "transA", 0) for op in readers)):
        return rank - 1
    return None


def _producer(value: ir.Value) -> ir.Node | None:
    """The node whose constants can take a factor per channel of ``value``, seen through what commutes with it."""
    node = value.producer()
    while node is not None and is_standard(node, *COMMUTES):
        source = node.inputs[0]
        if source is None or len(source.uses()) != 1 or source.is_graph_output():
            return None
        node = source.producer()
    if node is None or not is_standard(node, "Conv", "LayerNormalization") or len(node.outputs[0].uses()) == 0:
        return None
    if node.outputs[0] is not value and (len(node.outputs[0].uses()) != 1 or node.outputs[0].is_graph_output()):
        return None
    constants = [item for item in node.inputs[1:] if item is not None]
    if not all(is_constant(item) and len(item.uses()) == 1 for item in constants):
        return None
    if node.op_type == "LayerNormalization":
        scale = input_at(node, 1)
        last = value.shape is not None and int_attribute(node, "axis", -1) in (-1, len(value.shape) - 1)
        return node if last and scale is not None and node.outputs[0] is value else None
    return node


def _even_out(
    pair: _Pair, found: Mapping[str, ChannelStatistics], strength: float, per_channel: frozenset[str]
) -> npt.NDArray[np.float64] | None:
    """Divides the channels of one tensor, in place, and gives what by; None where nothing is to be gained."""
    peak = found[pair.tensor.name or ""].peak
    weights = np.max([_input_peaks(op, peak.size) for op in pair.readers], axis=0)
    if "Conv" in per_channel and all(is_depthwise(op.node) for op in pair.readers):
        # Each of its weights' scales belongs to one input channel: what the activation gains costs nothing.
        strength = 1.0
    if any(len(op.node.inputs[op.weight or 1].uses()) != 1 for op in pair.readers):  # type: ignore[union-attr]
        return None
    factor = _factor(peak, weights, strength)
    if factor is None:
        return None
    for item in pair.producer.inputs[1:]:
        if item is not None:
            array = numbers(item)
            store(item, array / _along(factor, array.ndim, 0))
    for op in pair.readers:
        _scale_inputs(op, factor)
    return factor


def _even_out_stream(stream: Stream, found: Mapping[str, ChannelStatistics], strength: float) -> None:
    """Divides the channels of all tensors of a stream, in place, where that is worth it."""
    peak = np.max([found[tensor.name or ""].peak for tensor in stream.tensors], axis=0)
    weights = np.max([_input_peaks(op, peak.size) for op in stream.readers], axis=0)
    factor = _factor(peak, weights, strength)
    # A code is a share of the tensor's largest value, and every reader multiplies its error by a weight.
    if factor is None or _noise(peak, weights) < _WORTH_A_STREAM * _noise(peak / factor, weights * factor):
        return
    for node in stream.producers:
        for item in node.inputs[1:]:
            if item is not None:
                array = numbers(item)
                last = node.op_type == "Gemm" and array.ndim == 2 and not int_attribute(node, "transB", 0)
                store(item, array / _along(factor, array.ndim, 1 if last else 0))
    for op in stream.readers:
        _scale_inputs(op, factor)


def _noise(peak: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    return float(peak.max() ** 2 * np.sum(weights**2))


def _factor(
    peak: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], strength: float
) -> npt.NDArray[np.float64] | None:
    """What to divide each channel by, a power of two; None where nothing is to be gained."""
    live = (peak > 0.0) & (weights > 0.0)
    if live.sum() < 2:
        return None
    factor = np.ones(peak.size)
    factor[live] = peak[live] ** strength / weights[live] ** (1.0 - strength)
    middle = float(np.exp(np.mean(np.log(factor[live]))))
    factor = np.where(live, np.clip(factor / middle, 1.0 / _STRONGEST, _STRONGEST), 1.0)
    # Powers of two leave the products bit-exact.
    factor = 2.0 ** np.rint(np.log2(factor))
    return None if np.all(factor == 1.0) else factor


def _input_peaks(op: QuantizedOp, channels: int) -> npt.NDArray[np.float64]:
    """Largest magnitude of the reader's weights for each input channel."""
    assert op.weight is not None
    weight = np.abs(numbers(op.node.inputs[op.weight])).astype(np.float64)
    if op.node.op_type != "Conv":
        rows = weight.T if op.node.op_type == "Gemm" and int_attribute(op.node, "transB", 0) else weight
        return np.asarray(rows.max(axis=1), np.float64)
    groups = int_attribute(op.node, "group", 1)
    grouped = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    return np.asarray(grouped.max(axis=(1, 3)).reshape(channels), np.float64)


def _scale_inputs(op: QuantizedOp, factor: npt.NDArray[np.float64]) -> None:
    assert op.weight is not None
    value = op.node.inputs[op.weight]
    weight = numbers(value)
    assert value is not None
    if op.node.op_type == "Conv":
        groups = int_attribute(op.node, "group", 1)
        per_group = factor.reshape(groups, 1, weight.shape[1])
        grouped = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        store(value, (grouped * per_group[..., None]).reshape(weight.shape))
    elif op.node.op_type == "Gemm" and int_attribute(op.node, "transB", 0):
        store(value, weight * factor)
    else:
        store(value, weight * factor[:, None])


def store(value: ir.Value, array: npt.NDArray[np.floating]) -> None:
    """Gives an initializer of a graph of one's own new contents, float32."""
    value.const_value = ir.tensor(np.ascontiguousarray(array, np.float32), name=value.name)


def is_depthwise(node: ir.Node) -> bool:
    """True for a convolution whose output channels read one input channel each."""
    weight = input_at(node, 1)
    grouped = node.op_type == "Conv" and int_attribute(node, "group", 1) > 1
    return grouped and weight is not None and weight.shape is not None and weight.shape[1] == 1


def _along(factor: npt.NDArray[np.float64], rank: int, axis: int) -> npt.NDArray[np.float64]:
    return factor.reshape([-1 if index == axis else 1 for index in range(rank)])
