from __future__ import annotations

import numpy as np
import pytest

from edgewright.compiler.passes.fuse_rmsnorm import FuseRmsnorm
from edgewright.compiler.passes.infer_shapes import InferShapes

RNG = np.random.default_rng(0)
X = [{"x": RNG.normal(1, 2, (2, 3, 8)).astype(np.float32)}]
WEIGHTS = {
    "two": np.float32(2),
    "eps": np.float32(1e-6),
    "gamma": RNG.uniform(0.5, 1.5, 8).astype(np.float32),
    "last": np.array([-1]),
}
CORE = "p = Pow (x, two) v = ReduceMean (p, last) e = Add (eps, v) q = Sqrt (e)"


@pytest.fixture
def fuse(apply, parse):
    def run(nodes: str, takes=frozenset({"::RMSNormalization"}), top=24):
        text = f'<ir_version: 10, opset_import: ["" : 18]> g (float[B,T,8] x) => (float[B,T,8] y) {{ {nodes} }}'
        return apply(FuseRmsnorm(), InferShapes()(parse(text, WEIGHTS), None).model, X, takes, (7, top))

    return run


@pytest.mark.parametrize(
    "tail",
    [
        "n = Div (x, q) y = Mul (n, gamma)",
        "r = Reciprocal (q) n = Mul (x, r) y = Mul (gamma, n)",
        "r = Reciprocal (q) n = Mul (r, x) y = Mul (gamma, n)",
    ],
)
def test_every_spelling(tail, fuse, operators):
    outcome = fuse(f"{CORE} {tail}")
    assert operators(outcome.model) == ["RMSNormalization"]
    assert outcome.model.ir.graph.opset_imports[""] == 23


def test_near_misses_say_why(fuse, texts):
    assert "no constant scale" in texts(fuse(f"{CORE} n = Div (x, q) y = Neg (n)"))
    outcome = fuse(f"{CORE} n = Div (x, q) y = Mul (n, gamma)", top=22)
    assert "it needs opset 23, the target takes 22 at most" in texts(outcome)
    assert outcome.changed == 0


def test_it_is_wanted_where_the_target_can_take_it(make_site, mlp_model):
    def wanted(top: int) -> str | None:
        return FuseRmsnorm.wanted(make_site(mlp_model, (), frozenset({"::RMSNormalization"}), (7, top)).target, "fp32")

    assert wanted(23) is None
    assert "needs opset 23" in (wanted(21) or "")
