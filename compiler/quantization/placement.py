"""Which operators are quantised, and on which tensors the Q/DQ pairs go.

1. Anchors (convolutions and matrix products with constant weights) are quantised where the scheme names their kind.
2. Followers join where all their activations already are codes and a quantised operator reads what they make; what
   joins the operator before it needs no codes yet, see 5.
3. Movers join where a quantised operator reads what they make, a MaxPool also where it makes fewer codes of codes;
   all their tensors share one grid.
4. A Relu or Clip that only an operator feeds belongs to it: the operator's output is the tensor behind the clamp.
5. Where the scheme says that residual Adds join the operator before them, one branch of each gets no pair; see
   ``residuals.py``.
6. Where the scheme quantises outputs, every tensor between an operator and its readers is a code, so that the
   runtime finds an integer kernel; else only what quantised operators read is.

What a scheme names and stays float anyway has a reason in ``Placement.refused``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import onnx_ir as ir

from edgewright.compiler.quantization.logarithms import IN_FRONT_OF_LOG, in_front_of_log
from edgewright.compiler.quantization.operators import OPERATORS, TABLE_READERS, Operator, Role
from edgewright.compiler.quantization.quantized_op import QuantizedOp, activations_of, is_constant, quantized_op
from edgewright.compiler.quantization.residuals import Residuals, join_residuals
from edgewright.targets.schema import QuantScheme


@dataclass(frozen=True, eq=False)
class Placement:
    """The decision for one graph."""

    ops: tuple[QuantizedOp, ...]
    """In the graph's order."""
    grids: dict[ir.Value, ir.Value]
    """Tensor to be quantised -> the tensor whose grid it has (itself, or the first of those that share one)."""
    produced: frozenset[ir.Value]
    """Of those, the ones that all readers read as codes: an integer kernel makes them."""
    carried: frozenset[ir.Value]
    """Of those, the ones that need no pair of their own: the runtime carries codes through the mover behind them."""
    refused: dict[str, str] = field(default_factory=dict)
    """Node name -> why it stays float though the scheme names its kind."""

    @property
    def nodes(self) -> frozenset[ir.Node]:
        """The quantised nodes and the clamps that belong to them."""
        return frozenset(node for op in self.ops for node in (op.node, op.clamp) if node is not None)

    def sources(self, group: ir.Value) -> list[ir.Value]:
        """The tensors that decide the range of ``group``: its members that no mover made from others of them."""
        movers = {op.output for op in self.ops if op.operator.role is Role.MOVER}
        members = [value for value, owner in self.grids.items() if owner is group]
        return [value for value in members if value not in movers] or members


def place(
    graph: ir.Graph,
    scheme: QuantScheme,
    keep_float: frozenset[str],
    keep_kinds: frozenset[str],
    unfit: Mapping[str, str] = MappingProxyType({}),
) -> Placement:
    """Decides for ``graph`` (prepared, see ``prepare.py``) what ``scheme`` quantises.

    Args:
        graph: the main graph; bodies of If, Loop and Scan are left alone.
        scheme: from the target.
        keep_float: names of nodes to leave in float.
        keep_kinds: operator kinds to leave in float.
        unfit: node name -> why it was found unfit for int8; see ``sensitivity.py``.
    """
    refused: dict[str, str] = {}
    delicate = in_front_of_log(graph)
    found: dict[ir.Node, QuantizedOp] = {}
    for node in graph:
        if node.domain not in ("", "ai.onnx") or node.op_type not in scheme.op_kinds:
            continue
        if _computes_integers(node) or node.op_type in TABLE_READERS:
            continue
        reason = refusal(node, keep_float, keep_kinds, delicate) or unfit.get(node.name or "")
        if reason is None:
            found[node] = quantized_op(node)
        else:
            refused[node.name or ""] = reason
    residuals = join_residuals(graph, found) if scheme.residual_adds else Residuals(found, frozenset(), frozenset())
    chosen = _connected(residuals, refused)
    ops = tuple(residuals.ops[node] for node in graph if node in chosen)
    grids, produced = _tensors(ops, scheme, residuals.joined)
    moved = {op.output for op in ops if op.operator.role is Role.MOVER}
    carried = frozenset() if scheme.quantize_outputs else frozenset(moved & set(grids))
    return Placement(ops, grids, produced, carried, refused)


def _computes_integers(node: ir.Node) -> bool:
    """True for arithmetic on sizes and indices, which is nobody's loss of speed."""
    kind = node.outputs[0].dtype
    return kind is not None and not kind.is_floating_point()


def refusal(
    node: ir.Node, keep_float: frozenset[str], keep_kinds: frozenset[str], delicate: frozenset[ir.Node]
) -> str | None:
    """Why ``node`` cannot or should not be quantised, None when it can; ``delicate`` leads into a logarithm."""
    reason = _kept(node, keep_float, keep_kinds) or _refusal(node)
    return reason or (IN_FRONT_OF_LOG if node in delicate else None)


def _kept(node: ir.Node, keep_float: frozenset[str], keep_kinds: frozenset[str]) -> str | None:
    if node.name in keep_float:
        return "left in float on request"
    return f"{node.op_type} is left in float on request" if node.op_type in keep_kinds else None


def _refusal(node: ir.Node) -> str | None:
    operator = OPERATORS.get(node.op_type)
    if operator is None:
        return f"no integer form of {node.op_type} is known here"
    if len(node.outputs) > 1 and any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return "it has more than one output"
    if node.op_type == "Resize" and node.attributes.get_string("mode", "nearest") != "nearest":
        return "it interpolates"
    activations = [node.inputs[index] for index in activations_of(node, operator)]
    if any(value is None for value in activations):
        return "an input is missing"
    if all(value is not None and is_constant(value) for value in activations):
        return "it computes a constant"
    for value in [*activations, node.outputs[0]]:
        if value is not None and value.dtype not in (ir.DataType.FLOAT, None):
            return f"it works on {'no known type' if value.dtype is None else value.dtype.name.lower()}"
        if value is not None and _is_dequantized(value):
            return "it is quantised already"
    return _weight_refusal(node, operator) if operator.role is Role.ANCHOR else None


def _weight_refusal(node: ir.Node, operator: Operator) -> str | None:
    assert operator.weight is not None
    weight = node.inputs[operator.weight]
    if weight is None:
        return "it has no weight"
    if _is_dequantized(weight):
        return "it is quantised already"
    if not is_constant(weight):
        return "its weight is computed, not constant"
    tensor = weight.const_value
    assert tensor is not None
    if tensor.dtype != ir.DataType.FLOAT:
        return f"its weight is {tensor.dtype.name.lower()}"
    rank = len(tensor.shape)
    if node.op_type == "MatMul" and rank != 2:
        return f"its weight has {rank} dimensions"
    if node.op_type == "Gemm":
        return _gemm_refusal(node)
    bias = node.inputs[operator.bias] if operator.bias is not None and len(node.inputs) > operator.bias else None
    return "its bias is computed, not constant" if bias is not None and not is_constant(bias) else None


def _gemm_refusal(node: ir.Node) -> str | None:
    if node.attributes.get_float("alpha", 1.0) != 1.0 or node.attributes.get_float("beta", 1.0) != 1.0:
        return "it scales its operands (alpha, beta)"
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None:
        return None
    if not is_constant(bias):
        return "its bias is computed, not constant"
    assert bias.const_value is not None
    return None if len(bias.const_value.shape) == 1 else "its bias is not one number per column"


def _connected(residuals: Residuals, refused: dict[str, str]) -> set[ir.Node]:
    """The anchors, and those followers and movers that stand between quantised operators."""
    found = residuals.ops
    anchors = {node for node, op in found.items() if op.operator.role is Role.ANCHOR}
    read_by_anchor = {node.inputs[index] for node in anchors for index in found[node].activations}
    codes = {found[node].output for node in anchors} | read_by_anchor | residuals.sums
    candidates = set(anchors)
    for node, op in found.items():  # in the graph's order, so producers come first
        inputs = [node.inputs[index] for index in op.activations]
        ready = all(value in codes or (value is not None and is_constant(value)) for value in inputs)
        ready = ready or any(value in residuals.joined for value in node.inputs)
        if op.operator.role is Role.MOVER or ready:
            candidates.add(node)
        if ready:
            codes.add(op.output)
    kept: set[ir.Node] = set(anchors)
    for node, op in reversed(found.items()):
        if node in kept or node not in candidates:
            continue
        wanted = any(reader in kept and index in found[reader].activations for reader, index in op.output.uses())
        if wanted or (node.op_type == "MaxPool" and all(value in codes for value in op.read)):
            kept.add(node)
    for node, op in found.items():
        if node not in kept and op.operator.role is Role.FOLLOWER:
            why = "its inputs are float" if node not in candidates else "no quantised operator reads what it makes"
            refused[node.name or ""] = why
    return kept


def _tensors(
    ops: tuple[QuantizedOp, ...], scheme: QuantScheme, joined: frozenset[ir.Value]
) -> tuple[dict[ir.Value, ir.Value], frozenset[ir.Value]]:
    owner: dict[ir.Value, ir.Value] = {}
    made: set[ir.Value] = set()

    def root(value: ir.Value) -> ir.Value:
        owner.setdefault(value, value)
        while owner[value] is not value:
            value = owner[value]
        return value

    for op in ops:
        inputs = op.read
        for value in inputs:
            root(value)
        if scheme.quantize_outputs and op.output not in joined and not _may_stay_float(op, ops, scheme):
            made.add(op.output)
            root(op.output)
        if op.operator.role is Role.MOVER:
            first = root(inputs[0])
            for value in inputs[1:]:
                owner[root(value)] = first
            owner[root(op.output)] = first
    return {value: root(value) for value in list(owner)}, frozenset(made)


def _may_stay_float(op: QuantizedOp, ops: Iterable[QuantizedOp], scheme: QuantScheme) -> bool:
    """True when the runtime has an integer kernel with a float result for it, and no quantised operator reads that."""
    if op.node.op_type not in scheme.float_output_kinds:
        return False
    readers = {reader for reader, _ in op.output.uses()}
    return not any(other.node in readers for other in ops)


def _is_dequantized(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type in ("DequantizeLinear", "FakeQuantize", "Quant")
