"""What stays in float32 on the evidence of samples, and masks that need not."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from edgewright.compiler.passes.cast_half import CastHalf, CastHalfOptions

from .conftest import answers
from .quantization import conftest as tools

LOWEST = float(np.finfo(np.float32).min)


def masked_attention(*, filling=LOWEST, mask_out=False, scaled=1.0):
    """Scores plus ``(1 - mask) * filling`` into a Softmax, as exporters of transformers write it."""
    net = tools.Net(seed=5)
    x, mask = net.input("x", [1, 6, 8]), net.input("mask", [1, 6], TensorProto.INT64)
    keys = net.op("Transpose", net.op("MatMul", x, net.weight(net.random(8, 8) * scaled)), perm=[0, 2, 1])
    scores = net.op("MatMul", x, keys)
    shown = net.op("Cast", net.op("Unsqueeze", mask, net.weight([1], np.int64)), to=TensorProto.FLOAT)
    hidden = net.op("Mul", net.op("Sub", net.weight(1.0), shown), net.weight(filling), out="m" if mask_out else None)
    weights = net.op("Softmax", net.op("Add", scores, hidden), axis=-1)
    net.op("MatMul", weights, x, out="y")
    net.output("y", [1, 6, 8])
    if mask_out:
        net.output("m", [1, 1, 6])
    rng = np.random.default_rng(0)
    masks = (np.arange(6)[None] < 6 - np.arange(4)[:, None]).astype(np.int64)
    feeds = [{"x": rng.standard_normal((1, 6, 8)).astype(np.float32), "mask": one[None]} for one in masks]
    return net.model(), feeds


def cast(model, feeds, dtype="float16"):
    return CastHalf(CastHalfOptions(dtype))(model, tools.site_of(model, feeds))


def types(model):
    return {node.op_type: node.outputs[0].dtype.name for node in model.ir.graph if node.op_type != "Cast"}


@pytest.mark.parametrize("filling", [LOWEST, -1e9, -1e5])
def test_a_mask_keeps_no_attention_in_float32(filling):
    model, feeds = masked_attention(filling=filling)
    outcome = cast(model, feeds)
    assert set(types(outcome.model).values()) <= {"FLOAT16", "INT64"}
    for want, have in zip(answers(model, feeds), answers(outcome.model, feeds), strict=True):
        # 11 bits through two products and a Softmax; a position that shows through would move far more.
        np.testing.assert_allclose(have["y"], want["y"], atol=1e-2)


def test_bfloat16_holds_the_most_negative_float():
    outcome = cast(*masked_attention(), "bfloat16")
    (hidden,) = [node for node in outcome.model.ir.graph if node.op_type == "Mul"]
    filling = hidden.inputs[1].const_value.numpy().astype(np.float32)
    assert np.isfinite(filling)
    assert filling < -3e38


@pytest.mark.parametrize("case", ["seen", "positive", "scores"])
def test_what_more_than_a_softmax_sees_stays_float32(case):
    if case == "seen":
        model, feeds = masked_attention(mask_out=True)
    elif case == "positive":
        model, feeds = masked_attention(filling=1e6)
    else:
        model, feeds = masked_attention(scaled=2e4)
    outcome = cast(model, feeds)
    found = types(outcome.model)
    assert found["Add"] == "FLOAT"
    assert found["Softmax"] == "FLOAT"


@pytest.mark.parametrize(("size", "kind"), [(16, "FLOAT16"), (128, "FLOAT")])
def test_a_mean_of_very_many_stays_float32(size, kind):
    net = tools.Net(seed=5)
    x = net.input("x", [1, 2, size, size])
    net.op("ReduceMean", net.op("Abs", x), axes=[2, 3], keepdims=0, out="y")
    net.output("y", [1, 2])
    feeds = [{"x": np.full((1, 2, size, size), 9.0, np.float32)}]
    outcome = cast(net.model(), feeds)
    assert types(outcome.model)["ReduceMean"] == kind
    said = " ".join(note.text for note in outcome.notes)
    assert ("what it adds up leaves float16's range (1.47e+05)" in said) == (kind == "FLOAT")


def test_a_tiny_bias_keeps_no_layer_in_float32():
    net = tools.Net(seed=5)
    x = net.input("x", [1, 3, 8, 8])
    weight, bias = net.weight(net.random(4, 3, 3, 3)), net.weight(np.full(4, 1e-7))
    net.op("Conv", x, weight, bias, out="y", kernel_shape=[3, 3])
    net.output("y", [1, 4, 6, 6])
    outcome = cast(net.model(), tools.images(2, size=8))
    assert types(outcome.model) == {"Conv": "FLOAT16"}


def test_resizing_computes_in_16_bits_and_keeps_the_bits_of_its_coordinates():
    net = tools.Net(seed=5)
    x = net.input("x", [1, 3, 8, 8])
    net.op("Resize", net.op("Relu", x), "", net.weight([1, 1, 2, 2]), out="y", mode="nearest")
    net.output("y", [1, 3, 16, 16])
    outcome = cast(net.model(), tools.images(2, size=8))
    (resize,) = [node for node in outcome.model.ir.graph if node.op_type == "Resize"]
    assert resize.inputs[0].dtype == ir.DataType.FLOAT16
    assert resize.inputs[2].dtype == ir.DataType.FLOAT


def test_padding_of_one_number_is_written_once():
    net = tools.Net(seed=5)
    x = net.input("x", [1, 3, 16, 16])
    net.op("Concat", net.op("Relu", x), net.weight(np.full((1, 8, 16, 16), 0.5)), out="y", axis=1)
    net.output("y", [1, 11, 16, 16])
    model, feeds = net.model(), tools.images(2)
    outcome = cast(model, feeds)
    assert outcome.model.size_bytes < 100
    (want,), (have,) = answers(model, feeds[:1]), answers(outcome.model, feeds[:1])
    np.testing.assert_allclose(have["y"], want["y"], rtol=1e-3)


@pytest.mark.parametrize("form", ["sqrt", "reciprocal", "pow", "clip"])
def test_an_epsilon_still_keeps_a_constant_row_from_dividing_by_zero(form):
    net = tools.Net(seed=5)
    x = net.input("x", [1, 4, 8])
    centred = net.op("Sub", x, net.op("ReduceMean", x, axes=[-1]))
    variance = net.op("ReduceMean", net.op("Mul", centred, centred), axes=[-1])
    if form == "clip":
        deviation = net.op("Clip", net.op("Sqrt", variance), net.weight(1e-9))
    else:
        deviation = net.op("Add", variance, net.weight(1e-9))
        deviation = net.op("Sqrt", deviation) if form != "pow" else net.op("Pow", deviation, net.weight(-0.5))
    if form == "reciprocal":
        deviation = net.op("Reciprocal", deviation)
    normal = net.op("Mul" if form in ("reciprocal", "pow") else "Div", centred, deviation)
    net.op("Mul", normal, net.weight(net.random(8)), out="y")
    net.output("y", [1, 4, 8])
    feeds = [{"x": np.random.default_rng(i).standard_normal((1, 4, 8)).astype(np.float32)} for i in range(2)]
    model = net.model()
    outcome = cast(model, feeds)
    flat = {"x": np.full((1, 4, 8), 0.25, np.float32)}  # as blank paper, which no sample happened to be
    # onnx's own evaluator: onnxruntime leaves out casts to float16 and back, and with them what this is about.
    got = ReferenceEvaluator(ir.to_proto(outcome.model.ir)).run(None, flat)
    assert not np.any(got[0])
    assert "FLOAT16" in types(outcome.model)["ReduceMean"]
    for want, have in zip(answers(model, feeds), answers(outcome.model, feeds), strict=True):
        np.testing.assert_allclose(have["y"], want["y"], atol=1e-2)
