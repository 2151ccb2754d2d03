"""Raises a model's opset, with its weights set aside so that no message nears protobuf's 2 GiB.

Up to opset 18 onnx's own converter rewrites the operators whose meaning changed (axes that became inputs, Softmax);
from 18 on onnxscript's does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import onnx.version_converter
import onnx_ir as ir

from edgewright.compiler.graphs import opset_of, shape_of

LARGE_TENSOR_BYTES = 1000
"""Weights above this are set aside; shapes, axes and other small constants stay, because converters read them."""
_FIRST_OF_ONNXSCRIPT = 18


class OpsetError(Exception):
    """Why a model's opset cannot be raised."""


def raise_opset(model: ir.Model, wanted: int) -> ir.Model:
    """A model of opset ``wanted`` or above with the same inputs, outputs and weights; ``model`` itself when it is.

    ``model`` is used up: it may share its graph with the result.

    Raises:
        OpsetError: with the reason, when an operator cannot be carried over.
    """
    if opset_of(model) >= wanted:
        return model
    if model.functions:
        raise OpsetError("the model has local functions")
    if opset_of(model) < _FIRST_OF_ONNXSCRIPT:
        model = _by_onnx(model, min(wanted, _FIRST_OF_ONNXSCRIPT))
    if opset_of(model) < wanted:
        _by_onnxscript(model, wanted)
    model.ir_version = max(model.ir_version, 8)
    return model


def _by_onnx(model: ir.Model, wanted: int) -> ir.Model:
    names = [value.name for value in model.graph.inputs]
    with light_proto(model) as (proto, weights):
        try:
            converted = onnx.version_converter.convert_version(proto, wanted)
        except Exception as cause:  # the C++ converter raises kinds of its own
            raise OpsetError(str(cause).strip().splitlines()[-1][:200]) from cause
    result = ir.from_proto(converted)
    by_name = {value.name: value for value in result.graph.inputs}
    if not all(name in by_name for name in (*names, *weights)):
        raise OpsetError("the converter lost an input")
    for name, tensor in weights.items():
        by_name[name].const_value = tensor
        result.graph.register_initializer(by_name[name])
    result.graph.inputs[:] = [by_name[name] for name in names]
    result.metadata_props.update(model.metadata_props)
    result.producer_name, result.producer_version = model.producer_name, model.producer_version
    for domain, version in model.graph.opset_imports.items():
        result.graph.opset_imports.setdefault(domain, version)
    return result


def _by_onnxscript(model: ir.Model, wanted: int) -> None:
    from onnxscript.version_converter import convert_version

    try:
        convert_version(model, wanted)
    except Exception as cause:  # its error type is private, and adapters raise anything
        raise OpsetError(str(cause)[:200]) from cause


@contextmanager
def light_proto(model: ir.Model) -> Iterator[tuple[onnx.ModelProto, dict[str, ir.TensorProtocol]]]:
    """``model`` as a protobuf whose large weights are graph inputs instead, and those weights by name.

    ``model`` is changed while the block runs and is as it was when the block ends.
    """
    graph = model.graph
    inputs = list(graph.inputs)
    taken: dict[str, ir.Value] = {}
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.nbytes <= LARGE_TENSOR_BYTES:
            continue
        value.shape = value.shape if value.shape is not None else shape_of(tensor)
        value.type = value.type if value.type is not None else ir.TensorType(tensor.dtype)
        taken[name] = value
        del graph.initializers[name]
        if not value.is_graph_input():
            graph.inputs.append(value)
    try:
        yield ir.to_proto(model), {name: tensor for name, v in taken.items() if (tensor := v.const_value) is not None}
    finally:
        graph.inputs[:] = inputs
        for value in taken.values():
            graph.register_initializer(value)
