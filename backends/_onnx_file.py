"""The ONNX file that an engine is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgewright.core.errors import UnavailableError
from edgewright.core.model import Model, OnnxModel

NEWEST_IR_VERSION = 10
"""What later versions of the format add (names of devices, element types of four bits and less) engines read without
the number; onnxruntime 1.31 refuses files above 13, and onnx 1.23 writes 14 unless it is told not to."""


def save_for_engine(model: OnnxModel, path: Path) -> list[Path]:
    """Writes the model with an IR version that released engines read; returns the files written."""
    if model.ir.ir_version > NEWEST_IR_VERSION:
        copy = model.ir.clone()
        copy.ir_version = NEWEST_IR_VERSION
        model = replace(model, ir=copy)
    return model.save(path)


def onnx_form(model: Model, backend_name: str) -> OnnxModel:
    """The model as ONNX, for backends that take nothing else.

    Raises:
        UnavailableError: when it is in torch form.
    """
    if not isinstance(model, OnnxModel):
        raise UnavailableError(
            f"{backend_name} takes models in ONNX form, '{model.name}' is a torch program", "Export it."
        )
    return model
