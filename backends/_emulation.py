"""A typed model as a CPU computes it: float16 and bfloat16 operators in float32, each result rounded to its type.

That is what the kernels of a GPU do, whose sums are float32 too; a fused kernel rounds less often than this, so what is
seen here is rather worse than the device. Codes of eight bits stay what they are; a scale of 16 bits becomes the same
number in 32.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewright.backends._base import Artifact, registry
from edgewright.core.errors import BadInputError, UnavailableError
from edgewright.core.model import OnnxModel

if TYPE_CHECKING:
    import onnx_ir as ir

ENTRY = "model.cpu.onnx"

_EXACT = frozenset(
    {
        *("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Tile", "Concat", "Split"),
        *("Slice", "Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "Pad", "DepthToSpace"),
        *("SpaceToDepth", "Relu", "Neg", "Abs", "Max", "Min", "Clip", "MaxPool", "GlobalMaxPool", "ReduceMax"),
        *("ReduceMin", "Where", "Sign", "Floor", "Ceil", "Round", "TopK", "Dropout", "Compress", "OneHot", "Trilu"),
        *("If", "Loop", "Scan", "Constant", "SequenceAt", "SequenceConstruct", "SequenceInsert", "SplitToSequence"),
        *("ReverseSequence", "CastLike", "Cast", "NonMaxSuppression"),
    }
)
"""Operators that give nothing but numbers they were given, or whose results are cast by hand."""
_TYPE_ATTRIBUTES = ("dtype", "output_dtype")


def emulated(artifact: Artifact) -> Artifact:
    """Writes the typed model of an artifact for ONNX Runtime's CPU provider; times of it say nothing.

    The file lies beside the model, or in a temporary folder where that cannot be written; it is not one of the
    artifact's files.

    Raises:
        UnavailableError: when the packages that read ONNX graphs, or ONNX Runtime, are not installed.
        BadInputError: when the types of the model's values cannot be found.
    """
    try:
        import onnx_ir as ir
    except ImportError as error:
        raise UnavailableError(f"onnx_ir cannot be imported: {error}", 'pip install "edgewright[compile]"') from error
    runtime = registry().find("onnxruntime")().probe()
    if runtime.version is None:
        raise UnavailableError(runtime.reason, runtime.remedy)
    typed = artifact.properties.get("typed", artifact.entry)
    model = ir.load(artifact.folder / typed)
    in_float32(model)
    files = OnnxModel(model, "model").save(_folder(artifact) / ENTRY)
    return Artifact(
        backend="onnxruntime",
        folder=files[0].parent,
        entry=ENTRY,
        files=tuple(file.name for file in files),
        inputs=artifact.inputs,
        outputs=artifact.outputs,
        properties={
            "execution": "sequential",
            "optimization": "none" if _has_float8(model) else "all",
            "provider": "CPUExecutionProvider",
            "spinning": "1",
        },
        versions={"onnxruntime": runtime.version},
    )


def _has_float8(model: ir.Model) -> bool:
    """ONNX Runtime (1.31) takes float8 codes for int8 when it optimises, and fails."""
    values = (*model.graph.initializers.values(), *_results(model.graph))
    return any(value.dtype is not None and value.dtype.name.startswith("FLOAT8") for value in values)


def in_float32(model: ir.Model) -> None:
    """Rewrites a model in place: 16-bit operators compute in float32, their results are rounded to their own type.

    Inputs and outputs keep their names and types.

    Raises:
        BadInputError: when the type of a value cannot be found.
    """
    import onnx_ir.passes.common as passes

    if model.functions:
        passes.InlinePass()(model)
    if any(value.dtype is None for value in _results(model.graph)):
        passes.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=False)(model)
    unknown = [value.name or "" for value in _results(model.graph) if value.type is None]
    if unknown:
        raise BadInputError(
            f"the element type of '{unknown[0]}' cannot be found ({len(unknown)} values)",
            "Export the model with types.",
        )
    _Rewriter().graph(model.graph, top=True)


class _Rewriter:
    """Walks graphs in order; ``_now`` says by which float32 value each 16-bit one has been replaced."""

    def __init__(self) -> None:
        import onnx_ir as ir

        self._half = {ir.DataType.FLOAT16, ir.DataType.BFLOAT16}
        self._float = ir.DataType.FLOAT
        self._now: dict[ir.Value, ir.Value] = {}
        self._casts = 0

    def graph(self, graph: ir.Graph, *, top: bool = False) -> None:
        import onnx_ir as ir

        kinds = [value.dtype for value in graph.outputs]
        nodes = list(graph)
        for value in graph.initializers.values():
            if value.dtype in self._half and value.const_value is not None:
                value.const_value = ir.tensor(value.const_value.numpy().astype(np.float32), name=value.name)
                value.dtype = self._float
        for value in graph.inputs:
            if value.dtype not in self._half:
                continue
            if top:
                cast = self._cast(value, self._float)
                graph.insert_before(nodes[0], cast) if nodes else graph.append(cast)
                self._now[value] = cast.outputs[0]
            else:
                value.dtype = self._float
        for node in nodes:
            self._node(graph, node)
        for index, (value, kind) in enumerate(zip(tuple(graph.outputs), kinds, strict=True)):
            if kind in self._half:
                graph.outputs[index] = self._result(graph, value, kind) if top else self._now.get(value, value)

    def _node(self, graph: ir.Graph, node: ir.Node) -> None:
        import onnx_ir as ir

        if node.op_type == "CastLike" and node.inputs[1] is not None and node.outputs[0].dtype is not None:
            # What it is like may have become float32 by now: its own result says what it casts to.
            _become_cast(node, node.outputs[0].dtype)
        for index, value in enumerate(node.inputs):
            if value in self._now:
                node.replace_input_with(index, self._now[value])
        for attribute in tuple(node.attributes.values()):
            if attribute.type == ir.AttributeType.GRAPH:
                self.graph(attribute.as_graph())
            elif attribute.type == ir.AttributeType.GRAPHS:
                for inner in attribute.as_graphs():
                    self.graph(inner)
            elif attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype in self._half:
                wide = ir.tensor(attribute.as_tensor().numpy().astype(np.float32))
                node.attributes[attribute.name] = ir.AttrTensor(attribute.name, wide)
            elif attribute.name in _TYPE_ATTRIBUTES and attribute.as_int() in self._half:
                node.attributes[attribute.name] = ir.AttrInt64(attribute.name, int(self._float))
        for value in node.outputs:
            if value.dtype in self._half:
                self._round(graph, node, value)

    def _round(self, graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
        """Follows a node by a cast to the 16-bit type and one back, as far as its result needs them."""
        kind = value.dtype
        assert kind is not None
        if node.op_type == "Cast" and node.domain in ("", "ai.onnx"):
            back = self._cast(value, self._float)
            graph.insert_after(node, back)
            self._now[value] = back.outputs[0]
            return
        value.dtype = self._float
        if node.op_type in _EXACT and node.domain in ("", "ai.onnx"):
            return
        rounded = self._cast(value, kind)
        back = self._cast(rounded.outputs[0], self._float)
        graph.insert_after(node, (rounded, back))
        self._now[value] = back.outputs[0]

    def _result(self, graph: ir.Graph, value: ir.Value, kind: ir.DataType) -> ir.Value:
        """The graph's output under its own name and type."""
        if value.dtype == kind:  # an input, or what a Cast gave
            return value
        name = value.name
        value.name = f"{name}/float32"
        last = self._cast(self._now.get(value, value), kind)
        last.outputs[0].name = name
        graph.append(last)
        return last.outputs[0]

    def _cast(self, value: ir.Value, kind: ir.DataType) -> ir.Node:
        import onnx_ir as ir

        self._casts += 1
        name = f"emulation/{self._casts}"  # given here: names made when a graph is saved can be those of a subgraph
        result = ir.Value(name=name, shape=value.shape, type=ir.TensorType(kind))
        return ir.node("Cast", [value], attributes={"to": int(kind)}, outputs=[result], name=name)


def _become_cast(node: ir.Node, kind: ir.DataType) -> None:
    import onnx_ir as ir

    node.resize_inputs(1)
    node.op_type = "Cast"
    node.attributes.clear()
    node.attributes["to"] = ir.AttrInt64("to", int(kind))


def _results(graph: ir.Graph) -> Iterator[ir.Value]:
    """Every value that a node gives, in subgraphs too; what has no name is not asked for."""
    import onnx_ir as ir

    for node in ir.traversal.RecursiveGraphIterator(graph):
        yield from (value for value in node.outputs if value.name)


def _folder(artifact: Artifact) -> Path:
    """The artifact's own, or one that goes when this process ends."""
    if os.access(artifact.folder, os.W_OK):
        return artifact.folder
    folder = Path(tempfile.mkdtemp(prefix="edgewright-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
