"""A corpus of small models, each with feeds: what every pass must leave as good as it found it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgewright.compiler.numeric_gate import relative_error
from edgewright.compiler.pass_base import Outcome, Pass
from edgewright.compiler.site import Run, Site
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds


@dataclass(frozen=True)
class Specimen:
    """A model and inputs for it."""

    model: OnnxModel
    feeds: list[Feeds]


def _model(text: str, weights: dict[str, np.ndarray], opset: int) -> OnnxModel:
    version = 8 if opset < 19 else 10
    proto = onnx.parser.parse_model(f'<ir_version: {version}, opset_import: ["" : {opset}]>\n{text}')
    for name, array in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    onnx.checker.check_model(proto, full_check=True)
    return OnnxModel(ir.from_proto(proto), proto.graph.name)


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.normal(0, 1, shape) / np.sqrt(max(1, int(np.prod(shape[1:]))))).astype(np.float32)


def residual_net(opset: int = 17) -> Specimen:
    """Conv, BN, hard-swish, residual with a result that is an output too, shared weights, dynamic batch."""
    rng = np.random.default_rng(0)
    norm = {f"{n}_{part}": rng.uniform(0.5, 1.5, 8).astype(np.float32) for n in ("n1", "n2", "n3") for part in "sbmv"}
    text = """net (float[N,3,8,8] x) => (float[N,5] y, float[N,8,8,8] features) {
        c1 = Conv <pads=[1,1,1,1]> (x, w1)
        b1 = BatchNormalization (c1, n1_s, n1_b, n1_m, n1_v)
        a1 = Add (b1, three)
        k1 = Clip (a1, zero, six)
        m1 = Mul (b1, k1)
        h1 = Div (m1, six)
        c2 = Conv <pads=[1,1,1,1]> (h1, w2)
        b2 = BatchNormalization (c2, n2_s, n2_b, n2_m, n2_v)
        c3 = Conv <pads=[1,1,1,1]> (h1, w2)
        b3 = BatchNormalization (c3, n3_s, n3_b, n3_m, n3_v)
        s1 = Add (b2, b3)
        features = Add (s1, h1)
        r1 = Relu (features)
        k2 = Clip (r1, , six)
        p1 = GlobalAveragePool (k2)
        f1 = Flatten (p1)
        i1 = Identity (f1)
        t1 = Transpose <perm=[0,1]> (i1)
        g1 = Gemm <transB=1> (t1, w3, w4)
        y = Identity (g1)
    }"""
    weights = {
        "w1": _normal(rng, 8, 3, 3, 3),
        "w2": _normal(rng, 8, 8, 3, 3),
        "w3": _normal(rng, 5, 8),
        "w4": np.zeros(5, np.float32),
        "three": np.float32(3),
        "zero": np.float32(0),
        "six": np.float32(6),
        **norm,
    }
    feeds = [{"x": rng.normal(0, 2, (n, 3, 8, 8)).astype(np.float32)} for n in (1, 2)]
    return Specimen(_model(text, weights, opset), feeds)


def perceptron(opset: int = 13) -> Specimen:
    """MatMul + Add twice with the same numbers under two names, dead code, and an input that is an initializer."""
    rng = np.random.default_rng(1)
    w = _normal(rng, 6, 6)
    text = """mlp (float[N,6] x) => (float[N,6] y, float[6] w5) {
        m1 = MatMul (x, w1)
        a1 = Add (m1, w3)
        r1 = Relu (a1)
        m2 = MatMul (r1, w2)
        a2 = Add (m2, w4)
        dead = Sigmoid (a2)
        r2 = Relu (a2)
        r3 = Relu (a2)
        s1 = Mul (r2, r3)
        y = Softmax <axis=1> (s1)
    }"""
    weights = {"w1": w, "w2": w.copy(), "w3": w[0], "w4": w[0].copy(), "w5": w[1]}
    return Specimen(_model(text, weights, opset), [{"x": rng.normal(0, 1, (n, 6)).astype(np.float32)} for n in (1, 3)])


def _layer_norm(name: str, source: str, axes_input: bool) -> str:
    def mean(result: str, of: str) -> str:
        return f"{result} = ReduceMean ({of}, last)" if axes_input else f"{result} = ReduceMean <axes=[-1]> ({of})"

    return f"""{mean(f"{name}_mean", source)}
        {name}_d = Sub ({source}, {name}_mean)
        {name}_p = Pow ({name}_d, two)
        {mean(f"{name}_var", f"{name}_p")}
        {name}_e = Add ({name}_var, eps)
        {name}_q = Sqrt ({name}_e)
        {name}_n = Div ({name}_d, {name}_q)
        {name}_m = Mul ({name}_n, {name}_gamma)
        {name} = Add ({name}_m, {name}_beta)"""


def transformer(opset: int) -> Specimen:
    """A BERT-like block, decomposed as torch's exporters write it: attention, erf GELU, LayerNorm, residuals."""
    rng = np.random.default_rng(2)
    hidden, heads = 16, 4
    text = f"""bert (float[B,T,{hidden}] x, int64[B,T] mask) => (float[B,T,{hidden}] y) {{
        q0 = MatMul (x, wq)
        q1 = Add (q0, bq)
        k0 = MatMul (x, wk)
        k1 = Add (k0, bk)
        v0 = MatMul (x, wv)
        v1 = Add (v0, bv)
        q2 = Reshape (q1, split)
        k2 = Reshape (k1, split)
        v2 = Reshape (v1, split)
        q3 = Transpose <perm=[0,2,1,3]> (q2)
        k3 = Transpose <perm=[0,2,3,1]> (k2)
        v3 = Transpose <perm=[0,2,1,3]> (v2)
        s0 = MatMul (q3, k3)
        s1 = Div (s0, root)
        m0 = Unsqueeze (mask, axes12)
        m1 = Cast <to=1> (m0)
        m2 = Sub (one, m1)
        m3 = Mul (m2, lowest)
        s2 = Add (s1, m3)
        s3 = Softmax <axis=-1> (s2)
        c0 = MatMul (s3, v3)
        c1 = Transpose <perm=[0,2,1,3]> (c0)
        c2 = Reshape (c1, join)
        o0 = MatMul (c2, wo)
        o1 = Add (bo, o0)
        r0 = Add (o1, x)
        {_layer_norm("ln1", "r0", opset >= 18)}
        f0 = MatMul (ln1, w1)
        f1 = Add (f0, b1)
        g0 = Div (f1, root2)
        g1 = Erf (g0)
        g2 = Add (g1, one)
        g3 = Mul (f1, g2)
        g4 = Mul (g3, half)
        f2 = MatMul (g4, w2)
        f3 = Add (f2, b2)
        r1 = Add (f3, ln1)
        {_layer_norm("ln2", "r1", opset >= 18)}
        y = Identity (ln2)
    }}"""
    weights = {name: _normal(rng, hidden, hidden) for name in ("wq", "wk", "wv", "wo")}
    weights |= {name: _normal(rng, hidden) * 0.1 for name in ("bq", "bk", "bv", "bo", "b2")}
    weights |= {"w1": _normal(rng, hidden, 32), "w2": _normal(rng, 32, hidden), "b1": _normal(rng, 32)}
    for norm in ("ln1", "ln2"):
        weights |= {f"{norm}_gamma": rng.uniform(0.5, 1.5, hidden), f"{norm}_beta": rng.uniform(-1, 1, hidden)}
    numbers = {"two": 2, "eps": 1e-5, "one": 1, "half": 0.5, "root": 2, "root2": np.sqrt(2), "lowest": -1e4}
    weights |= {name: np.array(number) for name, number in numbers.items()}
    arrays = {name: np.asarray(array, np.float32) for name, array in weights.items()}
    arrays |= {"split": np.array([0, -1, heads, hidden // heads]), "join": np.array([0, -1, hidden])}
    arrays |= {"axes12": np.array([1, 2])}
    if opset >= 18:
        arrays["last"] = np.array([-1])
    feeds = [
        {"x": rng.normal(0, 1, (b, t, hidden)).astype(np.float32), "mask": np.ones((b, t), np.int64)}
        for b, t in ((1, 5), (2, 3))
    ]
    feeds[1]["mask"][1, 2] = 0
    return Specimen(_model(text, arrays, opset), feeds)


def branches(opset: int = 17) -> Specimen:
    """An If whose bodies read values of the outer graph, and a Loop that carries one."""
    rng = np.random.default_rng(3)
    text = """flow (float[N,4] x, bool c) => (float[N,4] y, float[N,4] z) {
        t = Relu (x)
        u = MatMul (t, w)
        y = If (c) <
            then_branch = yes () => (float[N,4] a) {
                a0 = Add (u, b)
                a1 = Identity (a0)
                a = Mul (a1, t)
            },
            else_branch = no () => (float[N,4] a) {
                k = Constant <value = float {2.0}> ()
                a2 = Mul (u, k)
                a3 = Mul (t, k)
                a = Sub (a2, a3)
            }
        >
        z = Loop (trips, , t) <body = again (int64 i, bool go, float[N,4] s) => (bool more, float[N,4] r) {
                more = Identity (go)
                d = Add (s, u)
                e = Add (s, u)
                f = Mul (d, e)
                r = Tanh (f)
            }>
    }"""
    weights = {"w": _normal(rng, 4, 4), "b": _normal(rng, 4), "trips": np.array(3)}
    feeds = [
        {"x": rng.normal(0, 1, (n, 4)).astype(np.float32), "c": np.array(flag)} for n, flag in ((1, True), (2, False))
    ]
    return Specimen(_model(text, weights, opset), feeds)


def quantised(opset: int = 17) -> Specimen:
    """A Conv and a Gemm between QuantizeLinear and DequantizeLinear, weights in int8."""
    rng = np.random.default_rng(4)
    text = """qdq (float[N,3,6,6] x) => (float[N,4] y) {
        xq = QuantizeLinear (x, xs, xz)
        xd = DequantizeLinear (xq, xs, xz)
        wd = DequantizeLinear <axis=0> (wq, ws, wz)
        c = Conv <pads=[1,1,1,1]> (xd, wd, b)
        r = Relu (c)
        rq = QuantizeLinear (r, rs, xz)
        rd = DequantizeLinear (rq, rs, xz)
        p = GlobalAveragePool (rd)
        pq = QuantizeLinear (p, rs, xz)
        pd = DequantizeLinear (pq, rs, xz)
        f = Flatten (pd)
        vd = DequantizeLinear <axis=0> (vq, vs, vz)
        y = Gemm <transB=1> (f, vd)
    }"""
    weights = {
        "xs": np.float32(0.02),
        "xz": np.uint8(128),
        "rs": np.float32(0.03),
        "wq": rng.integers(-127, 127, (5, 3, 3, 3), dtype=np.int8),
        "ws": np.full(5, 0.01, np.float32),
        "wz": np.zeros(5, np.int8),
        "b": _normal(rng, 5),
        "vq": rng.integers(-127, 127, (4, 5), dtype=np.int8),
        "vs": np.full(4, 0.01, np.float32),
        "vz": np.zeros(4, np.int8),
    }
    return Specimen(_model(text, weights, opset), [{"x": rng.normal(0, 1, (2, 3, 6, 6)).astype(np.float32)}])


def shapes(opset: int = 17) -> Specimen:
    """Shape arithmetic, constants worth folding, pads, squeezes and pointless reshapes, as tracing exporters write."""
    rng = np.random.default_rng(5)
    text = """shapes (float[N,4,6,6] x) => (float[N,9] y, float[M,K] z) {
        s = Shape (x)
        n = Gather (s, i0)
        c = Gather (s, i1)
        n1 = Unsqueeze (n, i0v)
        c1 = Unsqueeze (c, i0v)
        t = Concat <axis=0> (n1, c1, minus)
        r = Reshape (x, t)
        tt = Transpose <perm=[0,2,1]> (r)
        uu = Transpose <perm=[0,2,1]> (tt)
        back = Reshape (uu, four)
        back2 = Reshape (back, four)
        e = Cast <to=1> (back2)
        p = Pad (e, pads)
        v = Conv (p, w)
        a = Unsqueeze (v, i0v)
        b = Squeeze (a, i0v)
        m = MaxPool <kernel_shape=[2,2], strides=[2,2]> (b)
        sl = Slice (m, i0v, huge, i1v)
        k2 = Mul (half, half)
        q = Mul (sl, k2)
        y = Flatten (q)
        z = Reshape (uu, flat)
    }"""
    weights = {
        "i0": np.array(0),
        "i1": np.array(1),
        "i0v": np.array([0]),
        "i1v": np.array([1]),
        "huge": np.array([2**63 - 1]),
        "minus": np.array([-1]),
        "four": np.array([0, 4, 6, 6]),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "half": np.float32(0.5),
        "flat": np.array([-1, 36]),
        "w": _normal(rng, 1, 4, 3, 3),
    }
    return Specimen(
        _model(text, weights, opset), [{"x": rng.normal(0, 1, (n, 4, 6, 6)).astype(np.float32)} for n in (1, 2)]
    )


CORPUS: dict[str, Callable[[], Specimen]] = {
    "residual_net": residual_net,
    "residual_net_13": lambda: residual_net(13),
    "perceptron": perceptron,
    "transformer_13": lambda: transformer(13),
    "transformer_17": lambda: transformer(17),
    "transformer_20": lambda: transformer(20),
    "branches": branches,
    "quantised": quantised,
    "shapes": shapes,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "specimen_name" in metafunc.fixturenames:
        metafunc.parametrize("specimen_name", list(CORPUS))


@pytest.fixture
def specimen(specimen_name: str) -> Specimen:
    """Each model of the corpus in turn, fresh."""
    return CORPUS[specimen_name]()


@pytest.fixture
def specimen_of() -> Callable[[str], Specimen]:
    """``specimen_of("transformer_13")``: one model of the corpus by name."""
    return lambda name: CORPUS[name]()


@pytest.fixture
def apply(make_site: Callable[..., Site], run_model: Run) -> Callable[..., Outcome[OnnxModel]]:
    """``apply(pass_, model, feeds, fused_ops=..., opset=...)``: the outcome, after comparing what both models answer.

    The tolerance of 1e-5 of the largest value is some tens of float32 roundings.
    """

    def run(
        item: Pass[OnnxModel, OnnxModel],
        model: OnnxModel,
        feeds: Sequence[Feeds] = (),
        fused_ops: frozenset[str] = frozenset(),
        opset: tuple[int, int] = (7, 24),
        tolerance: float = 1e-5,
    ) -> Outcome[OnnxModel]:
        before = OnnxModel(model.ir, model.name).digest
        outcome = item(model, make_site(model, feeds, fused_ops, opset))
        assert OnnxModel(model.ir, model.name).digest == before
        # Without feeds nothing is run: some models here would take all memory.
        pairs = zip(run_model(model, feeds), run_model(outcome.model, feeds), strict=True) if feeds else ()
        for old, new in pairs:
            assert list(old) == list(new)
            for name, value in old.items():
                assert relative_error(value, new[name]) <= tolerance, name
        return outcome

    return run


@pytest.fixture
def operators() -> Callable[[OnnxModel], list[str]]:
    """``operators(model)``: the operators of the graph and its bodies, sorted, repeated as often as they occur."""
    return lambda model: sorted(node.op_type for node in model.ir.graph.all_nodes())


@pytest.fixture
def texts() -> Callable[[Outcome[OnnxModel]], str]:
    """``texts(outcome)``: all notes as lines ``kind subject: text``."""
    return lambda outcome: "\n".join(f"{note.kind} {note.subject}: {note.text}" for note in outcome.notes)
