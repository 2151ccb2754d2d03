from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.compiler.intake.opset import upgrade_opset
from edgewright.compiler.pass_base import Note
from edgewright.core.model import OnnxModel

from .conftest import Read

FEEDS = {"x": np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)}


def old_model(opset: int) -> onnx.ModelProto:
    """Operators whose form changed: axes became inputs (Squeeze, ReduceMean), Softmax changed its meaning (13)."""
    weight = numpy_helper.from_array(np.random.default_rng(1).normal(size=(4, 2000)).astype(np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Softmax", ["m"], ["s"], axis=1),
        helper.make_node("ReduceMean", ["s"], ["r"], axes=[2], keepdims=1),
        helper.make_node("Squeeze", ["r"], ["y"], axes=[2]),
    ]
    graph = helper.make_graph(
        nodes,
        "old",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)


def answer(model: OnnxModel) -> np.ndarray:
    """By ONNX Runtime: onnx's own evaluator computes an old Softmax as if it were a new one."""
    session = onnxruntime.InferenceSession(
        ir.to_proto(model.ir).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, FEEDS)[0])


@pytest.mark.parametrize("target", [12, 13, 18, 21, 25])
def test_the_upgraded_model_computes_the_same(target: int, read: Read) -> None:
    model = read(old_model(11))
    before = model.digest
    notes: list[Note] = []
    raised = upgrade_opset(model, target, notes)
    assert raised.ir.opset_imports[""] == target
    assert [note.kind for note in notes] == ["did"]
    # The same sums of 2,000 float32 terms, possibly in another order after the softmax was rewritten.
    np.testing.assert_allclose(answer(raised), answer(model), rtol=1e-5)
    assert OnnxModel(model.ir, "again").digest == before


def test_a_model_that_is_new_enough_is_itself(read: Read) -> None:
    model = read(old_model(11))
    assert upgrade_opset(model, 9) is model


def test_what_cannot_be_converted_is_kept_with_the_reason(read: Read) -> None:
    proto = old_model(11)
    proto.opset_import.add(domain="my.own", version=1)
    proto.graph.node.append(helper.make_node("Scatter", ["x", "i", "u"], ["z"]))
    proto.opset_import[0].version = 10
    indices = numpy_helper.from_array(np.zeros((2, 3, 4), np.int64), "i")
    proto.graph.initializer.extend([indices, numpy_helper.from_array(np.ones((2, 3, 4), np.float32), "u")])
    model = read(proto)
    notes: list[Note] = []
    raised = upgrade_opset(model, 99, notes)
    assert raised is model
    assert notes[0].kind == "skipped"
    assert "opset 10 stays" in notes[0].text
