from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgewright.compiler.passes.dynamic_quantize import DynamicQuantize
from edgewright.compiler.passes.static_quantize import StaticQuantize
from edgewright.compiler.quantization import damage as damage_module
from edgewright.compiler.quantization.planning import StaticOptions


def poisoned_net(q, layers: int = 4):
    """Of equal layers one has an input channel that drowns the others in its grid."""
    net = q.Net(seed=2)
    x = net.input("x", ["N", 16])
    for index in range(layers):
        weight = net.random(16, 16)
        if index == 2:
            gain = np.ones(16)
            gain[0] = 150.0
            x = net.op("Mul", x, net.weight(gain))
            weight[0] /= 150.0
        x = net.op("Tanh", net.op("MatMul", x, net.weight(weight)))
    net.op("Identity", x, out="y")
    net.output("y", ["N", 16])
    return net.model("poisoned")


def vectors(count: int):
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(0, 1, (2, 16)).astype(np.float32)} for _ in range(count)]


def test_the_poisoned_layer_comes_first_and_sparing_it_helps(q):
    model, feeds = poisoned_net(q), vectors(12)
    site = q.site_of(model, feeds)
    options = StaticOptions(ranges="minmax", smooth=0.0)
    ranked = StaticQuantize(options).damage(model, site)
    matrix = [node.name for node in model.ir.graph if node.op_type == "MatMul"]
    assert ranked[0].layer == matrix[2]
    assert ranked[0].error > 10 * ranked[1].error
    assert {item.layer for item in ranked} == set(matrix)
    plain = StaticQuantize(options)(model, site).model
    spared = StaticQuantize(replace(options, keep_float=(ranked[0].layer,)))(model, site).model
    assert q.worst_ratio(model, spared, feeds) > q.worst_ratio(model, plain, feeds) + 15


def test_dynamic_layers_are_ranked_too(q):
    model, feeds = poisoned_net(q), vectors(12)
    rule = replace(q.RULE, schemes=(q.DYNAMIC,))
    ranked = DynamicQuantize().damage(model, q.site_of(model, feeds, rule))
    assert ranked[0].layer == [node.name for node in model.ir.graph if node.op_type == "MatMul"][2]


def test_one_session_serves_all_layers(q):
    sessions = []

    def counting(candidate, feeds):
        sessions.append(len(candidate.inputs))
        return q.ort_run(candidate, feeds)

    model = q.residual_net()
    site = q.site_of(model, q.images(6), run=counting)
    quantizer = StaticQuantize(StaticOptions(smooth=0.0, bias_correction=False))
    ranked = quantizer.damage(model, site)
    assert sessions == [1, 2]  # calibration, then the ranking with its switches
    assert len(ranked) == 7  # movers are nobody's loss
    assert all(np.isfinite(item.error) for item in ranked)


def test_many_layers_are_first_judged_in_groups(q, monkeypatch):
    monkeypatch.setattr(damage_module, "RUNS", 40)
    model, feeds = poisoned_net(q, layers=12), vectors(4)
    ranked = StaticQuantize(StaticOptions(ranges="minmax", smooth=0.0)).damage(model, q.site_of(model, feeds))
    assert len(ranked) == 12
    assert ranked[0].layer == [node.name for node in model.ir.graph if node.op_type == "MatMul"][2]
