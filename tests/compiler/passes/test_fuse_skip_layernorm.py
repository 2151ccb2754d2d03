from __future__ import annotations

import numpy as np
import pytest

from edgewright.compiler.passes.fuse_skip_layernorm import FuseSkipLayernorm
from edgewright.compiler.passes.infer_shapes import InferShapes

RNG = np.random.default_rng(0)
TAKES = frozenset({"com.microsoft::SkipLayerNormalization"})
WEIGHTS = {name: RNG.uniform(0.5, 1.5, 8).astype(np.float32) for name in ("gamma", "beta", "bias")}
NORM = "LayerNormalization <axis = -1, epsilon = 0.001> (s, gamma, beta)"


@pytest.fixture
def fuse(apply, parse):
    def run(nodes: str, outputs="float[B,T,8] y", second="float[B,T,8]", takes=TAKES):
        text = f"g (float[B,T,8] x, {second} z) => ({outputs}) {{ {nodes} }}"
        x = RNG.normal(size=(2, 3, 8)).astype(np.float32)
        z = RNG.normal(size=(2, 1 if "B,1" in second else 3, 8)).astype(np.float32)
        return apply(FuseSkipLayernorm(), InferShapes()(parse(text, WEIGHTS), None).model, [{"x": x, "z": z}], takes)

    return run


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        (f"s = Add (x, z) y = {NORM}", ["SkipLayerNormalization"]),
        ("s = Add (x, z) y = LayerNormalization (s, gamma)", ["SkipLayerNormalization"]),
        (f"b = Add (x, bias) s = Add (b, z) y = {NORM}", ["SkipLayerNormalization"]),
        (f"b = Add (bias, x) s = Add (z, b) y = {NORM}", ["SkipLayerNormalization"]),
        (f"s = Add (x, z) n = {NORM} y = Add (n, s)", ["Add", "SkipLayerNormalization"]),
        (f"s = Add (x, z) r = Relu (s) n = {NORM} y = Add (n, r)", ["Add", "Relu", "SkipLayerNormalization"]),
    ],
)
def test_every_spelling(nodes, left, fuse, operators):
    assert operators(fuse(nodes).model) == left


def test_the_sum_may_be_an_output(fuse, operators):
    outcome = fuse(f"s = Add (x, z) y = {NORM}", "float[B,T,8] y, float[B,T,8] s")
    assert operators(outcome.model) == ["SkipLayerNormalization"]
    assert [spec.name for spec in outcome.model.outputs] == ["y", "s"]


@pytest.mark.parametrize(
    ("nodes", "second", "reason"),
    [
        (f"s = Add (x, z) y = {NORM}", "float[B,1,8]", "may differ in shape"),
        ("s = Add (x, z) y = LayerNormalization <axis = 1> (s, g2)", "float[B,T,8]", "more than the last axis"),
        ("s = Add (x, z) g = Abs (gamma) y = LayerNormalization (s, g)", "float[B,T,8]", "not initializers"),
    ],
)
def test_near_misses_say_why(nodes, second, reason, fuse, texts, monkeypatch):
    monkeypatch.setitem(WEIGHTS, "g2", np.ones((3, 8), np.float32))
    outcome = fuse(nodes, second=second)
    assert outcome.changed == 0
    assert reason in texts(outcome)


def test_nothing_is_fused_for_a_target_that_does_not_declare_it(fuse):
    assert fuse(f"s = Add (x, z) y = {NORM}", takes=frozenset()).changed == 0
