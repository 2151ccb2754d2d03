"""Every member of the zoo through both runtimes at int8: the accuracy is kept, or it is said what is not and why."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgewright.core.budget import Budget
from edgewright.core.bundle import open_bundle
from edgewright.core.errors import ExitCode
from edgewright.driver.compile import compile_model
from edgewright.driver.report import TargetReport
from edgewright.driver.request import CompileRequest
from edgewright.driver.verify import verify_bundle

from .case import Case, zoo

RUNTIMES = ("onnxruntime", "openvino")
QUICK = ("bidirectional-lstm", "branches-with-convolutions", "depthwise-of-five-magnitudes", "quantized-in-part")
"""One of each danger, for the default tier."""
NEVER_THE_SAME = ("random-numbers-inside",)
HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")
QUANTIZING = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
INTEGER = ("QLinearConv", "QLinearMatMul", "QLinearAdd", "QGemm", "ConvInteger", "MatMulInteger")


@pytest.fixture(autouse=True)
def _times_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether an int8 that was asked for pays is timed for a warning, for longer than all the rest takes."""
    monkeypatch.setattr("edgewright.driver.compile.slower_than_float", lambda *_: None)


@pytest.mark.parametrize("name", QUICK)
def test_accuracy_is_kept_or_what_is_lost_is_named(name: str, tmp_path: Path) -> None:
    hold_to_its_word(zoo()[name](), tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(set(zoo()) - set(QUICK)))
def test_accuracy_is_kept_or_what_is_lost_is_named_by_all(name: str, tmp_path: Path) -> None:
    hold_to_its_word(zoo()[name](), tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(set(zoo()) - set(NEVER_THE_SAME)))
def test_a_second_compile_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    case = zoo()[name]()
    if case.codes.get("onnxruntime", 0):
        pytest.skip("it has no int8 on ONNX Runtime, which the other test holds it to")
    written = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        (report,) = compiled(case, folder, ("onnxruntime",)).values()
        assert report.bundle is not None
        written.append(report.bundle.read_bytes())
    assert written[0] == written[1]


def hold_to_its_word(case: Case, folder: Path) -> None:
    for runtime, report in compiled(case, folder, RUNTIMES).items():
        assert report.exit_code == case.codes.get(runtime, 0), f"{runtime}: {report.problem}"
        if report.exit_code is not ExitCode.OK:
            assert case.says.get(runtime, "") in report.problem, runtime
            assert report.remedy, "what to do about it must be said"
            continue
        accuracy = report.accuracy
        assert accuracy is not None
        assert accuracy.drop is not None
        assert accuracy.drop <= case.max_drop, runtime
        if "labels" in case.evaluation:
            assert accuracy.reference is not None
            assert accuracy.reference >= case.worst_float, "a model that fails in float proves nothing"
        assert report.bundle is not None
        assert open_bundle(report.bundle).manifest.precision == "int8"
        verified = verify_bundle(report.bundle)
        assert verified.exit_code is ExitCode.OK, verified.checks
        if runtime == "onnxruntime":
            hold_the_graph(case.model, engine_graph(report.bundle), report.notes)


def compiled(case: Case, folder: Path, runtimes: tuple[str, ...]) -> Mapping[str, TargetReport]:
    model, data, judged = folder / "model.onnx", folder / "calibration.npz", folder / "evaluation.npz"
    onnx.save(case.model, model)
    np.savez(data, **case.calibration)
    np.savez(judged, **case.evaluation)
    out = folder / "out"
    request = CompileRequest(
        model=str(model),
        targets=tuple(f"native/{runtime}" for runtime in runtimes),
        out=out if len(runtimes) > 1 else out.with_suffix(".ewb"),
        data=str(data),
        eval_data=str(judged),
        metric=case.metric,
        budget=Budget(max_drop=case.max_drop),
        precision="int8",
    )
    return dict(zip(runtimes, compile_model(request).targets, strict=True))


def engine_graph(bundle: Path) -> onnx.GraphProto:
    with zipfile.ZipFile(bundle) as archive:
        return onnx.load_from_string(archive.read("engine/model.onnx")).graph


def hold_the_graph(before: onnx.ModelProto, after: onnx.GraphProto, notes: tuple[str, ...]) -> None:
    """What came quantised is there still and was not quantised again; layers in float are in the notes."""
    had, has = (Counter(node.op_type for node in graph.node) for graph in (before.graph, after))
    for kind in (*QUANTIZING, *INTEGER):
        assert has[kind] >= had[kind], f"{kind}: of {had[kind]} that came, {has[kind]} are left"
    makers = {name: node for node in after.node for name in node.output}
    for node in after.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in makers:
            assert makers[node.input[0]].op_type != "DequantizeLinear", f"'{node.input[0]}' is quantised twice"
    said = "\n".join(notes)
    for node in after.node:
        read = [makers[name].op_type for name in node.input if name in makers]
        if node.op_type in HEAVY and "DequantizeLinear" not in read:
            assert f"{node.op_type} stay" in said, f"{node.op_type} '{node.name}' is float and nobody says so"
        if any(True for _ in bodies(node)):
            assert f"{node.op_type} stay" in said, f"the bodies of '{node.name}' are float and nobody says so"


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
