from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.cli import main
from edgewright.core.bundle import (
    Accuracy,
    BackendRecord,
    Golden,
    Limits,
    Manifest,
    ModelRecord,
    PassRecord,
    TargetRecord,
    Tolerances,
    write_bundle,
)
from edgewright.core.errors import ExitCode
from edgewright.core.tensors import TensorSpec

HOSTILE = "x\x1b[31m\u202e</script>"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Conv", [HOSTILE, "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])],
        "net",
        [helper.make_tensor_value_info(HOSTILE, TensorProto.FLOAT, ("N", 3, "H", 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.random.default_rng(0).random((4, 3, 3, 3), np.float32), "w")],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    engine = tmp_path / "engine.bin"
    engine.write_bytes(b"12345")
    spec, out = TensorSpec(HOSTILE, "float32", (1, 2)), TensorSpec("y", "float32", (1, 2))
    manifest = Manifest(
        model=ModelRecord("tiny", digest("model")),
        target=TargetRecord("native/onnxruntime", {"title": "a machine"}),
        backend=BackendRecord("onnxruntime", {"onnxruntime": "1.31.1"}, "model.onnx", {}),
        precision="int8",
        inputs=(spec,),
        outputs=(out,),
        passes=(PassRecord("fold-constants", {}), PassRecord("static-quantize", {})),
        accuracy=Accuracy("top1", 0.91, 0.905, 0.005, 1000, digest("data"), "host-proxy"),
        limits=Limits(0.01, True, 4_000_000, False),
        size_bytes=5,
        recipe_digest=digest("recipe"),
        plan_digest=digest("plan"),
        tolerances=Tolerances(1e-3, 0.1),
    )
    feeds = [{HOSTILE: np.full((1, 2), index, np.float32)} for index in range(4)]
    answers = [{"y": feed[HOSTILE]} for feed in feeds]
    path = tmp_path / "tiny.ewb"
    write_bundle(path, manifest.to_json(), {"passes": []}, {"model.onnx": engine}, Golden(feeds, answers, answers))
    return path


def test_a_model(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model)]) == ExitCode.OK
    out = capsys.readouterr().out
    text = " ".join(out.split())
    assert "\x1b" not in out
    assert "input x\\x1b[31m\\u202e</script>: float32 Nx3xHx8" in text
    assert "parameters 108 in 432 bytes" in text
    assert "--shape" in text
    assert "opsets ai.onnx 17" in text
    assert "operators Conv x1, Relu x1" in text
    assert "quantised 0 of 1" in text


def test_a_model_in_json_with_its_sizes_fixed(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model), "--json", "--shape", f"{HOSTILE}=2,3,8,8"]) == ExitCode.OK
    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["kind"]) == ("edgewright.inspect/1", "model")
    assert report["macs"] == {"total": 2 * 4 * 36 * 27, "complete": True, "by_op": {"Conv": 7776}, "notes": []}
    assert report["inputs"] == [{"name": HOSTILE, "dtype": "float32", "shape": [2, 3, 8, 8]}]


def test_a_bundle_zipped_unzipped_or_under_another_name(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, renamed = tmp_path / "unzipped", tmp_path / "other.zip"
    renamed.write_bytes(bundle.read_bytes())
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    reports = []
    for path in (bundle, folder, renamed):
        assert main(["inspect", str(path), "--json"]) == ExitCode.OK
        reports.append(json.loads(capsys.readouterr().out))
    assert reports[0] == reports[1] == reports[2]
    assert reports[0]["kind"] == "bundle"
    assert reports[0]["manifest"]["precision"] == "int8"


def test_a_bundle_for_people(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(bundle)]) == ExitCode.OK
    out = capsys.readouterr().out
    text = " ".join(out.split())
    assert "\x1b" not in out
    for words in (
        "target native/onnxruntime: a machine",
        "precision int8",
        "accuracy top1 0.9050, original 0.9100, drop +0.0050 on 1000 samples, host-proxy",
        "limit drop at most 0.01: met",
        "limit at most 4.00 MB: missed",
        "engine 5 bytes in model.onnx",
        "passes fold-constants, static-quantize",
    ):
        assert words in text


def test_a_bundle_needs_no_compiler_and_no_engine(bundle: Path) -> None:
    code = f"""
import sys
from edgewright.cli import main
assert main(["inspect", {str(bundle)!r}]) == 0
heavy = ("onnx", "onnx_ir", "onnxruntime", "openvino", "torch", "edgewright.compiler")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_model_without_the_compile_extra_says_what_to_type(model: Path) -> None:
    code = f"""
import sys
sys.modules["onnx"] = sys.modules["onnx_ir"] = None
from edgewright.cli import main
sys.exit(main(["inspect", {str(model)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.UNAVAILABLE
    assert "pip install 'edgewright[compile]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("gone.onnx", None, ExitCode.USAGE),
        ("empty.onnx", b"", ExitCode.BAD_INPUT),
        ("page.ewb", b"<html>", ExitCode.BAD_INPUT),
        ("cut.ewb", b"PK\3\4" + bytes(90), ExitCode.BAD_INPUT),
        ("cut.onnx", b"PK\3\4" + bytes(90), ExitCode.BAD_INPUT),
    ],
)
def test_what_is_neither(
    tmp_path: Path, name: str, content: bytes | None, code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert main(["inspect", str(path)]) == code
    found = capsys.readouterr()
    assert not found.out
    assert "error:" in found.err
