"""Explaining a bundle: arithmetic on made-up profiles, findings and changes, and a real engine accounted for."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.backends import LayerTime, ProfiledRun, Profiles
from edgewright.benchmarks.ceilings import Bandwidth, Ceilings
from edgewright.driver import explain
from edgewright.driver.compile import compile_model
from edgewright.driver.explain_changes import Seen, changes
from edgewright.driver.explain_findings import Written, fallbacks, unfused
from edgewright.driver.explain_layers import ExplainedLayer, Timing, explained, stem, timing_of
from edgewright.driver.request import CompileRequest

CEILINGS = Ceilings(1, {"fp32": 1e9, "int8": 4e9}, (Bandwidth(1 << 20, 1e9),))
JOURNAL = {
    "passes": [
        {
            "notes": [
                {"kind": "skipped", "subject": "graph", "text": "2 x Softmax stay float: no codes for them"},
                {"kind": "did", "subject": "head", "text": "something"},
            ]
        }
    ],
    "precisions": {
        "written": {
            "products": {"stem": 1000, "block": 4000, "head": 500, "odd": "no number"},
            "floats": [{"name": "head", "kind": "Gemm", "precision": "fp32", "reason": "float to keep the accuracy"}],
        }
    },
}


def profiled(*walls: tuple[float, tuple[float, ...]]) -> Profiles:
    """Runs by wall time and the times of their layers: stem, block and head."""
    kinds = (("stem_token_1", "QLinearConv", "int8"), ("block", "Conv", "fp32"), ("head", "Gemm", "fp32"))
    runs = []
    for wall, times in walls:
        layers = [LayerTime(*kind, time, (), 100, 50, 10) for kind, time in zip(kinds, times, strict=True)]
        runs.append(ProfiledRun(wall, tuple(layers)))
    return Profiles((9.0, 10.0, 11.0), tuple(runs))


def layer(name: str, kind: str, precision: str, time_us: float, macs: int | None = 0, **more: object) -> ExplainedLayer:
    fields: dict[str, object] = {"operators": (name,), "roofline": 0.5, **more}
    return ExplainedLayer(
        name=name,
        kind=kind,
        precision=precision,
        time_us=time_us,
        share=time_us / 100,
        macs=macs,
        read_bytes=1,
        written_bytes=1,
        weight_bytes=1,
        **fields,  # type: ignore[arg-type]
    )


def test_the_time_of_quiet_runs_is_accounted_for() -> None:
    """Of three runs the two fastest count: what else is running hits one layer or another, and is in neither sum."""
    profiles = profiled((12.0, (4.0, 5.0, 1.0)), (40.0, (4.0, 30.0, 2.0)), (13.0, (4.0, 6.0, 1.0)))
    timing = timing_of(profiles)
    assert (timing.plain_us, timing.profiled_us, timing.layers_us, timing.overhead_us) == (9.5, 12.5, 10.5, 2.0)
    assert timing.slower_by == pytest.approx(3 / 9.5)
    assert timing.accounted == pytest.approx(1.0)


def test_a_layer_that_is_called_otherwise_next_time_is_not_diluted() -> None:
    def run(wall: float, added: str) -> ProfiledRun:
        layers = (LayerTime("a", "Conv", "fp32", wall - 6), LayerTime(added, "Reorder", "fp32", 4.0))
        return ProfiledRun(wall, layers)

    timing = timing_of(Profiles((9.0,), (run(10.0, "r_1"), run(12.0, "r_2"))))
    assert (timing.layers_us, timing.overhead_us, timing.accounted) == (9.0, 2.0, 1.0)


def test_layers_that_come_and_go_are_not_accounted_for() -> None:
    layers = (LayerTime("a", "Conv", "fp32", 4.0), LayerTime("b", "Conv", "fp32", 4.0))
    timing = timing_of(Profiles((9.0,), (ProfiledRun(10.0, layers[:1]), ProfiledRun(10.0, layers))))
    assert timing.accounted == pytest.approx(0.8)


def test_layers_that_overlap_do_not_pass_for_accounted() -> None:
    """Were times counted twice, the overhead would be negative: it is shown as it is."""
    timing = timing_of(profiled((10.0, (8.0, 8.0, 2.0))))
    assert timing.overhead_us == -8.0


def test_layers_have_products_shares_and_a_roofline() -> None:
    written = Written.from_journal("int8", JOURNAL)
    layers, notes = explained(profiled((10.0, (4.0, 5.0, 1.0))), written.products, 2, None, CEILINGS)
    assert notes == ()
    assert [one.macs for one in layers] == [2000, 8000, 1000]
    assert [one.share for one in layers] == [0.4, 0.5, 0.1]
    # 2000 products at 4e9/s are 0.5 us, 160 bytes at 1e9/s are 0.16 us; 8000 and 1000 products at 1e9/s.
    assert [one.roofline for one in layers] == [pytest.approx(0.125), pytest.approx(1.6), pytest.approx(1.0)]
    assert layers[0].moved_bytes == 160


def test_what_no_name_leads_to_is_counted_by_its_sizes() -> None:
    """An engine that takes a bias in may go by the sum's name alone."""
    run = ProfiledRun(10.0, (LayerTime("sum", "FullyConnected", "fp32", 4.0, ("sum",), 1, 1, 1, macs=77),))
    (found,), _ = explained(Profiles((9.0,), (run,)), {"product": 70}, 1, None, CEILINGS)
    assert found.macs == 77


def test_what_could_not_be_counted_has_no_figure_but_a_reason() -> None:
    run = ProfiledRun(10.0, (LayerTime("odd", "Conv", "fp32", 4.0, (), 1, 1, 1), LayerTime("a", "Relu", "fp16", 2.0)))
    (conv, relu), _ = explained(Profiles((9.0,), (run,)), {}, 1, None, CEILINGS)
    assert (conv.macs, conv.roofline) == (None, None)
    assert "could not be counted" in conv.why
    assert (relu.macs, relu.moved_bytes, relu.roofline) == (0, None, None)
    assert relu.why


def test_a_product_is_counted_once_and_where_it_is_multiplied() -> None:
    """A bias that is added by itself goes by the product's name."""
    layers = (
        LayerTime("stem", "Add", "fp32", 1.0, ("stem",), 1, 1, 1),
        LayerTime("stem/WithoutBiases", "Convolution", "fp32", 4.0, ("stem",), 1, 1, 1),
        LayerTime("inner", "Subgraph", "fp32", 4.0, ("block", "head"), 1, 1, 1),
    )
    profiles = Profiles((9.0,), (ProfiledRun(10.0, layers),))
    found, _ = explained(profiles, {"stem": 1000, "block": 30, "head": 5}, 1, None, CEILINGS)
    assert [one.macs for one in found] == [0, 1000, 35]


@pytest.mark.parametrize(
    ("name", "known", "wanted"),
    [
        ("conv_nchwc", {"conv"}, "conv"),
        ("conv_token_12", {"conv", "con"}, "conv"),
        ("/a/Conv/WithoutBiases", {"/a/Conv", "/a"}, "/a/Conv"),
        ("conv2", {"conv"}, None),
    ],
)
def test_names_that_engines_extend(name: str, known: set[str], wanted: str | None) -> None:
    assert stem(name, dict.fromkeys(known)) == wanted


def test_what_stayed_float_and_why() -> None:
    written = Written.from_journal("int8", JOURNAL)
    layers = [
        layer("stem_token_1", "QLinearConv", "int8", 40.0, 1000),
        layer("block", "Conv", "fp32", 20.0, 4000),
        layer("head", "Gemm", "fp32", 30.0, 500),
        layer("soft", "Softmax", "fp32", 5.0),
        layer("y_dequantize", "DequantizeLinear", "fp32", 5.0),
    ]
    found = fallbacks(layers, written)
    assert [one.name for one in found] == ["head", "block", "soft"]
    assert found[0].reason == "float to keep the accuracy"
    assert "written in int8" in found[1].reason
    assert found[2].reason == "no codes for them"
    assert fallbacks(layers, Written.from_journal("fp32", JOURNAL)) == ()


@pytest.mark.parametrize("journal", [{}, {"passes": 3, "precisions": []}, {"precisions": {"written": {"floats": [1]}}}])
def test_a_journal_without_any_of_it(journal: dict[str, object]) -> None:
    assert Written.from_journal("int8", journal).products == {}


def test_conversions_on_their_own_and_where_they_stand() -> None:
    layers = [
        layer("x_quantize", "Subgraph", "fp32", 1.0),
        layer("a", "QLinearConv", "int8", 1.0, 5, operators=("a", "a_quantize")),
        layer("b_dequantize", "DequantizeLinear", "int8", 2.0),
        layer("c", "Softmax", "fp32", 1.0),
        layer("y", "DequantizeLinear", "int8", 1.0, operators=()),
    ]
    found = unfused(layers, frozenset({"x"}), frozenset({"y"}))
    assert [(one.name, one.place) for one in found] == [
        ("x_quantize", "input"),
        ("b_dequantize", "inside"),
        ("y", "output"),
    ]
    assert found[1].between == ("a", "c")


def seen(layers: list[ExplainedLayer], precision: str = "int8", plain_us: float = 100.0) -> Seen:
    took = sum(one.time_us for one in layers)
    written = Written.from_journal(precision, JOURNAL)
    timing = Timing(plain_us, 100.0, took, 100.0 - took, 3)
    return Seen(
        layers, timing, CEILINGS, precision, fallbacks(layers, written), unfused(layers, frozenset(), frozenset())
    )


def test_changes_are_worked_out_from_figures_and_the_largest_comes_first() -> None:
    layers = [
        layer("a", "QLinearConv", "int8", 20.0, 1000, roofline=0.9),
        layer("head", "Gemm", "fp32", 40.0, 500, roofline=0.9),
        layer("b_dequantize", "DequantizeLinear", "int8", 10.0),
        layer("t", "Transpose", "int8", 4.0, operators=()),
        layer("r", "Relu", "int8", 0.5),
    ]
    first, second, third = changes(seen(layers))
    assert first.what == "float-products"
    assert first.gain_us == pytest.approx(30.0), "40 us at a quarter, as int8 is four times as fast"
    assert "1 of 2 layers that multiply: in floating point, 40% of the run" in first.text
    assert "float to keep the accuracy" in first.text
    assert (second.what, third.what) == ("overhead", "conversions")
    assert second.gain_us == pytest.approx(25.5)
    assert third.gain_us == pytest.approx(10.0)


def test_a_float_bundle_is_told_what_int8_would_bring_and_a_tuned_one_nothing() -> None:
    float_only = seen([layer("head", "Gemm", "fp32", 99.0, 500, roofline=0.99)], "fp32")
    (change,) = [one for one in changes(float_only) if one.what == "float-products"]
    assert "--precision int8" in change.text
    tuned = seen([layer("a", "QLinearConv", "int8", 99.9, 1000, roofline=0.99)])
    assert changes(tuned) == ()


def test_slow_kernels_are_named_by_kind() -> None:
    layers = [layer(f"c{at}", "Conv", "int8", 20.0, 100, roofline=0.1 * at) for at in (1, 2, 3, 9)]
    (change,) = [one for one in changes(seen(layers)) if one.what == "slow-kernels"]
    assert change.gain_us == pytest.approx(20 * (0.9 + 0.8 + 0.7))
    assert "3 Conv layers in int8: 60% of the run" in change.text
    assert "'c1'" in change.text


def test_no_change_saves_more_than_there_is() -> None:
    """Timed layers of 99 us in a run of 20 us: most of that is timing."""
    found = changes(seen([layer("head", "Gemm", "fp32", 99.0, 500, roofline=0.99)], "fp32", plain_us=20.0))
    assert found[0].gain_us == pytest.approx(15.0), "three quarters of the plain run, as int8 is four times as fast"
    assert all(one.share <= 1 for one in found)


def products_model(path: Path, side: int, count: int) -> Path:
    """A chain of matrix products and clamps; each of ``side`` cubed multiplications."""
    rng = np.random.default_rng(0)
    nodes, weights, value = [], [], "x"
    for index in range(count):
        weight = (rng.normal(0, 1, (side, side)) / np.sqrt(side)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{index}"], [f"m{index}"], f"product{index}"))
        value = f"r{index}"
        nodes.append(helper.make_node("Relu", [f"m{index}"], [value], f"clamp{index}"))
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [side, side])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, [side, side])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("runtime", "side", "count"),
    [
        ("onnxruntime", 256, 4),
        ("openvino", 256, 4),
        pytest.param("onnxruntime", 512, 12, marks=pytest.mark.full),
        pytest.param("openvino", 512, 12, marks=pytest.mark.full),
    ],
)
def test_layers_and_overhead_are_the_profiled_run(
    runtime: str, side: int, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 10 %, and nothing counted twice: the overhead is no less than what rounding and a busy machine do."""
    if importlib.util.find_spec(runtime) is None:
        pytest.skip(f"{runtime} is not installed")
    monkeypatch.setattr(explain, "measure_ceilings", lambda *_: CEILINGS)
    model, out = products_model(tmp_path / "products.onnx", side, count), tmp_path / "products.ewb"
    compile_model(CompileRequest(model=str(model), targets=(f"native/{runtime}",), out=out, precision="fp32"))
    found = explain.explain_bundle(out, 1)
    assert found.timing.accounted == pytest.approx(1.0, abs=0.1)
    assert -0.1 < found.timing.overhead_us / found.timing.profiled_us < 1
    assert found.timing.plain_us > 0
    products = [one for one in found.layers if one.macs]
    assert [one.macs for one in products] == [side**3] * count
    assert {one.precision for one in products} == {"fp32"}
    for index, one in enumerate(products):
        assert f"product{index}" in one.operators
        assert one.weight_bytes == 4 * side * side
        assert one.roofline is not None
    assert sum(one.share for one in found.layers) == pytest.approx(
        found.timing.layers_us / found.timing.profiled_us, rel=1e-9
    )
