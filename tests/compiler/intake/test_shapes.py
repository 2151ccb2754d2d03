from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgewright.compiler.intake.shapes import Bound, fix_shapes, parse_shapes
from edgewright.core.errors import ExitCode, UsageError
from edgewright.core.model import OnnxModel

from .conftest import Read


@pytest.fixture
def model(read: Read) -> OnnxModel:
    """``a (N, 3, ?)``, ``b (N, M)``, ``c`` of unknown rank -> ``a`` pooled ``(N, 3, 1)``, ``b`` doubled."""
    inputs = [
        helper.make_tensor_value_info("a", TensorProto.FLOAT, ["N", 3, None]),
        helper.make_tensor_value_info("b", TensorProto.FLOAT, ["N", "M"]),
        helper.make_tensor_value_info("c:0", TensorProto.FLOAT, None),
    ]
    nodes = [
        helper.make_node("Concat", ["a", "a"], ["long"], axis=2),
        helper.make_node("Add", ["b", "b"], ["two"]),
        helper.make_node("Relu", ["c:0"], ["r"]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("long", "two", "r")]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    return read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def shapes_of(model: OnnxModel) -> dict[str, tuple[int | str | None, ...] | None]:
    return {spec.name: spec.shape for spec in (*model.inputs, *model.outputs)}


def test_fixed_sizes_reach_every_tensor_and_leave_the_model_that_came_in(model: OnnxModel) -> None:
    before = shapes_of(model)
    shaped = fix_shapes(model, ["a=2,3,5", "b=2,7 c:0=4"])
    found = shapes_of(shaped.model)
    assert found["a"] == (2, 3, 5)
    assert found["b"] == found["two"] == (2, 7)
    assert found["c:0"] == found["r"] == (4,)
    assert found["long"] == (2, 3, 10)
    assert shapes_of(model) == before


def test_a_symbol_fixed_in_one_input_is_fixed_in_the_others(model: OnnxModel) -> None:
    found = shapes_of(fix_shapes(model, ["a=2,3,5"]).model)
    assert found["b"] == (2, "M")


def test_ranges_stay_dynamic_and_come_back_as_bounds(model: OnnxModel) -> None:
    shaped = fix_shapes(model, ["a=1..8,3,16", "b=1..8,32..640"])
    found = shapes_of(shaped.model)
    assert found["a"] == ("N", 3, 16)
    assert found["b"] == ("N", "M")
    assert shaped.bounds["b"] == (Bound(1, 8), Bound(32, 640))
    assert [str(bound) for bound in shaped.bounds["a"]] == ["1..8", "3", "16"]


def test_without_shapes_nothing_changes(model: OnnxModel) -> None:
    assert fix_shapes(model, []).model is model


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["z=1"], "no such input"),
        (["a=1,3"], "has 2 sizes, the input has 3"),
        (["a=1,4,5"], "size 1 is fixed to 3"),
        (["a=1,1..3,5"], "size 1 is fixed to 3"),
        (["a=2,3,5", "b=4,7"], "'N' is 4 here and 2 elsewhere"),
        (["a=1..8,3,5", "b=1,7"], "'N' is 1 here and 1..8 elsewhere"),
        (["a=1,3,5", "a=1,3,5"], "two shapes for input 'a'"),
        (["1,3,5"], "no 'name='"),
        (["=1,3"], "no 'name='"),
        (["a=1,x,5"], "'x' is not a size"),
        (["a=1,,5"], "'' is not a size"),
        (["a=1,-3,5"], "'-3' is not a size"),
        (["a=0,3,5"], "is no size from 1"),
        (["a=8..1,3,5"], "is no size from 1"),
        (["a=1,3,9999999999"], "is no size from 1"),
        (["a=1,3,٣"], "is not a size"),
    ],
)
def test_mistakes_are_usage_errors_with_the_inputs_listed(texts: list[str], words: str, model: OnnxModel) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        fix_shapes(model, texts)
    assert caught.value.exit_code == ExitCode.USAGE
    assert caught.value.remedy


def test_a_size_the_graph_cannot_have_is_refused(read: Read, small: onnx.ModelProto) -> None:
    small.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    small.graph.initializer.append(numpy_helper.from_array(np.ones((8, 1), np.float32), "column"))
    small.graph.node.append(helper.make_node("Add", ["x", "column"], ["sum"]))
    model = read(small)
    with pytest.raises(UsageError, match="cannot have the shapes x=1,2,5,8"):
        fix_shapes(model, ["x=1,2,5,8"])


@given(st.text(max_size=30))
def test_any_text_is_read_or_a_usage_error(text: str) -> None:
    try:
        found = parse_shapes([text])
    except UsageError:
        return
    assert all(1 <= bound.low <= bound.high for bounds in found.values() for bound in bounds)
