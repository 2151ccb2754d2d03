from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from edgewright.core.compare import error, varying_axes, worst_error
from edgewright.core.tensors import TensorSpec

FLOATS = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3), elements={"allow_nan": True, "allow_infinity": True})


@given(FLOATS)
def test_an_array_is_no_distance_from_itself(array: np.ndarray) -> None:
    assert error(array, array.copy()) == 0.0


def test_the_error_is_relative_to_the_largest_value() -> None:
    assert error(np.array([1.0, 4.4]), np.array([1.0, 4.0])) == pytest.approx(0.1)


def test_small_outputs_are_not_forgiven() -> None:
    assert error(np.array([2e-3]), np.array([1e-3])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "answer", [np.zeros((2, 2)), np.array([np.nan, 1.0]), np.array([np.inf, 1.0])], ids=["shape", "nan", "inf"]
)
def test_another_shape_or_nan_is_infinitely_far(answer: np.ndarray) -> None:
    assert error(answer, np.array([1.0, 1.0])) == np.inf


def test_another_number_of_rows_is_another_answer_where_the_numbers_decide_it() -> None:
    three, two = np.ones((1, 3, 4)), np.ones((1, 2, 4))
    assert error(two, three, frozenset({1})) == 1.0
    assert error(two, three, frozenset({0})) == np.inf
    assert error(three[0], three, frozenset({0, 1, 2})) == np.inf
    assert worst_error({"a": two}, {"a": three}, {"a": frozenset({1})}) == ("a", 1.0)
    inputs = [TensorSpec("x", "float32", ("N", "T", 3))]
    outputs = [TensorSpec("boxes", "float32", ("N", None, "K", 4)), TensorSpec("any", "float32", None)]
    assert varying_axes(inputs, outputs) == {"boxes": frozenset({1, 2}), "any": frozenset()}


def test_integers_and_strings_are_counted() -> None:
    assert error(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])) == 0.25
    assert error(np.array(["a", "b"]), np.array(["a", "c"])) == 0.5


def test_a_missing_output_is_the_worst() -> None:
    assert worst_error({"a": np.zeros(1)}, {"a": np.zeros(1), "b": np.zeros(1)}) == ("b", np.inf)
