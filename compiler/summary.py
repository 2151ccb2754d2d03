"""What a model is made of, as numbers: for ``inspect`` and for reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from edgewright.compiler.graphs import input_at
from edgewright.compiler.macs import MacCount, count_macs
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import TensorSpec

HEAVY = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"})
"""The operators that int8 is about."""
_INTEGER = frozenset({"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QGemm", "QAttention"})
_INTEGER |= {"DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulIntegerToFloat"}


@dataclass(frozen=True)
class ModelSummary:
    """One model in numbers; names are untrusted text."""

    name: str
    digest: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    size_bytes: int
    opsets: Mapping[str, int]
    """Operator domain -> version; ONNX's own domain is ``ai.onnx``."""
    operators: Mapping[str, int]
    """``domain::Name``, or ``Name`` for ONNX's own -> how often, the most frequent first; bodies of loops included."""
    macs: MacCount
    quantised: int
    """Convolutions, matrix products and recurrent layers that compute in 8 bits, or will where a runtime can."""
    heavy: int
    """All of those, quantised or not."""

    def to_json(self) -> dict[str, object]:
        """The form of ``inspect --json``."""
        return {
            "name": self.name,
            "digest": self.digest,
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "parameters": self.parameters,
            "size_bytes": self.size_bytes,
            "opsets": dict(self.opsets),
            "operators": dict(self.operators),
            "macs": {
                "total": self.macs.total,
                "complete": self.macs.complete,
                "by_op": dict(self.macs.by_op),
                "notes": list(self.macs.notes),
            },
            "quantised": {"nodes": self.quantised, "of": self.heavy},
        }


def summarise(model: OnnxModel) -> ModelSummary:
    """Counts what is in ``model``; nothing is run."""
    nodes = list(ir.traversal.RecursiveGraphIterator(model.ir.graph))
    operators = Counter(f"{node.domain}::{node.op_type}" if node.domain else node.op_type for node in nodes)
    integer = sum(node.op_type in _INTEGER for node in nodes)
    heavy = [node for node in nodes if node.op_type in HEAVY]
    return ModelSummary(
        name=model.name,
        digest=model.digest,
        inputs=model.inputs,
        outputs=model.outputs,
        parameters=model.parameters,
        size_bytes=model.size_bytes,
        opsets={domain or "ai.onnx": version for domain, version in sorted(model.ir.graph.opset_imports.items())},
        operators=dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
        macs=count_macs(model),
        quantised=integer + sum(_is_quantised(node) for node in heavy),
        heavy=integer + len(heavy),
    )


def _is_quantised(node: ir.Node) -> bool:
    """Whether both factors of ``node`` come out of DequantizeLinear."""
    return all(_dequantised(input_at(node, index)) for index in (0, 1))


def _dequantised(value: ir.Value | None) -> bool:
    producer = None if value is None else value.producer()
    return producer is not None and producer.op_type == "DequantizeLinear"
