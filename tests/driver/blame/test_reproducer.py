"""A pass that breaks a model, or raises on it, is shown on the smallest piece it still breaks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgewright.compiler.blame.extraction import Piece
from edgewright.compiler.graphs import working_copy
from edgewright.compiler.intake.onnx_file import read_onnx
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.core.errors import IOFailureError
from edgewright.core.model import OnnxModel
from edgewright.driver.blame import reproducer
from edgewright.driver.blame.judges import CheckJudge, TooLateError, write_feeds
from edgewright.driver.blame.report import Reproducer
from edgewright.driver.blame.reproducer import written
from edgewright.driver.blame.request import BlameRequest
from edgewright.driver.blame.steps import walk
from edgewright.driver.blame.work import look
from tests.driver.blame.conftest import random_net, run_here, scene_of

if TYPE_CHECKING:
    from edgewright.compiler.site import Site
    from edgewright.targets.schema import Target


class _Faulty(Pass[OnnxModel, OnnxModel]):
    name: ClassVar[str] = "faulty"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.CLEAN


class DoublesTheHead(_Faulty):
    """Where there is a Gemm behind a pool."""

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        whole = working_copy(model)
        kinds = [node.op_type for node in whole.graph]
        if not {"Gemm", "GlobalAveragePool"} <= set(kinds):
            return Outcome(model, 0)
        (head,) = [node for node in whole.graph if node.op_type == "Gemm"]
        head.attributes["alpha"] = ir.AttrFloat32("alpha", 2.0)
        return Outcome(replace(model, ir=whole), 1)


class RaisesOnARelu(_Faulty):
    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        if any(node.op_type == "Relu" for node in model.ir.graph):
            raise ZeroDivisionError("a Relu")
        return Outcome(model, 0)


@pytest.mark.parametrize(
    ("kind", "left", "after"), [(DoublesTheHead, {"GlobalAveragePool", "Gemm"}, True), (RaisesOnARelu, {"Relu"}, False)]
)
def test_the_smallest_piece_that_the_pass_still_breaks(
    onnxruntime_target: Target, tmp_path: Path, kind: type[_Faulty], left: set[str], after: bool
) -> None:
    scene = scene_of(random_net(1), onnxruntime_target, 1, precision="fp32")
    walk(scene, [kind()])  # type: ignore[list-item]
    report = look(scene, BlameRequest("net", out=tmp_path / "piece"), tmp_path)
    assert report.failed.startswith("pass 'faulty' fails: ")
    assert report.exit_code == 1
    assert report.guilty_pass is not None
    assert report.guilty_pass.name == "faulty"
    assert report.reproducer is not None
    assert report.reproducer.minimal
    model = read_onnx(tmp_path / "piece" / "model.onnx")
    assert {node.op_type for node in model.ir.graph} == left
    assert len(report.reproducer.nodes) == len(left)
    assert (tmp_path / "piece" / "after.onnx").exists() == after
    feeds = dict(np.load(tmp_path / "piece" / "inputs.npz"))
    (answer,) = run_here(model, [feeds])
    if after:
        (moved,) = run_here(read_onnx(tmp_path / "piece" / "after.onnx"), [feeds])
        assert any(not np.allclose(moved[name], value, atol=1e-3) for name, value in answer.items())
    assert "of" in (tmp_path / "piece" / "README.txt").read_text("utf-8")
    assert json.loads(json.dumps(report.to_json()))["exit_code"] == 1


def test_the_branch_that_an_if_takes_is_cut_too(onnxruntime_target: Target, tmp_path: Path) -> None:
    """Two deep; what captures a tensor of an outer graph is fed with it."""
    text = """<ir_version: 10, opset_import: ["" : 20]> net (float[N,4] x, bool yes) => (float[N,4] y) {
        a = Tanh(x)
        b = If (yes) <
            then_branch = inner () => (float[N,4] t) {
                p = Neg(a)
                q = If (yes) <
                    then_branch = innermost () => (float[N,4] s) { r = Abs(p)  k = Exp(r)  s = Add(k, a) },
                    else_branch = unused () => (float[N,4] u) { u = Exp(x) }
                >
                t = Neg(q)
            },
            else_branch = other () => (float[N,4] e) { e = Exp(x) }
        >
        y = Neg(b)
    }"""
    model = OnnxModel(ir.from_proto(onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))), "net")
    scene = scene_of(random_net(1), onnxruntime_target, 1, precision="fp32")
    feeds = {"x": np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4), "yes": np.array(True)}

    def fails(piece: Piece) -> bool:
        next(run_here(piece.model, [piece.feeds]))
        return any(node.op_type == "Exp" for node in piece.model.ir.graph.all_nodes())

    found = reproducer.reproduce(scene, Piece(model, feeds), fails)
    assert found is not None
    piece, told = found
    assert told.nodes == ("k (Exp)",)
    assert told.of == 3
    onnx.checker.check_model(ir.to_proto(piece.model.ir))
    np.testing.assert_allclose(piece.feeds["r"], np.abs(np.tanh(feeds["x"])), rtol=1e-6)


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reproducer, "write_feeds", full)
    piece = Piece(random_net(1), {})
    with pytest.raises(IOFailureError, match="No space left"):
        written(tmp_path / "piece", piece, Reproducer("", (), 1, 1, True), "why")
    assert list(tmp_path.iterdir()) == []


def test_inputs_of_any_name_and_type_come_back(tmp_path: Path) -> None:
    feeds = {
        "file": np.float32(1.5).reshape(()),
        "a/b:0": np.arange(6).reshape(2, 3)[:, ::-1],
        "text": np.array(["a", "bc"]),
        "": np.array([True]),
    }
    write_feeds(tmp_path / "inputs.npz", feeds)
    back = np.load(tmp_path / "inputs.npz", allow_pickle=False)
    assert set(back) == feeds.keys()
    for name, array in feeds.items():
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize(("words", "fails"), [("true", False), ("false", True), ("sh -c 'exit 3'", True)])
def test_what_a_command_says(tmp_path: Path, words: str, fails: bool) -> None:
    assert CheckJudge(words, 5.0, tmp_path).fails(Piece(random_net(1), {})) is fails
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_does_not_end_is_ended_with_all_it_started(tmp_path: Path) -> None:
    judge = CheckJudge(f"sh -c 'echo $$ > {tmp_path}/pid; sleep 60 & wait'", 0.5, tmp_path)
    with pytest.raises(TooLateError):
        judge.verdict(Piece(random_net(1), {}))
    group = int((tmp_path / "pid").read_text())
    states = [
        path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()
    ]
    assert not [state for state in states if int(state[2]) == group and state[0] != "Z"]
    assert judge.fails(Piece(random_net(1), {})) is False, "on a piece it proves nothing"


def test_where_no_tensor_is_known_a_model_is_cut_from_behind(
    onnxruntime_target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgewright.core.errors import EngineError

    def crashes(*_args: object) -> None:
        raise EngineError("it fell over")

    monkeypatch.setattr(reproducer, "recorded", crashes)
    scene = scene_of(random_net(1), onnxruntime_target, 1, precision="fp32")
    found = reproducer.reproduce(
        scene,
        Piece(scene.original, scene.feeds[0]),
        lambda piece: any(node.op_type == "Relu" for node in piece.model.ir.graph),
    )
    assert found is not None
    piece, _ = found
    assert [spec.name for spec in piece.model.inputs] == ["x"]
    assert [node.op_type for node in piece.model.ir.graph][-1] == "Relu"
    onnx.checker.check_model(ir.to_proto(piece.model.ir))
