"""Brings a validated model into the one form that passes work on; see :mod:`edgewright.compiler.intake.onnx_file`."""

from __future__ import annotations

import re

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from edgewright.compiler.intake.declared import Inferred
from edgewright.compiler.intake.validate.scopes import scopes

_INVENTED = re.compile(r"unk__[0-9]+")
IR_VERSION = 10
"""The oldest IR version (opset 21's) that has everything a pass may write: 4-bit types, metadata."""


def name_domains(model: onnx.ModelProto) -> None:
    """Calls the standard domain ``""`` everywhere: ONNX's own inference does not know its other name, ``ai.onnx``."""
    for part in (model, *model.functions):
        if any(item.domain == "ai.onnx" for item in part.opset_import):
            kept = {"" if item.domain == "ai.onnx" else item.domain: item.version for item in part.opset_import}
            del part.opset_import[:]
            for domain, version in kept.items():
                part.opset_import.add(domain=domain, version=version)
    for scope in scopes(model):
        for node in scope.graph.node:
            if node.domain == "ai.onnx":
                node.domain = ""


def write_defaults(model: onnx.ModelProto) -> None:
    """Writes out that STFT is one-sided by default: onnx 1.23.2's inference takes a missing ``onesided`` for 0."""
    for scope in scopes(model):
        for node in scope.graph.node:
            if node.op_type == "STFT" and node.domain == "" and all(one.name != "onesided" for one in node.attribute):
                node.attribute.append(onnx.helper.make_attribute("onesided", 1))


def tell_nodes_apart(model: ir.Model) -> int:
    """Gives nodes that share a name with an earlier one of their graph a name of their own; says how many.

    Names must be unique in a graph; some engines refuse a model for it, and everything that names layers would mix
    them up.
    """
    renamed = 0
    for graph in (model.graph, *model.graph.subgraphs()):
        taken: set[str] = set()
        names = {node.name for node in graph}
        for node in graph:
            name = node.name or ""
            if name in taken:
                count = 1
                while f"{name}_{count}" in names:
                    count += 1
                name = f"{name}_{count}"
                node.name = name
                names.add(name)
                renamed += 1
            if name:
                taken.add(name)
    return renamed


def normalise(model: ir.Model, inferred: Inferred) -> None:
    """Rewrites ``model`` in place; its numbers stay the same."""
    correct_types(model, inferred)
    if model.functions:
        common.InlinePass()(model)
    common.RemoveInitializersFromInputsPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    strip_remarks(model)
    model.ir_version = IR_VERSION


def strip_remarks(model: ir.Model) -> None:
    """Removes doc strings and the metadata of graphs, nodes and values, where exporters leave paths of their host."""
    model.doc_string = None
    for graph in (model.graph, *model.graph.subgraphs()):
        graph.doc_string = None
        graph.metadata_props.clear()
        for value in (*graph.inputs, *graph.initializers.values()):
            _strip_value(value)
        for node in graph:
            node.doc_string = None
            node.metadata_props.clear()
            for value in node.outputs:
                _strip_value(value)


def _strip_value(value: ir.Value) -> None:
    value.doc_string = None
    value.metadata_props.clear()
    if isinstance(value.const_value, ir.serde.TensorProtoTensor):
        value.const_value.raw.ClearField("doc_string")


def correct_types(model: ir.Model, inferred: Inferred) -> None:
    """Gives the main graph's tensors the types the graph itself implies, keeping declared sizes it leaves open."""
    known = {dim.value for value in model.graph.inputs for dim in value.shape or () if not isinstance(dim, int)}
    read: dict[bytes, tuple[ir.TypeProtocol | None, ir.Shape | None]] = {}  # most tensors of a graph share a few types
    for node in model.graph:
        for value in node.outputs:
            truth = inferred.types.get(value.name or "")
            if truth is None:
                continue
            key = truth.SerializeToString()
            if key not in read:
                _forget_invented(truth, known)
                read[key] = (
                    ir.serde.deserialize_type_proto_for_type(truth),
                    ir.serde.deserialize_type_proto_for_shape(truth),
                )
            kind, shape = read[key]
            declared = value.shape
            value.type = kind
            if shape is not None and declared is not None and len(declared) == len(shape):
                value.shape = ir.Shape([_merge(*pair) for pair in zip(declared, shape, strict=True)])
            elif shape is not None:
                value.shape = shape.copy()


def _merge(declared: int | ir.SymbolicDim, inferred: int | ir.SymbolicDim) -> int | ir.SymbolicDim:
    if isinstance(inferred, int):
        return inferred
    if isinstance(declared, int) or declared.value is not None:
        return declared
    return inferred


def _forget_invented(truth: onnx.TypeProto, known: set[str | None]) -> None:
    """Inference names the sizes it does not know ``unk__7``; a file may use such a name for something else, and
    engines take sizes of one name to be equal, so an invented name becomes no name."""
    for dim in truth.tensor_type.shape.dim:
        if _INVENTED.fullmatch(dim.dim_param) and dim.dim_param not in known:
            dim.ClearField("dim_param")
