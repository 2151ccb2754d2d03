"""Versions: what the file says it is written in."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from edgewright.compiler.intake.validate.report import quoted, refuse
from edgewright.compiler.intake.validate.scopes import STANDARD_DOMAINS

MIN_OPSET, MAX_OPSET = 7, 25
MIN_IR_VERSION, MAX_IR_VERSION = 3, 14
"""IR 3 is that of opset 7, IR 13 that of opset 25, but onnx 1.23 writes 14 unless told otherwise
(onnx/docs/Versioning.md)."""


def check_header(model: onnx.ModelProto, source: str) -> None:
    """Checks the graph's presence, ``ir_version`` and ``opset_import``, also of functions.

    Raises:
        BadInputError: naming the supported range.
    """
    if not model.HasField("graph"):
        refuse(source, "has no graph, so it is not an ONNX model", "Copy or export the model again.")
    if not MIN_IR_VERSION <= model.ir_version <= MAX_IR_VERSION:
        refuse(
            source,
            f"ir_version {model.ir_version} is outside of {MIN_IR_VERSION} to {MAX_IR_VERSION}",
            f"Export the model again with an opset of {MIN_OPSET} to {MAX_OPSET}.",
        )
    _check_imports(model.opset_import, source)
    for function in model.functions:
        _check_imports(function.opset_import, f"{source}: function {quoted(function.name)}")


def _check_imports(imports: Sequence[onnx.OperatorSetIdProto], source: str) -> None:
    if not imports:
        refuse(source, "has no opset_import", f"Export the model again with an opset of {MIN_OPSET} to {MAX_OPSET}.")
    seen: dict[str, int] = {}
    for item in imports:
        domain = "" if item.domain in STANDARD_DOMAINS else item.domain
        if seen.setdefault(domain, item.version) != item.version:
            refuse(source, f"imports domain {quoted(domain)} as version {seen[domain]} and as {item.version}")
        if domain == "" and not MIN_OPSET <= item.version <= MAX_OPSET:
            refuse(
                source,
                f"opset {item.version} is outside of {MIN_OPSET} to {MAX_OPSET}",
                f"Export the model again with an opset of {MIN_OPSET} to {MAX_OPSET}.",
            )
        if item.version < 1:
            refuse(source, f"imports domain {quoted(domain)} as version {item.version}, versions start at 1")
