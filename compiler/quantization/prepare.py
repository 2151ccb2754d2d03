"""Brings a graph into the form quantisation works on: opset 13 or later, weights as initializers, shapes, names."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir
from onnx_ir.passes import common

from edgewright.core.model import OnnxModel

FIRST_OPSET = 13
"""The first opset whose Q/DQ take one scale per channel."""


def prepare(model: OnnxModel) -> OnnxModel:
    """An equivalent copy of ``model`` that can be quantised.

    Every node of the main graph has a name afterwards, the same on every call for the same model: ``keep_float`` and
    damage ranking refer to nodes by it.
    """
    copy = _at_least(model.copy(), FIRST_OPSET)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy.ir)
    # Up to IR version 3 initializers had to be listed as inputs too; a weight that can be overridden cannot be int8.
    copy.ir.graph.inputs[:] = [value for value in copy.ir.graph.inputs if not value.is_initializer()]
    common.ShapeInferencePass()(copy.ir)
    taken = {node.name for node in copy.ir.graph if node.name}
    for index, node in enumerate(copy.ir.graph):
        if not node.name:
            name = f"{node.op_type}_{index}"
            while name in taken:
                name += "_"
            taken.add(name)
            node.name = name
    return replace(copy)


def _at_least(model: OnnxModel, opset: int) -> OnnxModel:
    """``model`` at ``opset`` or above: per-channel Q/DQ and 8-bit MaxPool need it."""
    if model.ir.opset_imports.get("", opset) >= opset:
        return model
    from onnx import version_converter

    converted = version_converter.convert_version(ir.to_proto(model.ir), opset)
    return replace(model, ir=ir.from_proto(converted))
