from __future__ import annotations

import numpy as np
import pytest

from edgewright.compiler.passes.fuse_layernorm import FuseLayernorm
from edgewright.compiler.passes.infer_shapes import InferShapes

RNG = np.random.default_rng(0)
X = [{"x": RNG.normal(1, 2, (2, n, 8)).astype(np.float32)} for n in (1, 3)]
TAKES = frozenset({"::LayerNormalization"})
WEIGHTS = {
    "two": np.float32(2),
    "one": np.float32(1),
    "eps": np.float32(1e-5),
    "minus_half": np.float32(-0.5),
    "gamma": RNG.uniform(0.5, 1.5, 8).astype(np.float32),
    "beta": RNG.uniform(-1, 1, 8).astype(np.float32),
    "wide": RNG.uniform(0.5, 1.5, (1, 1, 8)).astype(np.float32),
    "rows": RNG.uniform(0.5, 1.5, (1, 1)).astype(np.float32),
    "last": np.array([-1]),
    "third": np.array([2]),
    "first": np.array([1]),
}
MEAN = {17: "m = ReduceMean <axes = [-1]> (x)", 18: "m = ReduceMean (x, last)"}
VARIANCE = {17: "v = ReduceMean <axes = [2]> (p)", 18: "v = ReduceMean (p, third)"}


@pytest.fixture
def fuse(apply, parse):
    def run(nodes: str, opset: int = 17, takes=TAKES, top=24, size="8"):
        header = f'<ir_version: 8, opset_import: ["" : {opset}]>'
        text = f"{header} g (float[B,T,{size}] x) => (float[B,T,{size}] y) {{ {nodes} }}"
        return apply(FuseLayernorm(), InferShapes()(parse(text, WEIGHTS), None).model, X, takes, (7, top))

    return run


def _nodes(opset: int, square="p = Pow (d, two)", quotient="q = Sqrt (e) n = Div (d, q)", tail="") -> str:
    group = 18 if opset >= 18 else 17
    return f"{MEAN[group]} d = Sub (x, m) {square} {VARIANCE[group]} e = Add (v, eps) {quotient} {tail}"


FULL = "g1 = Mul (n, gamma) y = Add (g1, beta)"


@pytest.mark.parametrize("opset", [11, 13, 17, 18])
@pytest.mark.parametrize(
    ("square", "quotient"),
    [
        ("p = Pow (d, two)", "q = Sqrt (e) n = Div (d, q)"),
        ("p = Mul (d, d)", "q = Sqrt (e) n = Div (d, q)"),
        ("p = Pow (d, two)", "q = Sqrt (e) r = Reciprocal (q) n = Mul (d, r)"),
        ("p = Pow (d, two)", "q = Sqrt (e) r = Div (one, q) n = Mul (r, d)"),
        ("p = Pow (d, two)", "r = Pow (e, minus_half) n = Mul (d, r)"),
    ],
)
def test_every_spelling_at_every_opset(opset, square, quotient, fuse, operators):
    outcome = fuse(_nodes(opset, square, quotient, FULL), opset)
    assert operators(outcome.model) == ["LayerNormalization"]
    assert outcome.model.ir.graph.opset_imports[""] == max(17, opset)


@pytest.mark.parametrize(
    ("tail", "left"),
    [
        ("y = Identity (n)", ["Identity", "LayerNormalization"]),
        ("y = Mul (gamma, n)", ["LayerNormalization"]),
        ("g1 = Mul (n, wide) y = Add (beta, g1)", ["LayerNormalization"]),
        ("g1 = Mul (n, rows) y = Add (g1, beta)", ["Add", "LayerNormalization", "Mul"]),
        ("g1 = Mul (n, gamma) y = Add (g1, x)", ["Add", "LayerNormalization"]),
        ("g1 = Mul (n, gamma) g2 = Add (g1, beta) y = Add (g2, n)", ["Add", "Add", "LayerNormalization", "Mul"]),
    ],
)
def test_scale_and_bias_come_along_where_they_can(tail, left, fuse, operators):
    assert operators(fuse(_nodes(17, tail=tail)).model) == left


def test_without_scale_the_size_must_be_known(fuse, texts):
    outcome = fuse(_nodes(17, tail="y = Neg (n)"), size="H")
    assert outcome.changed == 0
    assert "the size of the normalised axes is not known" in texts(outcome)


def _core(mean="ReduceMean", axis=-1, square="Mul (d, d)", quotient="Div (d, q)") -> str:
    average = f"ReduceMean <axes = [{axis}]> (p)"
    start = f"m = {mean} <axes = [{axis}]> (x) d = Sub (x, m) p = {square}"
    return f"{start} v = {average} e = Add (v, eps) q = Sqrt (e) n = {quotient} y = Mul (n, gamma)"


@pytest.mark.parametrize(
    "nodes", [_core(axis=1), _core(square="Mul (x, x)"), _core(quotient="Div (q, d)"), _core(mean="ReduceMax")]
)
def test_what_only_looks_like_it_stays(nodes, fuse):
    assert fuse(nodes).changed == 0


def test_a_target_that_is_too_old_says_so(fuse, texts):
    outcome = fuse(_nodes(13, tail=FULL), 13, top=16)
    assert outcome.changed == 0
    assert "it needs opset 17, the target takes 16 at most" in texts(outcome)
    assert fuse(_nodes(13, tail=FULL), 13, frozenset()).changed == 0
