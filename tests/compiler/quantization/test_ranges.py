from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.compiler.quantization.calibration import Observer, merged
from edgewright.compiler.quantization.ranges import choose_grid


def observed(*samples: np.ndarray):
    observer = Observer()
    for sample in samples:
        array = np.asarray(sample, np.float32)
        observer.add(float(array.min()), float(array.max()), array.ravel())
    return observer.finish()


def error(grid, values):
    return float(np.mean((grid.rounded(values) - values) ** 2))


def test_the_histogram_counts_every_element_however_the_range_grows():
    rng = np.random.default_rng(0)
    parts = [rng.normal(0, size, 1000).astype(np.float32) for size in (1e-3, 1.0, 1e4)]
    seen = observed(*parts)
    together = np.concatenate(parts)
    assert seen.counts.sum() + seen.zeros == together.size
    assert (seen.minimum, seen.maximum) == (together.min(), together.max())
    direct, _ = np.histogram(together, bins=seen.counts.size, range=(-2048 * seen.width, 2048 * seen.width))
    # Growing merges whole bins, so both ways agree but for elements that sit on an edge.
    assert np.abs(direct - seen.counts).sum() <= 4


def test_order_and_batching_do_not_change_an_observation():
    rng = np.random.default_rng(1)
    parts = [rng.normal(0, size, 500).astype(np.float32) for size in (3.0, 0.1, 40.0)]
    one, other = observed(*parts), observed(*reversed(parts))
    assert one.width == other.width
    assert np.array_equal(one.counts, other.counts)


def test_least_error_beats_the_full_range_on_outliers_and_equals_it_without():
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, 1_000_000).astype(np.float32)
    values[7] = 20.0
    seen = observed(values)
    full = choose_grid(seen, "uint8", False, "minmax")
    least = choose_grid(seen, "uint8", False, "mse")
    assert error(least, values) < 0.6 * error(full, values)
    flat = np.linspace(-1, 1, 20000, dtype=np.float32)
    seen = observed(flat)
    full, least = choose_grid(seen, "uint8", False, "minmax"), choose_grid(seen, "uint8", False, "mse")
    assert error(least, flat) <= 1.02 * error(full, flat)


def test_percentiles_cut_the_tails_they_are_told_to():
    values = np.concatenate([np.linspace(0, 1, 100_000), [1000.0]]).astype(np.float32)
    seen = observed(values)
    assert choose_grid(seen, "uint8", False, "percentile", 99.9).high < 2.0
    assert choose_grid(seen, "uint8", False, "percentile", 100.0).high == pytest.approx(1000.0, rel=1e-3)


def test_zeros_count_in_the_distribution_of_a_rectified_tensor():
    values = np.concatenate([np.zeros(90_000), np.linspace(1, 2, 10_000)]).astype(np.float32)
    # 0.05 % above the cut, of all elements and not of the positive ones only: near the upper end.
    grid = choose_grid(observed(values), "uint8", False, "percentile", 99.9)
    assert 1.98 < grid.high <= 2.01
    assert grid.low == 0.0


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
@pytest.mark.parametrize("constant", [0.0, 3.5, -2.0, 1e-30])
def test_constant_tensors_are_represented(method, constant):
    grid = choose_grid(observed(np.full(100, constant)), "uint8", False, method)
    assert grid.rounded(np.asarray([constant]))[0] == pytest.approx(constant, rel=0.01, abs=1e-28)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=50), st.booleans())
def test_every_method_gives_a_usable_grid(values, symmetric):
    seen = observed(np.asarray(values))
    for method in ("minmax", "percentile", "mse"):
        grid = choose_grid(seen, "int8", symmetric, method)
        assert np.isfinite(grid.scale)
        assert grid.scale > 0
        assert -128 <= int(grid.zero_point) <= 127


def test_merging_is_observing_both():
    rng = np.random.default_rng(4)
    one, two = rng.normal(0, 1, 999).astype(np.float32), rng.normal(5, 30, 999).astype(np.float32)
    both = merged([observed(one), observed(two)])
    direct = observed(one, two)
    assert (both.minimum, both.maximum, both.width) == (direct.minimum, direct.maximum, direct.width)
    assert np.array_equal(both.counts, direct.counts)
