"""What a compiled graph computes, operator by operator: in which precision it is written, and what in its float twin
each result can be compared with.

The passes that write codes name what they add after the tensor that it stands for (``relu_dequantize`` for ``relu``):
a layer's counterpart is found by names, followed through the operators that turn its result into what readers get.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgewright.compiler.graphs import is_standard
from edgewright.compiler.pass_base import Note
from edgewright.compiler.precisions import codes_behind, noted_reason, typed_precisions, written_precision
from edgewright.compiler.quantization.operators import CLAMPS, OPERATORS, Role
from edgewright.core.model import OnnxModel

_FLOATS = {
    ir.DataType.DOUBLE: "fp64",
    ir.DataType.FLOAT: "fp32",
    ir.DataType.FLOAT16: "fp16",
    ir.DataType.BFLOAT16: "bf16",
}
_CONVERTS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast", "Constant", "Identity"})
_MOVES = frozenset(kind for kind, operator in OPERATORS.items() if operator.role is Role.MOVER) - {"MaxPool", "Resize"}
"""What only lays values out anew; a pool and a resize take time worth showing."""
_INTEGER = frozenset({"ConvInteger", "MatMulInteger"})
_ADDED = re.compile(r"(?P<base>.+?)(?:_dequantize|_integer|_cast|_scaled|_biased|\.half|\.float)_*", re.DOTALL)
"""A tensor that stands for ``base``; what takes a name that is taken already has underscores behind it."""
_AROUND_PRODUCTS = re.compile(r"(?P<base>.+?)(?:_scales|_scaled|_biased)_*", re.DOTALL)
"""A node that turns an integer product into reals."""
_FARTHEST = 6


@dataclass(frozen=True)
class Layer:
    """One operator of the main graph that computes. Names are untrusted text."""

    name: str
    op: str
    precision: str
    """As written in the graph: ``int8``, ``fp8``, ``fp16``, ``bf16``, ``fp32`` or ``fp64``."""
    reason: str
    """Why it is not in codes in a graph that has some; empty where it is, or nothing is known."""
    tensor: str
    """What its readers get: its result, after its trip through codes where it takes one."""
    twin: str | None
    """The tensor of the float twin that ``tensor`` stands for; None where there is none of that name."""


def layers_of(model: OnnxModel, twin: OnnxModel | None = None, notes: Sequence[Note] = ()) -> list[Layer]:
    """The layers of ``model``, in its order; bodies of If and Loop, what only moves or converts, and index arithmetic
    are left out.

    Args:
        twin: the same model in float, under the same names.
        notes: of the passes that made ``model``, for the reasons why layers stayed float.
    """
    known = set() if twin is None else {value.name or "" for node in twin.ir.graph for value in node.outputs}
    shares = typed_precisions(model, notes)
    reasons = {item.name: item.reason for item in shares.floats}
    products = any(node.op_type in _INTEGER for node in model.ir.graph)
    coded = products or any(is_standard(node, "DequantizeLinear") for node in model.ir.graph)
    found = []
    for node in model.ir.graph:
        if not _computes(node) or (products and _is_accessory(node, known)):
            continue
        precision = _precision(node, multiplies=node.name in reasons or node.name in shares.products)
        reason = ""
        if coded and precision in _FLOATS.values():
            reason = reasons.get(node.name or "") or noted_reason(node, notes)
        tensor, counterpart = _counterpart(node.outputs[0], known)
        found.append(Layer(node.name or "", node.op_type, precision, reason, tensor, counterpart))
    return found


def operator_names(model: OnnxModel) -> dict[str, str]:
    """Every name that an engine may call a node of the main graph by (its own, and its results') -> the node's name."""
    nodes = {node.name: node.name for node in model.ir.graph if node.name}
    values = {value.name: node.name for node in model.ir.graph if node.name for value in node.outputs if value.name}
    return {**values, **nodes}


def main_operator(model: OnnxModel, names: Sequence[str]) -> str | None:
    """Of the nodes that are fused into one kernel, the one that multiplies, else the first; None for no node."""
    wanted = set(names)
    found = [node for node in model.ir.graph if node.name in wanted]
    anchors = [node for node in found if (one := OPERATORS.get(node.op_type)) and one.role is Role.ANCHOR]
    return next((node.name for node in [*anchors, *found]), None)


def made_for(model: OnnxModel, name: str, kind: str) -> str:
    """The nearest operator of the engine's ``kind`` at or before the node called ``name``, else that node itself.

    An engine that fuses a convolution with what follows may call the result after the last of them.
    """
    level = [node for node in model.ir.graph if node.name == name]
    for _ in range(_FARTHEST):
        for node in level:
            if node.op_type.lower() in kind.lower():
                return node.name or name
        sources = [value.producer() for node in level for value in node.inputs if value is not None]
        level = list(dict.fromkeys(node for node in sources if node is not None and node.name))
    return name


def _computes(node: ir.Node) -> bool:
    if node.op_type in _CONVERTS | _MOVES or not node.outputs:
        return False
    kinds = {value.dtype for value in node.outputs}
    return node.op_type in _INTEGER or None in kinds or bool(kinds & _FLOATS.keys())


def _is_accessory(node: ir.Node, known: set[str]) -> bool:
    """Whether ``node`` was added to an integer product: it scales it, or adds its bias.

    The node's name tells, which it keeps where its result takes over the name of an output.
    """
    match = _AROUND_PRODUCTS.fullmatch(node.name or "")
    return node.op_type in ("Mul", "Add") and match is not None and match["base"] in known


def _precision(node: ir.Node, *, multiplies: bool) -> str:
    """As :func:`written_precision`; what does not multiply is in codes when it reads and makes nothing else."""
    operator = OPERATORS.get(node.op_type)
    found = written_precision(node)
    if multiplies or node.op_type in _INTEGER or (operator is not None and operator.role is Role.ANCHOR):
        return found
    clamp = node.op_type in CLAMPS
    values = [value for value in node.inputs if value is not None and value.const_value is None]
    read = {_codes_read(value) if clamp else codes_behind(value) for value in values}
    code = read.pop() if len(read) == 1 else None
    if code is not None and all(_is_coded(value) for value in node.outputs):
        return code
    kinds = [value.dtype for value in (*node.outputs, *node.inputs) if value is not None]
    return next((_FLOATS[kind] for kind in kinds if kind in _FLOATS), "fp32")


def _codes_read(value: ir.Value) -> str | None:
    """What ``value`` is in codes of; that of a multiplication's sum before its clamp counts as that of its factors."""
    node = value.producer()
    if node is None or is_standard(node, "DequantizeLinear"):
        return codes_behind(value)
    operator = OPERATORS.get(node.op_type)
    if operator is None or operator.role is Role.MOVER or len(value.uses()) != 1:
        return codes_behind(value)
    if operator.role is Role.ANCHOR:
        found = written_precision(node)
        return None if found in _FLOATS.values() else found
    read = {codes_behind(item) for item in node.inputs if item is not None and item.const_value is None}
    return read.pop() if len(read) == 1 else None


def _is_coded(value: ir.Value) -> bool:
    """Whether all its readers get it as codes, perhaps clamped before."""
    readers = [use.node for use in value.uses()]
    clamped = [_is_coded(node.outputs[0]) for node in readers if node.op_type in CLAMPS]
    direct = [node for node in readers if is_standard(node, "QuantizeLinear")]
    return bool(readers) and len(direct) + len(clamped) == len(readers) and all(clamped)


def _counterpart(value: ir.Value, known: set[str]) -> tuple[str, str | None]:
    """Of ``value`` and what it is turned into before anything computes with it: the last that the twin has too."""
    best: tuple[str, str | None] = (value.name or "", None)
    moved = False
    for item, is_moved in _turned(value):
        twin = _twin_of(item.name or "", known)
        if is_moved and moved is False and best[1] is not None:
            break  # laid out anew, it is another layer's business; only what has no counterpart of its own looks so far
        moved = is_moved
        if twin is not None:
            best = (item.name or "", twin)
    return best


def _twin_of(name: str, known: set[str]) -> str | None:
    if name in known:
        return name
    match = _ADDED.fullmatch(name)
    return match["base"] if match is not None and match["base"] in known else None


def _turned(value: ir.Value) -> Iterator[tuple[ir.Value, bool]]:
    """``value`` and what follows while it is only converted, scaled or moved; with whether it was moved by then."""
    moved = False
    for _ in range(2 * _FARTHEST):
        yield value, moved
        readers = list(dict.fromkeys(use.node for use in value.uses()))
        kinds = {node.op_type for node in readers}
        if len(readers) != 1 or value.is_graph_output():
            return
        reader = readers[0]
        scaled = _AROUND_PRODUCTS.fullmatch(reader.name or "") is not None and kinds <= {"Mul", "Add"}
        if not (kinds <= _CONVERTS | _MOVES or scaled):
            return
        moved = moved or bool(kinds & _MOVES)
        value = reader.outputs[0]
