from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edgewright.compiler.quantization.weights import bias_floor, quantize_bias, quantize_weight

WEIGHTS = npst.arrays(
    np.float32,
    npst.array_shapes(min_dims=2, max_dims=4, max_side=5),
    elements=st.floats(-(2.0**90), 2.0**90, width=32, allow_subnormal=False),
)


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, st.sampled_from([7, 8]), st.booleans())
def test_no_weight_is_more_than_half_a_step_off(weight, bits, clip):
    quantized = quantize_weight(weight, 0, bits=bits, clip=False)
    scale = quantized.grid.scale.reshape(-1, *[1] * (weight.ndim - 1)).astype(np.float64)
    assert np.all(np.abs(quantized.reals.astype(np.float64) - weight) <= 0.501 * scale)
    most = 127 if bits == 8 else 63
    assert np.abs(quantize_weight(weight, 0, bits=bits, clip=clip).codes.astype(int)).max() <= most


def test_channels_do_not_share_a_scale():
    weight = np.stack([np.full((3, 3, 3), 1e-4), np.full((3, 3, 3), 100.0)]).astype(np.float32)
    assert np.allclose(quantize_weight(weight, 0).reals, weight, rtol=0.005)
    assert np.all(quantize_weight(weight, None).codes[0] == 0)


def test_clipping_lowers_the_squared_error_of_a_channel_with_an_outlier():
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 1, (1, 400_000)).astype(np.float32)
    weight[0, 0] = 7.0
    plain, clipped = quantize_weight(weight, 0), quantize_weight(weight, 0, clip=True)
    assert np.mean((clipped.reals - weight) ** 2) < 0.7 * np.mean((plain.reals - weight) ** 2)


def test_a_dead_channel_keeps_its_bias():
    weight = np.zeros((2, 3, 1, 1), np.float32)
    weight[1] = 0.5
    bias = np.asarray([1.2345678, -3.0], np.float32)
    floor = bias_floor(bias, 0.1, np.abs(weight).max(axis=(1, 2, 3)))
    quantized = quantize_weight(weight, 0, floor=floor)
    assert np.all(quantized.codes[0] == 0)
    # To float32's own precision for the dead channel, to half a step of 0.1 * 0.5 / 127 for the other.
    reals = quantize_bias(bias, 0.1, quantized.grid).reals
    assert reals[0] == pytest.approx(1.2345678, rel=1e-6)
    assert reals[1] == pytest.approx(-3.0, abs=0.0002)


def test_a_bias_that_dwarfs_its_weights_does_not_overflow():
    weight = np.full((1, 4, 1, 1), 1e-8, np.float32)
    bias = np.asarray([1e4], np.float32)
    floor = bias_floor(bias, 1e-3, np.abs(weight).max(axis=(1, 2, 3)))
    quantized = quantize_weight(weight, 0, floor=floor)
    assert quantize_bias(bias, 1e-3, quantized.grid).reals[0] == pytest.approx(1e4, rel=1e-6)
    overflowing = quantize_bias(bias, 1e-3, quantize_weight(weight, 0).grid).reals[0]
    assert abs(overflowing) < 1.0  # what the floor is there for
