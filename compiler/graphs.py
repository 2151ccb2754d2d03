"""Reading a graph: constants, attributes, shapes, readers; and copies that share nothing but the weights' bytes.

Values captured by the body of an If or Loop are the same objects as in the outer graph, so ``uses()`` counts them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import numpy as np
import onnx_ir as ir

from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
MICROSOFT = "com.microsoft"


def working_copy(model: OnnxModel) -> ir.Model:
    """A graph that can be changed without the original noticing; only the weights' bytes are shared.

    ``onnx_ir``'s clone shares type and tensor objects, and renaming a value renames its tensor: both are copied here.
    """
    clone = model.ir.clone()
    for value in all_values(clone):
        if value.type is not None:
            value.type = copy.copy(value.type)
    return clone


def rename(value: ir.Value, name: str) -> None:
    """Renames ``value`` and gives it a tensor of its own, so that a model sharing the tensor keeps its name."""
    tensor = value.const_value
    if tensor is not None:
        value.const_value = retitled(tensor, name)
    value.name = name


def retitled(tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
    """The same content under another name; bytes are shared where the tensor's kind allows it."""
    if isinstance(tensor, ir.Tensor | ir.ExternalTensor | ir.StringTensor | ir.PackedTensor):
        fresh = copy.copy(tensor)
        fresh.name = name
        return fresh
    if tensor.dtype == ir.DataType.STRING:
        return ir.StringTensor(list(tensor.numpy().ravel()), shape=shape_of(tensor), name=name)
    return ir.Tensor(tensor.numpy(), dtype=tensor.dtype, shape=shape_of(tensor), name=name)


def shape_of(tensor: ir.TensorProtocol) -> ir.Shape:
    """The tensor's shape as a value of its own."""
    return ir.Shape(tensor.shape.numpy())


def all_graphs(model: ir.Model) -> list[ir.Graph]:
    """The graph, every subgraph at any depth, and the graphs of local functions."""
    functions = [graph for function in model.functions.values() for graph in (function.graph, *function.subgraphs())]
    return [model.graph, *model.graph.subgraphs(), *functions]


def all_values(model: ir.Model) -> Iterator[ir.Value]:
    """Every input, initializer and node output."""
    for graph in all_graphs(model):
        yield from graph.inputs
        yield from graph.initializers.values()
        for node in graph:
            yield from node.outputs


def is_standard(node: ir.Node | None, *op_types: str) -> bool:
    """Whether ``node`` is one of these operators of ONNX's own domain."""
    return node is not None and node.op_type in op_types and node.domain in STANDARD_DOMAINS


def uses_any(model: OnnxModel, *op_types: str) -> bool:
    """Whether any of these operators occurs in the graph or a body: cheaper to ask than to copy the graph."""
    wanted = frozenset(op_types)
    return any(node.op_type in wanted for node in model.ir.graph.all_nodes())


def constant_tensor(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor behind an initializer that nobody can override, or behind a Constant node; else None."""
    if value is None:
        return None
    if value.is_initializer():
        return None if value.is_graph_input() else value.const_value
    node = value.producer()
    if node is not None and is_standard(node, "Constant") and "value" in node.attributes:
        attribute = node.attributes["value"]
        return None if attribute.is_ref() else attribute.as_tensor()
    return None


def constant(value: ir.Value | None, largest: int | None = None) -> Array | None:
    """The constant's array, or None when it is not one, is text, or has more than ``largest`` elements."""
    tensor = constant_tensor(value)
    if tensor is None or tensor.dtype == ir.DataType.STRING or (largest is not None and tensor.size > largest):
        return None
    return np.asarray(tensor.numpy())


def scalar(value: ir.Value | None) -> float | None:
    """The number in a constant of exactly one element, or None."""
    array = constant(value, largest=1)
    return None if array is None or array.size != 1 else float(array.reshape(()).item())


def integers(value: ir.Value | None) -> list[int] | None:
    """The numbers of a constant of integers (axes, shapes, pads), or None."""
    array = constant(value, largest=64)
    return None if array is None or array.dtype.kind not in "iu" else [int(item) for item in array.ravel()]


def int_attribute(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute or its default; a reference to a function's attribute counts as absent nowhere we look."""
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else attribute.as_int()


def float_attribute(node: ir.Node, name: str, default: float) -> float:
    """A float attribute or its default."""
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else attribute.as_float()


def ints_attribute(node: ir.Node, name: str) -> list[int] | None:
    """A list attribute, or None when it is absent."""
    attribute = node.attributes.get(name)
    return None if attribute is None or attribute.is_ref() else [int(item) for item in attribute.as_ints()]


def text_attribute(node: ir.Node, name: str, default: str) -> str:
    """A text attribute or its default."""
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else attribute.as_string()


def rank(value: ir.Value | None) -> int | None:
    """Number of dimensions, or None when unknown."""
    return None if value is None or value.shape is None else len(value.shape)


def dims(value: ir.Value | None) -> list[int | str | None] | None:
    """The shape with symbols as text and unknown sizes as None; None when even the rank is unknown."""
    if value is None or value.shape is None:
        return None
    return [dim if isinstance(dim, int) else dim.value for dim in value.shape]


def same_shape(first: ir.Value, second: ir.Value) -> bool:
    """Whether both are known and equal, symbol by symbol; an unnamed unknown size equals nothing."""
    one, two = dims(first), dims(second)
    return one is not None and one == two and None not in one


def input_at(node: ir.Node, index: int) -> ir.Value | None:
    """The input, or None when it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def sole_consumer(value: ir.Value) -> ir.Node | None:
    """The one node of the same graph that reads ``value``, when nothing else does and it is no graph output."""
    uses = list(value.uses())
    producer = value.producer()
    if value.is_graph_output() or len({use.node for use in uses}) != 1:
        return None
    node = uses[0].node
    return node if producer is None or node.graph is producer.graph else None


def opset_of(model: ir.Model) -> int:
    """The version of ONNX's own operators that ``model`` imports; 1 where it imports none."""
    imports = model.graph.opset_imports
    return imports.get("", imports.get("ai.onnx", 1))


def captured_values(node: ir.Node) -> Iterable[ir.Value]:
    """The values of outer graphs that the bodies of ``node`` read."""
    for attribute in node.attributes.values():
        if attribute.is_ref() or attribute.type not in {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS}:
            continue
        graphs = [attribute.as_graph()] if attribute.type == ir.AttributeType.GRAPH else list(attribute.as_graphs())
        for graph in graphs:
            for inner in (node_ for body in (graph, *graph.subgraphs()) for node_ in body):
                yield from (value for value in inner.inputs if value is not None)
