from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgewright.compiler.passes.fold_strides import FoldStrides

from ..quantization import conftest as q  # noqa: TID252 - tests are no package


def strided(layout: str, length: int, stride: int, taps: int, pads: tuple[int, int], **extra):
    """A convolution over a signal laid out as (N, 1, L), (N, 1, L, 1) or (N, 1, 1, L)."""
    net = q.Net(seed=1)
    shape = {"L": [length], "L1": [length, 1], "1L": [1, length]}[layout]
    place = 1 if layout == "1L" else 0
    rank = len(shape)

    def at(number: int, other: int) -> list[int]:
        return [number if index == place else other for index in range(rank)]

    x = net.input("x", ["N", 1, *shape])
    weight = net.random(6, 1, *at(taps, 1))
    attributes = {"kernel_shape": at(taps, 1), "strides": at(stride, 1), "pads": [*at(pads[0], 0), *at(pads[1], 0)]}
    net.op("Conv", x, net.weight(weight), net.weight(np.arange(6)), out="y", **(attributes | extra))
    net.output("y", ["N", 6, *[None] * rank])
    rng = np.random.default_rng(2)
    return net.model(), [{"x": rng.normal(0, 1, (n, 1, *shape)).astype(np.float32)} for n in (1, 3)]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["L", "L1", "1L"]),
    st.integers(2, 9),
    st.integers(8, 20),
    st.integers(16, 60),
    st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_every_shape_of_signal_gives_the_same_answers(layout, stride, blocks, taps, pads):
    length = stride * blocks
    assume(length + sum(pads) >= taps)
    model, feeds = strided(layout, length, stride, taps, pads)
    outcome = FoldStrides()(model, q.site_of(model, feeds))
    for want, have in zip(q.ort_run(model, feeds), q.ort_run(outcome.model, feeds), strict=True):
        assert want["y"].shape == have["y"].shape
        # The same float32 products in another order.
        assert np.max(np.abs(want["y"] - have["y"]), initial=0.0) <= 1e-5 * max(
            1.0, np.max(np.abs(want["y"]), initial=0.0)
        )
    assert outcome.changed == 1 or outcome.notes


def test_the_front_of_a_pitch_tracker_is_folded():
    model, feeds = strided("L1", 1024, 4, 512, (254, 254))
    outcome = FoldStrides()(model, q.site_of(model, feeds))
    assert outcome.changed == 1
    assert q.kinds(outcome.model) == ["Reshape", "Transpose", "Conv"]
    conv = outcome.model.ir.graph[2]
    assert list(conv.inputs[1].shape) == [6, 4, 129, 1]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("L", 1023, 4, 64, (0, 0)), "not a known multiple"),
        (("L", 96, 24, 25, (0, 0)), "more multiplications"),
        (("L", 64, 4, 16, (0, 0), {"dilations": [2]}), "dilated"),
    ],
)
def test_near_misses_say_why(arguments, why):
    *rest, last = arguments
    extra = last if isinstance(last, dict) else {}
    model, _ = strided(*(rest if extra else arguments), **extra)
    outcome = FoldStrides()(model, q.site_of(model, []))
    assert outcome.model is model
    assert why in outcome.notes[0].text


def test_images_and_short_kernels_are_left_alone():
    net = q.Net()
    x = net.input("x", [1, 1, 32, 32])
    net.conv(x, 1, 4, k=3, strides=[2, 2], out="y")
    net.output("y", [1, 4, 16, 16])
    model = net.model()
    outcome = FoldStrides()(model, q.site_of(model, []))
    assert outcome.changed == 0
    assert not outcome.notes
