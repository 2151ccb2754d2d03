"""Finds what a logarithm makes too delicate for 8 bits.

A logarithm makes relative errors absolute: what quiet bands of a spectrum lose to a grid made for loud ones is not
small behind it. So linear algebra that leads into a Log, without a nonlinearity between that forgets small values,
stays float.
"""

from __future__ import annotations

import onnx_ir as ir

from edgewright.compiler.graphs import STANDARD_DOMAINS

IN_FRONT_OF_LOG = "its results lead into a logarithm, where small values count"
_LINEAR = frozenset(
    {
        *(
            "Abs",
            "Add",
            "Clip",
            "Concat",
            "Conv",
            "Div",
            "Flatten",
            "Gather",
            "Gemm",
            "Identity",
            "MatMul",
            "Max",
            "Mul",
        ),
        *("Neg", "Pow", "ReduceL2", "ReduceMean", "ReduceSum", "ReduceSumSquare", "Reshape", "Slice", "Split", "Sqrt"),
        *("Squeeze", "Sub", "Sum", "Transpose", "Unsqueeze"),
    }
)


def in_front_of_log(graph: ir.Graph) -> frozenset[ir.Node]:
    """The nodes of the main graph from which linear algebra, powers and moves lead into a Log."""
    pending = [node for node in graph if node.op_type == "Log" and node.domain in STANDARD_DOMAINS]
    found: set[ir.Node] = set()
    while pending:
        for value in pending.pop().inputs:
            node = value.producer() if value is not None else None
            if node is not None and node not in found and node.op_type in _LINEAR and node.domain in STANDARD_DOMAINS:
                found.add(node)
                pending.append(node)
    return frozenset(found)
