"""A layer's own error is its own: what others do, before or behind it, does not show in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from edgewright.compiler.blame.isolated import Twins
from edgewright.compiler.layer_errors import layer_errors
from edgewright.compiler.layers import layers_of
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds, Outputs

Run = Callable[[OnnxModel, Iterable[Feeds]], Iterator[Outputs]]
NET = """net (float[N,4] x) => (float[N,4] y) <float[4,4] w1, float[4,4] w2, float[4,4] w3> {
    a = MatMul(x, w1)  b = Tanh(a)  c = MatMul(b, w2)  d = Add(c, b)  e = Tanh(d)  y = MatMul(e, w3)
}"""
FEEDS = [{"x": np.random.default_rng(seed).normal(size=(2, 4)).astype(np.float32)} for seed in range(3)]


def net(parse: Callable[..., OnnxModel], **changed: float) -> OnnxModel:
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(4, 4)).astype(np.float32) for name in ("w1", "w2", "w3")}
    model = parse(NET, {name: (array * changed.get(name, 1.0)).astype(np.float32) for name, array in weights.items()})
    for node in model.ir.graph:
        node.name = node.outputs[0].name
    return model


def twins(model: OnnxModel, twin: OnnxModel, run: Run) -> Twins:
    return Twins(model, twin, layers_of(model, twin), FEEDS, run)


@pytest.mark.parametrize(("weight", "layer"), [("w1", "a"), ("w2", "c"), ("w3", "y")])
def test_only_the_broken_layer_is_off_by_itself(
    parse: Callable[..., OnnxModel], run_model: Run, weight: str, layer: str
) -> None:
    """Its weights are 1.5 times what they were, so its result is half of its size off, whatever it is fed."""
    both = twins(net(parse, **{weight: 1.5}), net(parse), run_model)
    alone = both.errors()
    assert alone.keys() == {"a", "b", "c", "d", "e", "y"}
    assert alone[layer].noise == pytest.approx(0.5, rel=1e-5)
    assert {name for name, error in alone.items() if error.noise > 0} == {layer}
    accumulated = layer_errors(both.model, both.twin, both.layers, FEEDS, run_model)
    later = [one.name for one in both.layers][[one.name for one in both.layers].index(layer) :]
    assert {name for name, error in accumulated.items() if error.noise > 0} == set(later), "in company it spreads"


@pytest.mark.parametrize(("weight", "layer"), [("w1", "a"), ("w2", "c"), ("w3", "y")])
def test_the_effect_on_the_outputs_is_that_of_the_whole_model_where_nothing_else_is_broken(
    parse: Callable[..., OnnxModel], run_model: Run, weight: str, layer: str
) -> None:
    both = twins(net(parse, **{weight: 1.5}), net(parse), run_model)
    (broken,) = [one for one in both.layers if one.name == layer]
    right = [one["y"] for one in run_model(both.twin, FEEDS)]
    wrong = [one["y"] for one in run_model(both.model, FEEDS)]
    apart = np.linalg.norm(np.concatenate(wrong) - np.concatenate(right)) / np.linalg.norm(np.concatenate(right))
    assert both.effects([broken])[layer].noise == pytest.approx(float(apart), rel=1e-5)
    (other,) = [one for one in both.layers if one.name == "b"]
    assert both.effects([other, broken])["b"].noise == 0.0


def test_a_layer_without_a_counterpart_is_answered_for_by_its_reader(
    parse: Callable[..., OnnxModel], run_model: Run
) -> None:
    broken = net(parse, w2=1.5)
    (node,) = [node for node in broken.ir.graph if node.name == "c"]
    node.outputs[0].name = "renamed"
    both = twins(broken, net(parse), run_model)
    (reader,) = [one for one in both.layers if one.name == "d"]
    assert set(both.region(reader)) == {"c", "d"}
    alone = both.errors()
    assert "c" not in alone
    assert max(alone, key=lambda name: alone[name].noise) == "d"


@pytest.mark.parametrize("kind", [ir.DataType.FLOAT16, ir.DataType.BFLOAT16])
def test_a_model_in_half_precision_is_fed_and_read_in_float(
    parse: Callable[..., OnnxModel], run_model: Run, kind: ir.DataType
) -> None:
    half = net(parse)
    graph = half.ir.graph
    (node,) = [node for node in graph if node.name == "b"]
    down, up = ir.node("Cast", [node.inputs[0]], {"to": kind.value}), None
    down.outputs[0].name, down.outputs[0].dtype = "low", kind
    up = ir.node("Cast", [down.outputs[0]], {"to": ir.DataType.FLOAT.value})
    up.outputs[0].name, up.outputs[0].dtype = "high", ir.DataType.FLOAT
    graph.insert_before(node, [down, up])
    node.replace_input_with(0, up.outputs[0])
    alone = twins(replace(half), net(parse), run_model).errors()
    rounding = 2.0**-8 if kind == ir.DataType.BFLOAT16 else 2.0**-11
    assert 0 < alone["b"].noise + alone["a"].noise < rounding
    assert alone["c"].noise == alone["y"].noise == 0.0


def test_a_layer_that_cannot_be_run_apart_is_left_out_alone(parse: Callable[..., OnnxModel], run_model: Run) -> None:
    """The twin's ``b`` has another shape: whoever multiplies it cannot be fed."""
    text = """net (float[N,4] x) => (float[N,4] y) <float[4,4] w1, float[4,4] w2, float[4,4] w3> {
        a = MatMul(x, w1)  k = Tanh(a)  b = Concat<axis = 1>(k, k)
        c = MatMul(k, w2)  d = Add(c, k)  e = Tanh(d)  y = MatMul(e, w3)
    }"""
    other = parse(text, {name: np.eye(4, dtype=np.float32) for name in ("w1", "w2", "w3")})
    alone = twins(net(parse), other, run_model).errors()
    assert "c" not in alone
    assert {"a", "e", "y"} <= alone.keys()
