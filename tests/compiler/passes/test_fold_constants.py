from __future__ import annotations

import time

import numpy as np
import pytest

from edgewright.compiler.passes.fold_constants import FoldConstants, FoldConstantsOptions
from edgewright.compiler.passes.infer_shapes import InferShapes
from edgewright.compiler.passes.tidy import Tidy


def _folded(apply, model, feeds=(), options=None):
    prepared = InferShapes()(Tidy()(model, None).model, None).model
    return apply(FoldConstants(options), prepared, feeds)


def test_constants_are_folded_and_their_inputs_removed(apply, parse, operators):
    model = parse(
        "g (float[2,2] x) => (float[2,2] y) { t = Transpose (w) u = Add (t, t) y = MatMul (x, u) }",
        {"w": np.arange(4, dtype=np.float32).reshape(2, 2)},
    )
    outcome = _folded(apply, model, [{"x": np.eye(2, dtype=np.float32)}])
    assert operators(outcome.model) == ["MatMul"]
    assert len(outcome.model.ir.graph.initializers) == 1


HUGE = "n = Constant <value_ints = [1099511627776]> () v = Constant <value_floats = [1.0]> ()"
RANGE = "a = Constant <value_int = 0> () b = Constant <value_int = 1099511627776> () c = Constant <value_int = 1> ()"


@pytest.mark.parametrize(
    "body",
    [
        f"{HUGE} big = ConstantOfShape (n)",
        "n = Constant <value_ints = [1048576, 1048576]> () big = ConstantOfShape (n)",
        f"{HUGE} big = Expand (v, n)",
        f"{HUGE} big = Tile (v, n)",
        f"{RANGE} r = Range (a, b, c) big = Cast <to = 1> (r)",
    ],
)
def test_what_would_explode_is_never_made(body, apply, parse, texts):
    model = parse(f"g (float[1] x) => (float[1] y) {{ {body} s = ReduceSum <keepdims = 0> (big) y = Add (x, s) }}")
    started = time.monotonic()
    outcome = _folded(apply, model)
    assert time.monotonic() - started < 5
    assert "was kept: it would make" in texts(outcome)
    assert outcome.model.size_bytes < 1000


def test_the_model_grows_by_no_more_than_the_limit(apply, parse):
    made = " ".join(f"c{i} = ConstantOfShape (n) s{i} = Gather (c{i}, i)" for i in range(8))
    total = " ".join(f"t{i + 1} = Add (t{i}, s{i})" for i in range(8))
    text = f"g (float[1] x) => (float[1] t8) {{ t0 = Identity (x) {made} {total} }}"
    model = parse(text, {"n": np.array([1000]), "i": np.array([0])})
    # Each ConstantOfShape is 4,000 bytes; its Gather frees them again, so all of them fit one after the other.
    outcome = _folded(apply, model, [{"x": np.ones(1, np.float32)}], FoldConstantsOptions(5000))
    assert outcome.model.size_bytes < 200
    kept = " ".join(f"c{i} = ConstantOfShape (n) s{i} = Mul (c{i}, x)" for i in range(4))
    text = f"g (float[1] x) => (float[1000] y) {{ {kept} y = Sum (s0, s1, s2, s3) }}"
    outcome = _folded(apply, parse(text, {"n": np.array([1000])}), [], FoldConstantsOptions(9000))
    assert outcome.model.size_bytes < 9000


def test_what_is_known_of_shapes_is_constant(apply, parse, operators):
    model = parse(
        """g (float[N,3,8,8] x) => (float[M,K] y) {
            s = Shape (x)
            a = Gather (s, i2)
            h = Mul (a, a)
            c = Gather (s, i1)
            k = Mul (c, h)
            k1 = Unsqueeze (k, zero)
            t = Concat <axis = 0> (minus, k1)
            y = Reshape (x, t) }""",
        {"i1": np.array(1), "i2": np.array(2), "zero": np.array([0]), "minus": np.array([-1])},
    )
    outcome = _folded(apply, model, [{"x": np.ones((2, 3, 8, 8), np.float32)}])
    assert operators(outcome.model) == ["Reshape"]
    assert any(list(v.const_value.numpy()) == [-1, 192] for v in outcome.model.ir.graph.initializers.values())


def test_an_unknown_size_stays_unknown(apply, parse, operators):
    model = parse("g (float[N,3] x) => (int64 n) { s = Shape (x) n = Gather (s, i) }", {"i": np.array(0)})
    outcome = _folded(apply, model, [{"x": np.ones((5, 3), np.float32)}])
    assert operators(outcome.model) == ["Gather", "Shape"]


def test_a_constant_condition_takes_its_branch_without_clashing_names(apply, parse, operators):
    branch = """then_branch = t () => (float[2] o) { tmp = Neg (x) o = Mul (tmp, two) },
                else_branch = e () => (float[2] o) { o = Abs (x) }"""
    model = parse(
        f"g (float[2] x) => (float[2] y) {{ a = If (yes) <{branch}> b = If (yes) <{branch}> y = Add (a, b) }}",
        {"yes": np.array(True), "two": np.float32(2)},
    )
    outcome = _folded(apply, model, [{"x": np.array([1, -2], np.float32)}])
    assert operators(outcome.model) == ["Add", "Mul", "Mul", "Neg", "Neg"]


def test_loops_random_numbers_and_quantised_weights_stay(apply, parse, operators, texts):
    model = parse(
        """g (float[2] x) => (float[2] y) {
            r = RandomNormal <shape = [2]> ()
            d = DequantizeLinear (q, s)
            l = Loop (trips, , d) <body = b (int64 i, bool c, float[2] v) => (bool c2, float[2] w) {
                    c2 = Identity (c) w = Add (v, v) }>
            p = Mul (r, l)
            y = Add (x, p) }""",
        {"q": np.array([1, 2], np.int8), "s": np.float32(0.5), "trips": np.array(1 << 62)},
    )
    outcome = _folded(apply, model)
    assert {"RandomNormal", "DequantizeLinear", "Loop"} <= set(operators(outcome.model))
    assert "a quantised model stays quantised" in texts(outcome)


def test_a_folded_output_keeps_its_name(apply, parse):
    model = parse(
        "g (float[2] x) => (float[2] y, float[2] k) { k = Add (c, c) y = Mul (x, k) }", {"c": np.ones(2, np.float32)}
    )
    outcome = _folded(apply, model, [{"x": np.ones(2, np.float32)}])
    assert [spec.name for spec in outcome.model.outputs] == ["y", "k"]


def test_the_shape_of_what_a_loop_carries_is_not_trusted(apply, parse, run_model):
    model = parse(
        """g (float[2] x) => (int64[1] n) {
            y, n = Loop (trips, , x, none)
                <body = b (int64 i, bool c, float[2] v, int64[1] m) => (bool c2, float[k] w, int64[1] s) {
                    c2 = Identity (c) s = Shape (v) w = Concat <axis = 0> (v, v) }>
        }""",
        {"trips": np.array(3), "none": np.array([0])},
    )
    outcome = FoldConstants()(model, None)
    feeds = [{"x": np.ones(2, np.float32)}]
    assert [list(a["n"]) for a in run_model(outcome.model, feeds)] == [list(a["n"]) for a in run_model(model, feeds)]


def test_the_limit_is_checked():
    with pytest.raises(ValueError, match="max_bytes: 0"):
        FoldConstantsOptions(0)
