"""What ONNX's evaluator can take, and how it is made to take a little more."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from edgewright.backends._operators import OperatorId

if TYPE_CHECKING:
    import onnx
    import onnx.reference

_TABLES: Final[dict[str, str]] = {
    "": "onnx.reference.ops",
    "ai.onnx.ml": "onnx.reference.ops.aionnxml",
    "ai.onnx.preview": "onnx.reference.ops.aionnx_preview",
    "ai.onnx.preview.training": "onnx.reference.ops.aionnx_preview_training",
    "experimental": "onnx.reference.ops.experimental",
}
"""Domain -> the evaluator's module of its operators."""

_OLDER_SAME_AS: Final[dict[OperatorId, int]] = {("", "DequantizeLinear"): 19}
"""Operators the evaluator has from this opset on only, though what older opsets say of them means the same there."""


def evaluator(model: onnx.ModelProto) -> onnx.reference.ReferenceEvaluator:
    """The evaluator of a model, with operators of old opsets that it lacks (onnx 1.23) replaced by their successors."""
    import onnx.reference
    from onnx.reference.op_run import OpRun
    from onnx.reference.ops import load_op

    opsets = {opset.domain: opset.version for opset in model.opset_import}
    added: list[type[OpRun]] = []
    for (domain, name), since in _OLDER_SAME_AS.items():
        if opsets.get(domain, since) < since:
            found = load_op(domain, name, since)
            added.append(
                type(name, (found,), {"op_domain": domain, "op_schema": onnx.defs.get_schema(name, since, domain)})
            )
    return onnx.reference.ReferenceEvaluator(model, new_ops=added)


def has_operator(operator: OperatorId, opset: int) -> bool:
    """True when it is in the evaluator's table, or the standard defines it by other operators."""
    import onnx

    domain, name = operator
    if domain not in _TABLES:
        return False
    if onnx.defs.has(name, opset, domain):
        schema = onnx.defs.get_schema(name, opset, domain)
        if schema.has_function or schema.has_context_dependent_function:  # type: ignore[attr-defined] # not in its stubs
            return True
    if operator in _OLDER_SAME_AS and opset < _OLDER_SAME_AS[operator]:
        return True
    load_op = importlib.import_module(_TABLES[domain]).load_op
    try:
        load_op(domain, name, opset)
    except Exception:  # noqa: BLE001 - it raises several kinds for what it does not have
        return False
    return True
