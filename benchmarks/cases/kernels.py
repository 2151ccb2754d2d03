"""Which layers an engine really computes in float: read from what the runtime made of the model, not from the model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

HEAVY = frozenset(
    {
        *("Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"),
        *("Attention", "MultiHeadAttention", "GroupQueryAttention", "LSTM", "GRU", "RNN"),
        *("Convolution", "Deconvolution", "FullyConnected", "LSTMSequence", "GRUSequence", "RNNSequence"),
    }
)
"""Operators worth a word when they stay float, as ONNX, ONNX Runtime and OpenVINO call them."""
_SAID = re.compile(r"(?:(\d+) x )?(\w+) stays? float")


def float_kernels_onnxruntime(model: Path) -> dict[str, int]:
    """Heavy operators of `model` that are float after ONNX Runtime's own rewriting, by kind."""
    import onnx
    import onnxruntime as ort

    with TemporaryDirectory(prefix="edgewright-kernels-") as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 4  # that such a file belongs to this machine is known
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        graph = onnx.load(options.optimized_model_filepath).graph
    return dict(Counter(node.op_type for node in graph.node if node.op_type in HEAVY))


def float_kernels_openvino(model: Path, hint: str) -> dict[str, int]:
    """Heavy layers of `model` that OpenVINO's CPU executes in another type than 8-bit integers, by kind."""
    import openvino

    compiled = openvino.Core().compile_model(str(model), "CPU", {"INFERENCE_PRECISION_HINT": hint})
    found: Counter[str] = Counter()
    for layer in compiled.get_runtime_model().get_ordered_ops():
        told = {key: layer.get_rt_info()[key].astype(str) for key in ("layerType", "runtimePrecision")}
        if told["layerType"] in HEAVY and told["runtimePrecision"] not in ("u8", "i8"):
            found[told["layerType"]] += 1
    return dict(found)


def unsaid(kernels: Mapping[str, int], reasons: Iterable[str]) -> int:
    """How many more heavy layers are float than the product gave a reason for.

    Args:
        kernels: count of float layers by kind.
        reasons: lines such as `4 x MatMul stay float: its weight is computed` and `Gemm stays float: ...`.
    """
    said = [found for line in reasons if (found := _SAID.match(line)) is not None]
    explained = sum(int(found[1] or 1) for found in said if found[2] in HEAVY)
    return max(0, sum(kernels.values()) - explained)
