"""Raises a model's opset where a pass needs a newer one."""

from __future__ import annotations

import logging

import onnx
import onnx.version_converter
import onnx_ir as ir

from edgewright.compiler.intake.declared import infer, without_data
from edgewright.compiler.intake.normalise import normalise
from edgewright.compiler.pass_base import Note
from edgewright.core.model import OnnxModel

_KEPT_BYTES = 4096
_FIRST_OF_ONNXSCRIPT = 18
"""onnxscript's converter, which works on the IR itself, starts here; before that ONNX's own is asked."""


def upgrade_opset(model: OnnxModel, minimum: int, notes: list[Note] | None = None) -> OnnxModel:
    """The model in opset ``minimum``, or ``model`` itself where it is there already or cannot be converted.

    Args:
        model: stays as it is.
        minimum: the opset a pass needs, up to 25.
        notes: takes a line about what happened.
    """
    said: list[Note] = [] if notes is None else notes
    have = model.ir.opset_imports.get("", 0)
    if have >= minimum:
        return model
    try:
        converted = _convert(model, have, minimum)
    except Exception as error:  # noqa: BLE001 - the converters fail in many types, and the model is kept then
        cause = error.__cause__ or error
        text = " ".join(str(cause).split())
        said.append(
            Note("skipped", model.name, f"opset {have} stays, it cannot be converted to {minimum}: {text:.300}")
        )
        return model
    said.append(Note("did", model.name, f"converted opset {have} to {minimum}"))
    return converted


def _convert(model: OnnxModel, have: int, minimum: int) -> OnnxModel:
    copy = model.copy()
    if have < _FIRST_OF_ONNXSCRIPT:
        copy = OnnxModel(_convert_by_onnx(copy.ir, min(minimum, _FIRST_OF_ONNXSCRIPT)), model.name)
    if minimum > copy.ir.opset_imports[""]:
        _convert_by_onnxscript(copy.ir, minimum)
    if copy.ir.opset_imports[""] != minimum:
        raise ValueError("the converter stopped half-way")
    normalise(copy.ir, infer(copy.ir))
    return copy


def _convert_by_onnxscript(model: ir.Model, minimum: int) -> None:
    import onnxscript.version_converter

    logging.getLogger("onnxscript.version_converter").setLevel(logging.ERROR)
    onnxscript.version_converter.convert_version(model, target_version=minimum, fallback=False)


def _convert_by_onnx(model: ir.Model, version: int) -> ir.Model:
    """ONNX's converter serialises the model, so large weights stay behind and are given back by name."""
    weights = {name: value.const_value for name, value in model.graph.initializers.items()}
    for value in model.graph.initializers.values():
        if value.const_value is not None and value.const_value.nbytes > _KEPT_BYTES:
            value.const_value = without_data(value.const_value)
    proto = ir.to_proto(model)
    # The converter (onnx 1.23) knows initializers only when they are inputs as well.
    converted = ir.from_proto(onnx.version_converter.convert_version(proto, version))
    for name, value in converted.graph.initializers.items():
        if weights.get(name) is not None:
            value.const_value = weights[name]
    return converted
