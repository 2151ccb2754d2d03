"""Brings a graph into the form quantisation works on: opset 13 or later, weights as initializers, shapes, names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from edgewright.compiler.graphs import integers, is_standard, opset_of, sole_consumer, working_copy
from edgewright.compiler.intake.opset import upgrade_opset
from edgewright.core.errors import UnavailableError
from edgewright.core.model import OnnxModel

FIRST_OPSET = 13
"""The first opset whose Q/DQ take one scale per channel."""
TYPED_OPSET = 19
"""The first whose Q/DQ have 16-bit scales and float8 codes: https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html"""
_TYPED_IR = 9
"""The IR version of that opset, which brought float8."""


def prepare(model: OnnxModel, *, opset: int = FIRST_OPSET, least: int = FIRST_OPSET) -> OnnxModel:
    """An equivalent copy of ``model`` that can be quantised, the same for every scheme: they share one calibration.

    Every node of the main graph has a name afterwards, the same on every call for the same model: ``keep_float`` and
    damage ranking refer to nodes by it. Means over height and width are written as GlobalAveragePool, which runtimes
    have an integer kernel for.

    Args:
        model: stays as it is.
        opset: what the result has at least, where the model can be converted.
        least: what it must have.

    Raises:
        UnavailableError: the model's opset is too old and cannot be raised.
    """
    upgraded = upgrade_opset(model, opset)
    if opset_of(upgraded.ir) < least < opset:
        upgraded = upgrade_opset(model, least)
    if opset_of(upgraded.ir) < least:
        raise UnavailableError(
            f"its codes need opset {least}, and {model.name} of opset {opset_of(model.ir)} cannot be converted",
            "Export the model again with a newer opset, or compile in float.",
        )
    copy = working_copy(upgraded)
    if opset_of(copy) >= TYPED_OPSET:
        copy.ir_version = max(copy.ir_version or 0, _TYPED_IR)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy)
    # Up to IR version 3 initializers had to be listed as inputs too; a weight that can be overridden cannot be int8.
    copy.graph.inputs[:] = [value for value in copy.graph.inputs if not value.is_initializer()]
    common.ShapeInferencePass(check_type=False, strict_mode=False)(copy)
    _pool_means(copy.graph)
    _flatten_biases(copy.graph)
    _name_nodes(copy.graph)
    return replace(model, ir=copy)


def _name_nodes(graph: ir.Graph) -> None:
    taken = {node.name for node in graph if node.name}
    for index, node in enumerate(graph):
        if not node.name:
            name = f"{node.op_type}_{index}"
            while name in taken:
                name += "_"
            taken.add(name)
            node.name = name


def _pool_means(graph: ir.Graph) -> None:
    """``ReduceMean`` over the last two of four axes is ``GlobalAveragePool``, and ``Flatten`` where it drops them."""
    for node in list(graph):
        if not is_standard(node, "ReduceMean") or node.inputs[0] is None or node.outputs[0].is_graph_output():
            continue
        source, result = node.inputs[0], node.outputs[0]
        axes = node.attributes.get_ints("axes", None) if len(node.inputs) < 2 else integers(node.inputs[1])
        if axes is None or source.shape is None or len(source.shape) != 4:
            continue
        if sorted(axis % 4 for axis in axes) != [2, 3] or not _feeds_matrix(result):
            continue
        pool = ir.node("GlobalAveragePool", [source], name=node.name)
        pool.outputs[0].name = f"{result.name}_pooled"
        pool.outputs[0].type = source.type
        pool.outputs[0].shape = ir.Shape([*source.shape[:2], 1, 1])
        last = pool
        if not node.attributes.get_int("keepdims", 1):
            last = ir.node("Flatten", [pool.outputs[0]], {"axis": 1}, name=f"{node.name}_flatten")
        graph.insert_before(node, [pool] if last is pool else [pool, last])
        name = result.name
        result.name = f"{name}_mean"
        last.outputs[0].name, last.outputs[0].type, last.outputs[0].shape = name, result.type, result.shape
        result.replace_all_uses_with(last.outputs[0])
        graph.remove(node, safe=True)


def _flatten_biases(graph: ir.Graph) -> None:
    """A Gemm's constant bias of one row, or of one number, becomes one number per column: what int8 kernels take."""
    made: dict[tuple[ir.Value, int], ir.Value] = {}
    for node in graph:
        if not is_standard(node, "Gemm") or len(node.inputs) < 3:
            continue
        weight, bias = node.inputs[1], node.inputs[2]
        if bias is None or bias.const_value is None or bias.producer() is not None or bias.is_graph_input():
            continue
        if weight is None or weight.shape is None or not weight.shape.is_static() or len(weight.shape) != 2:
            continue
        columns = weight.shape.numpy()[0 if node.attributes.get_int("transB", 0) else 1]
        shape = bias.const_value.shape.numpy()
        if shape == (columns,) or shape not in ((1, columns), (1, 1), (1,), ()):
            continue
        if (bias, columns) not in made:
            name = f"{bias.name}_per_column"
            while name in graph.initializers:
                name += "_"
            row = np.broadcast_to(bias.const_value.numpy().reshape(-1), (columns,))
            tensor = ir.tensor(np.ascontiguousarray(row), name=name)
            value = ir.Value(name=name, shape=ir.Shape(row.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
            made[bias, columns] = value
            graph.register_initializer(made[bias, columns])
        node.replace_input_with(2, made[bias, columns])


def _feeds_matrix(value: ir.Value) -> bool:
    """True when a matrix product or convolution reads the mean: then codes pay."""
    reader = sole_consumer(value)
    while reader is not None and is_standard(reader, "Reshape", "Flatten", "Squeeze"):
        reader = sole_consumer(reader.outputs[0])
    return is_standard(reader, "Gemm", "MatMul", "Conv")


def numbers(value: ir.Value | None) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The contents of an initializer, float32."""
    assert value is not None
    assert value.const_value is not None
    return np.asarray(value.const_value.numpy(), np.float32)
