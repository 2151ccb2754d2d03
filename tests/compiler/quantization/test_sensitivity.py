from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgewright.compiler.passes.dynamic_quantize import DynamicQuantize
from edgewright.compiler.passes.static_quantize import StaticQuantize


def reasons(outcome) -> dict[str, str]:
    return {note.subject: note.text for note in outcome.notes if note.kind == "skipped"}


def spectrum_net(q):
    """A product, its power, a mel filter and a logarithm; then a layer on the logarithm."""
    net = q.Net(seed=7)
    x = net.input("x", ["N", 32])
    bands = net.op("MatMul", x, net.weight(net.random(32, 16)))
    power = net.op("Mul", bands, bands)
    mel = net.op("MatMul", power, net.weight(np.abs(net.random(16, 8))))
    logs = net.op("Log", net.op("Add", mel, net.weight(1e-6)))
    net.op("MatMul", logs, net.weight(net.random(8, 4)), out="y")
    net.output("y", ["N", 4])
    rng = np.random.default_rng(0)
    feeds = [{"x": (rng.normal(0, 1, (1, 32)) * 10.0 ** rng.uniform(-4, 0)).astype(np.float32)} for _ in range(24)]
    return net.model(), feeds


def test_what_leads_into_a_logarithm_stays_float(q):
    model, feeds = spectrum_net(q)
    outcome = StaticQuantize()(model, q.site_of(model, feeds))
    assert reasons(outcome)["MatMul_0"].endswith(
        "its results lead into a logarithm, where small values count (MatMul_0, MatMul_2)"
    )
    assert outcome.changed == 1
    assert q.worst_ratio(model, outcome.model, feeds) > 30
    dynamic = DynamicQuantize()(model, q.site_of(model, feeds, replace(q.RULE, schemes=(q.DYNAMIC,))))
    assert dynamic.changed == 1


def test_a_nonlinearity_in_between_forgets_small_values(q):
    net = q.Net()
    x = net.input("x", ["N", 16])
    scores = net.op("Softmax", net.op("MatMul", x, net.weight(net.random(16, 8))))
    net.op("Log", scores, out="y")
    net.output("y", ["N", 8])
    model = net.model()
    feeds = [{"x": np.random.default_rng(i).normal(0, 1, (1, 16)).astype(np.float32)} for i in range(8)]
    assert StaticQuantize()(model, q.site_of(model, feeds)).changed == 1


def test_a_forbidden_class_does_not_swallow_the_others(q):
    net = q.Net()
    x = net.input("x", [1, 3, 8, 8])
    a = net.op("Relu", net.conv(x, 3, 8))
    weight, bias = net.random(5, 8, 1, 1), np.asarray([0.1, 0.2, 0.3, 0.4, -1e9])
    net.op("Conv", a, net.weight(weight), net.weight(bias), out="y", kernel_shape=[1, 1])
    net.output("y", [1, 5, 8, 8])
    model, feeds = net.model(), q.images(6, size=8)
    outcome = StaticQuantize()(model, q.site_of(model, feeds))
    assert "would round to zero" in reasons(outcome)["Conv_2"]
    assert outcome.changed == 1
    scores = [answer["y"][:, :4] for answer in q.ort_run(outcome.model, feeds)]
    wanted = [answer["y"][:, :4] for answer in q.ort_run(model, feeds)]
    assert q.signal_to_noise(np.concatenate(wanted), np.concatenate(scores)) > 28


def test_a_loud_column_keeps_its_layer_in_float(q):
    net = q.Net()
    x = net.input("x", ["N", 12])
    scale = np.ones(12)
    scale[11] = 1e6
    a = net.op("Relu", net.op("MatMul", x, net.weight(net.random(12, 16) / scale[:, None])))
    net.op("MatMul", a, net.weight(net.random(16, 4)), out="y")
    net.output("y", ["N", 4])
    model = net.model()
    rng = np.random.default_rng(0)
    feeds = [{"x": (rng.normal(0, 1, (1, 12)) * scale).astype(np.float32)} for _ in range(16)]
    outcome = StaticQuantize()(model, q.site_of(model, feeds))
    assert "would round to zero" in reasons(outcome)["MatMul_0"]
    assert outcome.changed == 1
    assert q.worst_ratio(model, outcome.model, feeds) > 30


def test_numbers_too_small_for_any_scale_stay_float(q):
    net = q.Net()
    x = net.input("x", ["N", 16])
    tiny = net.op("Mul", x, net.weight(1e-18))
    net.op("MatMul", tiny, net.weight(net.random(16, 4) * np.float32(1e-18)), out="y")
    net.output("y", ["N", 4])
    model = net.model()
    feeds = [{"x": np.random.default_rng(i).normal(0, 1, (1, 16)).astype(np.float32)} for i in range(4)]
    outcome = StaticQuantize()(model, q.site_of(model, feeds))
    assert outcome.changed == 0
    assert "too small for scales in float32" in reasons(outcome)["MatMul_1"]
