"""What a graph computes, apart from what things in it are called: two models of one digest are one computation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import onnx_ir as ir

from edgewright.core.model import OnnxModel, tensor_digest

_Names = dict[ir.Value, str]


def computation_digest(model: OnnxModel) -> str:
    """SHA-256 in hex over operators, attributes, weights, opsets, and the names of inputs and outputs.

    Names of everything else, doc strings, metadata, the IR version and weights that nothing reads do not count; the
    order of the nodes does.
    """
    whole = model.ir
    parts = [_graph(whole.graph, {})]
    used = {node.domain for node in whole.graph.all_nodes()}
    opsets = whole.graph.opset_imports
    parts += [f"{domain}={opsets[domain]}" for domain in sorted(opsets) if domain in used]
    for key in sorted(whole.functions):
        function = whole.functions[key]
        parts += [str(key), _graph(function.graph, {})]
    return _digest(*parts)


def _graph(graph: ir.Graph, outer: Mapping[ir.Value, str]) -> str:
    called: _Names = dict(outer)
    called.update({value: f"input {value.name}" for value in graph.inputs})
    called.update({value: _stored(value) for value in graph.initializers.values() if value not in called})
    parts = [str([(value.name, str(value.dtype), str(value.shape)) for value in graph.inputs])]
    for place, node in enumerate(graph):
        read = ["" if value is None else called.get(value, "?") for value in node.inputs]
        attributes = [f"{name}={_attribute(one, called)}" for name, one in sorted(node.attributes.items())]
        parts.append(_digest(node.domain, node.op_type, node.overload, str(len(node.outputs)), *read, *attributes))
        called.update({value: f"node {place} {index}" for index, value in enumerate(node.outputs)})
    parts += [f"{value.name} = {called.get(value, '?')}" for value in graph.outputs]
    return _digest(*parts)


def _attribute(one: ir.Attr, called: _Names) -> str:
    if one.is_ref():
        return f"reference to {one.ref_attr_name}"
    if one.type == ir.AttributeType.GRAPH:
        return _graph(one.as_graph(), called)
    if one.type == ir.AttributeType.GRAPHS:
        return _digest(*(_graph(graph, called) for graph in one.as_graphs()))
    if one.type == ir.AttributeType.TENSOR:
        return _tensor(one.as_tensor())
    if one.type == ir.AttributeType.TENSORS:
        return _digest(*(_tensor(tensor) for tensor in one.as_tensors()))
    return f"{one.type} {one.value!r}"


def _stored(value: ir.Value) -> str:
    return "?" if value.const_value is None else _tensor(value.const_value)


def _tensor(tensor: ir.TensorProtocol) -> str:
    if tensor.dtype == ir.DataType.STRING:
        return _digest("text", str(list(tensor.shape)), str(tensor.numpy().tolist()))
    return _digest(tensor.dtype.name, str(list(tensor.shape)), tensor_digest(tensor).hex())


def _digest(*parts: str) -> str:
    hasher = hashlib.sha256()
    for part in parts:
        text = part.encode("utf-8", "surrogatepass")
        hasher.update(f"{len(text)}:".encode() + text)
    return hasher.hexdigest()
