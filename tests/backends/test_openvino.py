"""What is OpenVINO's own: precision is asked for and checked, telemetry is off, its faults are refused early."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest

pytest.importorskip("openvino", reason="openvino is not installed")

from edgewright.backends import Artifact, open_isolated
from edgewright.backends._openvino_build import explain
from edgewright.backends._openvino_session import gist, import_openvino, positions
from edgewright.backends.openvino import OpenVino
from edgewright.core.errors import EngineError, TargetAbsentError, UnavailableError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import TensorSpec
from edgewright.targets.schema import Target

if TYPE_CHECKING:
    from .conftest import Subject

    Subjects = Mapping[str, Callable[[], Subject]]


def text_model(body: str, opset: int = 20) -> OnnxModel:
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}]>\n{body}')
    return OnnxModel(ir.from_proto(proto), "text")


@pytest.fixture
def products(target: Target, tmp_path: Path) -> Artifact:
    """A product of 1 x 512 and 512 x 4: wide enough that bf16 and float32 differ by far more than their rounding."""
    body = "net (float[1,512] a, float[512,4] b) => (float[1,4] y) { y = MatMul (a, b) }"
    return OpenVino().lower(text_model(body), target, tmp_path)


def error_of_products(artifact: Artifact) -> float:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (1, 512)).astype(np.float32), rng.normal(0, 1, (512, 4)).astype(np.float32)
    with OpenVino().open(artifact, threads=1) as session:
        got = session.run({"a": a, "b": b})["y"]
    exact = a.astype(np.float64) @ b.astype(np.float64)
    return float(np.abs(got - exact).max() / np.abs(exact).max())


def test_float32_is_float32_even_where_the_engine_prefers_bf16(products: Artifact) -> None:
    assert error_of_products(products) < 1e-5  # bf16 inputs alone would be off by 2^-9


def test_bf16_is_asked_for_and_had_or_refused(products: Artifact) -> None:
    asked = replace(products, properties={**products.properties, "INFERENCE_PRECISION_HINT": "bf16"})
    if "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert 1e-4 < error_of_products(asked) < 3e-2
    else:
        with pytest.raises(UnavailableError, match="bf16"):
            OpenVino().open(asked, threads=1)


def test_a_precision_that_is_silently_replaced_is_refused(products: Artifact) -> None:
    """On CPUs without half precision the engine takes bf16 or float32 instead, and does not say so."""
    if "FP16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU computes in half precision")
    asked = replace(products, properties={**products.properties, "INFERENCE_PRECISION_HINT": "f16"})
    with pytest.raises(UnavailableError, match="asked for f16"):
        OpenVino().open(asked, threads=1)
    with pytest.raises(UnavailableError, match="asked for f16"):
        open_isolated("openvino", asked, threads=1)


def test_the_precision_travels_as_a_property(target: Target, tmp_path: Path, subjects: Subjects) -> None:
    model = subjects["dynamic_batch"]().model
    with pytest.raises(UnavailableError, match="bf16"):
        OpenVino().lower(model, target, tmp_path, "bf16")
    artifact = OpenVino().lower(model, replace(target, hinted_precisions=frozenset({"bf16"})), tmp_path, "bf16")
    assert artifact.properties["INFERENCE_PRECISION_HINT"] == "bf16"


def test_threads_are_what_was_asked_for(products: Artifact) -> None:
    with OpenVino().open(products, threads=1) as session:
        compiled = session._engine.request.get_compiled_model()
        assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
        assert compiled.get_property("NUM_STREAMS") == 1
        assert str(compiled.get_property("ENABLE_CPU_PINNING")) == "True"


def test_a_device_that_is_not_here_says_which_are(products: Artifact) -> None:
    absent = replace(products, properties={**products.properties, "device": "FPGA"})
    with pytest.raises(TargetAbsentError, match=r"no FPGA on this machine, it sees .*CPU"):
        OpenVino().open(absent, threads=1)


def test_it_reports_nothing_home() -> None:
    """Importing it sends an event where the user once agreed; the package that would is never imported."""
    script = (
        "import sys; from edgewright.backends._openvino_session import import_openvino; import_openvino().Core(); "
        "sys.exit(any(name.startswith('openvino_telemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_names_that_xml_cannot_hold_keep_their_meaning(target: Target, tmp_path: Path) -> None:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Sub", ["a\0b", "\x1b[31m"], ["y\0"])],
        "g",
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("\x1b[31m", "a\0b")],
        [onnx.helper.make_tensor_value_info("y\0", onnx.TensorProto.FLOAT, [1])],
    )
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    artifact = OpenVino().lower(OnnxModel(ir.from_proto(proto), "odd"), target, tmp_path)
    with OpenVino().open(artifact, threads=1) as session:
        result = session.run({"a\0b": np.array([5], np.float32), "\x1b[31m": np.array([3], np.float32)})
    assert result["y\0"].tolist() == [2]


def test_an_input_that_decides_nothing_may_vanish(target: Target, tmp_path: Path) -> None:
    model = text_model("net (float[2] like, double[2] x) => (float[2] y) { y = CastLike (x, like) }")
    artifact = OpenVino().lower(model, target, tmp_path)
    with OpenVino().open(artifact, threads=1) as session:
        feeds = {"x": np.array([1.5, 2.5]), "like": np.zeros(2, np.float32)}
        assert session.run(feeds)["y"].tolist() == [1.5, 2.5]


def test_positions_of_unknown_origin_are_refused() -> None:
    specs = tuple(TensorSpec(name, "float32", (1,)) for name in "abc")
    assert positions([["c", "x"], ["a"]], specs, "inputs") == [(0, specs[2]), (1, specs[0])]
    assert positions([["?"], ["?"], ["?"]], specs, "inputs") == list(enumerate(specs))
    with pytest.raises(EngineError, match="2 inputs out of the model's 3"):
        positions([["c"], ["?"]], specs, "inputs")
    with pytest.raises(EngineError, match="2 outputs"):
        positions([["c"], ["a"]], specs, "outputs")


RNN = "float[1,3,4] w, float[1,3,3] r) => (float[2,1,1,3] y) { y = RNN <layout = 1, hidden_size = 3> (x, w, r) }"
RESIZE = 'float[4] s) => (float[1,1,2,2] y) { y = Resize <antialias = 1, mode = "linear"> (x, , s) }'


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (f"net (float[2,1,4] x, {RNN}", "layout"),
        (f"net (float[1,1,4,4] x, {RESIZE}", "antialias"),
        ("net (float[2,2] x, int64[2] n) => (float[A,B] y) { y = Tile (x, n) }", "repeats"),
        ("net (float[1,16,1] x) => (float[1,9,2] y) <int64 a = {1}> { y = DFT <onesided = 1> (x, , a) }", "one-sided"),
    ],
)
def test_what_it_computes_wrongly_is_refused_when_planned(body: str, says: str, target: Target) -> None:
    faults = OpenVino().supports(text_model(body), target)
    assert [says in fault.reason for fault in faults].count(True) == 1


@pytest.mark.parametrize(
    "body",
    [
        "net (float[2,2] x) => (float[2,4] y) <int64[2] n = {1, 2}> { y = Tile (x, n) }",
        "net (float[1,16,1] x) => (float[1,16,2] y) <int64 a = {1}> { y = DFT (x, , a) }",
    ],
)
def test_what_it_computes_rightly_is_not(body: str, target: Target) -> None:
    assert OpenVino().supports(text_model(body), target) == []


def test_types_that_cannot_be_passed_are_named(target: Target) -> None:
    model = text_model("net (int4[2] x) => (float[2] y) { y = Cast <to = 1> (x) }", opset=21)
    faults = OpenVino().supports(model, target)
    assert [(fault.op, fault.node) for fault in faults] == [("element type int4", "x")]


def test_a_rank_nobody_knows_is_named(target: Target) -> None:
    model = text_model("net (float[] x) => (float[] y) { y = Relu (x) }")
    faults = OpenVino().supports(model, target)
    assert ["number of dimensions" in fault.reason for fault in faults] == [True]


def test_a_conversion_report_becomes_rows() -> None:
    report = (
        "Check 'false' failed at src/report.cpp:151:\nFrontEnd API failed with OpConversionFailure:\n"
        "Model wasn't fully converted. Failed operations detailed log:\n-- Conv-16 with a message:\n"
        "While validating ONNX node '<Node(Conv): a/b>': Check 'rank' failed at src/conv.cpp:38:\n"
        "FrontEnd API failed with GeneralFailure:\nThe rank has to be known\n\n"
        "-- ReduceMean-16 with a message:\nUnsupported input type dynamic\n\nSummary:\n"
    )
    both = list(explain(report + "-- Conversion is failed for: Conv-16, ReduceMean-16\n"))
    assert [(op, node) for op, node, _ in both] == [("::Conv (opset 16)", "a/b"), ("::ReduceMean (opset 16)", "")]
    assert both[0][2].endswith("The rank has to be known")
    unknown = list(explain(report + "-- No conversion rule found for operations: Foo-17, d.e.Bar\n"))
    assert [op for op, _, _ in unknown] == ["::Foo (opset 17)", "d.e::Bar"]


def test_the_gist_of_an_error_is_one_line_without_sources() -> None:
    error = RuntimeError("Exception from src/core.cpp:84:\nException from src/plugin.cpp:54:\nno such node\n\n")
    assert gist(error) == "no such node"
    assert gist(RuntimeError("")) == "RuntimeError"
