from __future__ import annotations

import numpy as np
import pytest

from edgewright.compiler.passes.fuse_gelu import FuseGelu

X = [{"x": np.linspace(-5, 5, 40).astype(np.float32).reshape(2, 20)}]
NUMBERS = {"half": 0.5, "one": 1, "two": 2, "three": 3, "root2": 2**0.5, "root_half": 0.5**0.5, "c": 0.044715}
WEIGHTS = {name: np.float32(number) for name, number in NUMBERS.items()} | {"k": np.float32((2 / np.pi) ** 0.5)}
STANDARD, ERF, TANH = "::Gelu", "com.microsoft::Gelu", "com.microsoft::FastGelu"
ERF_FORMS = [
    "d = Div (x, root2) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half)",
    "d = Mul (x, root_half) e = Erf (d) a = Add (one, e) h = Mul (half, a) y = Mul (x, h)",
    "h = Mul (x, half) d = Div (x, root2) e = Erf (d) a = Add (e, one) y = Mul (h, a)",
    "d = Div (x, root2) e = Erf (d) a = Add (e, one) m = Mul (a, x) y = Div (m, two)",
]
GATE = "t = Tanh (r) a = Add (t, one)"
CUBE = "p = Mul (x, x) p3 = Mul (p, x) s = Mul (c, p3)"
SQUARE = "p = Mul (x, x) s = Mul (p, c)"
TANH_FORMS = [
    f"p = Pow (x, three) s = Mul (p, c) q = Add (x, s) r = Mul (q, k) {GATE} h = Mul (x, half) y = Mul (h, a)",
    f"{CUBE} q = Add (s, x) r = Mul (k, q) {GATE} m = Mul (x, a) y = Mul (half, m)",
    f"{SQUARE} q = Add (s, one) m = Mul (x, q) r = Mul (m, k) {GATE} h = Mul (half, x) y = Mul (h, a)",
]


def _model(parse, nodes: str, opset: int = 20):
    return parse(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[N,20] x) => (float[N,20] y) {{ {nodes} }}', WEIGHTS
    )


@pytest.mark.parametrize("nodes", ERF_FORMS + TANH_FORMS)
@pytest.mark.parametrize(("opset", "takes"), [(20, STANDARD), (13, STANDARD), (13, "com.microsoft")])
def test_every_form_is_fused(nodes, opset, takes, apply, parse, operators):
    fused = {STANDARD} if takes == STANDARD else {ERF, TANH}
    outcome = apply(FuseGelu(), _model(parse, nodes, opset), X, frozenset(fused), (7, 24))
    expected = "Gelu" if takes == STANDARD or nodes in ERF_FORMS else "FastGelu"
    assert operators(outcome.model) == [expected]
    assert outcome.model.ir.graph.opset_imports[""] == (20 if takes == STANDARD else opset)


@pytest.mark.parametrize(
    "nodes",
    [
        "d = Div (x, two) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half)",
        "d = Div (x, root2) e = Erf (d) a = Add (e, two) m = Mul (x, a) y = Mul (m, half)",
        "d = Div (x, root2) e = Erf (d) a = Add (e, one) m = Mul (d, a) y = Mul (m, half)",
        "d = Div (x, root2) e = Erf (d) a = Add (e, one) y = Mul (x, a)",
    ],
)
def test_what_only_looks_like_it_stays(nodes, apply, parse):
    assert apply(FuseGelu(), _model(parse, nodes), X, frozenset({STANDARD, ERF})).changed == 0


def test_a_target_without_it_and_one_too_old_say_so(apply, parse, texts):
    model = _model(parse, ERF_FORMS[0], 13)
    assert "declares no fused GELU of its kind" in texts(apply(FuseGelu(), model, X, frozenset({TANH})))
    outcome = apply(FuseGelu(), model, X, frozenset({STANDARD}), (7, 17))
    assert "it needs opset 20, the target takes 17 at most" in texts(outcome)
    assert outcome.changed == 0


def test_it_is_wanted_where_a_form_is_declared(make_site, mlp_model):
    assert FuseGelu.wanted(make_site(mlp_model, (), frozenset({ERF})).target, "fp32") is None
    assert "declares no fused GELU" in (FuseGelu.wanted(make_site(mlp_model).target, "fp32") or "")
