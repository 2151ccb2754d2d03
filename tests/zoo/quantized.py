"""Models that come quantised, wholly or in part: what they hold is kept, and nothing is quantised twice."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from .case import Array, Case, member
from .convolutional import pooled
from .graph import FIT, Graph, classifier, head, images, part


def _float_model() -> tuple[onnx.ModelProto, dict[str, Array], str]:
    g = Graph("small", 61)
    x = g.input("x", ["N", 3, 16, 16])
    x = g.op("Relu", g.conv(x, 3, 16, (3, 3), strides=[2, 2]))
    x = g.op("Add", x, g.op("Relu", g.conv(x, 16, 16, (3, 3))))
    features = pooled(g, g.op("Relu", g.conv(x, 16, 64, (3, 3))))
    g.output(head(g, features, 64, 5), ["N", 5])
    return g.model(), images(3, 16, 16, 5, seed=41, noise=1.5), features


def _by_onnxruntime(how: str, refused: str = "", **options: Any) -> Case:
    """The small net, quantised by onnxruntime's own tool; ``refused``: an operator that is its own alone."""
    from onnxruntime import quantization

    model, data, features = _float_model()
    ready = classifier(model, data, features)
    rows = iter([{"x": row[None]} for row in part(data, 0, FIT)["x"][:32]])

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Mapping[str, Array] | None:
            return next(rows, None)

    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, source)
        if how == "dynamic":
            quantization.quantize_dynamic(source, result)
        else:
            form = {"qdq": quantization.QuantFormat.QDQ, "operators": quantization.QuantFormat.QOperator}[how]
            kinds = quantization.QuantType
            quantization.quantize_static(
                source,
                result,
                Reader(),
                quant_format=form,
                activation_type=kinds.QUInt8,
                weight_type=kinds.QInt8,
                **options,
            )
        codes, says = ({"openvino": 69}, {"openvino": refused}) if refused else ({}, {})
        return Case(onnx.load(result), ready.calibration, ready.evaluation, codes=codes, says=says)


@member
def quantized_before() -> Case:
    """Q/DQ around everything: there is nothing left to do, and it must be left so."""
    return _by_onnxruntime("qdq", per_channel=True)


@member
def quantized_in_part() -> Case:
    """Q/DQ around one convolution only: the others are quantised, that one is not quantised again."""
    return _by_onnxruntime("qdq", nodes_to_quantize=["Conv_2"])


@member
def quantized_operators() -> Case:
    """QLinearConv and its like, which are int8 without any Q/DQ."""
    return _by_onnxruntime("operators", refused="com.microsoft::QGemm")


@member
def quantized_dynamically() -> Case:
    """DynamicQuantizeLinear with ConvInteger and MatMulInteger."""
    return _by_onnxruntime("dynamic")


@member
def weights_stored_as_int8() -> Case:
    """Weights as int8 behind a DequantizeLinear, activations float: weight-only compression, kept as it is."""
    model, data, features = _float_model()
    ready = classifier(model, data, features)
    graph = model.graph
    names = [node.input[1] for node in graph.node if node.op_type == "Conv"]
    for name in names:
        tensor = next(one for one in graph.initializer if one.name == name)
        weight = numpy_helper.to_array(tensor)
        scale = (np.abs(weight).reshape(len(weight), -1).max(1) / 127).astype(np.float32)
        codes = np.rint(weight / scale[:, None, None, None]).astype(np.int8)
        graph.initializer.remove(tensor)
        stored = [(codes, "codes"), (scale, "scale"), (np.zeros(len(scale), np.int8), "zero")]
        graph.initializer.extend(numpy_helper.from_array(value, f"{name}.{what}") for value, what in stored)
        inputs = [f"{name}.{what}" for _, what in stored]
        graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", inputs, [name], f"{name}.dequantize", axis=0))
    onnx.checker.check_model(model)
    return Case(model, ready.calibration, ready.evaluation)
