from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.compiler.macs import count_macs
from edgewright.compiler.summary import summarise
from edgewright.core.model import OnnxModel

Shape = tuple[int | str, ...]


def model(
    nodes: list[onnx.NodeProto], inputs: dict[str, Shape], weights: dict[str, tuple[int, ...]], opset: int = 20
) -> OnnxModel:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return OnnxModel(ir.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=10)), "net")


def node(kind: str, names: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, names.split(), ["y"], f"the_{kind}", **attributes)


def recurrent(kind: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, ["x", "w", "r"], ["y"], **attributes)


# The products are written out: output elements times what each of them sums, by hand from the operators' definitions.
CASES = {
    "conv": (node("Conv", "x w", pads=[1, 1, 1, 1]), {"x": (2, 3, 8, 8)}, {"w": (16, 3, 3, 3)}, 2 * 16 * 64 * 27),
    "strided": (node("Conv", "x w", strides=[2, 2]), {"x": (1, 3, 9, 9)}, {"w": (16, 3, 3, 3)}, 16 * 16 * 27),
    "depthwise": (node("Conv", "x w", group=8), {"x": (1, 8, 6, 6)}, {"w": (8, 1, 3, 3)}, 8 * 16 * 9),
    "conv 1d": (node("Conv", "x w"), {"x": (1, 4, 10)}, {"w": (5, 4, 3)}, 5 * 8 * 12),
    "transposed": (node("ConvTranspose", "x w", strides=[2, 2]), {"x": (1, 4, 5, 5)}, {"w": (4, 6, 2, 2)}, 100 * 24),
    "gemm": (node("Gemm", "x w"), {"x": (3, 7)}, {"w": (7, 5)}, 3 * 5 * 7),
    "gemm transposed": (node("Gemm", "x w", transA=1, transB=1), {"x": (7, 3)}, {"w": (5, 7)}, 3 * 5 * 7),
    "matmul": (node("MatMul", "x w"), {"x": (2, 4, 7)}, {"w": (7, 5)}, 2 * 4 * 5 * 7),
    "matmul batched": (node("MatMul", "x z"), {"x": (2, 3, 4, 7), "z": (2, 3, 7, 5)}, {}, 6 * 4 * 5 * 7),
    "matrix by vector": (node("MatMul", "x w"), {"x": (4, 7)}, {"w": (7,)}, 4 * 7),
    "lstm": (recurrent("LSTM", hidden_size=5), {"x": (9, 2, 3)}, {"w": (1, 20, 3), "r": (1, 20, 5)}, 18 * 160),
    "gru": (
        recurrent("GRU", hidden_size=5, direction="bidirectional"),
        {"x": (9, 2, 3)},
        {"w": (2, 15, 3), "r": (2, 15, 5)},
        18 * 240,
    ),
    "none": (node("Relu", "x"), {"x": (2, 3)}, {}, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_products_counted_by_hand(name: str) -> None:
    one, inputs, weights, expected = CASES[name]
    found = count_macs(model([one], inputs, weights))
    assert (found.total, found.complete) == (expected, True)


def test_a_dynamic_batch_is_taken_as_one_wherever_it_stands() -> None:
    nodes = [node("MatMul", "x z")]
    found = count_macs(model(nodes, {"x": ("N", 4, 7), "z": ("N", 7, 5)}, {}))
    assert (found.total, found.complete) == (4 * 5 * 7, True)
    assert found.notes == ("taken as 1: x[0], z[0]",)


def test_what_is_unknown_makes_a_lower_bound() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1]),
        helper.make_node("MatMul", ["z", "v"], ["y"]),
    ]
    inputs: dict[str, Shape] = {"x": (1, 3, "width"), "z": (1, 6)}
    found = count_macs(model(nodes, inputs, {"w": (4, 3, 3), "v": (6, 2)}))
    assert (found.total, found.complete, dict(found.by_op)) == (12, False, {"MatMul": 12})
    assert found.notes == ("1 Conv not counted: sizes unknown until the model runs",)
    alone = count_macs(model([node("Conv", "x w")], {"x": (1, 3, "width")}, {"w": (4, 3, 3)}))
    assert (alone.total, alone.complete) == (None, False)


def test_what_has_no_rule_is_said() -> None:
    found = count_macs(model([node("Einsum", "x z", equation="ij,jk->ik")], {"x": (2, 3), "z": (3, 4)}, {}))
    assert (found.total, found.notes) == (None, ("1 Einsum not counted: no rule",))


def test_a_body_is_counted_once_and_said() -> None:
    weight = numpy_helper.from_array(np.zeros((7, 5), np.float32), "w")
    bodies = [
        helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], [f"{side}_y"])],
            side,
            [],
            [helper.make_tensor_value_info(f"{side}_y", TensorProto.FLOAT, (3, 5))],
        )
        for side in ("then", "else")
    ]
    chosen = helper.make_node("If", ["flag"], ["y"], then_branch=bodies[0], else_branch=bodies[1])
    graph = helper.make_graph(
        [chosen],
        "net",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, (3, 7)),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, ()),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (3, 5))],
        [weight],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    found = count_macs(OnnxModel(ir.from_proto(proto), "net"))
    assert found.total == 2 * 3 * 5 * 7
    assert "2 nodes stand in bodies" in found.notes[0]


def test_counting_leaves_the_model_as_it_was() -> None:
    one, _, weights, _ = CASES["conv"]
    subject = model([one], {"x": ("N", 3, 8, 8)}, weights)
    before = ir.to_proto(subject.ir).SerializeToString(deterministic=True)
    count_macs(subject)
    assert ir.to_proto(subject.ir).SerializeToString(deterministic=True) == before


def test_the_summary_counts_operators_and_what_is_quantised() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"]),
        helper.make_node("QuantizeLinear", ["x", "s"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s"], ["xd"]),
        helper.make_node("MatMul", ["xd", "w"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Gelu", ["b"], ["y"], domain="com.microsoft"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", 4))],
        [
            numpy_helper.from_array(np.ones((4, 4), np.uint8), "q"),
            numpy_helper.from_array(np.array(0.1, np.float32), "s"),
        ],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    found = summarise(OnnxModel(ir.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=10)), "net"))
    assert list(found.operators) == ["DequantizeLinear", "MatMul", "QuantizeLinear", "com.microsoft::Gelu"]
    assert dict(found.operators) == {"DequantizeLinear": 2, "MatMul": 2, "QuantizeLinear": 1, "com.microsoft::Gelu": 1}
    assert (found.quantised, found.heavy) == (1, 2)
    assert dict(found.opsets) == {"ai.onnx": 20, "com.microsoft": 1}
    assert found.macs.total == 32
