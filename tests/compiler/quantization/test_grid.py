from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.compiler.quantization.grid import FLOAT8, SMALLEST_SCALE, Grid, grid_over, written

REALS = st.floats(-1e12, 1e12, allow_nan=False)


@given(REALS, REALS, st.sampled_from(["uint8", "int8"]), st.booleans())
def test_zero_is_on_every_grid_and_scales_are_normal(one, two, dtype, symmetric):
    grid = grid_over(min(one, two), max(one, two), dtype, symmetric)
    assert grid.rounded(np.zeros(3, np.float32)).tolist() == [0.0, 0.0, 0.0]
    assert np.isfinite(grid.scale)
    assert float(grid.scale) >= SMALLEST_SCALE


@given(REALS, REALS)
def test_what_lies_in_the_range_is_half_a_step_off_at_most(one, two):
    low, high = min(one, two, 0.0), max(one, two, 0.0)
    grid = grid_over(low, high, "uint8", symmetric=False)
    values = np.linspace(low, high, 101, dtype=np.float64)
    # One whole step at the ends: rounding the zero point moves the grid by up to half a step.
    assert np.max(np.abs(grid.rounded(values) - values)) <= 1.001 * float(grid.scale) + 1e-6 * max(-low, high)


def test_codes_are_those_of_quantize_linear():
    import onnx
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    grid = grid_over(-1.3, 2.9, "uint8", symmetric=False)
    values = np.linspace(-4, 4, 333, dtype=np.float32)
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [333]),
            helper.make_tensor_value_info("s", onnx.TensorProto.FLOAT, []),
            helper.make_tensor_value_info("z", onnx.TensorProto.UINT8, []),
        ],
        [helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, [333])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    feeds = {"x": values, "s": grid.scale, "z": grid.zero_point_array()}
    assert np.array_equal(ReferenceEvaluator(model).run(None, feeds)[0], grid.codes(values))


def test_a_clamp_is_needless_exactly_when_no_code_changes_by_it():
    grid = grid_over(0.0, 6.0, "uint8", symmetric=False)
    assert grid.clamps(0.0, float("inf"))
    assert grid.clamps(0.0, 6.0)
    assert not grid.clamps(0.0, 5.9)
    assert not grid_over(-0.5, 6.0, "uint8", symmetric=False).clamps(0.0, 6.0)
    values = np.linspace(-3, 12, 4001)
    assert np.array_equal(grid.codes(np.clip(values, 0, 6)), grid.codes(values))


@pytest.mark.parametrize(("dtype", "zero"), [("int8", 0), ("uint8", 128)])
def test_symmetric_grids_have_their_zero_in_the_middle(dtype, zero):
    grid = grid_over(-0.1, 4.0, dtype, symmetric=True)
    assert int(grid.zero_point) == zero
    assert grid.high == pytest.approx(4.0, rel=1e-6)


def test_one_scale_per_channel_follows_its_axis():
    grid = Grid(np.asarray([1.0, 10.0], np.float32), np.zeros(2, np.int64), "int8", axis=1)
    assert grid.codes(np.asarray([[5.0, 50.0], [-3.0, -30.0]])).tolist() == [[5, 5], [-3, -3]]


@given(st.floats(1e-9, 1e9), st.sampled_from(["float16", "bfloat16"]))
def test_a_written_scale_is_a_number_of_its_type_and_clips_nothing(scale, kind):
    import onnx_ir as ir

    narrow = ir.DataType[kind.upper()].numpy()
    found = written(np.asarray(scale), kind)
    assert found > 0
    assert float(found) >= scale * (1 - 2**-23)  # what no float16 holds stays as it is, in float32
    if scale <= 65504 or kind == "bfloat16":
        assert np.array_equal(found.astype(narrow).astype(np.float32), found)
    if 2.0**-14 <= scale <= 65504:
        step = 2.0**-10 if kind == "float16" else 2.0**-7
        assert float(found) <= scale * (1 + step)


def test_float8_codes_are_those_of_quantize_linear():
    import onnx
    import onnx_ir as ir
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    grid = grid_over(-3.0, 2.0, FLOAT8, symmetric=True)
    assert float(grid.scale) == pytest.approx(3.0 / 448)
    values = np.linspace(-4, 4, 1333, dtype=np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1333])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1333])],
        [
            ir.to_proto(ir.tensor(grid.scale, name="s")),
            ir.to_proto(ir.tensor(grid.zero_point_array(), name="z")),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    (want,) = ReferenceEvaluator(model).run(None, {"x": values})
    np.testing.assert_allclose(grid.rounded(values), want, rtol=1e-6)
    # Three bits of mantissa: within 1/16 of the value, or half the smallest step.
    inside = np.abs(values) <= 3.0
    error = np.abs(grid.rounded(values) - values)[inside]
    assert np.all(error <= np.maximum(np.abs(values[inside]) / 16, grid.finest) * 1.001)
