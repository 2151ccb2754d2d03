"""Channels at other scales, the function the same: int8 keeps it, and only because channels are evened out."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edgewright.compiler.passes.static_quantize import StaticQuantize
from edgewright.compiler.quantization import smoothing
from edgewright.compiler.quantization.placement import place
from edgewright.compiler.quantization.planning import StaticOptions
from edgewright.compiler.quantization.prepare import numbers, prepare
from edgewright.compiler.quantization.smoothing import smooth
from edgewright.compiler.quantization.streams import find_streams

STUDY = Path(__file__).resolve().parents[3] / "benchmarks" / "studies" / "rescaled.py"
KINDS = frozenset({"Conv", "Gemm", "MatMul"})
TRAITS = ("residual", "plain", "gate", "residual", "downsample", "pool")


@pytest.fixture(scope="module")
def rescaled() -> ModuleType:
    """The study's own way to rescale channels, which knows nothing of what the product evens out."""
    spec = importlib.util.spec_from_file_location("study_rescaled", STUDY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
    return module


def streams_of(q, model, scheme):
    return find_streams(place(model.ir.graph, scheme, frozenset(), frozenset()), frozenset(), KINDS)


def uneven(q, rescaled, traits=TRAITS, widest=6):
    model = prepare(q.typed_net(traits, seed=2))
    plain = model.copy()
    done = rescaled.rescale(model.ir, 1, widest)
    assert len(done) >= 4
    return plain, replace(model)


def test_the_rescaled_net_is_the_same_function(q, rescaled):
    plain, other = uneven(q, rescaled)
    feeds = q.images(4)
    assert any(
        not np.array_equal(numbers(one), numbers(two))
        for one, two in zip(plain.ir.graph.initializers.values(), other.ir.graph.initializers.values(), strict=True)
        if one.dtype == two.dtype and one.dtype.is_floating_point()
    )
    for want, have in zip(q.ort_run(plain, feeds), q.ort_run(other, feeds), strict=True):
        # Powers of two: only the order of additions differs.
        assert np.max(np.abs(want["y"] - have["y"])) <= 1e-4 * np.max(np.abs(want["y"]))


def test_int8_keeps_the_rescaled_net_only_with_its_channels_evened_out(q, rescaled, monkeypatch):
    plain, other = uneven(q, rescaled)
    feeds = q.images(16)

    def ratio(model, strength=0.5):
        done = StaticQuantize(StaticOptions(smooth=strength))(model, q.site_of(model, feeds))
        return q.worst_ratio(plain, done.model, feeds)

    usual, kept, lost = ratio(plain), ratio(other), ratio(other, 0.0)
    assert kept > usual - 3.0  # decibels
    assert lost < 10.0 < kept
    monkeypatch.setattr(smoothing, "find_streams", lambda *_: [])
    assert ratio(other) < kept - 6.0  # without those that residual Adds join, it is worse than half as good


@pytest.mark.parametrize("scheme", ["INTEGER", "INPUTS"])
def test_evening_out_a_stream_changes_no_result(q, rescaled, scheme):
    _, model = uneven(q, rescaled)
    before, feeds = model.copy(), q.images(4)
    placement = place(model.ir.graph, getattr(q, scheme), frozenset(), frozenset())
    smooth(model, placement, q.site_of(model, feeds), per_channel=KINDS, strength=0.5, limit=10)
    changed = [
        name
        for name, value in model.ir.graph.initializers.items()
        if value.dtype.is_floating_point()
        and not np.array_equal(numbers(value), numbers(before.ir.graph.initializers[name]))
    ]
    assert len(changed) > 10
    for want, have in zip(q.ort_run(before, feeds), q.ort_run(replace(model), feeds), strict=True):
        assert np.max(np.abs(want["y"] - have["y"])) <= 1e-4 * np.max(np.abs(want["y"]))


def test_streams_whose_channels_are_even_stay_as_they_are(q, monkeypatch):
    model = prepare(q.typed_net(("residual", "residual"), seed=2))
    feeds, found = q.images(4), []
    for streams in (find_streams, lambda *_: []):
        monkeypatch.setattr(smoothing, "find_streams", streams)
        own = model.copy()
        placement = place(own.ir.graph, q.INTEGER, frozenset(), frozenset())
        smooth(own, placement, q.site_of(own, feeds), per_channel=KINDS, strength=0.5, limit=10)
        found.append(
            [numbers(value) for value in own.ir.graph.initializers.values() if value.dtype.is_floating_point()]
        )
    assert streams_of(q, model, q.INTEGER)
    assert all(np.array_equal(one, two) for one, two in zip(*found, strict=True))


@pytest.mark.parametrize("held", ["Clip", "HardSwish", "output", "shared"])
def test_what_holds_one_tensor_holds_its_stream(q, held):
    net = q.Net(opset=17)
    x = net.op("Relu", net.conv(net.input("x", ["N", 3, 8, 8]), 3, 8))
    deep = net.conv(net.op("Relu", net.conv(x, 8, 8)), 8, 8)
    total = net.op("Add", x, deep, out="total")
    y = net.op("Relu", total)
    bound = net.weight(6.0)
    if held == "Clip":
        y = net.op("Clip", y, net.weight(0.0), bound)
    if held == "HardSwish":
        y = net.op("HardSwish", total)
    if held == "shared":
        weight = net.weight(net.random(8, 8, 1, 1))
        y = net.op("Conv", net.op("Conv", y, weight), weight)
    net.op("Conv", y, net.weight(net.random(4, 8, 1, 1)), net.weight(np.zeros(4)), out="y")
    net.output("y", ["N", 4, 8, 8])
    if held == "output":
        net.output("total", ["N", 8, 8, 8])
    model = prepare(net.model())
    assert not any(len(stream.producers) > 1 for stream in streams_of(q, model, q.INTEGER))


def test_a_stream_has_all_that_make_it_and_all_that_read_it(q):
    model = prepare(q.typed_net(("residual", "gate", "residual"), seed=2))
    longest = max(streams_of(q, model, q.INTEGER), key=lambda stream: len(stream.producers))
    # The stem and the second convolution of each residual block make it; the first of each, the gate's and the Gemm
    # read it.
    assert [node.op_type for node in longest.producers].count("Conv") == 3
    assert sorted(op.node.op_type for op in longest.readers) == ["Conv", "Conv", "Conv", "Gemm"]
