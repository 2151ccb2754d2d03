from __future__ import annotations

import numpy as np
import pytest

from edgewright.compiler.numeric_gate import Comparison, Gate, exposed, relative_error


def test_the_error_is_relative_to_the_largest_value_but_at_least_one():
    assert relative_error(np.array([100.0, 1.0]), np.array([100.0, 2.0])) == pytest.approx(0.01)
    assert relative_error(np.array([0.01]), np.array([0.02])) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([1.0, 2.0], [[1.0, 2.0]]),
        ([1.0, np.nan], [1.0, 2.0]),
        ([1.0, 2.0], [1.0, np.inf]),
        ([np.inf], [-np.inf]),
        (["a"], ["b"]),
        ([True], [False]),
    ],
)
def test_what_cannot_be_compared_is_infinitely_far(before, after):
    assert relative_error(np.array(before), np.array(after)) == float("inf")


def test_equal_non_finite_values_are_equal():
    array = np.array([np.nan, np.inf, -np.inf, 3.0])
    assert relative_error(array, array.copy()) == 0
    assert relative_error(np.zeros((0, 3)), np.zeros((0, 3))) == 0


def test_unsigned_integers_do_not_wrap():
    assert relative_error(np.array([0], np.uint8), np.array([255], np.uint8)) == 255


def test_random_models_are_not_judged(parse, make_site):
    model = parse("g (float[2] x) => (float[2] y) { r = RandomNormalLike (x) \n y = Add (x, r) }")
    comparison = Comparison(make_site(model, [{"x": np.zeros(2, np.float32)}]), Gate())
    assert comparison.error(model, model) == (
        None,
        "the model draws random numbers (RandomNormalLike): two runs never agree",
    )


def test_exposing_leaves_the_model_alone(mlp_model):
    digest = mlp_model.digest
    assert [spec.name for spec in exposed(mlp_model, ["m", "y"]).outputs] == ["y", "m"]
    assert type(mlp_model)(mlp_model.ir, "again").digest == digest


def test_a_gate_has_a_sensible_number_of_samples():
    with pytest.raises(ValueError, match="samples: -1"):
        Gate(samples=-1)


def test_one_rounding_of_a_16_bit_output_is_no_difference(parse, make_site):
    feeds = [{"x": np.array([1000.0], np.float32)}]
    text = "g (float[1] x) => (float16[1] y) { a = Add (x, k) y = Cast <to = 10> (a) }"
    before, near, far = (parse(text, {"k": np.float32(shift)}) for shift in (0, 0.5, 8))
    comparison = Comparison(make_site(before, feeds), Gate())
    assert comparison.error(before, near)[0] == 0
    assert comparison.error(before, far)[0] == pytest.approx(0.008)
