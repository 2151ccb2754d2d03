from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from edgewright.compiler.intake.shapes import Bound
from edgewright.core.data import DataSet
from edgewright.core.data.dataset import Sample
from edgewright.core.errors import BadInputError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import SizeRange
from edgewright.driver.sets import DataSets
from edgewright.driver.sizes import size_ranges, usual_inputs


class Shaped(DataSet):
    """Samples that are nothing but their shapes."""

    name, labelled, digest = "shaped", False, "0" * 64

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        self.shapes = shapes

    def __len__(self) -> int:
        return len(self.shapes)

    def read(self, index: int) -> Sample:
        return Sample({"x": np.zeros(self.shapes[index], np.float32), "y": np.zeros((2, 2), np.float32)})


@pytest.fixture
def model() -> OnnxModel:
    inputs = [
        ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch", 3, None])),
        ir.Value(name="y", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2, 2])),
    ]
    return OnnxModel(ir.Model(ir.Graph(inputs, [], nodes=[], opset_imports={"": 20}), ir_version=10), "net")


@pytest.fixture
def sets() -> DataSets:
    return DataSets(Shaped((1, 3, 8), (1, 3, 9)), Shaped((1, 3, 30)), Shaped((2, 3, 10), (1, 3, 10)), ())


def test_data_of_all_sets_shows_the_range_and_a_line_says_so(model: OnnxModel, sets: DataSets) -> None:
    found, notes = size_ranges(model, {}, sets)
    assert found == {"x": (SizeRange(1, 1, 2), SizeRange(3, 3, 3), SizeRange(8, 10, 30))}
    assert notes == ["sizes of x as the data shows them: 1..2,3,8..30 (--shape x=... says otherwise)"]


def test_what_the_user_says_holds_and_the_data_only_shows_what_is_usual(model: OnnxModel, sets: DataSets) -> None:
    bounds = {"x": (Bound(1, 8), Bound(3, 3), Bound(4, 64))}
    found, notes = size_ranges(model, bounds, sets)
    assert found == {"x": (SizeRange(1, 1, 8), SizeRange(3, 3, 3), SizeRange(4, 10, 64))}
    assert notes == []


def test_without_data_the_largest_size_is_the_usual_one(model: OnnxModel) -> None:
    found, _ = size_ranges(model, {"x": (Bound(1, 8), Bound(3, 3), Bound(16, 64))}, None)
    assert found == {"x": (SizeRange(1, 8, 8), SizeRange(3, 3, 3), SizeRange(16, 64, 64))}


def test_nothing_is_made_up(model: OnnxModel) -> None:
    assert size_ranges(model, {}, None) == ({}, [])


def test_inputs_that_share_a_symbol_share_the_range_the_user_gave_one_of_them() -> None:
    inputs = [
        ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))
        for name, shape in (("x", ["batch", "length"]), ("y", ["batch", "length"]), ("z", ["batch", None]))
    ]
    model = OnnxModel(ir.Model(ir.Graph(inputs, [], nodes=[], opset_imports={"": 20}), ir_version=10), "net")
    found, notes = size_ranges(model, {"x": (Bound(1, 8), Bound(16, 128))}, None)
    both = (SizeRange(1, 8, 8), SizeRange(16, 128, 128))
    assert found == {"x": both, "y": both}, "and z has a size that nobody told"
    assert notes == []


def test_data_shows_what_the_symbols_of_others_leave_open() -> None:
    inputs = [
        ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))
        for name, shape in (("x", ["batch", 3, 8]), ("y", ["batch", "width"]))
    ]
    model = OnnxModel(ir.Model(ir.Graph(inputs, [], nodes=[], opset_imports={"": 20}), ir_version=10), "net")
    shaped = Shaped((1, 3, 8))
    found, notes = size_ranges(
        model, {"x": (Bound(1, 4), Bound(3, 3), Bound(8, 8))}, DataSets(shaped, shaped, shaped, ())
    )
    assert found["y"] == (SizeRange(1, 1, 4), SizeRange(2, 2, 2))
    assert notes == ["sizes of y as the data shows them: 1..4,2 (--shape y=... says otherwise)"]


def test_data_outside_what_was_said_is_refused(model: OnnxModel, sets: DataSets) -> None:
    with pytest.raises(BadInputError, match=r"has shape 1,3,30, --shape allows 1\.\.8,3,8\.\.16"):
        size_ranges(model, {"x": (Bound(1, 8), Bound(3, 3), Bound(8, 16))}, sets)


def test_made_up_samples_have_the_usual_sizes(model: OnnxModel) -> None:
    ranges, _ = size_ranges(model, {"x": (Bound(1, 8), Bound(3, 3), Bound(16, 64))}, None)
    assert [spec.shape for spec in usual_inputs(replace(model, sizes=ranges))] == [(8, 3, 64), (2, 2)]
