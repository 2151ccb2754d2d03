"""Profiles with wall times: both engines that show what they execute, and what is worked out from their reports."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgewright.backends import LayerTime, ProfiledRun, Profiles, open_isolated
from edgewright.backends import registry as backends
from edgewright.backends._onnxruntime_profile import _own_times, _sized
from edgewright.backends._openvino_profile import _operators, _stable
from edgewright.backends._profiles import product_macs, told_apart
from edgewright.targets.load import load_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgewright.core.model import OnnxModel
    from edgewright.core.tensors import Feeds
    from tests.backends.conftest import Subject

    Subjects = Mapping[str, Callable[[], Subject]]

NO_OPENVINO = importlib.util.find_spec("openvino") is None


RUNTIMES = [
    "onnxruntime",
    pytest.param("openvino", marks=pytest.mark.skipif(NO_OPENVINO, reason="openvino is not installed")),
]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_layer_has_its_precision_and_its_bytes(
    runtime: str, conv_net_model: OnnxModel, conv_net_feeds: list[Feeds], tmp_path: Path
) -> None:
    target = next(one for one in load_targets("native") if one.runtime == runtime)
    artifact = backends().find(runtime)().lower(conv_net_model, target, tmp_path)
    with open_isolated(runtime, artifact, 1) as session:
        found = session.profiles(conv_net_feeds[0], 5)
        session.run(conv_net_feeds[0])
    assert len(found.plain_us) == 10
    assert len(found.runs) == 5
    names = [{layer.name for layer in run.layers} for run in found.runs]
    assert all(one == names[0] for one in names), "in an order of their own each time, where they do not depend"
    assert [len(run.layers) for run in found.runs] == [len(one) for one in names]
    for run in found.runs:
        assert 0 < sum(layer.time_us for layer in run.layers) <= run.wall_us * 1.5  # whole microseconds, some added up
    layers = found.runs[0].layers
    assert {layer.precision for layer in layers if "Conv" in layer.kind} == {"fp32"}
    assert sum("Conv" in layer.kind for layer in layers) == 3
    if runtime == "openvino":  # 3 to 8 and 8 to 8 channels by 3 x 3, 8 of one channel at half the size; 8 to 10
        counts = [16 * 16 * 8 * 27, 16 * 16 * 8 * 72, 8 * 8 * 8 * 9, 80]
        assert sorted(layer.macs or 0 for layer in layers if layer.macs) == sorted(counts)
    assert all(layer.written_bytes and layer.read_bytes for layer in layers), "the batch is open, but not here"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_ran_in_integers_is_told_of_every_layer(runtime: str, subjects: Subjects, tmp_path: Path) -> None:
    chosen = subjects["quantized"]()
    target = next(one for one in load_targets("native") if one.runtime == runtime)
    artifact = backends().find(runtime)().lower(chosen.model, target, tmp_path)
    with open_isolated(runtime, artifact, 1) as session:
        layers = session.profiles(chosen.feeds[0], 3).runs[0].layers
    assert [layer.precision for layer in layers if "Conv" in layer.kind] == ["int8"]
    assert {layer.precision for layer in layers} <= {"int8", "fp32"}


def test_operators_are_the_models_own() -> None:
    text = "node_Conv_1/WithoutBiases,Multiply_66,node_Conv_1,FakeQuantize/51,relu_quantize,/a/Conv"
    assert _operators(text) == ("node_Conv_1", "relu_quantize", "/a/Conv")
    assert _operators("") == ()


def test_names_lose_only_what_a_compilation_numbers() -> None:
    taken: set[str] = set()
    wanted = {
        ("node_Conv_12/WithoutBiases", ("node_Conv_12",)): "node_Conv_12/WithoutBiases",
        ("Multiply_9636", ("stem.bn", "stem.relu")): "stem.bn",
        ("x_abcd_acdb_Multiply_9636", ()): "x_abcd_acdb_Multiply",
        ("y_abcd_acdb_Multiply_12", ()): "y_abcd_acdb_Multiply",
        ("x_abcd_acdb_Multiply_12", ()): "x_abcd_acdb_Multiply.2",
        ("Multiply_3", ("Multiply_3",)): "Multiply_3",
    }
    for (name, operators), stable in wanted.items():
        assert _stable(name, operators, taken) == stable
        taken.add(stable)


def test_they_cross_from_a_child_whole() -> None:
    layer = LayerTime("a", "Conv", "int8", 1.5, ("x", "y"), 10, 20, None)
    profiles = Profiles((1.0, 2.0), (ProfiledRun(3.0, (layer,)),))
    assert Profiles.from_json(json.loads(json.dumps(profiles.to_json()))) == profiles


def event(name: str, kind: str, begin: int, took: int, *shapes: dict[str, list[int]]) -> dict[str, object]:
    sizes = {"activation_size": "8", "output_size": "4", "parameter_size": "2"}
    args = {"op_name": kind, "input_type_shape": list(shapes), **sizes}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": begin, "dur": took, "args": args}


def test_a_body_is_not_counted_twice() -> None:
    """A branch within a loop, whose nodes end before they do; and a node that came before."""
    events = [
        event("before", "Add", 0, 5),
        event("deep", "Add", 12, 3),
        event("branch", "If", 11, 6),
        event("deep", "Add", 22, 3),
        event("branch", "If", 21, 6),
        event("loop", "Loop", 10, 20),
    ]
    layers = {one.name: one.time_us for one in told_apart(_own_times(events))}
    assert layers == {"before": 5, "deep": 6, "branch": 6, "loop": 8}
    assert sum(layers.values()) == 25


def test_weights_that_were_packed_away_are_not_said_to_weigh_nothing() -> None:
    packed = _sized(event("a", "QLinearConv", 0, 1, {"uint8": [1, 2, 2, 4]}, {"float": [4]}))
    assert (packed.weight_bytes, packed.read_bytes, packed.written_bytes) == (None, 8, 4)
    assert _sized(event("a", "Conv", 0, 1, {"float": [1, 4, 2, 2]}, {"float": [4, 4, 1, 1]})).weight_bytes == 2
    assert _sized(event("a", "Relu", 0, 1, {"float": [1, 4]})).weight_bytes == 2


@pytest.mark.parametrize(
    ("first", "second", "result", "wanted"),
    [
        ((4, 5), (5, 6), (4, 6), 120),
        ((5, 4), (6, 5), (4, 6), 120),
        ((2, 3, 4, 5), (2, 3, 5, 6), (2, 3, 4, 6), 720),
        ((2, 3, 4, 5), (5, 6), (2, 3, 4, 6), 720),
        ((1, 4, 5), (3, 5, 6), (3, 4, 6), None),
        ((5,), (5,), (), None),
        ((0, 5), (5, 6), (0, 6), None),
    ],
)
def test_products_are_counted_by_their_sizes(
    first: tuple[int, ...], second: tuple[int, ...], result: tuple[int, ...], wanted: int | None
) -> None:
    assert product_macs(first, second, result) == wanted


def test_what_takes_reals_and_computes_in_codes_is_in_codes() -> None:
    assert _sized(event("a", "DynamicQuantizeMatMul", 0, 1, {"float": [1, 4]})).precision == "int8"
    assert _sized(event("a", "QuantizeLinear", 0, 1, {"float": [1, 4]})).precision == "fp32"
