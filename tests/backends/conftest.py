"""Models small enough for every backend, each with something that has broken one, and a target to lower for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds
from edgewright.targets.schema import Target

FLOAT = TensorProto.FLOAT


@dataclass(frozen=True)
class Subject:
    """A model with feeds for it. ``tolerance`` is absolute, in units of the largest output."""

    proto: onnx.ModelProto
    feeds: list[Feeds]
    tolerance: float = 1e-4
    """Sums of a few hundred float32 products in another order differ by about 1e-6 of the largest; polynomial exp and
    tanh of the engines by 1e-5. bf16 would be off by 4e-3."""
    refused_by: dict[str, str] = field(default_factory=dict)
    """Backend -> the operator it names when it cannot take the model."""

    @property
    def model(self) -> OnnxModel:
        return OnnxModel(ir.from_proto(self.proto), "subject")


SUBJECTS: dict[str, Callable[[], Subject]] = {}


def subject(build: Callable[[], Subject]) -> Callable[[], Subject]:
    SUBJECTS[build.__name__] = build
    return build


def text(body: str, opset: int = 17, **weights: np.ndarray) -> onnx.ModelProto:
    """A model from ONNX's textual form, with weights by name."""
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>\n{body}')
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    onnx.checker.check_model(proto)
    return proto


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


@subject
def conv_net() -> Subject:
    """A fixed shape, residual, depthwise, average pool."""
    body = """net (float[1,3,12,12] x) => (float[1,5] y) {
        a = Conv <pads = [1,1,1,1]> (x, w1, b1)
        r = Relu (a)
        d = Conv <group = 8, pads = [1,1,1,1]> (r, w2)
        s = Add (d, r)
        p = GlobalAveragePool (s)
        f = Flatten (p)
        y = Gemm <transB = 1> (f, w3)
    }"""
    weights = {"w1": floats(8, 3, 3, 3), "b1": floats(8), "w2": floats(8, 1, 3, 3), "w3": floats(5, 8)}
    return Subject(text(body, **weights), [{"x": floats(1, 3, 12, 12, seed=seed)} for seed in range(3)])


@subject
def dynamic_batch() -> Subject:
    body = """net (float[N,16] x) => (float[N,4] y) {
        h = MatMul (x, w)
        e = Erf (h)
        y = Softmax <axis = -1> (e)
    }"""
    return Subject(text(body, w=floats(16, 4)), [{"x": floats(n, 16)} for n in (1, 7, 2)])


@subject
def several_inputs_and_outputs() -> Subject:
    """Outputs in another order than they are computed, one that is another's copy, one that is an input, odd names."""
    nodes = [
        helper.make_node("Add", ["b,1", "a:0"], ["sum"]),
        helper.make_node("Mul", ["b,1", "a:0"], ["</script>"]),
        helper.make_node("Identity", ["sum"], ["copy"]),
    ]
    inputs = [helper.make_tensor_value_info(name, FLOAT, [2]) for name in ("b,1", "unused", "a:0")]
    outputs = [helper.make_tensor_value_info(n, FLOAT, [2]) for n in ("</script>", "copy", "sum", "unused")]
    proto = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)]
    )
    proto.ir_version = 8
    return Subject(proto, [{"a:0": floats(2), "b,1": floats(2, seed=1), "unused": floats(2, seed=2)}])


@subject
def integer_inputs() -> Subject:
    """Embedding and mask as text models have them, and a scalar of 64 bits."""
    body = """net (int64[B,T] ids, int32[B,T] mask, int64 offset) => (float[B,T,4] y, int64[B,T] shifted) {
        e = Gather (table, ids)
        m = Cast <to = 1> (mask)
        u = Unsqueeze (m, axes)
        y = Mul (e, u)
        shifted = Add (ids, offset)
    }"""
    proto = text(body, table=floats(10, 4), axes=np.array([2], np.int64))
    ids = np.array([[1, 2, 9]], np.int64)
    return Subject(proto, [{"ids": ids, "mask": np.array([[1, 1, 0]], np.int32), "offset": np.array(2**20, np.int64)}])


@subject
def booleans() -> Subject:
    body = """net (bool[N] x, float[N] a) => (bool[N] y, float[N] z) {
        n = Not (x)
        g = Greater (a, zero)
        y = And (n, g)
        z = Where (y, a, zero)
    }"""
    feeds = {"x": np.array([True, False, False]), "a": np.array([1, -1, 2], np.float32)}
    return Subject(text(body, zero=np.array(0, np.float32)), [feeds])


@subject
def scalar_output() -> Subject:
    body = "net (float[N] x) => (float y, int64 n) { y = ReduceSum <keepdims = 0> (x)\n n = Size (x) }"
    return Subject(text(body), [{"x": floats(5)}])


@subject
def branch() -> Subject:
    body = """net (bool c, float[3] x) => (float[3] y) {
        y = If (c) <
            then_branch = then () => (float[3] t) { t = Exp (x) },
            else_branch = else () => (float[3] e) { e = Neg (x) }
        >
    }"""
    return Subject(text(body), [{"c": np.array(value), "x": floats(3)} for value in (True, False)])


@subject
def loop() -> Subject:
    body = """net (int64 n, float[2] x) => (float[2] y, float[K,2] all) {
        y, all = Loop (n, always, x) <
            body = step (int64 i, bool go, float[2] state) => (bool more, float[2] next, float[2] kept) {
                more = Identity (go)
                next = Add (state, one)
                kept = Mul (next, next)
            }
        >
    }"""
    proto = text(body, always=np.array(True), one=np.ones(1, np.float32))
    return Subject(proto, [{"n": np.array(n, np.int64), "x": floats(2)} for n in (3, 1)])


@subject
def lstm() -> Subject:
    """With its state as inputs and outputs, as streaming models have it."""
    body = """net (float[T,1,4] x, float[1,1,6] h, float[1,1,6] c)
        => (float[T,1,1,6] y, float[1,1,6] hn, float[1,1,6] cn) {
        y, hn, cn = LSTM <hidden_size = 6> (x, w, r, b, , h, c)
    }"""
    proto = text(body, w=floats(1, 24, 4), r=floats(1, 24, 6), b=floats(1, 48))
    zero = np.zeros((1, 1, 6), np.float32)
    return Subject(proto, [{"x": floats(n, 1, 4), "h": zero, "c": floats(1, 1, 6)} for n in (5, 2)])


@subject
def quantized() -> Subject:
    """uint8 activations and per-channel int8 weights round a Conv, as static quantisation writes them."""
    body = """net (float[1,3,8,8] x) => (float[1,4,8,8] y) {
        xq = QuantizeLinear (x, sx, zx)
        xd = DequantizeLinear (xq, sx, zx)
        wd = DequantizeLinear <axis = 0> (wq, sw, zw)
        c = Conv <pads = [1,1,1,1]> (xd, wd)
        r = Relu (c)
        yq = QuantizeLinear (r, sy, zy)
        y = DequantizeLinear (yq, sy, zy)
    }"""
    weights = np.random.default_rng(0).integers(-60, 60, (4, 3, 3, 3)).astype(np.int8)
    scales = {"sx": np.float32(0.03), "sw": np.full(4, 0.01, np.float32), "sy": np.float32(0.05)}
    zeros = {"zx": np.uint8(120), "zw": np.zeros(4, np.int8), "zy": np.uint8(0)}
    arrays = {name: np.asarray(value) for name, value in {**scales, **zeros, "wq": weights}.items()}
    # One quantum of the output (0.05 of about 12): ties may be rounded either way.
    return Subject(text(body, **arrays), [{"x": floats(1, 3, 8, 8, seed=seed)} for seed in range(2)], tolerance=0.0051)


@subject
def nothing_in_it() -> Subject:
    """A detector that finds nothing: a dimension of size zero in and out."""
    body = "net (float[N,4] x) => (float[N,4] y, int64 n) { y = Relu (x)\n n = Size (x) }"
    return Subject(text(body), [{"x": np.zeros((0, 4), np.float32)}, {"x": floats(2, 4)}])


@subject
def double_precision() -> Subject:
    return Subject(text("net (double[2] x) => (double[2] y) { y = Add (x, x) }"), [{"x": np.array([1 / 3, 2.0])}])


@subject
def half_precision() -> Subject:
    proto = text("net (float16[2,3] x) => (float16[2,2] y) { y = MatMul (x, w) }", w=floats(3, 2).astype(np.float16))
    return Subject(proto, [{"x": floats(2, 3).astype(np.float16)}], tolerance=2e-3)  # two units in the last place


@subject
def brain_floats() -> Subject:
    """bfloat16 in and out, which numpy does not have."""
    import ml_dtypes

    body = "net (bfloat16[3] x) => (float[3] y, bfloat16[3] z) { y = Cast <to = 1> (x)\n z = Identity (x) }"
    return Subject(text(body), [{"x": np.array([1.5, -2.0, 3.0], ml_dtypes.bfloat16)}])


@subject
def texts() -> Subject:
    """Swapped; a model that passes texts straight through crashes OpenVINO 2026.4 when it is closed."""
    proto = text("net (string[2,1] x) => (string[2,1] y) { y = Gather (x, order) }", order=np.array([1, 0]))
    return Subject(proto, [{"x": np.array([["one"], ["zw\u00f6lf"]], dtype=object)}])


@pytest.fixture(scope="session")
def subjects() -> Mapping[str, Callable[[], Subject]]:
    return SUBJECTS


@pytest.fixture(scope="session")
def target() -> Target:
    return make_target()


def make_target(runtime: str = "onnxruntime", device: str = "CPU", hinted: frozenset[str] = frozenset()) -> Target:
    return Target(
        hardware="test",
        runtime=runtime,
        title="A CPU for tests",
        arch="any",
        isa=frozenset(),
        device=device,
        precisions=("fp32",),
        hinted_precisions=hinted,
        int8=None,
        opset=(7, 25),
        fused_ops=frozenset(),
        channel_multiple=1,
        threads=1,
        memory_bytes=None,
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "subject" in metafunc.fixturenames:
        metafunc.parametrize("subject", [pytest.param(build(), id=name) for name, build in SUBJECTS.items()])
