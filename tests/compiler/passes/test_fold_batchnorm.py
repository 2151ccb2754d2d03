from __future__ import annotations

import numpy as np
import pytest

from edgewright.compiler.passes.fold_batchnorm import FoldBatchnorm

RNG = np.random.default_rng(0)
IMAGE = [{"x": RNG.normal(0, 2, (2, 4, 6, 6)).astype(np.float32)}]
ROWS = [{"x": RNG.normal(0, 2, (3, 4)).astype(np.float32)}]


def _norm(channels: int, prefix: str = "n") -> dict[str, np.ndarray]:
    low = {"s": 0.5, "b": -0.5, "m": -0.5, "v": 0.5}
    return {prefix + part: RNG.uniform(at, at + 1, channels).astype(np.float32) for part, at in low.items()}


NORM = "BatchNormalization ({}, ns, nb, nm, nv)"


def _weight(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape).astype(np.float32)


@pytest.mark.parametrize("bias", ["", ", k"])
@pytest.mark.parametrize(
    ("layer", "shape", "channels"),
    [
        ("Conv <pads = [1,1,1,1]>", (8, 4, 3, 3), 8),
        ("Conv <group = 2, strides = [2,2]>", (8, 2, 3, 3), 8),
        ("Conv <group = 4, pads = [1,1,1,1]>", (4, 1, 3, 3), 4),
        ("ConvTranspose <strides = [2,2]>", (4, 6, 3, 3), 6),
        ("ConvTranspose <group = 2>", (4, 3, 3, 3), 6),
    ],
)
def test_a_norm_behind_a_convolution_is_folded(layer, shape, channels, bias, apply, parse, operators):
    weights = {"w": _weight(*shape), **_norm(channels)} | ({"k": _weight(channels)} if bias else {})
    model = parse(
        f"g (float[N,4,6,6] x) => (float[N,C,H,W] y) {{ c = {layer} (x, w{bias}) y = {NORM.format('c')} }}",
        weights,
    )
    outcome = apply(FoldBatchnorm(), model, IMAGE)
    assert operators(outcome.model) == [layer.split()[0]]


@pytest.mark.parametrize("layer", ["Gemm <transB = 1, alpha = 0.5, beta = 2.0>", "Gemm <alpha = 3.0>"])
def test_a_norm_behind_a_gemm_is_folded_with_alpha_and_beta(layer, apply, parse, operators):
    shape = (5, 4) if "transB" in layer else (4, 5)
    model = parse(
        f"g (float[N,4] x) => (float[N,5] y) {{ c = {layer} (x, w, k) y = BatchNormalization (c, ns, nb, nm, nv) }}",
        {"w": _weight(*shape), "k": _weight(5), **_norm(5)},
    )
    assert operators(apply(FoldBatchnorm(), model, ROWS).model) == ["Gemm"]


def test_a_norm_behind_a_matmul_leaves_an_add(apply, parse, operators):
    model = parse(
        f"g (float[N,4] x) => (float[N,5] y) {{ c = MatMul (x, w) d = Add (c, k) y = {NORM.format('d')} }}",
        {"w": _weight(4, 5), "k": _weight(5), **_norm(5)},
    )
    assert operators(apply(FoldBatchnorm(), model, ROWS).model) == ["Add", "BatchNormalization", "MatMul"]
    model = parse(
        "g (float[N,4] x) => (float[N,5] y) { c = MatMul (x, w) y = BatchNormalization (c, ns, nb, nm, nv) }",
        {"w": _weight(4, 5), **_norm(5)},
    )
    # Without shapes nobody knows that the product has two dimensions, and axis 1 is its last.
    assert apply(FoldBatchnorm(), model, ROWS).changed == 0
    from edgewright.compiler.passes.infer_shapes import InferShapes

    assert operators(apply(FoldBatchnorm(), InferShapes()(model, None).model, ROWS).model) == ["Add", "MatMul"]


@pytest.mark.parametrize("step", ["Mul (c, a)", "Mul (a, c)", "Add (c, a)", "Sub (c, a)", "Div (c, a)"])
@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1, 1), (1, 1, 1), ()])
def test_per_channel_arithmetic_is_folded(step, shape, apply, parse, operators):
    model = parse(
        f"g (float[N,4,6,6] x) => (float[N,8,4,4] y) {{ c = Conv (x, w, k) y = {step} }}",
        {"w": _weight(8, 4, 3, 3), "k": _weight(8), "a": RNG.uniform(0.5, 2, shape).astype(np.float32)},
    )
    assert operators(apply(FoldBatchnorm(), model, IMAGE).model) == ["Conv"]


@pytest.mark.parametrize(
    ("step", "shape"),
    [
        ("Sub (a, c)", (8, 1, 1)),
        ("Mul (c, a)", (4,)),
        ("Mul (c, a)", (1, 1, 4)),
        ("Add (c, a)", (1, 1, 1, 1, 1)),
        ("Div (a, c)", ()),
    ],
)
def test_other_arithmetic_is_left_alone(step, shape, apply, parse):
    output = "float[A,B,C,D,E]" if len(shape) == 5 else "float[N,8,4,4]"
    model = parse(
        f"g (float[N,4,6,6] x) => ({output} y) {{ c = Conv (x, w) y = {step} }}",
        {"w": _weight(8, 4, 3, 3), "a": RNG.uniform(0.5, 2, shape).astype(np.float32)},
    )
    assert apply(FoldBatchnorm(), model, IMAGE).changed == 0


def test_a_norm_before_a_convolution_is_folded_only_without_padding(apply, parse, operators, texts):
    norm = NORM.format("x")
    text = f"g (float[N,4,6,6] x) => (float[N,8,H,W] y) {{{{ c = {norm} y = Conv <{{}}> (c, w, k) }}}}"
    weights = {"w": _weight(8, 2, 3, 3), "k": _weight(8), **_norm(4)}
    outcome = apply(FoldBatchnorm(), parse(text.format("group = 2"), weights), IMAGE)
    assert operators(outcome.model) == ["Conv"]
    for padding in ("pads = [1,1,1,1]", 'auto_pad = "SAME_UPPER"'):
        outcome = apply(FoldBatchnorm(), parse(text.format(f"group = 2, {padding}"), weights), IMAGE)
        assert outcome.changed == 0
        assert "pads with zeros, which are not the shift" in texts(outcome)


def test_a_scale_before_a_padded_convolution_is_folded(apply, parse, operators):
    model = parse(
        "g (float[N,4,6,6] x) => (float[N,8,6,6] y) { c = Mul (x, a) y = Conv <pads = [1,1,1,1]> (c, w) }",
        {"w": _weight(8, 4, 3, 3), "a": RNG.uniform(0.5, 2, (4, 1, 1)).astype(np.float32)},
    )
    assert operators(apply(FoldBatchnorm(), model, IMAGE).model) == ["Conv"]


def test_the_channels_of_a_matmul_are_not_those_of_the_convolution_behind_it(apply, parse):
    """The constant runs along the last axis, the convolution's channels along axis 1; both have four."""
    model = parse(
        "g (float[N,4,4,4] x) => (float[N,8,2,2] y) { m = MatMul (x, v) c = Mul (m, a) y = Conv (c, w) }",
        {"v": _weight(4, 4), "w": _weight(8, 4, 3, 3), "a": RNG.uniform(0.5, 2, 4).astype(np.float32)},
    )
    apply(FoldBatchnorm(), model, [{"x": RNG.normal(size=(1, 4, 4, 4)).astype(np.float32)}])


def test_a_weight_that_two_layers_read_is_copied(apply, parse, operators):
    model = parse(
        """g (float[N,4,6,6] x) => (float[N,4,4,4] y, float[N,4,4,4] z) {
            a = Conv (x, w) y = BatchNormalization (a, ns, nb, nm, nv) z = Conv (x, w) }""",
        {"w": _weight(4, 4, 3, 3), **_norm(4)},
    )
    outcome = apply(FoldBatchnorm(), model, IMAGE)
    assert operators(outcome.model) == ["Conv", "Conv"]
    assert len(outcome.model.ir.graph.initializers) == 3  # the old weight, the folded one and its bias


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ("c = Conv (x, w) b = BatchNormalization (c, ns, nb, nm, nv) y = Add (b, c)", "read elsewhere"),
        ("u = Relu (w) c = Conv (x, u) y = BatchNormalization (c, ns, nb, nm, nv)", "not a floating-point constant"),
        ("u = Relu (k) c = Conv (x, w, u) y = BatchNormalization (c, ns, nb, nm, nv)", "bias is not a constant"),
        ("c = Conv (x, w) u = Abs (ns) y = BatchNormalization (c, u, nb, nm, nv)", "parameters are not constants"),
        ("r = Relu (x) y = BatchNormalization (r, ns, nb, nm, nv)", "no layer beside it"),
        ("c = Conv (x, w) y, m, v = BatchNormalization <training_mode = 1> (c, ns, nb, nm, nv)", "training mode"),
    ],
)
def test_near_misses_say_why(nodes, reason, apply, parse, texts):
    size = "6,6" if "Relu (x)" in nodes else "4,4"
    model = parse(
        f"g (float[N,4,6,6] x) => (float[N,4,{size}] y) {{ {nodes} }}",
        {"w": _weight(4, 4, 3, 3), "k": _weight(4), **_norm(4)},
    )
    outcome = apply(FoldBatchnorm(), model, IMAGE)
    assert outcome.changed == 0
    assert reason in texts(outcome)


def test_a_fold_that_would_overflow_is_refused(apply, parse, texts):
    model = parse(
        "g (float[N,4,6,6] x) => (float[N,4,4,4] y) { c = Conv (x, w) y = Mul (c, a) }",
        {"w": np.full((4, 4, 3, 3), 1e30, np.float32), "a": np.float32(1e30)},
    )
    outcome = apply(FoldBatchnorm(), model)
    assert outcome.changed == 0
    assert "would not be finite" in texts(outcome)


def test_half_precision_keeps_its_type(apply, parse):
    halves = {name: array.astype(np.float16) for name, array in {"w": _weight(8, 4, 3, 3), **_norm(8)}.items()}
    model = parse(
        "g (float16[N,4,6,6] x) => (float16[N,8,4,4] y) { c = Conv (x, w) y = BatchNormalization (c, ns, nb, nm, nv) }",
        halves,
    )
    outcome = FoldBatchnorm()(model, None)
    assert {value.dtype.name for value in outcome.model.ir.graph.initializers.values()} == {"FLOAT16"}


def test_quantised_weights_are_left_alone(apply, specimen_of):
    specimen = specimen_of("quantised")
    assert apply(FoldBatchnorm(), specimen.model, specimen.feeds).changed == 0
