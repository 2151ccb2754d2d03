"""Values: weights that are numbers, and scales that can be divided by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper

from edgewright.compiler.intake.validate.constants import Constants, bit_chunks, read
from edgewright.compiler.intake.validate.report import node_text, quoted, refuse
from edgewright.compiler.intake.validate.scopes import STANDARD_DOMAINS, Scope

_T = onnx.TensorProto
_NONFINITE_BITS: dict[int, tuple[int, int, int]] = {
    # type: (bytes, the exponent's bits, all of them set in what is not finite, the bits any of which makes it a NaN)
    _T.FLOAT: (4, 0x7F80_0000, 0x007F_FFFF),
    _T.COMPLEX64: (4, 0x7F80_0000, 0x007F_FFFF),
    _T.DOUBLE: (8, 0x7FF0_0000_0000_0000, 0x000F_FFFF_FFFF_FFFF),
    _T.COMPLEX128: (8, 0x7FF0_0000_0000_0000, 0x000F_FFFF_FFFF_FFFF),
    _T.FLOAT16: (2, 0x7C00, 0x03FF),
    _T.BFLOAT16: (2, 0x7F80, 0x007F),
    _T.FLOAT8E5M2: (1, 0x7C, 0x03),
    _T.FLOAT8E4M3FN: (1, 0x7F, 0xFF),  # has no infinity: all ones is NaN
}
_SCALE_INPUTS: dict[tuple[str, str], tuple[int, ...]] = {
    ("", "QuantizeLinear"): (1,),
    ("", "DequantizeLinear"): (1,),
    ("", "QLinearConv"): (1, 4, 6),
    ("", "QLinearMatMul"): (1, 4, 6),
    ("com.microsoft", "QuantizeLinear"): (1,),
    ("com.microsoft", "DequantizeLinear"): (1,),
    ("com.microsoft", "QLinearAdd"): (1, 4, 6),
    ("com.microsoft", "QLinearMul"): (1, 4, 6),
    ("com.microsoft", "QLinearSigmoid"): (1, 3),
    ("com.microsoft", "QLinearLeakyRelu"): (1, 3),
    ("com.microsoft", "QLinearSoftmax"): (1, 3),
    ("com.microsoft", "QLinearAveragePool"): (1, 3),
    ("com.microsoft", "QLinearGlobalAveragePool"): (1, 3),
    ("com.microsoft", "QGemm"): (1, 4, 7),
    ("com.microsoft", "DynamicQuantizeMatMul"): (2,),
    ("com.microsoft", "MatMulIntegerToFloat"): (2, 3),
}
_MULTIPLIES = frozenset(
    {
        "Conv",
        "ConvTranspose",
        "Gemm",
        "MatMul",
        "BatchNormalization",
        "LSTM",
        "GRU",
        "RNN",
        "LayerNormalization",
        "Einsum",
    }
)
"""Operators for whose inputs an infinity can mean nothing but a broken weight."""


@dataclass(frozen=True)
class _Suspect:
    what: str
    name: str
    has_nan: bool
    is_mask: bool
    """One infinity alone (a bound), or zeros and minus infinities (an attention mask)."""


def check_finite(all_scopes: Sequence[Scope], folder: Path, source: str, *, allow_nonfinite: bool) -> list[str]:
    """Refuses NaN and infinite weights.

    An infinity that is a constant of its own (the bound of a Clip, the filling of a Where), and tensors of zeros and
    minus infinities (attention masks) are values people mean; they pass.

    Returns:
        Lines for the journal, about tensors that were let through on request.

    Raises:
        BadInputError: listing the tensors.
    """
    suspects = [found for scope in all_scopes for found in _suspects(scope, folder)]
    if not suspects:
        return []
    weights = _inputs_of(_MULTIPLIES, all_scopes) if any(item.is_mask for item in suspects) else frozenset()
    bad = [item.what for item in suspects if item.has_nan or not item.is_mask or item.name in weights]
    if not bad:
        return []
    text = f"{', '.join(bad[:10])}{f' and {len(bad) - 10} more' if len(bad) > 10 else ''}"
    if not allow_nonfinite:
        refuse(source, f"NaN or infinite values in {text}", "Train or export it again, or pass --allow-nonfinite.")
    return [f"NaN or infinite values were let through in {text}"]


def check_scales(all_scopes: Sequence[Scope], constants: Constants, source: str) -> None:
    """Refuses quantisation scales that are zero, negative, NaN or infinite.

    Raises:
        BadInputError: naming the node and the scale.
    """
    for scope in all_scopes:
        for node in scope.graph.node:
            domain = "" if node.domain == "ai.onnx" else node.domain
            for index in _SCALE_INPUTS.get((domain, node.op_type), ()):
                scale = constants.input_array(scope, node, index)
                if scale is None:
                    continue
                values = scale.astype(np.float64).ravel()
                bad = values[~(np.isfinite(values) & (values > 0))]
                if bad.size:
                    refuse(
                        source,
                        f"{node_text(node)} has the scale {quoted(node.input[index])} of {bad[0]:g}, "
                        "scales must be finite and above zero",
                        "Quantize the model again, or give the float model.",
                    )


def _suspects(scope: Scope, folder: Path) -> list[_Suspect]:
    found = []
    for tensor in scope.initializers:
        found.extend(_suspect(tensor, tensor.name, quoted(tensor.name), folder))
    for node in scope.graph.node:
        if node.domain not in STANDARD_DOMAINS:
            continue  # what a NaN means there (a missing value in a tree) is that operator's business
        for attribute in node.attribute:
            if attribute.HasField("t"):
                name = node.output[0] if node.output else ""
                found.extend(_suspect(attribute.t, name, f"the value of {node_text(node)}", folder))
            if (attribute.HasField("f") and math.isnan(attribute.f)) or any(map(math.isnan, attribute.floats)):
                found.append(_Suspect(f"attribute {quoted(attribute.name)} of {node_text(node)}", "", True, False))
    return found


def _suspect(tensor: onnx.TensorProto, name: str, what: str, folder: Path) -> list[_Suspect]:
    bits = _NONFINITE_BITS.get(tensor.data_type)
    if bits is None:
        return []
    in_fields = not tensor.HasField("raw_data") and tensor.data_location != _T.EXTERNAL
    width, exponent, mantissa = bits
    if in_fields:
        tensor = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor))
    infinite = nan = False
    for chunk in bit_chunks(tensor, width, folder):
        bad = (chunk & exponent) == exponent
        if bad.any():
            infinite = True
            nan = nan or bool((bad & ((chunk & mantissa) != 0)).any())
    if not infinite:
        return []
    return [_Suspect(what, name, nan, not nan and _is_mask(tensor, folder))]


def _is_mask(tensor: onnx.TensorProto, folder: Path) -> bool:
    """One value alone, or nothing but zeros and minus infinities, with both of them there."""
    if math.prod(tensor.dims) == 1:
        return True
    kinds = set(np.unique(read(tensor, folder).astype(np.float64)))
    return kinds == {0.0, -math.inf}


def _inputs_of(op_types: Iterable[str], all_scopes: Sequence[Scope]) -> frozenset[str]:
    wanted = frozenset(op_types)
    return frozenset(
        name for scope in all_scopes for node in scope.graph.node if node.op_type in wanted for name in node.input
    )
