"""Evaluates single nodes on constants with onnx's reference evaluator, and says beforehand how large the result is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import onnx
import onnx_ir as ir

from edgewright.compiler.graphs import constant_tensor, shape_of
from edgewright.core.tensors import Array

_CONTROL = "its body may run any number of times"
_RANDOM = "it draws random numbers"
_QUANTISED = "a quantised model stays quantised"
_SLOW = "the reference evaluator is slow at it"
_NOT_A_TENSOR = "its result is no tensor"

UNFOLDABLE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), _CONTROL),
        **dict.fromkeys(
            (
                "RandomNormal",
                "RandomNormalLike",
                "RandomUniform",
                "RandomUniformLike",
                "Multinomial",
                "Bernoulli",
                "Dropout",
            ),
            _RANDOM,
        ),
        **dict.fromkeys(
            (
                "QuantizeLinear",
                "DequantizeLinear",
                "DynamicQuantizeLinear",
                "QLinearConv",
                "QLinearMatMul",
                "ConvInteger",
                "MatMulInteger",
            ),
            _QUANTISED,
        ),
        **dict.fromkeys(
            ("Conv", "ConvTranspose", "DeformConv", "LSTM", "GRU", "RNN", "Einsum", "DFT", "STFT", "Attention"), _SLOW
        ),
        **dict.fromkeys(
            (
                "SequenceConstruct",
                "SequenceEmpty",
                "SequenceInsert",
                "SequenceErase",
                "SequenceAt",
                "SequenceLength",
                "ConcatFromSequence",
                "SplitToSequence",
                "Optional",
                "OptionalGetElement",
                "OptionalHasElement",
            ),
            _NOT_A_TENSOR,
        ),
    }
)
"""Operators that are never evaluated at compile time, each with the reason."""

_BOUNDED_BY_INPUT = MappingProxyType({"NonZero": 8, "Compress": 1, "Unique": 4, "TopK": 2, "StringNormalizer": 1})
"""Operators whose output's size depends on the data: at most so many times their largest input."""
_LARGEST_SHAPE_INPUT = 1024


def predicted_bytes(node: ir.Node, opset: int) -> int | None:
    """Bytes of all outputs of a node whose inputs are constants, without computing them; None when nobody can tell."""
    tensors: dict[str, ir.TensorProtocol] = {}
    for value in node.inputs:
        tensor = constant_tensor(value)
        if value is not None and value.name and tensor is not None:
            tensors[value.name] = tensor
    if node.op_type in _BOUNDED_BY_INPUT:
        largest = max((tensor.nbytes * max(1, len(tensor.shape)) for tensor in tensors.values()), default=0)
        return largest * _BOUNDED_BY_INPUT[node.op_type]
    types, data = {}, {}
    for name, tensor in tensors.items():
        types[name] = onnx.helper.make_tensor_type_proto(tensor.dtype.value, tensor.shape.numpy())
        if tensor.size <= _LARGEST_SHAPE_INPUT and tensor.dtype != ir.DataType.STRING:
            data[name] = onnx.numpy_helper.from_array(np.asarray(tensor.numpy()), name)
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
        made = onnx.shape_inference.infer_node_outputs(
            schema, ir.to_proto(node), types, data, opset_imports=[onnx.helper.make_opsetid("", opset)]
        )
    except Exception:  # noqa: BLE001 - inference raises kinds of its own; without an answer nothing is folded
        return None
    total = 0
    for output in node.outputs:
        if not output.name:
            continue
        if output.name not in made or not made[output.name].HasField("tensor_type"):
            return None
        kind = made[output.name].tensor_type
        if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
            return None
        itemsize = ir.DataType(kind.elem_type).itemsize if kind.elem_type != onnx.TensorProto.STRING else 16
        # Python's integers do not overflow, whatever the shape claims.
        total += math.prod(dim.dim_value for dim in kind.shape.dim) * max(1, math.ceil(itemsize))
    return total


def evaluate(node: ir.Node, opset: int) -> list[Array] | str:
    """The node's outputs (unnamed ones as empty arrays), or why they cannot be had."""
    feeds: dict[str, Array] = {}
    inputs: list[onnx.ValueInfoProto] = []
    for value in node.inputs:
        tensor = constant_tensor(value)
        if value is None or tensor is None or not value.name or value.name in feeds:
            continue
        feeds[value.name] = np.asarray(tensor.numpy())
        inputs.append(
            onnx.helper.make_tensor_value_info(value.name, tensor.dtype.value, list(shape_of(tensor).numpy()))
        )
    names = [output.name for output in node.outputs if output.name]
    graph = onnx.helper.make_graph(
        [ir.to_proto(node)], "one", inputs, [onnx.helper.make_empty_tensor_value_info(name) for name in names]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    try:
        from onnx.reference import ReferenceEvaluator

        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            results = dict(zip(names, ReferenceEvaluator(model).run(None, feeds), strict=True))
    except Exception as cause:  # noqa: BLE001 - the evaluator raises anything for what it does not implement
        return f"the reference evaluator failed ({type(cause).__name__}: {str(cause)[:100]})"
    arrays = [results.get(output.name or "", np.zeros(0, np.float32)) for output in node.outputs]
    if not all(isinstance(array, np.ndarray | np.generic) for array in arrays):
        return "its result is no tensor"
    return [np.asarray(array) for array in arrays]
