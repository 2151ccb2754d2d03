"""Grids that come with a model are taken as they are, converted where the target's codes are others, never trusted."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.compiler.passes.static_quantize import StaticQuantize
from edgewright.compiler.quantization.planning import StaticOptions, float_form, make_plan
from edgewright.compiler.quantization.trained import read_grids
from edgewright.compiler.torch_stage.exporting import GRIDS_KEY
from edgewright.core.errors import BadInputError

from .conftest import INPUTS, RULE, TYPED, Net, site_of

GRIDS = {"x": [0.046875, 120, "uint8"], "r": [0.125, 0, "uint8"], "s": [0.0625, 3, "uint8"]}
"""Of every tensor that is given codes: nothing that calibration would find."""


def net():
    """Two convolutions, the first one's channels as uneven as smoothing likes to see them."""
    one = Net(seed=1)
    x = one.input("x", (1, 3, 6, 6))
    uneven = one.random(4, 3, 3, 3) * np.asarray([1, 8, 32, 0.1]).reshape(-1, 1, 1, 1)
    first = one.op("Conv", x, one.weight(uneven), one.weight(np.ones(4)))
    relu = one.op("Relu", first, out="r")
    second = one.op("Conv", relu, one.weight(one.random(2, 4, 1, 1)), out="s")
    one.output(second, (1, 2, 4, 4))
    return one.model()


@pytest.fixture
def feeds():
    rng = np.random.default_rng(0)
    return [{"x": rng.normal(size=(1, 3, 6, 6)).astype(np.float32)} for _ in range(8)]


def with_grids(model, grids=GRIDS):
    copy = model.copy()
    copy.ir.metadata_props[GRIDS_KEY] = grids if isinstance(grids, str) else json.dumps(grids)
    return copy


def scales(plan):
    return {value.name: (float(grid.scale), int(grid.zero_point), grid.dtype) for value, grid in plan.grids.items()}


def test_trained_grids_are_taken_as_they_are_and_nothing_is_calibrated(feeds):
    site = site_of(net(), feeds)
    plan = make_plan(with_grids(net()), StaticOptions(), site)
    assert scales(plan) == {name: tuple(grid) for name, grid in GRIDS.items()}
    assert site.samples.walks == 0
    assert [(note.kind, note.text) for note in plan.notes] == [
        ("did", "3 tensors have the grids they were trained with")
    ]


def test_weights_and_biases_stay_as_they_were_trained(feeds):
    site = site_of(net(), feeds)
    form = float_form(with_grids(net()), StaticOptions(smooth=1.0), site)
    plan = make_plan(with_grids(net()), StaticOptions(smooth=1.0, bias_correction=True), site)
    weights = list(net().ir.graph.initializers.items())
    for name, value in weights:
        np.testing.assert_array_equal(form.ir.graph.initializers[name].const_value.numpy(), value.const_value.numpy())
        np.testing.assert_array_equal(plan.graph.initializers[name].const_value.numpy(), value.const_value.numpy())
    smoothed = float_form(net(), StaticOptions(smooth=1.0), site).ir.graph.initializers
    kept = [np.array_equal(smoothed[name].const_value.numpy(), value.const_value.numpy()) for name, value in weights]
    assert not all(kept)  # without them the channels would have been evened out


def test_the_metadata_goes_once_codes_are_written(feeds):
    outcome = StaticQuantize(StaticOptions())(with_grids(net()), site_of(net(), feeds))
    assert GRIDS_KEY not in outcome.model.ir.metadata_props
    constants = outcome.model.ir.graph.initializers.values()
    written = {float(value.const_value.numpy()) for value in constants if value.const_value.size == 1}
    assert {0.046875, 0.125, 0.0625} <= {round(value, 6) for value in written}
    assert any("trained with" in note.text for note in outcome.notes)


def test_a_tensor_without_a_trained_grid_is_calibrated_and_named(feeds):
    grids = {name: grid for name, grid in GRIDS.items() if name != "r"}
    plan = make_plan(with_grids(net(), grids), StaticOptions(), site_of(net(), feeds))
    without = make_plan(net(), StaticOptions(smooth=0.0, bias_correction=False), site_of(net(), feeds))
    assert scales(plan)["r"] == scales(without)["r"]
    assert scales(plan)["x"] == tuple(GRIDS["x"])
    assert [note.subject for note in plan.notes if note.kind == "skipped"] == ["r"]


def test_grids_of_tensors_that_are_gone_or_not_wanted_are_told(feeds):
    rule = replace(RULE, schemes=(INPUTS,))
    plan = make_plan(
        with_grids(net(), {**GRIDS, "gone": [1.0, 0, "uint8"]}), StaticOptions(), site_of(net(), feeds, rule)
    )
    told = {note.subject: note.text for note in plan.notes if note.kind == "skipped"}
    assert told.keys() == {"gone", "s"}
    assert "no pass left" in told["gone"]
    assert "does not quantise" in told["s"]


def test_other_codes_are_reached_through_the_range(feeds):
    plan = make_plan(with_grids(net()), StaticOptions(), site_of(net(), feeds, TYPED))
    kinds = {value.name: grid for value, grid in plan.grids.items()}
    reach = 0.046875 * (255 - 120)  # the longer side of x's range
    assert kinds["x"].dtype == "int8"
    assert int(kinds["x"].zero_point) == 0
    # Scales of this target are written in float16, rounded up: 2**-11 of their value at most.
    assert reach / 127 <= float(kinds["x"].scale) <= reach / 127 * (1 + 2.0**-10)
    assert any(note.kind == "warning" and "converted to symmetric int8" in note.text for note in plan.notes)


def test_a_trained_layer_that_is_kept_in_float_is_told(feeds):
    plan = make_plan(with_grids(net()), StaticOptions(), site_of(net(), feeds))
    name = plan.placement.ops[1].node.name
    plan = make_plan(with_grids(net()), StaticOptions(keep_float=(name,)), site_of(net(), feeds))
    assert [(note.subject, note.kind) for note in plan.notes if "trained with codes" in note.text] == [
        (name, "warning")
    ]


def test_what_was_float_in_training_stays_float(feeds):
    name = make_plan(net(), StaticOptions(), site_of(net(), feeds)).placement.ops[1].node.name
    plan = make_plan(with_grids(net(), {**GRIDS, "": {name: "unfit"}}), StaticOptions(), site_of(net(), feeds))
    assert plan.placement.refused == {name: "unfit"}
    assert [op.node.name for op in plan.placement.ops] != []
    assert name not in [op.node.name for op in plan.placement.ops]


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"": []}',
        "[]",
        "{",
        '{"x": [0.1, 0]}',
        '{"x": [0, 0, "uint8"]}',
        '{"x": [-1, 0, "uint8"]}',
        '{"x": [NaN, 0, "uint8"]}',
        '{"x": [Infinity, 0, "uint8"]}',
        '{"x": [1e30, 0, "uint8"]}',
        '{"x": [1e-40, 0, "uint8"]}',
        '{"x": [true, 0, "uint8"]}',
        '{"x": ["1", 0, "uint8"]}',
        '{"x": [1, 256, "uint8"]}',
        '{"x": [1, -1, "uint8"]}',
        '{"x": [1, 1.5, "uint8"]}',
        '{"x": [1, 0, "int32"]}',
        '{"x": [1, 0, ["uint8"]]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_grid_is_refused(text):
    with pytest.raises(BadInputError, match="holds no grids"):
        read_grids(with_grids(net(), text))


@given(st.text(max_size=40) | st.binary(max_size=20).map(lambda data: json.dumps({"x": list(data)})))
def test_any_text_is_read_or_refused(text):
    model = with_grids(EMPTY, text)
    with contextlib.suppress(BadInputError):
        assert all(grid.dtype in ("int8", "uint8") for grid in read_grids(model).values())


EMPTY = net()
