"""What stayed float and why, in a few lines, and how much of the model's work is int8."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import int_attribute
from edgewright.compiler.pass_base import Note
from edgewright.compiler.quantization.operators import OPERATORS, Role
from edgewright.targets.schema import QuantScheme

_NAMED = 3
"""So many nodes are named in a note about more of them."""
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_BODIES = frozenset({"If", "Loop", "Scan"})
_INTEGER = frozenset({"QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger"})
_FLOAT_ONLY = frozenset(
    {
        "Attention",
        "DeformConv",
        "Einsum",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "GroupQueryAttention",
        "MultiHeadAttention",
    }
)
"""They multiply matrices too, many of them because a runtime's own optimiser has been over the model already."""
KEPT = "it is quantised already"
"""Of what came quantised: it is left as it is, and is no loss of speed."""
_HEAVY = frozenset({kind for kind, operator in OPERATORS.items() if operator.role is Role.ANCHOR})


def describe(
    graph: ir.Graph,
    quantized: frozenset[ir.Node],
    refused: Mapping[str, str],
    scheme: QuantScheme,
    codes: str = "int8",
) -> tuple[Note, ...]:
    """One note with the quantised share, one for each reason why operators stay float.

    Args:
        graph: the float graph the placement was made for.
        quantized: the nodes that become integer, and the clamps that go with them.
        refused: node name -> why it does not, though the scheme names its kind.
        scheme: which kinds were asked for.
        codes: ``int8`` or ``fp8``.
    """
    reasons: dict[tuple[str, str], list[str]] = {}
    for node in graph:
        if node in quantized:
            continue
        reason = refused.get(node.name or "") or _reason(node, scheme)
        if reason:
            reasons.setdefault((node.op_type, reason), []).append(node.name or "")
    notes = [Note("did", "", f"{codes}: {_share(graph, quantized)}")] if quantized else []
    notes += [_note(kind, reason, nodes) for (kind, reason), nodes in sorted(reasons.items())]
    return tuple(notes)


def multiplications(node: ir.Node) -> int | None:
    """Multiply-accumulates of a convolution or matrix product per inference, None where a size is unknown.

    An open leading dimension of the output, the batch, counts as 1.
    """
    operator = OPERATORS.get(node.op_type)
    if operator is None or operator.role is not Role.ANCHOR:
        return 0
    weight, shape = node.inputs[1], node.outputs[0].shape
    source = node.inputs[0]
    if weight is None or weight.shape is None or not weight.shape.is_static() or shape is None or source is None:
        return None
    shape = source.shape if node.op_type == "ConvTranspose" else shape
    if shape is None:
        return None
    sizes = [dim if isinstance(dim, int) else 1 if index == 0 else None for index, dim in enumerate(shape)]
    if any(size is None for size in sizes):
        return None
    made = int(np.prod([size for size in sizes if size is not None], dtype=np.int64))
    weights = weight.shape.numpy()
    if node.op_type in ("Conv", "ConvTranspose"):
        return made * int(np.prod(weights[1:], dtype=np.int64))
    rows = weights[-1] if node.op_type == "Gemm" and int_attribute(node, "transB", 0) else weights[-2]
    return made * int(rows)


def _share(graph: ir.Graph, quantized: frozenset[ir.Node]) -> str:
    heavy = [node for node in graph if node.op_type in _HEAVY]
    total, inside = 0, 0
    for node in heavy:
        work = multiplications(node)
        if work is None:
            count = sum(node in quantized for node in heavy)
            return f"{len(quantized)} operators, {count} of {len(heavy)} convolutions and matrix products"
        total += work
        inside += work if node in quantized else 0
    share = inside / total if total else 1.0
    return f"{len(quantized)} operators with {share:.1%} of the multiplications"


def _reason(node: ir.Node, scheme: QuantScheme) -> str | None:
    """Why a node that the scheme does not name is float, where that is worth a line."""
    if node.op_type in _INTEGER:
        return KEPT
    if node.op_type in _RECURRENT:
        return "recurrent layers keep float states"
    if node.op_type in _BODIES:
        return "bodies of control flow are left as they are"
    if node.op_type in _FLOAT_ONLY:
        return "no integer form of it is known here"
    if node.op_type in _HEAVY:
        return f"the scheme '{scheme.name}' leaves {node.op_type} in float"
    return None


def _note(kind: str, reason: str, nodes: list[str]) -> Note:
    one, many = ("is kept", "are kept") if reason == KEPT else ("stays float", "stay float")
    if len(nodes) == 1:
        return Note("skipped", nodes[0], f"{kind} {one}: {reason}")
    named = ", ".join(nodes[:_NAMED]) + (", ..." if len(nodes) > _NAMED else "")
    return Note("skipped", nodes[0], f"{len(nodes)} x {kind} {many}: {reason} ({named})")
