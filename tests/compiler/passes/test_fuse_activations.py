from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgewright.compiler.passes.fuse_activations import FuseActivations
from edgewright.compiler.passes.infer_shapes import InferShapes
from edgewright.core.model import OnnxModel

X = [{"x": np.linspace(-8, 8, 60).astype(np.float32).reshape(3, 20)}]
NUMBERS = {"zero": 0, "one": 1, "three": 3, "six": 6, "sixth": 1 / 6, "minus": -2}
WEIGHTS = {name: np.float32(number) for name, number in NUMBERS.items()}
TAKES = frozenset({"::HardSwish", "::HardSigmoid", "::Mish"})


@pytest.fixture
def fuse(apply, parse):
    def run(nodes: str, takes=TAKES, opset=(7, 24), outputs="float[N,20] y"):
        model = parse(f"g (float[N,20] x) => ({outputs}) {{ {nodes} }}", WEIGHTS)
        return apply(FuseActivations(), InferShapes()(model, None).model, X, takes, opset)

    return run


@pytest.mark.parametrize(
    "nodes",
    [
        "a = Add (x, three) k = Clip (a, zero, six) m = Mul (x, k) y = Div (m, six)",
        "a = Add (three, x) k = Clip (a, zero, six) d = Div (k, six) y = Mul (x, d)",
        "a = Add (x, three) k = Clip (a, zero, six) d = Mul (k, sixth) y = Mul (d, x)",
        "a = Add (x, three) r = Relu (a) k = Min (r, six) m = Mul (x, k) y = Mul (m, sixth)",
        "a = Add (x, three) r = Max (a, zero) k = Min (six, r) d = Div (x, six) y = Mul (d, k)",
        "h = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x) y = Mul (x, h)",
    ],
)
def test_every_spelling_of_hard_swish(nodes, fuse, operators):
    assert operators(fuse(nodes).model) == ["HardSwish"]


@pytest.mark.parametrize(
    "nodes",
    [
        "a = Add (x, three) k = Clip (a, zero, six) m = Mul (x, k) y = Div (m, three)",
        "a = Add (x, six) k = Clip (a, zero, six) m = Mul (x, k) y = Div (m, six)",
        "a = Add (x, three) k = Clip (a, one, six) m = Mul (x, k) y = Div (m, six)",
        "a = Add (x, three) k = Clip (a, zero, six) m = Mul (a, k) y = Div (m, six)",
        "h = HardSigmoid (x) y = Mul (x, h)",
        "s = Sigmoid (x) y = Mul (x, s)",
    ],
)
def test_what_only_looks_like_it_stays(nodes, fuse):
    assert fuse(nodes).changed == 0


def test_a_part_that_is_read_elsewhere_is_kept(fuse, operators):
    nodes = "a = Add (x, three) k = Clip (a, zero, six) m = Mul (x, k) d = Div (m, six) y = Add (d, m)"
    assert "HardSwish" not in operators(fuse(nodes).model)
    nodes = "a = Add (x, three) k = Clip (a, zero, six) m = Mul (x, k) d = Div (m, six) y = Add (d, k)"
    assert operators(fuse(nodes).model) == ["Add", "Add", "Clip", "HardSwish"]


def test_hard_sigmoid_and_mish(fuse, operators):
    assert operators(fuse("a = Add (x, three) k = Clip (a, zero, six) y = Div (k, six)").model) == ["HardSigmoid"]
    assert operators(fuse("s = Softplus (x) t = Tanh (s) y = Mul (t, x)").model) == ["Mish"]


def test_nothing_is_fused_that_the_target_does_not_declare(fuse):
    nodes = "a = Add (x, three) k = Clip (a, zero, six) m = Mul (x, k) y = Div (m, six)"
    assert fuse(nodes, frozenset()).changed == 0


@pytest.mark.parametrize("opset", [(7, 13), (7, 24)])
def test_an_old_model_is_raised_when_the_target_takes_it(opset, apply, operators, texts):
    proto = onnx.parser.parse_model(
        """<ir_version: 6, opset_import: ["" : 11]> g (float[N,20] x) => (float[N,20] y)
        <float three = {3}, float zero = {0}, float six = {6}> {
            a = Add (x, three) k = Clip (a, zero, six) m = Mul (x, k) y = Div (m, six) }"""
    )
    model = InferShapes()(OnnxModel(ir.from_proto(proto), "g"), None).model
    outcome = apply(FuseActivations(), model, X, TAKES, opset)
    assert (operators(outcome.model) == ["HardSwish"]) == (opset[1] == 24)
    assert ("it needs opset 14, the target takes 13 at most" in texts(outcome)) == (opset[1] == 13)


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        ("r = Relu (x) y = Clip (r, , six)", ["Clip"]),
        ("r = Clip (x, minus, six) y = Relu (r)", ["Clip"]),
        ("a = Relu (x) y = Relu (a)", ["Relu"]),
        ("a = Max (x, minus) y = Min (a, three)", ["Clip"]),
        ("a = Clip (x, , minus) y = Clip (a, zero, six)", ["Clip"]),
        ("a = Clip (x, zero, one) b = Clip (a, minus, six) y = Relu (b)", ["Clip"]),
        ("y = Clip (x, zero)", ["Relu"]),
        ("y = Min (x, six)", ["Min"]),
        ("y = Min (x, six, three)", ["Min"]),
    ],
)
def test_successive_clamps(nodes, left, fuse, operators):
    assert operators(fuse(nodes).model) == left


def test_a_clamp_that_is_an_output_stays(fuse, operators):
    outcome = fuse("z = Relu (x) y = Clip (z, , six)", outputs="float[N,20] y, float[N,20] z")
    assert operators(outcome.model) == ["Clip", "Relu"]


def test_clips_with_attributes_stay_so(apply, operators):
    proto = onnx.parser.parse_model(
        """<ir_version: 4, opset_import: ["" : 9]> g (float[N,20] x) => (float[N,20] y) {
            a = Relu (x) y = Clip <min = -1.0, max = 6.0> (a) }"""
    )
    model = InferShapes()(OnnxModel(ir.from_proto(proto), "g"), None).model
    outcome = apply(FuseActivations(), model, X)
    assert operators(outcome.model) == ["Clip"]
    assert outcome.model.ir.graph.opset_imports[""] == 9


def test_integers_are_not_clamped_as_floats(apply, parse):
    model = parse(
        "g (int64[4] x) => (int64[4] y) { a = Max (x, low) y = Min (a, high) }",
        {"low": np.array(0), "high": np.array(5)},
    )
    assert apply(FuseActivations(), InferShapes()(model, None).model, [{"x": np.arange(-2, 8, 3)}]).changed == 0
