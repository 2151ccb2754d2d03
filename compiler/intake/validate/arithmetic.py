"""Attributes and constant inputs that would make somebody divide by zero, or that contradict themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from edgewright.compiler.intake.validate.constants import Constants
from edgewright.compiler.intake.validate.report import node_text, quoted, refuse
from edgewright.compiler.intake.validate.scopes import STANDARD_DOMAINS, Scope
from edgewright.core.tensors import Array

_WINDOW = ("strides", "dilations", "kernel_shape", "group")
_AT_LEAST_ONE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "ConvInteger", "QLinearConv"), _WINDOW),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool", "MaxUnpool", "Col2Im"), _WINDOW),
    "DeformConv": (*_WINDOW, "offset_group"),
    "MaxRoiPool": ("pooled_shape",),
    "RoiAlign": ("output_height", "output_width"),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), ("blocksize",)),
    "LRN": ("size",),
    "GroupNormalization": ("num_groups",),
    **dict.fromkeys(("RNN", "GRU", "LSTM"), ("hidden_size",)),
    "Split": ("num_outputs",),
    "Attention": ("q_num_heads", "kv_num_heads"),
}
_PADDED = frozenset(
    {"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv", "MaxPool", "AveragePool", "LpPool"}
)
_Rule = Callable[[Array, onnx.NodeProto], str | None]


def check_arithmetic(all_scopes: Sequence[Scope], constants: Constants, source: str) -> None:
    """Checks strides, groups, kernels, shapes, steps and divisors of every node.

    Raises:
        BadInputError: naming the node and the value.
    """
    for scope in all_scopes:
        for node in scope.graph.node:
            if node.domain in STANDARD_DOMAINS:
                _check_attributes(node, source)
                for index, rule in _INPUT_RULES.get(node.op_type, ()):
                    value = constants.input_array(scope, node, index)
                    problem = None if value is None else rule(value, node)
                    if problem is not None:
                        refuse(source, f"{node_text(node)} {problem} (input {quoted(node.input[index])})")


def _check_attributes(node: onnx.NodeProto, source: str) -> None:
    wanted = _AT_LEAST_ONE.get(node.op_type, ())
    for attribute in node.attribute:
        values = list(attribute.ints) or ([attribute.i] if attribute.HasField("i") else [])
        if attribute.name in wanted and any(value < 1 for value in values):
            shown = values if len(values) != 1 else values[0]
            refuse(source, f"{node_text(node)} has {attribute.name} {shown}, it must be at least 1")
        if attribute.name == "pads" and node.op_type in _PADDED and any(value < 0 for value in values):
            refuse(source, f"{node_text(node)} has pads {values}, they must not be negative")
        if attribute.name == "perm" and node.op_type == "Transpose" and sorted(values) != list(range(len(values))):
            refuse(source, f"{node_text(node)} has perm {values[:20]}, which is not a permutation")


def _shape(value: Array, node: onnx.NodeProto) -> str | None:
    dims = value.ravel().tolist()
    allow_zero = any(item.name == "allowzero" and item.i for item in node.attribute)
    if dims.count(-1) > 1:
        return f"has the shape {dims[:20]} with more than one -1"
    if any(dim < -1 for dim in dims):
        return f"has the shape {dims[:20]} with a negative size"
    return f"has the shape {dims[:20]} with 0 and -1 under allowzero" if allow_zero and {0, -1} <= set(dims) else None


def _not_negative(value: Array, node: onnx.NodeProto) -> str | None:
    del node
    lowest = min(value.ravel().tolist(), default=0) if value.dtype.kind == "i" else 0
    return f"has the size {lowest}, which is negative" if lowest < 0 else None


def _not_zero(value: Array, node: onnx.NodeProto) -> str | None:
    # A float divided by zero is an infinity; an integer divided by zero stops the process (SIGFPE) in some engines.
    if node.op_type in ("Div", "Mod") and value.dtype.kind not in "iu":
        return None
    return "divides or steps by 0" if np.any(value == 0) else None


def _positive(value: Array, node: onnx.NodeProto) -> str | None:
    del node
    numbers = value.astype(np.float64)
    return None if np.all(numbers > 0) and np.all(np.isfinite(numbers)) else f"has the scales {numbers.ravel()[:8]}"


_INPUT_RULES: dict[str, tuple[tuple[int, _Rule], ...]] = {
    "Reshape": ((1, _shape),),
    "Expand": ((1, _not_negative),),
    "ConstantOfShape": ((0, _not_negative),),
    "Tile": ((1, _not_negative),),
    "Split": ((1, _not_negative),),
    "TopK": ((1, _not_negative),),
    "Slice": ((4, _not_zero),),
    "Range": ((2, _not_zero),),
    "Div": ((1, _not_zero),),
    "Mod": ((1, _not_zero),),
    "Resize": ((2, _positive),),
    "Upsample": ((1, _positive),),
}
