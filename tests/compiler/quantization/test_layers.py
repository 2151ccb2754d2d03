"""Layers of really quantised graphs beside their float twins; the errors are what numpy makes of the same tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from edgewright.compiler.layer_errors import layer_errors
from edgewright.compiler.layers import Layer, layers_of, made_for, main_operator, operator_names
from edgewright.compiler.passes.cast_half import CastHalf
from edgewright.compiler.passes.dynamic_quantize import DynamicQuantize
from edgewright.compiler.passes.static_quantize import StaticQuantize
from edgewright.compiler.quantization.planning import StaticOptions
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds, Outputs
from tests.compiler.quantization.conftest import DYNAMIC, INPUTS, RULE, Net, ort_run, residual_net, site_of


def images(count: int = 16) -> list[Feeds]:
    rng = np.random.default_rng(5)
    return [{"x": rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for _ in range(count)]


def static(model: OnnxModel, feeds: list[Feeds], rule=RULE, **options: object):
    """The quantised model, its float twin, and what was said."""
    pass_, site = StaticQuantize(StaticOptions(**options)), site_of(model, feeds, rule)  # type: ignore[arg-type]
    outcome = pass_(model, site)
    assert outcome.changed
    return outcome.model, pass_.float_twin(model, site), outcome.notes


def test_every_layer_of_an_integer_graph_has_its_tensor_in_the_twin() -> None:
    model, twin, notes = static(residual_net(), images())
    layers = layers_of(model, twin, notes)
    assert [layer.op for layer in layers] == [
        *("Conv", "Conv", "Conv", "Add", "Conv", "MaxPool", "GlobalAveragePool", "Gemm")
    ], "no Q/DQ, no Flatten, no clamp that codes stand for"
    assert {layer.precision for layer in layers} == {"int8"}
    assert {layer.reason for layer in layers} == {""}
    assert all(layer.twin for layer in layers)
    assert layers[0].twin == "Relu_1_out", "compared is what its readers get, clamped and rounded"
    assert (layers[-1].tensor, layers[-1].twin) == ("y", "y"), "an output that took its name over"


def test_where_outputs_stay_float_each_layer_says_what_it_is_written_in() -> None:
    model, twin, notes = static(residual_net(), images(), replace(RULE, schemes=(INPUTS,)), keep_float=("Conv_7",))
    layers = {layer.name: layer for layer in layers_of(model, twin, notes)}
    assert layers["Conv_0"].precision == "int8"
    assert layers["Relu_3"].precision == "int8", "it stands between a sum of codes and codes"
    assert layers["Conv_7"].precision == "fp32"
    assert layers["Conv_7"].reason == "left in float on request"
    assert layers["Conv_0"].twin == "Conv_0_out"


def test_the_error_is_that_of_the_tensors_themselves() -> None:
    feeds = images()
    model, twin, notes = static(residual_net(), feeds)
    layers = layers_of(model, twin, notes)
    errors = layer_errors(model, twin, layers, feeds[:4], ort_run)
    assert errors.keys() == {layer.name for layer in layers}
    ours = np.stack([next(ort_run(model, [feed]))["y"] for feed in feeds[:4]]).astype(np.float64)
    theirs = np.stack([next(ort_run(twin, [feed]))["y"] for feed in feeds[:4]]).astype(np.float64)
    last = errors[layers[-1].name]
    # With every tensor visible, onnxruntime fuses less and rounds some sums otherwise: a step of the output's codes.
    assert last.largest == pytest.approx(np.abs(ours - theirs).max() / max(1, np.abs(theirs).max()), abs=5e-3)
    assert last.noise == pytest.approx(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs), abs=5e-3)
    assert all(0 < one.noise < 0.1 for one in errors.values())


def test_channels_that_were_evened_out_are_no_error() -> None:
    """Factors moved between layers change tensors and not the model: against the model as it came that looks broken."""
    net = Net(seed=1)
    x = net.input("x", ["N", 3, 16, 16])
    spread = np.geomspace(0.02, 20, 16).reshape(16, 1, 1, 1)
    weight, bias = net.weight(net.random(16, 3, 3, 3) * spread), net.weight(np.zeros(16))
    a = net.op("Relu", net.op("Conv", x, weight, bias, kernel_shape=[3, 3], pads=[1] * 4))
    b = net.conv(a, 16, 8)
    net.op("Relu", b, out="y")
    net.output("y", ["N", 8, 16, 16])
    model, feeds = net.model(), images()
    compiled, twin, notes = static(model, feeds)
    first = layers_of(compiled, twin, notes)[0]
    right = layer_errors(compiled, twin, [first], feeds[:4], ort_run)[first.name]
    wrong = layer_errors(compiled, model, [first], feeds[:4], ort_run)[first.name]
    assert right.noise < 0.02
    assert wrong.noise > 0.3, "the two must differ, or this test shows nothing"


def test_dynamic_products_are_found_under_the_names_of_what_they_replace() -> None:
    net = Net(seed=2)
    x = net.input("x", ["N", 32])
    a = net.op("Relu", net.op("MatMul", x, net.weight(net.random(32, 24))))
    net.op("Gemm", a, net.weight(net.random(24, 10)), net.weight(np.ones(10)), out="y")
    net.output("y", ["N", 10])
    model = net.model()
    rng = np.random.default_rng(0)
    feeds: list[Feeds] = [{"x": rng.normal(size=(2, 32)).astype(np.float32)} for _ in range(4)]
    site = site_of(model, feeds, replace(RULE, schemes=(DYNAMIC,)))
    compiled = DynamicQuantize()(model, site).model
    twin = DynamicQuantize().float_twin(model, site)
    layers = layers_of(compiled, twin)
    assert [(layer.op, layer.precision) for layer in layers] == [
        ("MatMulInteger", "int8"),
        ("Relu", "fp32"),
        ("MatMulInteger", "int8"),
    ]
    assert [layer.twin for layer in layers] == ["MatMul_0_out", "Relu_1_out", "y"]
    errors = layer_errors(compiled, twin, layers, feeds, ort_run)
    assert all(0 < one.noise < 0.05 for one in errors.values())


def test_half_precision_is_written_in_the_layers_and_small() -> None:
    model, feeds = residual_net(), images(4)
    half = CastHalf()(model, site_of(model, feeds)).model
    layers = layers_of(half, model)
    assert {layer.precision for layer in layers if layer.op == "Conv"} == {"fp16"}
    errors = layer_errors(half, model, layers, feeds, ort_run)
    assert layers[-1].name in errors
    assert all(one.noise < 0.01 for one in errors.values())


def test_other_shapes_and_lost_numbers_are_infinitely_far() -> None:
    model = residual_net()
    layers = [Layer("a", "Conv", "fp32", "", "t", "t"), Layer("b", "Conv", "fp32", "", "y", "y")]
    answers = {True: {"t": np.ones((1, 2)), "y": np.array([np.nan, 1.0])}, False: {"t": np.ones(2), "y": np.ones(2)}}

    def run(asked: OnnxModel, feeds: Iterable[Feeds]) -> Iterator[Outputs]:
        ours = any(value.name == "marker" for value in asked.ir.graph.outputs)
        return iter([answers[ours] for _ in feeds])

    marked = model.copy()
    marked.ir.graph.outputs[0].name = "marker"
    for one in (model, marked):
        for node, name in zip(list(one.ir.graph)[:2], ("t", "y"), strict=True):
            node.outputs[0].name = name if one is marked or name == "t" else "y_"
    layers[1] = replace(layers[1], twin="y_")
    answers[False]["y_"] = np.ones(2)
    errors = layer_errors(marked, model, layers, images(1), run)
    assert np.isinf([errors["a"].largest, errors["b"].largest]).all()


def test_names_of_engines_lead_to_operators() -> None:
    model = residual_net()
    names = operator_names(model)
    assert names["Conv_0"] == "Conv_0"
    assert names["Relu_1_out"] == "Relu_1", "some engines call a layer after what it makes"
    assert made_for(model, "Relu_1", "Convolution") == "Conv_0", "fused, and called after the last of them"
    assert made_for(model, "Relu_1", "Subgraph") == "Relu_1"
    assert made_for(model, "Relu_1", "Relu") == "Relu_1"
    assert main_operator(model, ["Add_5", "Conv_4", "Relu_6", "gone"]) == "Conv_4", "what multiplies is what takes time"
    assert main_operator(model, ["Relu_6", "Add_5"]) == "Add_5"
    assert main_operator(model, ["reformat"]) is None
