"""Which operators stand behind an engine's layers, by the names that engines give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewright.compiler.engine_graph import operators_behind


def saved(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], out: str, path: Path) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_what_was_not_executed_by_itself_is_part_of_what_makes_its_input(tmp_path: Path) -> None:
    """Two products with a clamp each, called after the clamps' results; between them an operator the engine added."""
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "w1"], ["m1"], "first"),
        node("Relu", ["m1"], ["r1"], "first.relu"),
        node("MatMul", ["r1", "w2"], ["m2"], "second"),
        node("Add", ["m2", "b2"], ["a2"], "second.add"),
        node("Relu", ["a2"], ["y"], "second.relu"),
    ]
    weights = {name: np.ones((4, 4), np.float32) for name in ("w1", "w2")} | {"b2": np.ones(4, np.float32)}
    path = saved(nodes, weights, "y", tmp_path / "net.onnx")
    one, added, two = operators_behind(path, [("r1_nchwc", "MatMul"), ("Reorder", "Reorder"), ("y", "MatMul")])
    assert one.operators == ("first", "first.relu")
    assert one.constant_bytes == 64
    assert added.operators == ()
    assert two.operators == ("second", "second.add", "second.relu")
    assert two.kinds == ("MatMul", "Add", "Relu")
    assert two.constant_bytes == 64 + 16


def test_codes_are_weighed_where_they_are_read(tmp_path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["xq"], "x_quantize"),
        node("DequantizeLinear", ["xq", "s", "z"], ["xd"], "x_dequantize"),
        node("DequantizeLinear", ["w", "s", "wz"], ["wd"], "w_dequantize"),
        node("MatMul", ["xd", "wd"], ["m"], "product"),
        node("QuantizeLinear", ["m", "s", "z"], ["mq"], "m_quantize"),
        node("DequantizeLinear", ["mq", "s", "z"], ["y"], "m_dequantize"),
    ]
    scalars = {"s": np.array(0.1, np.float32), "z": np.array(0, np.uint8), "wz": np.array(0, np.int8)}
    path = saved(nodes, {**scalars, "w": np.ones((4, 4), np.int8)}, "y", tmp_path / "net.onnx")
    executed = [("x_quantize", "QuantizeLinear"), ("product_quant", "QLinearMatMul"), ("y", "DequantizeLinear")]
    first, product, last = operators_behind(path, executed)
    assert first.operators == ("x_quantize",)
    assert product.operators == ("product", "m_quantize", "x_dequantize", "w_dequantize")
    assert product.constant_bytes == 16 + 4 + 1 + 1  # the codes, one scale, two zero points
    assert last.operators == ("m_dequantize",)
