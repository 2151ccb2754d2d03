from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgewright.compiler.passes.infer_shapes import InferShapes
from edgewright.compiler.passes.matmul_add import MatmulAdd
from edgewright.targets.schema import QuantRule, QuantScheme

RNG = np.random.default_rng(0)
X = [{"x": RNG.normal(size=(3, 4)).astype(np.float32)}]


@pytest.fixture
def join(apply, parse):
    def run(nodes: str, row=(5,), size="N,4", outputs="float[N,5] y"):
        weights = {"w": RNG.normal(size=(4, 5)).astype(np.float32), "b": RNG.normal(size=row).astype(np.float32)}
        model = parse(f"g (float[{size}] x) => ({outputs}) {{ {nodes} }}", weights)
        feeds = X if size == "N,4" else [{"x": X[0]["x"][None]}]
        return apply(MatmulAdd(), InferShapes()(model, None).model, feeds)

    return run


@pytest.mark.parametrize("row", [(5,), (1, 5), (1,), ()])
@pytest.mark.parametrize("nodes", ["m = MatMul (x, w) y = Add (m, b)", "m = MatMul (x, w) y = Add (b, m)"])
def test_a_row_becomes_the_bias(nodes, row, join, operators):
    assert operators(join(nodes, row).model) == ["Gemm"]


def test_more_dimensions_stay_a_matmul(join):
    assert join("m = MatMul (x, w) y = Add (m, b)", size="B,N,4", outputs="float[B,N,5] y").changed == 0


@pytest.mark.parametrize(
    ("nodes", "row", "reason"),
    [
        ("m = MatMul (x, w) a = Add (m, b) y = Add (a, m)", (5,), "read elsewhere"),
        ("m = MatMul (x, w) y = Add (m, b)", (3, 5), "not one row"),
        ("v = Relu (w) m = MatMul (x, v) y = Add (m, b)", (5,), "second factor is not a constant"),
    ],
)
def test_near_misses_say_why(nodes, row, reason, join, texts):
    outcome = join(nodes, row)
    assert outcome.changed == 0
    assert reason in texts(outcome)


def test_it_is_wanted_where_gemm_is_quantised(make_site, mlp_model):
    target = make_site(mlp_model).target
    scheme = QuantScheme("full", "static", frozenset({"Conv", "Gemm"}))
    rule = QuantRule("uint8", False, "int8", True, {}, False, False, (scheme,), "a test")
    assert MatmulAdd.wanted(replace(target, int8=rule), "int8") is None
    assert "joins MatMul and Add by itself" in (MatmulAdd.wanted(replace(target, int8=rule), "fp32") or "")
    only = replace(rule, schemes=(replace(scheme, op_kinds=frozenset({"Conv"})),))
    assert "does not quantise Gemm" in (MatmulAdd.wanted(replace(target, int8=only), "int8") or "")
