"""Which nodes can compute in a 16-bit floating-point type: what ONNX's schemas allow, and what the numbers allow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import onnx
import onnx_ir as ir

from edgewright.compiler.graphs import MICROSOFT, STANDARD_DOMAINS, constant, is_standard, opset_of
from edgewright.compiler.half_codes import FIRST_OPSET, converts_codes, without_float8_pairs
from edgewright.compiler.numeric_gate import exposed
from edgewright.compiler.site import Absent, Site
from edgewright.core.errors import EdgewrightError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array
from edgewright.targets.schema import QuantScheme, Target

LARGEST_FLOAT16 = 65504.0
LARGEST_BFLOAT16 = (2.0 - 2.0**-7) * 2.0**127
MASK_FLOAT16 = -(2.0**14)
"""What hides a score from a Softmax in float16: its exponential is 0, and three such masks still add up to a number."""
HEADROOM = 4.0
"""Other data may be this much larger than the samples before float16 overflows."""
SMALLEST_NORMAL_FLOAT16 = 2.0**-14
TOO_SMALL = "a constant of it is too small for float16"
_SAMPLES = 4
_TENSORS_PER_RUN = 64
_CONTRIBUTED = frozenset(
    {"Gelu", "FastGelu", "BiasGelu", "QuickGelu", "SkipLayerNormalization", "MultiHeadAttention", "FusedMatMul"}
)
"""Operators of com.microsoft all of whose floating-point inputs and outputs are of one type, float16 among them."""
NEEDS_FLOAT32 = {
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), "its bodies stay as they are"),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), "errors of a recurrent layer add up from step to step"),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"), "its scales are computed"),
    **dict.fromkeys(("Range", "CumSum"), "its error grows with its length"),
    **dict.fromkeys(("NonMaxSuppression", "RoiAlign", "GridSample"), "coordinates need more than 11 bits"),
    **dict.fromkeys(("DFT", "STFT", "MelWeightMatrix"), "runtimes compute it in float32 only"),
    **dict.fromkeys(("ConstantOfShape", "EyeLike", "Constant"), "its type is written into it"),
    **dict.fromkeys(("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), "its type is fixed"),
}
"""Operators that stay in float32, each with the reason."""


HALF_PRECISIONS = {"fp16": "float16", "bf16": "bfloat16"}


def written_half(target: Target, scheme: QuantScheme) -> str | None:
    """The 16-bit type that has to be written into the graph for what ``scheme`` leaves unquantised, or None."""
    rest = scheme.float_rest
    return None if rest in target.hinted_precisions else HALF_PRECISIONS.get(rest)


def half_slots(node: ir.Node, opset: int, half: ir.DataType) -> tuple[set[int], set[int]] | str:
    """Indices of the float32 inputs and outputs that may become ``half`` together, or why none may."""
    inputs = {index for index, value in enumerate(node.inputs) if value is not None and _is_float(value)}
    outputs = {index for index, value in enumerate(node.outputs) if value.name and _is_float(value)}
    if any(
        value is not None and (value.name or value.uses()) and value.dtype is None
        for value in (*node.inputs, *node.outputs)
    ):
        return "the type of something it reads or makes is not known"
    if not inputs and not outputs:
        return set(), set()
    if node.op_type in NEEDS_FLOAT32 and node.domain in STANDARD_DOMAINS:
        return NEEDS_FLOAT32[node.op_type]
    if node.domain == MICROSOFT and node.op_type in _CONTRIBUTED and half == ir.DataType.FLOAT16:
        return inputs, outputs
    if node.domain not in STANDARD_DOMAINS:
        return f"nothing is known of {node.domain}::{node.op_type} in 16 bits"
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        return f"opset {opset} has no {node.op_type}"
    wanted = f"tensor({half.name.lower()})"
    free = {item.type_param_str for item in schema.type_constraints if wanted in item.allowed_type_strs}
    chosen_inputs = {index for index in inputs if _formal(schema.inputs, index) in free}
    if node.op_type == "Resize":
        chosen_inputs &= {0}  # what its coordinates are computed from keeps its bits
    chosen_outputs = {index for index in outputs if _formal(schema.outputs, index) in free}
    if not chosen_inputs and not chosen_outputs:
        return f"{node.op_type} takes no {half.name.lower()} at opset {opset}"
    return chosen_inputs, chosen_outputs


def _is_float(value: ir.Value) -> bool:
    return value.dtype == ir.DataType.FLOAT


def _formal(parameters: Iterable[onnx.defs.OpSchema.FormalParameter], index: int) -> str:
    """The type of the parameter at ``index``; the last one of a variadic operator stands for all that follow."""
    listed = list(parameters)
    return listed[min(index, len(listed) - 1)].type_str if listed else ""


def constant_problem(node: ir.Node, half: ir.DataType, *, masks: bool = False) -> str:
    """Why a constant of ``node`` cannot be written in ``half``, or nothing.

    Args:
        node: anything.
        half: float16 or bfloat16.
        masks: the node's result only hides what a Softmax is not to see: its most negative constants may be others.
    """
    for index, value in enumerate(node.inputs):
        array = constant(value) if value is not None and value.dtype == ir.DataType.FLOAT else None
        if array is None or array.size == 0 or half != ir.DataType.FLOAT16:
            continue
        finite = array[np.isfinite(array)]
        largest = float((finite if masks else np.abs(finite)).max(initial=0.0))
        if largest > LARGEST_FLOAT16:
            return "a constant of it is too large for float16"
        added = index == 2 and is_standard(node, "Conv", "ConvTranspose", "Gemm")  # a bias rounds by 2**-25 at most
        if 0 < largest < SMALLEST_NORMAL_FLOAT16 and not added:
            return TOO_SMALL
    return ""


def as_half(array: Array, half: ir.DataType) -> Array:
    """A constant in ``half``. What lies beyond is a mask's filling and becomes one of its numbers, not infinite."""
    limit = LARGEST_FLOAT16 if half == ir.DataType.FLOAT16 else LARGEST_BFLOAT16
    wide = array.astype(np.float64)
    beyond = np.isfinite(wide) & (np.abs(wide) > limit)
    lowest = MASK_FLOAT16 if half == ir.DataType.FLOAT16 else -limit
    return np.where(beyond, np.clip(wide, lowest, limit), wide).astype(half.numpy())


def extremes(model: OnnxModel, site: Site) -> tuple[dict[str, tuple[float, float]], str]:
    """The lowest and highest finite value of each computed float32 tensor on real samples, or why not known.

    What a DequantizeLinear makes of stored codes is left out: it is no more than its scales say.
    """
    if isinstance(site.run, Absent):
        return {}, site.run.reason
    if isinstance(site.samples, Absent):
        return {}, site.samples.reason
    names = [
        value.name
        for node in model.ir.graph
        if not (is_standard(node, "DequantizeLinear") and constant(node.inputs[0]) is not None)
        for value in node.outputs
        if value.name and _is_float(value)
    ]
    found: dict[str, tuple[float, float]] = {}
    model, replaced = without_float8_pairs(model)
    names = [name for name in names if name not in replaced]
    for start in range(0, len(names), _TENSORS_PER_RUN):
        part = names[start : start + _TENSORS_PER_RUN]
        feeds = itertools.islice(iter(site.samples), _SAMPLES)
        try:
            for answer in site.run(exposed(model, part), feeds):
                for name in part:
                    array = answer[name]
                    finite = array[np.isfinite(array)]
                    low, high = found.get(name, (0.0, 0.0))
                    low = min(low, float(finite.min(initial=0.0)))
                    found[name] = low, max(high, float(finite.max(initial=0.0)))
        except EdgewrightError as problem:
            return {}, problem.problem
    found.update({name: found[source] for name, source in replaced.items() if source in found})
    return found, ""


def opset_for(model: ir.Model, half: ir.DataType) -> int:
    """The lowest opset at which every operator used takes ``half``, as far as that can be had by raising it."""
    opset = opset_of(model)
    if any(converts_codes(node) for node in model.graph):
        opset = max(opset, FIRST_OPSET)
    if half != ir.DataType.BFLOAT16:
        return opset
    wanted = "tensor(bfloat16)"
    for node in model.graph.all_nodes():
        if node.domain not in STANDARD_DOMAINS or node.op_type in NEEDS_FLOAT32:
            continue
        for version in (opset, 13, 22):
            if version < opset or not onnx.defs.has(node.op_type, version, ""):
                continue
            schema = onnx.defs.get_schema(node.op_type, version, "")
            if any(wanted in item.allowed_type_strs for item in schema.type_constraints):
                opset = max(opset, version)
                break
    return opset
