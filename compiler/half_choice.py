"""Which nodes of a graph compute in 16 bits: those that their schema, their constants and real samples allow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from edgewright.compiler.graphs import STANDARD_DOMAINS, int_attribute, is_standard
from edgewright.compiler.half_codes import codes_problem, converts_codes
from edgewright.compiler.half_precision import (
    HEADROOM,
    LARGEST_FLOAT16,
    TOO_SMALL,
    constant_problem,
    extremes,
    half_slots,
)
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site

_PRECISION = {ir.DataType.FLOAT16: "fp16", ir.DataType.BFLOAT16: "bf16"}
_INTEGERS = frozenset({ir.DataType.BOOL, ir.DataType.INT32, ir.DataType.INT64, ir.DataType.UINT8, ir.DataType.INT8})
_MEANS = ("ReduceMean", "GlobalAveragePool")
_PASSING = ("Add", "Where", "Expand", "Unsqueeze", "Squeeze", "Reshape", "Transpose", "Slice", "Identity")
"""Operators through which a mask reaches the scores it is added to."""
_HANDING_ON = ("Sqrt", "Expand", "Reshape", "Unsqueeze", "Squeeze", "Identity")
"""Operators behind which an epsilon still decides."""


@dataclass(frozen=True, eq=False)
class HalfNode:
    """A node that computes in 16 bits, and the indices of its inputs and outputs that are in 16 bits then."""

    node: ir.Node
    inputs: frozenset[int]
    outputs: frozenset[int]


def choose_half(work: Rewriting, half: ir.DataType, keep_float: frozenset[str], site: Site) -> list[HalfNode]:
    """The nodes of the main graph that compute in ``half``, in its order; each other one gets a note with the reason.

    Args:
        work: the graph, with known types.
        half: float16 or bfloat16.
        keep_float: names of nodes, or operators, that stay in float32.
        site: gives samples for float16's range.
    """
    masks, guards = _masks(work.model.graph), Guards()
    candidates: list[HalfNode] = []
    for node in work.model.graph:
        if converts_codes(node):
            continue
        made = _makes_float_of_integers(node)
        slots = (set[int](), {0}) if made else half_slots(node, work.opset, half)
        if isinstance(slots, str):
            work.skipped(node.name, f"stays in float32: {slots}")
        elif not any(slots) or (is_standard(node, "Cast") and not made):
            continue
        elif _named(node) in site.target.not_in.get(_PRECISION[half], ()):
            work.skipped(node.name, f"stays in float32: the target has no {node.op_type} in {half.name.lower()}")
        elif node.name in keep_float or node.op_type in keep_float:
            work.skipped(node.name, "stays in float32: it is named in keep_float")
        elif problem := _number_problem(node, half, masks) or codes_problem(node, half, work.opset):
            if problem == TOO_SMALL:
                guards.begin(node)
            work.skipped(node.name, f"stays in float32: {problem}")
        elif guards.reach(node):
            work.skipped(
                node.name, "stays in float32: it divides by what a constant too small for float16 keeps from 0"
            )
        else:
            candidates.append(HalfNode(node, frozenset(slots[0]), frozenset(slots[1])))
    if half != ir.DataType.FLOAT16 or not candidates:
        return candidates
    seen, problem = extremes(replace(work.original, ir=work.model), site)
    if problem:
        work.tally.add("warning", "graph", f"the range of values was not checked against float16's: {problem}")
    return _within_range(work, candidates, seen, masks)


def _named(node: ir.Node) -> str:
    """As targets name operators: ``domain::Name``, the standard domain being empty."""
    return f"{'' if node.domain in STANDARD_DOMAINS else node.domain}::{node.op_type}"


def _within_range(
    work: Rewriting, candidates: list[HalfNode], seen: Mapping[str, tuple[float, float]], masks: frozenset[ir.Value]
) -> list[HalfNode]:
    chosen: list[HalfNode] = []
    fillings: set[ir.Value] = set()  # large values that are a mask's, and made in float16 themselves
    for item in candidates:
        node = item.node
        read, made = _large(node.inputs, seen), _large(node.outputs, seen)
        hiding = all(value in masks and _highest(value, seen) * HEADROOM <= LARGEST_FLOAT16 for value in made)
        total = _sum_of_mean(node, seen)
        if not (hiding and read <= fillings and _may_carry(node, read, masks)):
            worst = max(_reach(value, seen) for value in read | made)
            text = "stays in float32: values near float16's limit pass through it on real samples"
            work.skipped(node.name, f"{text} ({worst:.3g})")
        elif total > LARGEST_FLOAT16:
            work.skipped(node.name, f"stays in float32: what it adds up leaves float16's range ({total:.3g})")
        else:
            fillings |= made
            chosen.append(item)
    return chosen


def _large(values: Sequence[ir.Value | None], seen: Mapping[str, tuple[float, float]]) -> set[ir.Value]:
    near = {value for value in values if value is not None}
    return {value for value in near if _reach(value, seen) * HEADROOM > LARGEST_FLOAT16}


def _may_carry(node: ir.Node, read: set[ir.Value], masks: frozenset[ir.Value]) -> bool:
    """Whether a mask's fillings may go through ``node``: on the way to a Softmax, and into it."""
    if not read or is_standard(node, "Softmax"):
        return True
    return is_standard(node, *_PASSING) and node.outputs[0] in masks


def _reach(value: ir.Value, seen: Mapping[str, tuple[float, float]]) -> float:
    low, high = seen.get(value.name or "", (0.0, 0.0))
    return max(-low, high)


def _highest(value: ir.Value, seen: Mapping[str, tuple[float, float]]) -> float:
    return seen.get(value.name or "", (0.0, 0.0))[1]


def _sum_of_mean(node: ir.Node, seen: Mapping[str, tuple[float, float]]) -> float:
    """The largest sum behind a mean on real samples, 0 for other operators or unknown sizes."""
    if not is_standard(node, *_MEANS) or node.inputs[0] is None:
        return 0.0
    before, after = node.inputs[0].shape, node.outputs[0].shape
    if before is None or after is None:
        return 0.0
    sizes = [[dim for dim in shape if isinstance(dim, int)] for shape in (before, after)]
    open_sizes = [len(shape) - len(known) for shape, known in zip((before, after), sizes, strict=True)]
    if open_sizes[0] != open_sizes[1]:
        return 0.0
    return _reach(node.outputs[0], seen) * math.prod(sizes[0]) / max(1, math.prod(sizes[1]))


class Guards:
    """Follows what an epsilon keeps from zero, such as a variance: in float16 it would be a division by zero again."""

    def __init__(self) -> None:
        self._small: set[ir.Value] = set()
        self._large: set[ir.Value] = set()

    def begin(self, node: ir.Node) -> None:
        """``node`` adds the epsilon, or clips to it."""
        if is_standard(node, "Add", "Clip", "Max"):
            self._small.update(node.outputs)

    def reach(self, node: ir.Node) -> bool:
        """Whether ``node`` hands the guarded value on, divides by it, or scales by its reciprocal."""
        first, second = (node.inputs[index] if index < len(node.inputs) else None for index in (0, 1))
        if first in self._small and is_standard(node, *_HANDING_ON):
            self._small.update(node.outputs)
            return True
        if (first in self._small and is_standard(node, "Reciprocal", "Pow", "Log")) or (
            second in self._small and is_standard(node, "Div")
        ):
            self._large.update(node.outputs)
            return True
        return is_standard(node, "Mul") and (first in self._large or second in self._large)


def _number_problem(node: ir.Node, half: ir.DataType, masks: frozenset[ir.Value]) -> str:
    hides = is_standard(node, "Mul", *_PASSING) and node.outputs[0] in masks
    return constant_problem(node, half, masks=hides)


def _masks(graph: ir.Graph) -> frozenset[ir.Value]:
    """What only a Softmax sees, perhaps after it was added to scores: its very negative values mean 'hidden'."""
    found: set[ir.Value] = set()
    for node in reversed(graph):
        for value in node.outputs:
            uses = list(value.uses())
            if uses and not value.is_graph_output() and all(_hides(use.node, use.idx, found) for use in uses):
                found.add(value)
    return frozenset(found)


def _hides(node: ir.Node, index: int, found: set[ir.Value]) -> bool:
    if is_standard(node, "Softmax"):
        return index == 0
    return is_standard(node, *_PASSING) and node.outputs[0] in found


def _makes_float_of_integers(node: ir.Node) -> bool:
    source = node.inputs[0] if node.inputs else None
    return (
        is_standard(node, "Cast")
        and source is not None
        and source.dtype in _INTEGERS
        and int_attribute(node, "to", 0) == ir.DataType.FLOAT.value
    )
