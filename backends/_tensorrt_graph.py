"""What TensorRT is told of a model, and where in it what TensorRT says is to be found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgewright.backends._base import Unsupported
from edgewright.backends._wire import Json
from edgewright.core.errors import UnavailableError, UsageError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import TensorSpec

IO_TYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "FP8": "float8_e4m3fn",
    "BOOL": "bool",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
}
"""TensorRT's names of the types of inputs and outputs -> ours."""

_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
_NAMED = 5

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgewright.backends._tensorrt_build import Shapes


def profile_shapes(model: OnnxModel) -> Shapes:
    """For every input with open dimensions its least, usual and largest shape.

    Raises:
        UsageError: when the range of one is not known.
        UnavailableError: when not even the number of dimensions is.
    """
    shapes: Shapes = {}
    lacking = []
    for spec in model.inputs:
        if spec.shape is None:
            raise UnavailableError(
                f"input '{spec.name}' has no fixed number of dimensions", "TensorRT needs it: export it with a shape."
            )
        if spec.is_static:
            continue
        ranges = model.sizes.get(spec.name, ())
        if len(ranges) != len(spec.shape):
            lacking.append(spec)
            continue
        shapes[spec.name] = [[getattr(size, end) for size in ranges] for end in ("low", "usual", "high")]
    if lacking:
        named = ", ".join(f"'{spec.name}' ({spec.shape_text})" for spec in lacking)
        options = " ".join(f"--shape {_example(spec)}" for spec in lacking)
        raise UsageError(
            f"the sizes of {named} are open, and TensorRT builds for a stated range of sizes",
            f"Give the range, or the one size that is used: {options}",
        )
    return shapes


def place(rows: Iterable[list[Json]], model: OnnxModel) -> list[Unsupported]:
    """The parser's rows of ``[operator, node's name, node's place, reason]`` with domain and opset of the operator."""
    import onnx_ir as ir

    nodes = list(ir.traversal.RecursiveGraphIterator(model.ir.graph))
    by_name = {node.name: node for node in nodes if node.name}
    top = list(model.ir.graph)
    found = []
    for op, name, index, reason in rows:
        assert isinstance(index, int)
        node = by_name.get(str(name))
        if node is None and 0 <= index < len(top) and top[index].op_type == op:
            node = top[index]
        if node is None:
            found.append(Unsupported(str(op) or "model", str(name), str(reason)))
        else:
            found.append(Unsupported(_operator(node, model), node.name or f"-> {node.outputs[0].name}", str(reason)))
    return found


def untyped(model: OnnxModel) -> list[Unsupported]:
    """Inputs and outputs of types that TensorRT does not have; its parser takes some of them for others in silence."""
    return [
        Unsupported(f"element type {spec.dtype}", spec.name, f"TensorRT has no {role}s of this type")
        for role, specs in (("input", model.inputs), ("output", model.outputs))
        for spec in specs
        if spec.dtype not in IO_TYPES.values()
    ]


def control_flow(problem: str, model: OnnxModel) -> str:
    """The branches and loops of a model, where a builder's failure is about scopes, which are TensorRT's word for them.

    Returns:
        What to add to the message; empty where it is about something else.
    """
    import onnx_ir as ir

    nodes = [node for node in ir.traversal.RecursiveGraphIterator(model.ir.graph) if node.op_type in _CONTROL_FLOW]
    if not nodes or "scope" not in problem.lower():
        return ""
    named = ", ".join(f"{_operator(node, model)} '{node.name or ''}'" for node in nodes[:_NAMED])
    return f" (scopes are made by {named}" + (f" and {len(nodes) - _NAMED} more)" if len(nodes) > _NAMED else ")")


def _operator(node: ir.Node, model: OnnxModel) -> str:
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = model.ir.opset_imports.get(domain)
    return f"{domain}::{node.op_type}" + (f" (opset {version})" if version else "")


def _example(spec: TensorSpec) -> str:
    assert spec.shape is not None
    return f"{spec.name}=" + ",".join(str(dim) if isinstance(dim, int) else "1..8" for dim in spec.shape)
