"""Brings a validated model into the one form that passes work on; see :mod:`edgewright.compiler.intake.onnx_file`."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from edgewright.compiler.intake.declared import Inferred

IR_VERSION = 10
"""The oldest IR version (opset 21's) that has everything a pass may write: 4-bit types, metadata."""


def normalise(model: ir.Model, inferred: Inferred, *, sort: bool) -> None:
    """Rewrites ``model`` in place; its numbers stay the same."""
    _name_domains(model)
    _correct_types(model, inferred)
    if model.functions:
        common.InlinePass()(model)
    if sort:
        model.graph.sort()
    common.RemoveInitializersFromInputsPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    strip_remarks(model)
    model.ir_version = IR_VERSION


def strip_remarks(model: ir.Model) -> None:
    """Removes doc strings and the metadata of graphs, nodes and values, where exporters leave paths of their host."""
    common.ClearMetadataAndDocStringPass()(model)
    model.doc_string = None
    for graph in (model.graph, *model.graph.subgraphs()):
        graph.doc_string = None
        graph.metadata_props.clear()
        for value in (*graph.inputs, *graph.initializers.values()):
            _strip_value(value)
        for node in graph:
            for value in node.outputs:
                _strip_value(value)


def _strip_value(value: ir.Value) -> None:
    value.doc_string = None
    value.metadata_props.clear()
    if isinstance(value.const_value, ir.serde.TensorProtoTensor):
        value.const_value.raw.ClearField("doc_string")


def _name_domains(model: ir.Model) -> None:
    """``ai.onnx`` is another name of the standard domain ``""``."""
    version = model.opset_imports.pop("ai.onnx", None)
    if version is not None:
        model.opset_imports.setdefault("", version)
    for function in model.functions.values():
        version = function.opset_imports.pop("ai.onnx", None)
        if version is not None:
            function.opset_imports.setdefault("", version)
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        for node in ir.traversal.RecursiveGraphIterator(graph):
            if node.domain == "ai.onnx":
                node.domain = ""


def _correct_types(model: ir.Model, inferred: Inferred) -> None:
    """Gives the main graph's tensors the types the graph itself implies, keeping declared sizes it leaves open."""
    for node in model.graph:
        for value in node.outputs:
            truth = inferred.types.get(value.name or "")
            if truth is None:
                continue
            declared = value.shape
            ir.serde.deserialize_value_info_proto(onnx.ValueInfoProto(name=value.name, type=truth), value)
            if declared is not None and value.shape is None:
                value.shape = declared
            elif declared is not None and value.shape is not None and len(declared) == len(value.shape):
                value.shape = ir.Shape([_merge(*pair) for pair in zip(declared, value.shape, strict=True)])


def _merge(declared: int | ir.SymbolicDim, inferred: int | ir.SymbolicDim) -> int | ir.SymbolicDim:
    if isinstance(inferred, int):
        return inferred
    if isinstance(declared, int) or declared.value is not None:
        return declared
    return inferred
