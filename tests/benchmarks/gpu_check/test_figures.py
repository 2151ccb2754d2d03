from __future__ import annotations

import pytest

from edgewright.benchmarks.gpu_check.figures import figures_of


def test_ratios_are_of_one_boundary_and_one_clock(cell: dict[str, object]) -> None:
    found = figures_of(cell)
    compiled = found["compile-fp32"]
    ours = found["onnxruntime-fp32"]["host"]["wall_ns"]
    for ratio, value in (
        (compiled["host"]["wall_ns"].to_eager, 0.5),
        (compiled["device"]["wall_ns"].to_eager, 0.25),
        (ours.to_eager, 0.25),
        (ours.to_compile, 0.5),
        (found["eager-fp32"]["host"]["wall_ns"].to_compile, 2.0),
    ):
        assert ratio is not None
        # The level of the machine moves by a fifth; paired by round, the ratio does not move at all.
        assert ratio.value == pytest.approx(value)
        assert ratio.ci95 == pytest.approx((value, value))
    assert "device" not in found["onnxruntime-fp32"]
    assert ours.median == 11 * 25_000
    assert ours.rounds == 8
    assert found["eager-fp32"]["host"]["device_ns"].median == 11 * 70_000


def test_nothing_is_compared_with_itself_or_with_what_is_not_there(cell: dict[str, object]) -> None:
    found = figures_of(cell)
    assert found["eager-fp32"]["host"]["wall_ns"].to_eager is None
    assert found["compile-fp32"]["host"]["wall_ns"].to_compile is None
    half = found["eager-fp16"]["host"]["wall_ns"]
    assert half.to_eager is not None
    assert half.to_compile is None  # there is no compile-fp16, and fp32's is another question
    assert "tensorrt-fp16" not in found
