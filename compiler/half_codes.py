"""Q/DQ pairs whose reals are 16 bits wide: a runtime that computes in exactly what is written finds its 8-bit kernel
only where the DequantizeLinear itself gives the type of its reader, with no Cast between the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import constant, input_at, int_attribute, is_standard
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array

FIRST_OPSET = 19
"""The first whose Q/DQ take 16-bit scales: https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html"""
_SMALLEST = {ir.DataType.FLOAT16: 2.0**-24, ir.DataType.BFLOAT16: 2.0**-126}
_MOVES = 2.0**-8
"""By what share of itself rounding may move a scale at most: the last of 128 codes then moves by half a code."""
_LARGEST = {ir.DataType.FLOAT16: 65504.0, ir.DataType.BFLOAT16: 3.3e38}


def converts_codes(node: ir.Node | None) -> bool:
    """True for a QuantizeLinear or DequantizeLinear whose float32 scale is an initializer nobody can override."""
    if node is None or not is_standard(node, "QuantizeLinear", "DequantizeLinear") or "output_dtype" in node.attributes:
        return False
    scale = input_at(node, 1)
    fixed = scale is not None and scale.is_initializer() and scale.const_value is not None
    return fixed and not scale.is_graph_input() and scale.dtype == ir.DataType.FLOAT  # type: ignore[union-attr]


def stored_reals(node: ir.Node) -> Array | None:
    """What a DequantizeLinear makes of codes that are a constant, float64; None where they are computed."""
    codes, scale, zero = constant(node.inputs[0]), constant(input_at(node, 1)), constant(input_at(node, 2))
    if codes is None or scale is None or "block_size" in node.attributes:
        return None
    shape = [1] * codes.ndim
    if scale.size > 1:
        shape[int_attribute(node, "axis", 1) % codes.ndim] = -1
    reals = codes.astype(np.float64)
    if zero is not None:
        reals = reals - zero.astype(np.float64).reshape(shape)
    return np.asarray(reals * scale.astype(np.float64).reshape(shape))


def codes_problem(node: ir.Node, half: ir.DataType, opset: int) -> str:
    """Why a DequantizeLinear in front of ``node`` cannot give values of type ``half``, or nothing."""
    for value in node.inputs:
        maker = value.producer() if value is not None else None
        if maker is None or not is_standard(maker, "DequantizeLinear") or not converts_codes(maker):
            continue
        reals = stored_reals(maker)
        if opset < FIRST_OPSET:
            return f"codes become {half.name.lower()} values only from opset {FIRST_OPSET} on"
        if reals is not None and np.abs(reals).max(initial=0.0) > _LARGEST[half]:
            return f"a constant of it is too large for {half.name.lower()}"
        if not _is_bias(maker) and not _representable(maker.inputs[1], half):
            return f"a scale in front of it is no number of {half.name.lower()}"
    return ""


def round_scales(graph: ir.Graph, half: ir.DataType) -> None:
    """Rounds the scales of all pairs to numbers of ``half``, so that both ends of a pair agree whatever their types.

    Scales found here are such numbers already; those of a model that came quantised move by less than its rounding.
    """
    for scale in {node.inputs[1]: None for node in graph if converts_codes(node) and not _is_bias(node)}:
        array = constant(scale)
        if scale is None or array is None or not _representable(scale, half):
            continue
        rounded = array.astype(half.numpy()).astype(np.float32)
        if not np.array_equal(rounded, array):
            scale.const_value = ir.tensor(rounded, name=scale.name)


def without_float8_pairs(model: OnnxModel) -> tuple[OnnxModel, dict[str, str]]:
    """``model`` with what enters each float8 pair in place of what leaves it, and for each name that went the other's.

    What values reach is nearly the same without them, and onnxruntime (1.31) takes them for int8 when it optimises.
    """
    found = [node for node in model.ir.graph if is_standard(node, "DequantizeLinear") and _float8_pair(node)]
    if not found:
        return model, {}
    copy = model.copy()
    replaced: dict[str, str] = {}
    for node in [node for node in copy.ir.graph if is_standard(node, "DequantizeLinear")]:
        quantizer = _float8_pair(node)
        source = quantizer.inputs[0] if quantizer is not None else None
        if source is None or node.outputs[0].is_graph_output():
            continue
        replaced[node.outputs[0].name or ""] = source.name or ""
        node.outputs[0].replace_all_uses_with(source)
        copy.ir.graph.remove(node, safe=True)
        if quantizer is not None and not quantizer.outputs[0].uses():
            copy.ir.graph.remove(quantizer, safe=True)
    return replace(copy), replaced


def _float8_pair(dequantize: ir.Node) -> ir.Node | None:
    """The QuantizeLinear that a DequantizeLinear undoes, when its codes are float8."""
    codes = dequantize.inputs[0]
    maker = codes.producer() if codes is not None else None
    if maker is None or not is_standard(maker, "QuantizeLinear") or codes is None:
        return None
    return maker if codes.dtype in (ir.DataType.FLOAT8E4M3FN, ir.DataType.FLOAT8E5M2) else None


def narrow_quantizers(graph: ir.Graph, half: ir.DataType, made: set[ir.Value]) -> Iterator[ir.Node]:
    """The QuantizeLinear nodes that read a value of ``made`` and can take it, and their scale, in ``half``."""
    for node in graph:
        takes = is_standard(node, "QuantizeLinear") and node.inputs[0] in made and converts_codes(node)
        if takes and _representable(node.inputs[1], half):
            yield node


def _is_bias(node: ir.Node) -> bool:
    codes = node.inputs[0]
    return is_standard(node, "DequantizeLinear") and codes is not None and codes.dtype == ir.DataType.INT32


def _representable(scale: ir.Value | None, half: ir.DataType) -> bool:
    """Whether rounding to ``half`` moves every scale by less than a code's own rounding does: below 2**-14 the numbers
    of float16 are far apart."""
    array = constant(scale)
    if array is None:
        return False
    numbers = array.astype(np.float64)
    if not np.all((numbers >= _SMALLEST[half]) & (numbers <= _LARGEST[half])):
        return False
    moved = np.abs(array.astype(half.numpy()).astype(np.float64) - numbers)
    return bool(np.all(moved <= _MOVES * numbers))
