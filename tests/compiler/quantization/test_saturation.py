from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edgewright.compiler.passes.static_quantize import StaticQuantize
from edgewright.compiler.quantization.planning import StaticOptions, make_plan
from edgewright.compiler.quantization.saturation import find_saturation, saturated_product

CODES = npst.arrays(np.uint8, st.tuples(st.just(3), st.just(7)))


@settings(max_examples=50, deadline=None)
@given(CODES, npst.arrays(np.int8, (7, 2), elements=st.integers(-127, 127)))
def test_the_product_is_that_of_the_instruction_element_by_element(columns, weights):
    exact, saturated, share = saturated_product(columns, weights)
    assert np.array_equal(exact, columns.astype(int) @ weights.astype(int))
    hits = 0
    for row in range(3):
        for out in range(2):
            total = 0
            for k in range(0, 8, 2):
                pair = sum(int(columns[row, i]) * int(weights[i, out]) for i in (k, k + 1) if i < 7)
                total += max(-32768, min(32767, pair))
                hits += not -32768 <= pair <= 32767
            assert saturated[row, out] == total
    assert share == pytest.approx(hits / (3 * 2 * 4))


@given(CODES, npst.arrays(np.int8, (7, 2), elements=st.integers(-63, 63)))
@settings(max_examples=50, deadline=None)
def test_seven_bits_never_saturate(columns, weights):
    exact, saturated, share = saturated_product(columns, weights)
    assert share == 0.0
    assert np.array_equal(exact, saturated)


def bright_net(q):
    """Large activations and large weights of one sign: the worst case of vpmaddubsw."""
    net = q.Net()
    x = net.input("x", [1, 4, 8, 8])
    weight = net.weight(np.abs(net.random(8, 4, 3, 3)) + 0.4)
    a = net.op("Relu", net.op("Conv", x, weight, net.weight(np.zeros(8)), kernel_shape=[3, 3]))
    deep = net.op("Conv", a, net.weight(np.ones((8, 1, 3, 3))), kernel_shape=[3, 3], group=8)
    grouped = net.op("Conv", deep, net.weight(np.ones((8, 4, 1, 1))), kernel_shape=[1, 1], group=2, dilations=[1, 1])
    flat = net.op("Flatten", grouped)
    net.op("Gemm", flat, net.weight(net.random(3, 128)), net.weight(np.zeros(3)), out="y", transB=1)
    net.output("y", [1, 3])
    return net.model("bright")


def bright_feeds():
    rng = np.random.default_rng(0)
    return [{"x": rng.uniform(0.8, 1, (1, 4, 8, 8)).astype(np.float32)} for _ in range(5)]


def test_a_bright_image_saturates_and_depthwise_layers_do_not_count(q):
    model = bright_net(q)
    rule = replace(q.RULE, saturates_int16=True)
    site = q.site_of(model, bright_feeds(), rule)
    found = {item.layer: item for item in find_saturation(make_plan(model, StaticOptions(), site), site)}
    assert found["Conv_0"].share > 0.2
    assert found["Conv_0"].error > 0.05
    assert "Conv_2" not in found  # depthwise
    notes = [note for note in StaticQuantize()(model, site).notes if note.kind == "warning"]
    assert "Conv_0" in [note.subject for note in notes]


def test_with_reduced_range_there_is_nothing_to_find(q):
    model = bright_net(q)
    rule = replace(q.RULE, saturates_int16=True, reduce_range=True)
    site = q.site_of(model, bright_feeds(), rule)
    outcome = StaticQuantize()(model, site)
    assert not [note for note in outcome.notes if note.kind == "warning"]
    assert any("7 bits" in note.text for note in outcome.notes)
    for name, value in outcome.model.ir.graph.initializers.items():
        if name.endswith("_codes") and value.const_value.dtype.name == "INT8":
            assert np.abs(value.const_value.numpy().astype(int)).max() <= 63
