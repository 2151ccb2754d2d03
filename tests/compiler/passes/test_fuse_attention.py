from __future__ import annotations

import numpy as np
import pytest

from edgewright.compiler.passes.fuse_attention import FuseAttention
from edgewright.compiler.passes.infer_shapes import InferShapes

RNG = np.random.default_rng(0)
MHA, STANDARD = "com.microsoft::MultiHeadAttention", "::Attention"
WEIGHTS = {
    "split": np.array([0, 0, 4, 2]),
    "join": np.array([0, 0, 8]),
    "root": np.float32(2**0.5),
    "rroot": np.float32(2**-0.25),
    "full": RNG.normal(size=(1, 1, 5, 5)).astype(np.float32),
    "rows": RNG.normal(size=(5, 5)).astype(np.float32),
}
SPLIT = """q2 = Reshape (q, split) k2 = Reshape (k, split) v2 = Reshape (v, split)
    q3 = Transpose <perm = [0,2,1,3]> (q2) v3 = Transpose <perm = [0,2,1,3]> (v2)"""
KEYS = "k3 = Transpose <perm = [0,2,3,1]> (k2)"
JOIN = "w = Softmax <axis = -1> (s) c = MatMul (w, v3) t = Transpose <perm = [0,2,1,3]> (c) y = Reshape (t, join)"


@pytest.fixture
def fuse(apply, parse):
    def run(nodes: str, takes=frozenset({MHA}), opset=17, top=24):
        inputs = "float[B,5,8] q, float[B,5,8] k, float[B,5,8] v, float[B,1,1,5] mask"
        text = f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => (float[B,5,8] y) {{ {nodes} }}'
        feeds = [
            {name: RNG.normal(size=(b, 5, 8)).astype(np.float32) for name in "qkv"}
            | {"mask": RNG.normal(size=(b, 1, 1, 5)).astype(np.float32)}
            for b in (1, 3)
        ]
        return apply(FuseAttention(), InferShapes()(parse(text, WEIGHTS), None).model, feeds, takes, (7, top))

    return run


@pytest.mark.parametrize("takes", [MHA, STANDARD])
@pytest.mark.parametrize(
    "scores",
    [
        f"{KEYS} r = MatMul (q3, k3) s = Div (r, root)",
        f"{KEYS} r = MatMul (q3, k3) d = Div (r, root) s = Add (d, mask)",
        f"{KEYS} r = MatMul (q3, k3) d = Mul (root, r) s = Add (full, d)",
        f"{KEYS} r = MatMul (q3, k3) s = Add (r, rows)",
        f"{KEYS} qs = Mul (q3, rroot) ks = Mul (k3, rroot) r = MatMul (qs, ks) s = Add (r, mask)",
        "kt = Transpose <perm = [0,2,1,3]> (k2) k3 = Transpose <perm = [0,1,3,2]> (kt) s = MatMul (q3, k3)",
    ],
)
def test_every_spelling(scores, takes, fuse, operators):
    outcome = fuse(f"{SPLIT} {scores} {JOIN}", frozenset({takes}))
    found = operators(outcome.model)
    assert "Softmax" not in found
    assert takes.rsplit("::", maxsplit=1)[-1] in found
    assert outcome.model.ir.graph.opset_imports[""] == (17 if takes == MHA else 23)


def test_the_standard_operator_is_taken_when_the_model_has_its_opset(fuse, operators):
    nodes = f"{SPLIT} {KEYS} r = MatMul (q3, k3) s = Div (r, root) {JOIN}"
    assert operators(fuse(nodes, frozenset({MHA, STANDARD}), 23).model) == ["Attention"]
    assert operators(fuse(nodes, frozenset({MHA, STANDARD}), 17).model) == ["MultiHeadAttention"]


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        (f"{SPLIT} {KEYS} s = MatMul (q3, k3) {JOIN.replace('axis = -1', 'axis = 2')}", "does not run along the keys"),
        (f"{SPLIT} k3 = Transpose <perm = [0,2,3,1]> (q2) n = Neg (q3) s = MatMul (n, k3) {JOIN}", "not tensors split"),
        (
            f"{SPLIT} {KEYS} s = MatMul (q3, k3) {JOIN.replace('[0,2,1,3]', '[0,1,2,3]').replace('join', 'whole')}",
            "not joined",
        ),
    ],
)
def test_near_misses_say_why(nodes, reason, fuse, texts, monkeypatch):
    monkeypatch.setitem(WEIGHTS, "whole", np.array([0, 5, 8]))
    outcome = fuse(nodes)
    assert outcome.changed == 0
    assert reason in texts(outcome)


def test_weights_that_are_read_elsewhere_stay(fuse):
    nodes = f"{SPLIT} {KEYS} s = MatMul (q3, k3) {JOIN.replace('y =', 'z =')}"
    nodes += " u = ReduceSum <keepdims = 0> (w) y = Add (z, u)"
    assert fuse(nodes).changed == 0


def test_a_target_that_is_too_old_says_so(fuse, texts):
    nodes = f"{SPLIT} {KEYS} s = MatMul (q3, k3) {JOIN}"
    assert "it needs opset 23, the target takes 22 at most" in texts(fuse(nodes, frozenset({STANDARD}), top=22))
    assert fuse(nodes, frozenset()).changed == 0
