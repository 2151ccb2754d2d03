"""What is ONNX Runtime's own: its options, its messages turned into operators and nodes, its profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgewright.backends._onnxruntime_check import explain
from edgewright.backends._onnxruntime_profile import _last_run
from edgewright.backends._onnxruntime_session import first_line, options
from edgewright.backends.onnxruntime import OnnxRuntime
from edgewright.core.errors import EngineError
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import Target

if TYPE_CHECKING:
    from .conftest import Subject

    Subjects = Mapping[str, Callable[[], Subject]]


def text_model(body: str, opset: int = 21, ir_version: int = 10) -> OnnxModel:
    proto = onnx.parser.parse_model(f'<ir_version: {ir_version}, opset_import: ["" : {opset}]>\n{body}')
    return OnnxModel(ir.from_proto(proto), "text")


CONV = "net ({0}[1,1,4,4] x, {0}[1,1,3,3] w) => ({0}[1,1,2,2] y) {{ [c] y = Conv (x, w) }}"


@pytest.mark.parametrize(
    ("body", "opset", "op", "node", "says"),
    [
        (CONV.format("double"), 21, "Conv (opset 11)", "c", "no kernel"),
        ("net (bfloat16[2] x) => (bfloat16[2] y) { [r] y = Relu (x) }", 21, "Relu (opset 14)", "r", "no kernel"),
        (CONV.format("bfloat16"), 21, "Conv", "c", "tensor(bfloat16) of 'x'"),
        ("net (float[2] x) => (float[2] y) { [n] y = Frob (x) }", 21, "::Frob", "n", "unknown operator"),
        ("net (float[2] x) => (float[2] y) { y = Relu (x) }", 99, "opset 99 of ai.onnx", "", "the highest it takes"),
        ("net (int4[2] x) => (float[2] y) { y = Cast <to = 1> (x) }", 21, "element type int4", "x", "cannot be passed"),
    ],
    ids=["double", "bf16 kernel", "bf16 schema", "unknown", "opset", "int4"],
)
def test_what_it_cannot_take_is_named(body: str, opset: int, op: str, node: str, says: str, target: Target) -> None:
    faults = OnnxRuntime().supports(text_model(body, opset), target)
    assert (faults[0].op, faults[0].node) == (op, node)
    assert says in faults[0].reason


def test_half_precision_convolutions_are_taken(target: Target) -> None:
    assert OnnxRuntime().supports(text_model(CONV.format("float16")), target) == []


def test_a_file_of_a_newer_format_is_written_so_that_it_can_be_read(target: Target, tmp_path: Path) -> None:
    """onnx 1.23 writes IR version 14 by default; onnxruntime 1.31 reads up to 13."""
    model = text_model("net (float[2] x) => (float[2] y) { y = Neg (x) }", ir_version=14)
    assert OnnxRuntime().supports(model, target) == []
    with OnnxRuntime().open(OnnxRuntime().lower(model, target, tmp_path), threads=1) as session:
        assert session.run({"x": np.array([1, 2], np.float32)})["y"].tolist() == [-1, -2]
    assert model.ir.ir_version == 14


def test_options_are_those_of_a_measurement(target: Target, tmp_path: Path, subjects: Subjects) -> None:
    chosen = options(OnnxRuntime().lower(subjects["conv_net"]().model, target, tmp_path), threads=3)
    assert (chosen.intra_op_num_threads, chosen.inter_op_num_threads) == (3, 1)
    assert chosen.execution_mode.name == "ORT_SEQUENTIAL"
    assert chosen.get_session_config_entry("session.intra_op.allow_spinning") == "1"


def test_it_prints_nothing_even_when_it_fails(
    target: Target, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    body = "net (float[N] x, int64[1] shape) => (float[A] y) { y = Reshape (x, shape) }"
    artifact = OnnxRuntime().lower(text_model(body), target, tmp_path)
    feeds = {"x": np.zeros(3, np.float32), "shape": np.array([2])}
    with OnnxRuntime().open(artifact, threads=1) as session, pytest.raises(EngineError, match="Reshape") as caught:
        session.run(feeds)
    assert "onnxruntime_src" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_profile_is_the_last_run_in_order() -> None:
    def node(name: str, us: int) -> dict[str, object]:
        args = {"op_name": "Conv", "input_type_shape": [{"uint8": [1]}]}
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": us, "args": args}

    done: dict[str, object] = {"cat": "Session", "name": "model_run", "dur": 9}
    fence: dict[str, object] = {"cat": "Node", "name": "a_fence_before", "dur": 1, "args": {}}
    layers = _last_run([node("a", 100), done, fence, node("a", 3), node("b", 4), done])
    assert [(layer.name, layer.precision, layer.time_us) for layer in layers] == [
        ("a", "int8", 3.0),
        ("b", "int8", 4.0),
    ]


def test_messages_lose_places_and_folders() -> None:
    message = (
        "[ONNXRuntimeError] : 10 : INVALID_GRAPH : Load model from /tmp/x/model.onnx failed:"
        "/onnxruntime_src/onnxruntime/core/model.cc:256 onnxruntime::Model::Model(onnx::ModelProto&&, int) Bad.\nmore"
    )
    assert first_line(RuntimeError(message)) == "Bad."
    assert explain("something else entirely") is None
