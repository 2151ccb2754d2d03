"""Tables that a Gather reads rows of, such as a vocabulary's embeddings, stored as codes with a scale for each row.

They are much of a language model's weight and none of its work: codes make the file small, the rows stay reals.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import int_attribute, is_standard
from edgewright.compiler.pass_base import Note
from edgewright.compiler.quantization.insertion import WeightPolicy, Writer
from edgewright.compiler.quantization.operators import TABLE_READERS
from edgewright.compiler.quantization.prepare import numbers
from edgewright.compiler.quantization.quantized_op import is_constant
from edgewright.compiler.quantization.weights import quantize_weight
from edgewright.targets.schema import QuantScheme

SMALLEST = 1 << 14
"""Elements from which a table is worth it."""


def store_tables(
    graph: ir.Graph, scheme: QuantScheme, policy: WeightPolicy, keep_float: frozenset[str]
) -> tuple[Note, ...]:
    """Rewrites the tables of ``graph`` in place where ``scheme`` names Gather; one note for all of them."""
    if not TABLE_READERS & scheme.op_kinds:
        return ()
    found = [node for node in graph if _reads_table(node) and node.name not in keep_float]
    writer = Writer(graph)
    for node in found:
        table = quantize_weight(numbers(node.inputs[0]), 0, dtype=policy.rule.weight, scales=policy.scales)
        writer.store(node, 0, table)
    if not found:
        return ()
    return (Note("did", found[0].name or "", f"tables stored as codes with a scale for each row: {len(found)}"),)


def _reads_table(node: ir.Node) -> bool:
    table = node.inputs[0] if node.inputs else None
    if (
        table is None
        or not is_standard(node, *TABLE_READERS)
        or not is_constant(table)
        or int_attribute(node, "axis", 0)
    ):
        return False
    tensor = table.const_value
    assert tensor is not None
    if tensor.dtype != ir.DataType.FLOAT or len(tensor.shape) != 2 or tensor.size < SMALLEST:
        return False
    return all(reader.op_type in TABLE_READERS for reader, _ in table.uses()) and bool(
        np.isfinite(tensor.numpy()).all()
    )
