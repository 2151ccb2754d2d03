"""Which precision a model is written in: shares of its multiplications, and what its weights weigh.

This is what the file says. A runtime that computes in exactly what is written follows it as far as it has kernels; what
it really executed only its engine can tell.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import onnx_ir as ir

from edgewright.compiler.graphs import all_graphs, input_at, is_standard
from edgewright.compiler.macs import CountedNode, counted_nodes
from edgewright.compiler.pass_base import Note
from edgewright.compiler.quantization.operators import OPERATORS, Role
from edgewright.core.model import OnnxModel

_FLOATS = {
    ir.DataType.DOUBLE: "fp64",
    ir.DataType.FLOAT: "fp32",
    ir.DataType.FLOAT16: "fp16",
    ir.DataType.BFLOAT16: "bf16",
}
_CODES = {
    ir.DataType.INT8: "int8",
    ir.DataType.UINT8: "int8",
    ir.DataType.FLOAT8E4M3FN: "fp8",
    ir.DataType.FLOAT8E5M2: "fp8",
}
_INTEGER_KINDS = frozenset(
    {
        *("QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger"),
        *("MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
    }
)
_MOVERS = frozenset({"Identity", *(kind for kind, operator in OPERATORS.items() if operator.role is Role.MOVER)})
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_EIGHT_BITS = frozenset({"int8", "fp8"})


@dataclass(frozen=True)
class FloatOperator:
    """An operator with multiplications that is written in floating point."""

    name: str
    """Untrusted text."""
    kind: str
    precision: str
    macs: int | None
    reason: str
    """Why it is not in 8 bits; empty where nothing is known."""


@dataclass(frozen=True)
class PrecisionShares:
    """What a model's file says of precision. Keys of mappings are ``int8``, ``fp8``, ``fp16``, ``bf16``, ``fp32``."""

    macs: int
    """Multiply-accumulates of one inference that could be counted, dynamic batches taken as 1."""
    complete: bool
    """False when some operators could not be counted: shares are of the rest."""
    shares: Mapping[str, float]
    """Precision -> share of the counted multiply-accumulates; they sum to 1 where there are any."""
    operators: Mapping[str, int]
    """Precision -> number of operators with multiplications, those that could not be counted among them."""
    products: Mapping[str, int]
    """Name of an operator -> its multiply-accumulates, of those that have a name and could be counted."""
    floats: tuple[FloatOperator, ...]
    """Those written in floating point, the most multiplications first."""
    weight_bytes: Mapping[str, int]
    """Element type (numpy's name) -> bytes of constants of that type, scales and zero points among them."""
    float32_bytes: int
    """What the same constants would take with all their reals in float32, and no scales."""

    @property
    def total_weight_bytes(self) -> int:
        """Bytes of all constants."""
        return sum(self.weight_bytes.values())

    @property
    def weight_ratio(self) -> float:
        """Of the constants' bytes to what they would be in float32; 1 for a model without any."""
        return self.total_weight_bytes / self.float32_bytes if self.float32_bytes else 1.0

    def to_json(self) -> dict[str, object]:
        """The journal's form."""
        return {
            "macs": self.macs,
            "complete": self.complete,
            "shares": {name: round(share, 6) for name, share in self.shares.items()},
            "operators": dict(self.operators),
            "products": dict(self.products),
            "floats": [vars(item) for item in self.floats],
            "weight_bytes": dict(self.weight_bytes),
            "total_weight_bytes": self.total_weight_bytes,
            "float32_bytes": self.float32_bytes,
            "weight_ratio": round(self.weight_ratio, 6),
        }


def typed_precisions(model: OnnxModel, notes: Sequence[Note] = ()) -> PrecisionShares:
    """Reads the precisions that ``model`` is written in, by its types and Q/DQ pairs.

    An operator counts as 8 bits when what it multiplies comes from 8-bit DequantizeLinear, perhaps through operators
    that only move values, or when it takes codes itself.

    Args:
        model: typed, in Q/DQ form, or plain.
        notes: of the passes that made it, for the reasons why operators stayed float.
    """
    macs: Counter[str] = Counter()
    operators: Counter[str] = Counter()
    products: dict[str, int] = {}
    floats: list[FloatOperator] = []
    complete = True
    for item in counted_nodes(model):
        if item.node.name and item.macs:
            products[item.node.name] = item.macs
        precision = written_precision(item.node)
        operators[precision] += 1
        complete = complete and item.macs is not None
        macs[precision] += item.macs or 0
        if precision not in _EIGHT_BITS:
            floats.append(_float_operator(item, precision, notes))
    total = sum(macs.values())
    sizes, float32_bytes = _weights(model.ir)
    return PrecisionShares(
        macs=total,
        complete=complete,
        shares=MappingProxyType({name: macs[name] / total for name in sorted(macs)} if total else {}),
        operators=MappingProxyType(dict(sorted(operators.items()))),
        products=MappingProxyType(products),
        floats=tuple(sorted(floats, key=lambda item: -(item.macs or 0))),
        weight_bytes=MappingProxyType(dict(sorted(sizes.items()))),
        float32_bytes=float32_bytes,
    )


def written_precision(node: ir.Node) -> str:
    """The precision in which ``node``, which multiplies, is written: ``int8``, ``fp8``, ``fp16``, ``fp32``, ..."""
    if node.op_type in _INTEGER_KINDS:
        return "int8"
    codes = {codes_behind(value) for value in _operands(node)}
    if len(codes) == 1 and (found := codes.pop()) is not None:
        return found
    for value in (*node.outputs, *node.inputs):
        if value is not None and value.dtype in _FLOATS:
            return _FLOATS[value.dtype]
    return "fp32"


def _operands(node: ir.Node) -> Iterator[ir.Value | None]:
    """What is multiplied: activations and weights, no bias."""
    yield from (input_at(node, index) for index in range(3 if node.op_type in _RECURRENT else 2))


def codes_behind(value: ir.Value | None) -> str | None:
    """``int8`` or ``fp8`` when all that ``value`` holds comes from such codes, else None."""
    found: set[str] = set()
    seen: set[ir.Value] = set()
    pending = [value]
    while pending:
        item = pending.pop()
        node = item.producer() if item is not None else None
        if item is None or node is None:
            return None
        if item in seen:
            continue
        seen.add(item)
        if is_standard(node, "DequantizeLinear"):
            source = node.inputs[0]
            codes = _CODES.get(source.dtype) if source is not None and source.dtype is not None else None
            if codes is None:
                return None
            found.add(codes)
        elif is_standard(node, *_MOVERS):
            pending += node.inputs if node.op_type == "Concat" else node.inputs[:1]
        else:
            return None
    return found.pop() if len(found) == 1 else None


def _float_operator(item: CountedNode, precision: str, notes: Sequence[Note]) -> FloatOperator:
    node = item.node
    reason = noted_reason(node, notes) or _seen(node)
    return FloatOperator(node.name or "", node.op_type, precision, item.macs, reason)


def noted_reason(node: ir.Node, notes: Sequence[Note]) -> str:
    """Why ``node`` stays float, as a pass said it: of the node itself, or of all of its kind at once; else empty."""
    said = re.compile(rf"(?:\d+ x )?{re.escape(node.op_type)} stays? float: (.*?)(?: \(.*\))?", re.DOTALL)
    found = [(note, match[1]) for note in notes if note.kind == "skipped" and (match := said.fullmatch(note.text))]
    own = [reason for note, reason in found if note.subject == node.name or f"({node.name}," in note.text]
    if own:
        return own[0]
    return found[0][1] if len(found) == 1 and " x " in found[0][0].text else ""


def _seen(node: ir.Node) -> str:
    """What the graph itself shows."""
    if node.op_type in _RECURRENT:
        return "recurrent layers keep float states"
    coded = [codes_behind(value) is not None for value in _operands(node)]
    second = input_at(node, 1)
    if coded == [True, False]:
        return "its weight is not in codes" if _is_stored(second) else "its second operand is computed"
    if coded == [False, True]:
        return "its input is not in codes"
    return "" if _is_stored(second) or second is None else "it multiplies what is computed"


def _is_stored(value: ir.Value | None) -> bool:
    """True for a weight, which a light copy of the graph may show as an input."""
    node = value.producer() if value is not None else None
    return value is not None and (
        node is None or (is_standard(node, "DequantizeLinear") and _is_stored(node.inputs[0]))
    )


def _weights(model: ir.Model) -> tuple[Counter[str], int]:
    """Bytes of constants by element type, and of the same reals in float32."""
    sizes: Counter[str] = Counter()
    float32 = 0
    for graph in all_graphs(model):
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is None:
                continue
            sizes[tensor.dtype.name.lower()] += tensor.nbytes
            if not _is_parameter(value):
                float32 += tensor.size * 4 if _is_real(value, tensor.dtype) else tensor.nbytes
    return sizes, float32


def _is_parameter(value: ir.Value) -> bool:
    """True for a scale or zero point: a float model has none."""
    uses = list(value.uses())
    converts = ("QuantizeLinear", "DequantizeLinear")
    return bool(uses) and all(index in (1, 2) and is_standard(node, *converts) for node, index in uses)


def _is_real(value: ir.Value, dtype: ir.DataType) -> bool:
    """True for a floating-point number, or a code that stands for one."""
    coded = any(index == 0 and is_standard(node, "DequantizeLinear") for node, index in value.uses())
    integer = any(node.op_type in _INTEGER_KINDS for node, _ in value.uses()) and dtype in _CODES
    return dtype.is_floating_point() or coded or integer
