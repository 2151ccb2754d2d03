"""All checks of one model, in the order in which each may rely on those before it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from edgewright.compiler.intake.validate.arithmetic import check_arithmetic
from edgewright.compiler.intake.validate.constants import Constants
from edgewright.compiler.intake.validate.header import check_header
from edgewright.compiler.intake.validate.operators import check_operators
from edgewright.compiler.intake.validate.report import quoted, refuse
from edgewright.compiler.intake.validate.scopes import Scope, scopes
from edgewright.compiler.intake.validate.tensors import check_tensors, known_type
from edgewright.compiler.intake.validate.text import check_texts
from edgewright.compiler.intake.validate.values import check_finite, check_scales
from edgewright.compiler.intake.validate.wiring import check_functions, check_wiring


@dataclass(frozen=True)
class Findings:
    """What a valid model still needs or is worth saying."""

    in_order: bool
    """False when its nodes must be sorted before they can be executed in their order."""
    lines: tuple[str, ...]


def validate(model: onnx.ModelProto, folder: Path, source: str, *, allow_nonfinite: bool) -> Findings:
    """Checks a parsed model without changing it or loading its external data.

    Args:
        model: as parsed, external data not loaded.
        folder: the folder the file lies in.
        source: what messages call it.
        allow_nonfinite: let NaN and infinite weights pass, with a line about them.

    Raises:
        BadInputError: naming the file, the node or tensor, and the rule it breaks.
        UnavailableError: operators that ONNX does not have.
    """
    check_texts(model, source)
    check_header(model, source)
    all_scopes = scopes(model)
    for scope in all_scopes:
        _check_types(scope, source)
    check_functions(model, source)
    in_order = check_wiring(all_scopes, source)
    check_operators(model, all_scopes, source)
    for scope in all_scopes:
        check_tensors(scope, folder, source)
    constants = Constants(all_scopes, folder)
    check_scales(all_scopes, constants, source)
    check_arithmetic(all_scopes, constants, source)
    lines = check_finite(all_scopes, folder, source, allow_nonfinite=allow_nonfinite)
    return Findings(in_order, tuple(lines))


def _check_types(scope: Scope, source: str) -> None:
    """Declared types: element types that exist, sizes that are not negative, and types on every input."""
    if isinstance(scope.graph, onnx.FunctionProto):
        return
    for kind, values in (
        ("input", scope.graph.input),
        ("output", scope.graph.output),
        ("value", scope.graph.value_info),
    ):
        for value in values:
            what = f"{kind} {quoted(value.name)}"
            if scope.is_main and kind == "input" and value.type.WhichOneof("value") is None:
                refuse(source, f"{what} has no type")
            tensor = value.type.tensor_type
            if not value.type.HasField("tensor_type"):
                continue
            if not known_type(tensor.elem_type) and (kind != "value" or tensor.elem_type != 0):
                refuse(source, f"{what} has the unknown element type {tensor.elem_type}")
            if bad := [dim.dim_value for dim in tensor.shape.dim if dim.dim_value < 0]:
                refuse(source, f"{what} has the negative size {bad[0]}")
