from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgewright.compiler.quantization.correction import correct_biases
from edgewright.compiler.quantization.placement import place
from edgewright.compiler.quantization.planning import StaticOptions, make_plan
from edgewright.compiler.quantization.prepare import numbers, prepare
from edgewright.compiler.quantization.smoothing import smooth

ALL = frozenset({"Conv", "Gemm", "MatMul"})


def uneven_net(q, opset: int = 17):
    """Channels of five magnitudes between convolutions, one of them depthwise, and behind a LayerNorm."""
    net = q.Net(seed=5, opset=opset)
    size = np.logspace(-2, 2, 8)
    x = net.input("x", [1, 3, 16, 16])
    first = net.random(8, 3, 3, 3) * size[:, None, None, None]
    a = net.op("Relu", net.op("Conv", x, net.weight(first), net.weight(size * 0.1), kernel_shape=[3, 3]))
    a = net.op("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2])
    deep = net.weight(net.random(8, 1, 3, 3))
    b = net.op("Relu", net.op("Conv", a, deep, net.weight(np.zeros(8)), kernel_shape=[3, 3], group=8))
    second = net.random(6, 8, 1, 1) / size[:, None, None]
    c = net.op("Conv", b, net.weight(second), net.weight(np.zeros(6)), kernel_shape=[1, 1])
    flat = net.op("Reshape", c, net.weight([1, 6, 25], np.int64))
    gamma = np.logspace(-2, 1, 25)
    norm = net.op("LayerNormalization", flat, net.weight(gamma), net.weight(gamma * 0.1))
    net.op("MatMul", norm, net.weight(net.random(25, 7) / gamma[:, None]), out="y")
    net.output("y", [1, 6, 7])
    return net.model("uneven")


def test_smoothing_changes_no_result(q):
    model = prepare(uneven_net(q))
    before = model.copy()
    feeds = q.images(6)
    placement = place(model.ir.graph, q.INTEGER, frozenset(), frozenset())
    site = q.site_of(model, feeds)
    assert len(smooth(model, placement, site, per_channel=ALL, strength=0.5, limit=10)) == 3
    # Factors are powers of two, so only the order of additions differs.
    for want, have in zip(q.ort_run(before, feeds), q.ort_run(replace(model), feeds), strict=True):
        assert np.max(np.abs(want["y"] - have["y"])) <= 1e-4 * np.max(np.abs(want["y"]))


def test_smoothing_saves_uneven_channels(q):
    model, feeds = uneven_net(q), q.images(24)

    def ratio(strength):
        plan_site = q.site_of(model, feeds)
        from edgewright.compiler.passes.static_quantize import StaticQuantize

        done = StaticQuantize(StaticOptions(smooth=strength, bias_correction=False))(model, plan_site)
        return q.worst_ratio(model, done.model, feeds)

    assert ratio(0.5) > ratio(0.0) + 6.0  # decibels: half the noise's amplitude


def test_weights_that_others_use_are_not_scaled(q):
    net = q.Net()
    x = net.input("x", [1, 4, 8, 8])
    shared, bias = net.weight(net.random(4, 4, 1, 1)), net.weight(np.arange(4))
    a = net.op("Relu", net.op("Conv", x, shared, bias, kernel_shape=[1, 1]))
    net.op("Conv", a, shared, bias, out="y", kernel_shape=[1, 1])
    net.output("y", [1, 4, 8, 8])
    model = prepare(net.model())
    placement = place(model.ir.graph, q.INTEGER, frozenset(), frozenset())
    site = q.site_of(model, q.images(2, channels=4, size=8))
    assert smooth(model, placement, site, per_channel=ALL, strength=0.5, limit=10) == []


def test_correction_takes_the_mean_error_out(q):
    model = q.residual_net()
    feeds = q.images(32)
    rule = replace(q.RULE, reduce_range=True)

    def shift(correct):
        from edgewright.compiler.passes.static_quantize import StaticQuantize

        options = StaticOptions(bias_correction=correct, smooth=0.0)
        done = StaticQuantize(options)(model, q.site_of(model, feeds, rule))
        have, want = q.ort_run(done.model, feeds), q.ort_run(model, feeds)
        errors = [one["y"] - two["y"] for one, two in zip(have, want, strict=True)]
        return float(np.abs(np.mean(errors, axis=0)).mean())

    assert shift(True) < 0.6 * shift(False)


@pytest.mark.parametrize("trans", [0, 1])
def test_the_correction_of_one_product_is_exact(q, trans):
    """For a product alone the mean error on the calibration data vanishes but for what the input's codes do."""
    net = q.Net()
    x = net.input("x", ["N", 16])
    weight = net.random(5, 16) if trans else net.random(16, 5)
    net.op("Gemm", x, net.weight(weight), net.weight(np.zeros(5)), out="y", transB=trans)
    net.output("y", ["N", 5])
    model = net.model()
    rng = np.random.default_rng(0)
    feeds = [{"x": (rng.normal(0, 1, (4, 16)) + 3).astype(np.float32)} for _ in range(20)]
    plan = make_plan(model, StaticOptions(bias_correction=False, smooth=0.0), q.site_of(model, feeds))
    op = plan.placement.ops[0]
    before = numbers(op.node.inputs[2]).copy()
    rounded = plan_weight(plan, op)
    mean = np.concatenate([feed["x"] for feed in feeds]).mean(axis=0)
    error = rounded.astype(np.float64) - weight
    expected = error @ mean if trans else error.T @ mean
    site = q.site_of(model, feeds)
    assert correct_biases(plan.model, plan.placement, plan.grids, plan.policy, site=site, limit=99) == 1
    assert before - numbers(op.node.inputs[2]) == pytest.approx(expected, abs=1e-5)


def plan_weight(plan, op):
    from edgewright.compiler.quantization.insertion import quantized_weight

    rounded = quantized_weight(op, plan.grids[op.node.inputs[0]], plan.policy)
    assert rounded is not None
    return rounded.reals
