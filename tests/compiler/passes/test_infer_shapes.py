from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from edgewright.compiler.graphs import dims
from edgewright.compiler.passes.infer_shapes import InferShapes
from edgewright.core.model import OnnxModel


def _value(model: OnnxModel, name: str) -> ir.Value:
    return next(value for node in model.ir.graph.all_nodes() for value in node.outputs if value.name == name)


def test_types_and_symbols_reach_every_tensor_and_body(apply, parse):
    model = parse(
        """g (float[N,4] x, bool c) => (float[N,4] y) {
            a = Relu (x)
            s = Shape (a)
            y = If (c) <then_branch = t () => (float[N,4] u) { i = Neg (a) u = Abs (i) },
                        else_branch = e () => (float[N,4] v) { v = Neg (a) }>
        }"""
    )
    outcome = apply(InferShapes(), model, [{"x": np.ones((2, 4), np.float32), "c": np.array(True)}])
    assert dims(_value(outcome.model, "a")) == ["N", 4]
    assert dims(_value(outcome.model, "i")) == ["N", 4]
    assert _value(outcome.model, "s").dtype == ir.DataType.INT64
    assert outcome.model.inputs == model.inputs


def test_a_declared_symbol_is_kept_and_a_number_beats_it(apply, parse):
    proto = ir.to_proto(parse("g (float[2,K] x) => (float[2,K] y) { a = Relu (x) b = Flatten (a) y = Neg (b) }").ir)
    declared = [("a", ["rows", "columns"]), ("b", [None, None])]
    proto.graph.value_info.extend(onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in declared)
    outcome = apply(InferShapes(), OnnxModel(ir.from_proto(proto), "g"))
    assert dims(_value(outcome.model, "a")) == [2, "columns"]


def test_a_small_file_that_claims_a_huge_tensor_takes_no_memory(parse):
    model = parse(
        """g (float[1] x) => (float[1] y) {
            n = Constant <value_ints = [1099511627776]> () big = ConstantOfShape (n)
            s = Slice (big, zero, one) y = Add (x, s) }""",
        {"zero": np.array([0]), "one": np.array([1])},
    )
    before = _peak_memory_bytes()
    outcome = InferShapes()(model, None)
    assert dims(_value(outcome.model, "big")) == [1 << 40]
    assert _peak_memory_bytes() - before < 1 << 30


def _peak_memory_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def test_weights_are_set_aside_and_come_back_as_they_were(apply, parse):
    weight = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    model = parse("g (float[N,4] x) => (float[N,300] y) { t = Transpose (w) y = MatMul (x, t) }", {"w": weight})
    outcome = apply(InferShapes(), model, [{"x": np.ones((1, 4), np.float32)}])
    assert dims(_value(outcome.model, "t")) == [4, 300]
    kept, original = outcome.model.ir.graph.initializers["w"], model.ir.graph.initializers["w"]
    assert kept.const_value is original.const_value
    assert list(outcome.model.ir.graph.inputs) == outcome.model.ir.graph.inputs[:1]


def test_the_original_keeps_its_own_types(parse, apply):
    """onnx_ir's clone shares type objects: writing into one would reach the model that came in."""
    model = parse("g (float[N,4] x) => (float[N,4] y) { a = Relu (x) y = Neg (a) }")
    apply(InferShapes(), model)
    assert _value(model, "a").dtype is None
