"""Counts multiply-accumulates from shapes: what a model asks for, not how long it takes.

One multiply-accumulate is one product that is added to a sum. Sources: the ONNX operator specifications; a convolution
makes each output element from ``C/group * prod(kernel)`` products, a matrix product from ``K``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import onnx
import onnx_ir as ir

from edgewright.compiler.graphs import input_at, int_attribute
from edgewright.compiler.opset import light_proto
from edgewright.core.model import OnnxModel

Sizes = list[int]
Shape = Callable[[ir.Node, int], Sizes]
"""Sizes of a node's input at an index, -1 being its first output; raises LookupError where they are not known."""

_UNCOUNTED = frozenset({"Attention", "DeformConv", "Einsum", "GroupQueryAttention", "MultiHeadAttention"})
_CONTROL = frozenset({"If", "Loop", "Scan", "SequenceMap"})


@dataclass(frozen=True)
class MacCount:
    """Multiply-accumulates of one inference."""

    total: int | None
    """None when no node that has any could be counted."""
    complete: bool
    """False when nodes were left out, so that ``total`` is a lower bound."""
    by_op: Mapping[str, int]
    notes: tuple[str, ...]
    """What is left out or assumed."""


def count_macs(model: OnnxModel) -> MacCount:
    """Counts convolutions, matrix products and recurrent layers.

    A dynamic first dimension of the model's inputs is taken as 1; other dynamic sizes are left as they are, and nodes
    that depend on them are counted as unknown.
    """
    notes: list[str] = []
    graph = _inferred(model, notes)
    counts: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    uncounted: Counter[str] = Counter()
    inside = recurrent = 0
    for node in ir.traversal.RecursiveGraphIterator(graph):
        rule = _RULES.get(node.op_type)
        if rule is None:
            uncounted.update([node.op_type] if node.op_type in _UNCOUNTED else [])
            continue
        try:
            counts[node.op_type] += rule(node, _sizes)
        except LookupError:
            unknown[node.op_type] += 1
            continue
        inside += node.graph is not graph
        recurrent += rule is _recurrent
    if inside:
        notes.append(f"{inside} nodes stand in bodies of {', '.join(sorted(_CONTROL))}: each is counted once")
    if recurrent:
        notes.append("recurrent layers: matrix products only, for the longest sequence")
    notes += [f"{number} {kind} not counted: sizes unknown until the model runs" for kind, number in unknown.items()]
    notes += [f"{number} {kind} not counted: no rule" for kind, number in uncounted.items()]
    complete = not unknown and not uncounted
    total = sum(counts.values()) if counts or complete else None
    return MacCount(total, complete, MappingProxyType(dict(sorted(counts.items()))), tuple(notes))


@dataclass(frozen=True)
class CountedNode:
    """A node that multiplies, in a copy of the graph whose types and sizes are as far known as onnx infers them."""

    node: ir.Node
    macs: int | None
    """Of one run of the node; None where a size is unknown until the model runs, or the kind has no rule."""


def counted_nodes(model: OnnxModel) -> Iterator[CountedNode]:
    """The convolutions, matrix products, recurrent layers and attentions of ``model``, bodies included, in order."""
    for node in ir.traversal.RecursiveGraphIterator(_inferred(model, [])):
        rule = _RULES.get(node.op_type)
        if rule is None and node.op_type not in _UNCOUNTED:
            continue
        try:
            yield CountedNode(node, None if rule is None else rule(node, _sizes))
        except LookupError:
            yield CountedNode(node, None)


def _inferred(model: OnnxModel, notes: list[str]) -> ir.Graph:
    """The graph with the shapes that onnx infers once dynamic batches are 1."""
    work = model.copy().ir
    with light_proto(work) as (proto, _):
        renamed = _fix_batches(proto, {spec.name for spec in model.inputs})
        if renamed:
            notes.append(f"taken as 1: {', '.join(renamed)}")
        try:
            inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=False, data_prop=True)
        except Exception as error:  # noqa: BLE001 - the C++ inference raises kinds of its own
            notes.append(f"onnx's shape inference failed: {str(error).strip()[:200]}")
            inferred = proto
        return ir.from_proto(inferred).graph


def _fix_batches(proto: onnx.ModelProto, names: set[str]) -> list[str]:
    """Sets dynamic first dimensions of inputs, and every dimension of the same symbol, to 1; forgets inner shapes."""
    symbols, shown = set(), []
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in names and dims and dims[0].WhichOneof("value") != "dim_value":
            shown.append(f"{value.name}[0]")
            symbols.update({dims[0].dim_param} - {""})
            dims[0].dim_value = 1
    for value in proto.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in symbols:
                dim.dim_value = 1
    if shown:
        del proto.graph.value_info[:]
        for value in proto.graph.output:
            value.type.tensor_type.ClearField("shape")
    return shown


def _sizes(node: ir.Node, index: int) -> Sizes:
    value = node.outputs[0] if index < 0 else input_at(node, index)
    if value is None or value.shape is None:
        raise LookupError(node.name)
    sizes = [dim for dim in value.shape if isinstance(dim, int)]
    if len(sizes) != len(value.shape):
        raise LookupError(node.name)
    return sizes


def _conv(weight: int) -> Callable[[ir.Node, Shape], int]:
    return lambda node, shape: math.prod(shape(node, -1)) * math.prod(shape(node, weight)[1:])


def _conv_transpose(node: ir.Node, shape: Shape) -> int:
    return math.prod(shape(node, 0)) * math.prod(shape(node, 1)[1:])


def _matmul(node: ir.Node, shape: Shape) -> int:
    first = shape(node, 0)
    if not first:
        raise LookupError(node.name)
    transposed = int_attribute(node, "transA", 0) != 0 and len(first) > 1
    return math.prod(shape(node, -1)) * first[-2 if transposed else -1]


def _recurrent(node: ir.Node, shape: Shape) -> int:
    steps = math.prod(shape(node, 0)[:2])
    return steps * (math.prod(shape(node, 1)) + math.prod(shape(node, 2)))


_RULES: Mapping[str, Callable[[ir.Node, Shape], int]] = MappingProxyType(
    {
        **dict.fromkeys(("Conv", "FusedConv", "ConvInteger"), _conv(1)),
        "QLinearConv": _conv(3),
        "ConvTranspose": _conv_transpose,
        **dict.fromkeys(("Gemm", "FusedGemm", "QGemm", "MatMul", "FusedMatMul"), _matmul),
        **dict.fromkeys(("MatMulInteger", "QLinearMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"), _matmul),
        **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    }
)
