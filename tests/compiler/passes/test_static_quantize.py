from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from edgewright.compiler.passes.static_quantize import StaticQuantize
from edgewright.compiler.quantization.planning import StaticOptions
from edgewright.core.errors import BadInputError, UsageError

from ..quantization import conftest as tools_of_quantization  # noqa: TID252 - tests are no package


@pytest.fixture(name="q")
def tools():
    return tools_of_quantization


@pytest.fixture
def quantized(q):
    """``quantized(model, feeds, rule, **options)``: the outcome of the pass."""

    def run(model, feeds, rule=None, **options):
        return StaticQuantize(StaticOptions(**options))(model, q.site_of(model, feeds, rule or q.RULE))

    return run


def executed(q, model, tmp_path) -> list[str]:
    """The operators onnxruntime runs after its own optimisations."""
    q.ort_session(model, tmp_path / "optimized.onnx")
    return [node.op_type for node in ir.load(tmp_path / "optimized.onnx").graph]


def blob(model) -> bytes:
    return ir.to_proto(model.ir).SerializeToString(deterministic=True)


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("scheme", ["integer", "inputs"])
def test_a_residual_net_keeps_its_answers(q, quantized, opset, scheme):
    model, feeds = q.residual_net(opset), q.images(16)
    outcome = quantized(model, feeds, scheme=scheme)
    assert outcome.changed >= 7
    # 8 bits leave about 38 dB on nets of this depth; a wrong grid anywhere costs more than 10.
    assert q.worst_ratio(model, outcome.model, feeds) > 28
    assert [spec.to_json() for spec in outcome.model.inputs] == [spec.to_json() for spec in model.inputs]
    assert [spec.name for spec in outcome.model.outputs] == [spec.name for spec in model.outputs]


def test_onnxruntime_finds_an_integer_kernel_for_everything(q, quantized, tmp_path):
    outcome = quantized(q.residual_net(), q.images(8), scheme="integer")
    ran = executed(q, outcome.model, tmp_path)
    assert ran.count("QLinearConv") == 4
    assert not {"Conv", "Gemm", "Relu", "Add", "MaxPool", "GlobalAveragePool"} & set(ran)
    assert ran.count("QuantizeLinear") == 1  # the input


def test_openvino_finds_an_integer_kernel_for_every_convolution(q, quantized):
    openvino = pytest.importorskip("openvino")
    outcome = quantized(q.residual_net(), q.images(8), scheme="inputs")
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(blob(outcome.model)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    layers = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    kinds = [(info["layerType"].astype(str), info["runtimePrecision"].astype(str)) for info in layers]
    heavy = [precision for kind, precision in kinds if kind in ("Convolution", "FullyConnected")]
    assert len(heavy) == 5
    assert set(heavy) <= {"u8", "i8"}


def test_the_same_twice_is_the_same_bytes_and_the_model_stays_as_it_was(q, quantized):
    model, feeds = q.residual_net(), q.images(8)
    before = blob(model)
    one, two = quantized(model, feeds).model, quantized(model, feeds).model
    assert blob(one) == blob(two)
    assert one.digest == two.digest != model.digest
    assert blob(model) == before


def test_trials_with_other_ranges_do_not_calibrate_again(q):
    model, runs = q.residual_net(), []

    def counting(candidate, feeds):
        runs.append(1)
        return q.ort_run(candidate, feeds)

    site = q.site_of(model, q.images(8), run=counting)
    digests = {
        StaticQuantize(StaticOptions(ranges=ranges, bias_correction=False))(model, site).model.digest
        for ranges in ("mse", "minmax", "percentile")
    }
    assert len(digests) == 3
    assert len(runs) == 2  # channels for smoothing, then ranges


def test_clamps_fold_into_grids_and_stay_where_they_do_not(q, quantized):
    net = q.Net()
    x = net.input("x", [1, 3, 8, 8])
    a = net.op("Clip", net.conv(x, 3, 4), net.weight(0.0), net.weight(0.5))
    b = net.op("Clip", net.conv(a, 4, 4), net.weight(-0.2), net.weight(100.0))
    net.conv(b, 4, 4, out="y")
    net.output("y", [1, 4, 8, 8])
    model, feeds = net.model(), q.images(8, size=8)
    outcome = quantized(model, feeds, ranges="minmax")
    assert "Clip" not in q.kinds(outcome.model)
    # [-0.2, 100] was seen to hold only part of itself, so its grid ends where values did.
    assert q.worst_ratio(model, outcome.model, feeds) > 30


def test_a_symmetric_signed_grid_keeps_its_relu(q, quantized):
    rule = replace(q.RULE, activation="int8", activation_symmetric=True)
    outcome = quantized(q.residual_net(), q.images(8), rule)
    assert "Relu" in q.kinds(outcome.model)
    assert q.worst_ratio(q.residual_net(), outcome.model, q.images(8)) > 24
    zeros = [
        value.const_value.numpy() for name, value in outcome.model.ir.graph.initializers.items() if "zero_point" in name
    ]
    assert all(np.all(zero == 0) for zero in zeros)


def test_quantised_twice_is_quantised_once(q, quantized):
    model, feeds = q.residual_net(), q.images(8)
    once = quantized(model, feeds).model
    again = StaticQuantize()(once, q.site_of(once, feeds))
    assert again.changed == 0
    assert again.model is once
    assert any("quantised already" in note.text for note in again.notes)


def test_outputs_that_are_also_read_keep_their_names(q, quantized):
    net = q.Net()
    x = net.input("x", [1, 3, 8, 8])
    net.conv(x, 3, 4, out="features")
    net.conv("features", 4, 2, out="y")
    net.output("features", [1, 4, 8, 8])
    net.output("y", [1, 2, 8, 8])
    model, feeds = net.model(), q.images(6, size=8)
    outcome = quantized(model, feeds)
    assert [spec.name for spec in outcome.model.outputs] == ["features", "y"]
    assert q.worst_ratio(model, outcome.model, feeds) > 30


def test_shared_weights_on_different_inputs_and_shared_inputs(q, quantized):
    net = q.Net()
    x = net.input("x", [1, 3, 8, 8])
    weight, bias = net.weight(net.random(3, 3, 3, 3)), net.weight(net.rng.uniform(-1, 1, 3))
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    a = net.op("Conv", x, weight, bias, **pads)
    b = net.op("Conv", net.op("Mul", a, net.weight(50.0)), weight, bias, **pads)
    net.op("Concat", b, net.op("Conv", x, weight, **pads), out="y", axis=1)
    net.output("y", [1, 6, 8, 8])
    model, feeds = net.model(), q.images(8, size=8)
    assert q.worst_ratio(model, quantized(model, feeds).model, feeds) > 28


@pytest.mark.parametrize("kind", ["dead", "tiny", "constant", "huge_bias"])
def test_odd_numbers_keep_their_answers(q, quantized, kind):
    net = q.Net()
    x = net.input("x", [1, 3, 8, 8])
    weight, bias = net.random(6, 3, 3, 3), net.rng.uniform(-1, 1, 6).astype(np.float32)
    scale = 1.0
    if kind == "dead":
        weight[2] = 0.0
    elif kind == "tiny":
        weight, bias, scale = weight * np.float32(1e-25), bias * np.float32(1e-25), 1e25
    elif kind == "huge_bias":
        weight[1], bias[1] = weight[1] * np.float32(1e-6), 900.0
    a = net.op("Conv", x, net.weight(weight), net.weight(bias), kernel_shape=[3, 3])
    a = net.op("Mul", a, net.weight(scale))
    net.conv(a, 6, 4, out="y")
    net.output("y", [1, 4, 6, 6])
    feeds = [{"x": np.full((1, 3, 8, 8), 0.7, np.float32)}] * 4 if kind == "constant" else q.images(8, size=8)
    model = net.model()
    outcome = quantized(model, feeds, scheme="inputs", keep_kinds=("Mul",))
    for name, value in outcome.model.ir.graph.initializers.items():
        if name.rstrip("_").endswith("_scale"):
            array = value.const_value.numpy()
            assert np.all(np.isfinite(array)), name
            assert np.all(array >= np.finfo(np.float32).tiny), name
    assert q.worst_ratio(model, outcome.model, feeds) > 28


def test_notes_tell_the_share_and_what_stayed_float(q, quantized):
    net = q.Net()
    x = net.input("x", [1, 4, 8])
    b = net.op("MatMul", x, net.weight(net.random(8, 8)))
    scores = net.op("MatMul", b, net.op("Transpose", b, perm=[0, 2, 1]))
    sequence = net.op("Transpose", scores, perm=[1, 0, 2])
    weights = [net.weight(net.random(1, 12, size)) for size in (4, 3)]
    net.nodes.append(
        __import__("onnx").helper.make_node("LSTM", [sequence, *weights], ["y"], name="lstm", hidden_size=3)
    )
    net.output("y", [4, 1, 1, 3])
    model = net.model()
    feeds = [{"x": np.random.default_rng(0).normal(0, 1, (1, 4, 8)).astype(np.float32)} for _ in range(4)]
    texts = {note.subject: note.text for note in quantized(model, feeds).notes}
    assert "66.7% of the multiplications" in texts[""] or "1 of 2" in texts[""]
    assert texts["MatMul_2"] == "MatMul stays float: its weight is computed, not constant"
    assert "recurrent layers keep float states" in texts["lstm"]


def test_errors_say_what_to_do(q, quantized):
    model = q.residual_net()
    with pytest.raises(UsageError, match=r"no static int8 scheme 'nosuch'") as error:
        quantized(model, q.images(2), scheme="nosuch")
    assert "integer, inputs" in error.value.remedy
    bad = q.images(2)
    bad[0]["x"][:] = np.inf
    with pytest.raises(BadInputError, match="sample 0"):
        quantized(model, bad)


@pytest.mark.parametrize(
    ("field", "value"),
    [("ranges", "best"), ("percentile", 12.0), ("samples", 0), ("smooth", 1.5)],
)
def test_wrong_options_name_their_field(field, value):
    with pytest.raises(ValueError, match=f"^{field}: "):
        StaticOptions(**{field: value})


def test_wanted_only_where_the_first_scheme_is_static(q):
    assert StaticQuantize.wanted(q.target(), "int8") is None
    assert StaticQuantize.wanted(q.target(), "fp32") == "the precision is fp32"
    assert "has no int8" in (StaticQuantize.wanted(q.target(None), "int8") or "")
    dynamic = q.target(replace(q.RULE, schemes=(q.DYNAMIC,)))
    assert "dynamic" in (StaticQuantize.wanted(dynamic, "int8") or "")


@pytest.mark.parametrize("swapped", [False, True])
def test_a_matrix_product_with_a_bias_behind_it_runs_on_integers(q, quantized, tmp_path, swapped):
    net = q.Net()
    x = net.input("x", [2, 8, 16])
    bias = net.weight(net.random(16))
    for _ in range(2):  # both add the same constant
        product = net.op("MatMul", x, net.weight(net.random(16, 16)))
        x = net.op("Tanh", net.op("Add", bias, product) if swapped else net.op("Add", product, bias))
    net.op("Identity", x, out="y")
    net.output("y", [2, 8, 16])
    rng = np.random.default_rng(5)
    model, feeds = net.model(), [{"x": rng.standard_normal((2, 8, 16)).astype(np.float32)} for _ in range(8)]
    outcome = quantized(model, feeds, scheme="integer")
    ran = executed(q, outcome.model, tmp_path)
    assert ran.count("MatMulIntegerToFloat") == 2
    assert "Gemm" not in ran
    # 8 bits leave about 40 dB on two layers.
    assert q.worst_ratio(model, outcome.model, feeds) > 28


def test_a_vector_times_a_matrix_keeps_its_shape(q, quantized):
    net = q.Net()
    x = net.input("x", [16])
    product = net.op("MatMul", x, net.weight(net.random(16, 4)))
    net.op("Add", product, net.weight(net.random(4)), out="y")
    net.output("y", [4])
    rng = np.random.default_rng(5)
    model, feeds = net.model(), [{"x": rng.standard_normal(16).astype(np.float32)} for _ in range(4)]
    outcome = quantized(model, feeds, scheme="integer")
    (answer,) = q.ort_run(outcome.model, feeds[:1])
    assert answer["y"].shape == (4,)
