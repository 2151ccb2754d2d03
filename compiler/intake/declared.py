"""Declared shapes and types against inferred ones: where the file contradicts its own graph, the graph is right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
import onnx.shape_inference
import onnx_ir as ir

from edgewright.compiler.bounded_inference import infer_shapes
from edgewright.compiler.intake.validate.report import quoted, refuse
from edgewright.compiler.intake.validate.scopes import STANDARD_DOMAINS
from edgewright.compiler.pass_base import Note

_KEPT_BYTES = 4096
"""Constants up to this size take part in inference with their values (shapes, axes); larger ones by their type."""
_NOTES_SHOWN = 20
_FAILED_IN_BODY = re.compile(
    r"\(op_type:(\w+)[^()]*\): \[\w+\] Inference error\(s\): "
    r"\(op_type:Constant\): .* must be specified for a Constant node"
)


@dataclass(frozen=True)
class Inferred:
    """What inference knows of the main graph: tensor name -> type."""

    types: dict[str, onnx.TypeProto]


def reconcile(model: onnx.ModelProto, source: str, notes: list[Note]) -> Inferred:
    """Infers the types of all tensors of the main graph and notes every declaration they contradict.

    Raises:
        BadInputError: a node whose inputs cannot be right (shapes or types that do not fit each other).
    """
    skeleton = _skeleton(model)
    try:
        found = _infer(skeleton, strict=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())
        if not _is_about_functions(text, model):
            refuse(source, f"the shapes or types of its nodes do not fit each other: {text:.400}")
        found = _infer(skeleton, strict=False)
        notes.append(Note("warning", "", f"shapes were inferred only in part: {text:.200}"))
    inferred = _types(found)
    lies = list(_lies(model, inferred.types))
    notes.extend(lies[:_NOTES_SHOWN])
    if len(lies) > _NOTES_SHOWN:
        notes.append(Note("did", "", f"corrected {len(lies) - _NOTES_SHOWN} more declared shapes or types"))
    return inferred


def infer(model: ir.Model, *, strict: bool = False) -> Inferred:
    """Infers the types of all tensors of a validated model's main graph, as far as inference goes.

    Raises:
        ValueError: with ``strict``, when shapes or types do not fit each other.
    """
    large: list[tuple[ir.Value, ir.TensorProtocol]] = []
    for value in list(model.graph.initializers.values()):
        if value.const_value is not None and value.const_value.nbytes > _KEPT_BYTES:
            large.append((value, value.const_value))
            value.const_value = without_data(value.const_value)
    try:
        proto = ir.to_proto(model)
    finally:
        for value, tensor in large:
            value.const_value = tensor
    try:
        return _types(_infer(_skeleton(proto), strict=strict))
    except (onnx.shape_inference.InferenceError, RuntimeError) as error:
        text = " ".join(str(error).split())
        if _is_about_functions(text, proto):
            return _types(_infer(_skeleton(proto), strict=False))
        raise ValueError(text) from error


def without_data(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """A tensor of the same type and shape that serialises to a few bytes: one that claims to lie in another file."""
    shape = ir.Shape([int(dim) for dim in tensor.shape.numpy()])
    return ir.ExternalTensor("none", None, None, tensor.dtype, shape=shape, name=tensor.name or "")


def _types(found: onnx.ModelProto) -> Inferred:
    values = (*found.graph.value_info, *found.graph.output)
    return Inferred({value.name: value.type for value in values if value.type.WhichOneof("value") is not None})


def _infer(model: onnx.ModelProto, *, strict: bool) -> onnx.ModelProto:
    return infer_shapes(model, strict=strict, check_types=True)


def _is_about_functions(text: str, model: onnx.ModelProto) -> bool:
    """True when inference failed inside the body by which ONNX itself defines an operator, as it does in onnx 1.23
    for a valid MeanVarianceNormalization without axes; that says nothing about the model."""
    own = {body.name for body in model.functions}
    failed = _FAILED_IN_BODY.search(text)
    return failed is not None and failed[1] not in own


def _skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the data of its large constants, and without what it declares about anything but inputs."""
    bare = onnx.ModelProto(ir_version=max(model.ir_version, 4))
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    given = {tensor.name for tensor in model.graph.initializer}
    bare.graph.name = model.graph.name or "graph"
    bare.graph.input.extend(value for value in model.graph.input if value.name not in given)
    bare.graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in model.graph.output)
    for tensor in model.graph.initializer:
        _add_constant(bare.graph, tensor, tensor.name)
    for node in model.graph.node:
        # Also because before opset 9 Constant was for floats only, and exporters used it for shapes all the same.
        if (
            node.op_type == "Constant"
            and node.domain in STANDARD_DOMAINS
            and len(node.attribute) == 1
            and node.attribute[0].HasField("t")
        ):
            _add_constant(bare.graph, node.attribute[0].t, node.output[0])
        else:
            bare.graph.node.append(node)
    return bare


def _add_constant(graph: onnx.GraphProto, tensor: onnx.TensorProto, name: str) -> None:
    if tensor.data_location != onnx.TensorProto.EXTERNAL and tensor.ByteSize() <= _KEPT_BYTES:
        graph.initializer.append(tensor)
        graph.initializer[-1].name = name
        return
    value = graph.input.add(name=name)
    value.type.tensor_type.elem_type = tensor.data_type
    shape = value.type.tensor_type.shape
    shape.dim.extend(onnx.TensorShapeProto.Dimension(dim_value=dim) for dim in tensor.dims)


def _lies(model: onnx.ModelProto, types: dict[str, onnx.TypeProto]) -> Iterator[Note]:
    outputs = {value.name for value in model.graph.output}
    for value in (*model.graph.output, *model.graph.value_info):
        truth = types.get(value.name)
        if truth is not None and (problem := _contradiction(value.type, truth)):
            kind = "output" if value.name in outputs else "tensor"
            yield Note("did", value.name, f"corrected {kind} {quoted(value.name)}: {problem}")


def _contradiction(declared: onnx.TypeProto, inferred: onnx.TypeProto) -> str | None:
    """What the declaration says that the graph does not, or None where they can both be true."""
    if not (declared.HasField("tensor_type") and inferred.HasField("tensor_type")):
        kinds = declared.WhichOneof("value"), inferred.WhichOneof("value")
        return None if kinds[0] in (None, kinds[1]) else f"declared as {kinds[0]}, the graph makes {kinds[1]}"
    mine, real = declared.tensor_type, inferred.tensor_type
    if mine.elem_type not in (0, real.elem_type) and real.elem_type:
        name = onnx.TensorProto.DataType.Name
        return f"declared as {name(mine.elem_type)}, the graph makes {name(real.elem_type)}"
    if not (mine.HasField("shape") and real.HasField("shape")):
        return None
    have, want = (tuple(_dims(item.shape)) for item in (mine, real))
    clash = len(have) != len(want) or any(
        isinstance(one, int) and isinstance(other, int) and one != other for one, other in zip(have, want, strict=True)
    )
    shown = ["x".join(map(str, dims)) or "scalar" for dims in (have, want)]
    return f"declared as {shown[0]}, the graph makes {shown[1]}" if clash else None


def _dims(shape: onnx.TensorShapeProto) -> Iterator[int | str]:
    for dim in shape.dim:
        yield dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"
