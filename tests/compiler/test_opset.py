from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgewright.compiler.opset import OpsetError, light_proto, raise_opset
from edgewright.core.model import OnnxModel

OLD = """<ir_version: 6, opset_import: ["" : 11]>
g (float[N,300] x, bool c) => (float[N] y, float[N,300] z) {
    m = ReduceMean <axes = [1], keepdims = 0> (x)
    y = If (c) <then_branch = t () => (float[N] a) { u = Unsqueeze <axes = [1]> (m) a = Squeeze <axes = [1]> (u) },
                else_branch = e () => (float[N] b) { b = Neg (m) }>
    p = Softmax <axis = 1> (x)
    z = Mul (p, w)
}"""


def _old(w: np.ndarray) -> OnnxModel:
    proto = onnx.parser.parse_model(OLD)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    proto.metadata_props.add(key="classes", value="cat,dog")
    return OnnxModel(ir.from_proto(proto), "g")


@pytest.mark.parametrize("wanted", [13, 18, 21])
def test_operators_whose_meaning_changed_are_rewritten_in_bodies_too(wanted, run_model):
    weight = np.random.default_rng(0).normal(size=300).astype(np.float32)
    model = _old(weight)
    raised = OnnxModel(raise_opset(model.copy().ir, wanted), "g")
    assert raised.ir.graph.opset_imports[""] == wanted
    assert raised.inputs == model.inputs
    assert raised.ir.metadata_props == {"classes": "cat,dog"}
    np.testing.assert_array_equal(raised.ir.graph.initializers["w"].const_value.numpy(), weight)
    rng = np.random.default_rng(1)
    feeds = [{"x": rng.normal(size=(2, 300)).astype(np.float32), "c": np.array(flag)} for flag in (True, False)]
    for old, new in zip(run_model(model, feeds), run_model(raised, feeds), strict=True):
        for name in old:
            np.testing.assert_allclose(new[name], old[name], atol=1e-6)  # one float32 rounding of values near 1


def test_a_model_that_is_high_enough_is_returned_as_it_is():
    model = _old(np.ones(300, np.float32)).ir
    assert raise_opset(model, 9) is model


def test_what_cannot_be_carried_over_is_a_reason():
    text = """<ir_version: 8, opset_import: ["" : 13, "mine" : 1]>
        g (float[2] x) => (float[2] y) { y = mine.twice (x) }
        <domain: "mine", opset_import: ["" : 13]> twice (v) => (w) { w = Add (v, v) }"""
    with pytest.raises(OpsetError, match="local functions"):
        raise_opset(ir.from_proto(onnx.parser.parse_model(text)), 17)


def test_large_weights_are_set_aside_and_come_back():
    model = _old(np.ones(300, np.float32)).ir
    before = list(model.graph.inputs)
    with light_proto(model) as (proto, weights):
        assert list(weights) == ["w"]
        assert "w" in {value.name for value in proto.graph.input}
        assert not proto.graph.initializer
    assert list(model.graph.inputs) == before
    assert list(model.graph.initializers) == ["w"]
