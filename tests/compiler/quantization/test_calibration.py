from __future__ import annotations

import numpy as np
import pytest

from edgewright.compiler.quantization.calibration import calibrate, merged
from edgewright.compiler.quantization.channels import channel_statistics
from edgewright.compiler.quantization.prepare import prepare
from edgewright.compiler.site import Absent
from edgewright.core.errors import BadInputError, UsageError


def test_ends_are_exact_over_all_elements_and_samples(q):
    model = prepare(q.residual_net())
    feeds = q.images(5)
    names = ["x", "Relu_1_out", "Add_5_out", "MaxPool_9_out"]
    seen = calibrate(model, names, q.site_of(model, feeds), 100)
    assert seen["x"].minimum == min(float(feed["x"].min()) for feed in feeds)
    assert seen["x"].maximum == max(float(feed["x"].max()) for feed in feeds)
    assert seen["Relu_1_out"].minimum == 0.0
    assert seen["Relu_1_out"].zeros > 0
    assert seen["MaxPool_9_out"].maximum <= seen["Add_5_out"].maximum * 50


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_batches_of_any_size_and_open_shapes(q, opset):
    net = q.Net(opset=opset)
    x = net.input("x", ["N", 3, "H", "W"])
    net.output(net.op("Relu", net.conv(x, 3, 4), out="y"), ["N", 4, "H", "W"])
    model = prepare(net.model())
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.normal(0, 1, shape).astype(np.float32)} for shape in ((1, 3, 8, 8), (4, 3, 200, 180))]
    seen = calibrate(model, ["x"], q.site_of(model, feeds), 10)["x"]
    assert seen.maximum == max(float(feed["x"].max()) for feed in feeds)
    # 432,192 elements: the large sample is thinned out, the small one is not.
    assert 192 < seen.counts.sum() + seen.zeros <= 192 + 2 * 2**15


def test_a_tensor_without_elements_has_no_ends(q):
    net = q.Net()
    x, past = net.input("x", [1, 4, 3]), net.input("past", [1, "P", 3])
    net.output(net.op("Concat", past, x, axis=1, out="y"), [1, "T", 3])
    model = prepare(net.model())
    rng = np.random.default_rng(0)
    feeds = [
        {"x": rng.normal(0, 1, (1, 4, 3)).astype(np.float32), "past": np.full((1, rows, 3), 9.0, np.float32)}
        for rows in (0, 2)
    ]
    assert calibrate(model, ["past"], q.site_of(model, feeds), 10)["past"].minimum == 9.0
    never = calibrate(model, ["past", "x"], q.site_of(model, feeds[:1]), 10)
    assert never["past"].minimum > never["past"].maximum
    assert merged([never["past"], never["x"]]).maximum == never["x"].maximum


def test_asking_again_runs_only_what_is_new(q):
    model = prepare(q.residual_net())
    runs = []

    def counting(candidate, feeds):
        runs.append(len(candidate.ir.graph.outputs))
        return q.ort_run(candidate, feeds)

    site = q.site_of(model, q.images(3), run=counting)
    first = calibrate(model, ["x", "Relu_1_out"], site, 10)
    again = calibrate(model, ["x", "Relu_1_out"], site, 10)
    assert again["x"] is first["x"]
    calibrate(model, ["x", "Relu_3_out"], site, 10)
    calibrate(model, ["x"], site, 2)
    assert runs == [8, 4, 4]  # two tensors, then the one that is new, then fewer samples


def test_what_is_not_finite_is_named(q):
    model = prepare(q.residual_net())
    feeds = q.images(3)
    feeds[1]["x"][0, 1, 2, 3] = np.nan
    with pytest.raises(BadInputError, match=r"'x' is not finite on calibration sample 1"):
        calibrate(model, ["x"], q.site_of(model, feeds), 10)


def test_absent_samples_and_runs_say_why(q):
    model = prepare(q.residual_net())
    with pytest.raises(UsageError, match="no --data"):
        calibrate(model, ["x"], q.site_of(model, [], samples=Absent("no --data")), 10)
    with pytest.raises(UsageError, match="is empty"):
        calibrate(model, ["x"], q.site_of(model, []), 10)


def test_what_leaves_the_engine_does_not_grow_with_the_activation(q):
    """Memory follows the model, not the data: a sample of 16 megabytes comes back as a few hundred kilobytes."""
    net = q.Net()
    x = net.input("x", [1, 4, 1000, 1000])
    net.output(net.op("Relu", x, out="y"), [1, 4, 1000, 1000])
    model = prepare(net.model())
    sizes = []

    def watched(candidate, feeds):
        for outputs in q.ort_run(candidate, feeds):
            sizes.append(sum(array.nbytes for array in outputs.values()))
            yield outputs

    feeds = [{"x": np.random.default_rng(0).normal(0, 1, (1, 4, 1000, 1000)).astype(np.float32)}]
    calibrate(model, ["x", "y"], q.site_of(model, feeds, run=watched), 10)
    assert sizes[0] < 600_000


@pytest.mark.parametrize("opset", [13, 20])
def test_channel_statistics_are_those_of_the_data(q, opset):
    net = q.Net(opset=opset)
    x = net.input("x", ["N", 3, 16, 16])
    net.output(net.op("Neg", x, out="y"), ["N", 3, 16, 16])
    model = prepare(net.model())
    feeds = q.images(4)
    found = channel_statistics(model, {"y": 1}, q.site_of(model, feeds), 10)["y"]
    stack = -np.concatenate([feed["x"] for feed in feeds]).astype(np.float64)
    assert found.peak == pytest.approx(np.abs(stack).max(axis=(0, 2, 3)))
    assert found.mean == pytest.approx(stack.mean(axis=(0, 2, 3)), abs=1e-5)
