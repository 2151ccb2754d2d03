"""``edgewright blame`` as a user has it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

import edgewright

if TYPE_CHECKING:
    from tests.cli.conftest import RunHere
    from tests.conftest import RunCli

CHECK = """
import sys
import numpy, onnx, onnxruntime
model = onnx.load(sys.argv[1])
onnx.checker.check_model(model)
feeds = dict(numpy.load(sys.argv[2]))
answers = onnxruntime.InferenceSession(sys.argv[1]).run(None, feeds)
with open({calls!r}, "a") as file:
    print(len(model.graph.node), file=file)
print("there is a", {op!r})
sys.exit(any(node.op_type == {op!r} for node in model.graph.node))
"""


@pytest.fixture
def check(tmp_path: Path) -> Path:
    """Fails on models that have a Clip; runs each, as a check of users would."""
    path = tmp_path / "check it.py"
    path.write_text(CHECK.format(op="Clip", calls=str(tmp_path / "calls.txt")), "utf-8")
    return path


def test_the_installed_command_names_the_pass_and_the_layer(
    run_cli: RunCli, conv_net_path: Path, conv_net_data: Path
) -> None:
    done = run_cli("blame", conv_net_path, "--data", conv_net_data, "--precision", "int8")
    assert done.returncode == 0, done.stderr
    assert "pass to blame: static-quantize: " in done.stdout
    assert "layer to blame: " in done.stdout
    assert "layers behind static-quantize, the most harmful first" in done.stdout


def test_the_figures(run_here: RunHere, conv_net_path: Path, conv_net_data: Path) -> None:
    done = run_here("blame", conv_net_path, "--data", conv_net_data, "--precision", "int8", "--json", "--samples", "3")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["schema"], report["precision"][:4], report["metric"]) == ("edgewright.blame/1", "int8", "top1")
    names = [row["name"] for row in report["passes"]]
    assert names[0] == "original"
    assert names.index("fold-batchnorm") < names.index("static-quantize")
    by_name = {row["name"]: row for row in report["passes"]}
    assert 0 < by_name["static-quantize"]["moved"] < 0.2
    assert by_name["fold-batchnorm"]["moved"] < 1e-5
    layers = {row["name"] for row in report["layers"]}
    assert {"dw.conv", "head.gemm"} <= layers
    assert report["guilty_layer"]["name"] in layers
    assert all(0 <= row["alone"] < 0.2 for row in report["layers"])


def test_a_check_is_cut_down_to_the_node_it_fails_on(
    run_here: RunHere, conv_net_path: Path, check: Path, tmp_path: Path
) -> None:
    out = tmp_path / "piece"
    done = run_here("blame", conv_net_path, "--check", f"'{sys.executable}' '{check}'", "-o", out)
    assert done.returncode == 1, done.stderr
    assert "fails: the check fails on the model as it was given" in done.stdout
    assert "1 of 12 nodes still fail" in done.stdout
    assert "the check said: there is a Clip" in done.stderr
    model = onnx.load(out / "model.onnx")
    assert [node.op_type for node in model.graph.node] == ["Clip"]
    feeds = np.load(out / "inputs.npz")
    assert set(feeds) == {"dw.c"}
    assert feeds["dw.c"].shape == (1, 8, 8, 8)
    assert "dw.clip (Clip)" in (out / "README.txt").read_text("utf-8")
    assert sorted(path.name for path in out.iterdir()) == ["README.txt", "inputs.npz", "model.onnx"]
    assert len((tmp_path / "calls.txt").read_text().split()) < 20, "it bisects"
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_a_check_that_fails_behind_a_pass_names_it(
    run_here: RunHere, conv_net_path: Path, conv_net_data: Path, tmp_path: Path
) -> None:
    script = "sh -c '! grep -q QuantizeLinear \"$0\"'"  # a node's operator stands in the file as text
    words = (
        "--data",
        conv_net_data,
        "--precision",
        "int8",
        "--samples",
        "2",
        "--check",
        script,
        "-o",
        tmp_path / "out",
    )
    done = run_here("blame", conv_net_path, *words, "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["guilty_pass"]["name"] == "static-quantize"
    assert report["failed"] == "the check fails behind static-quantize"
    checks = {row["name"]: row["check"] for row in report["passes"]}
    assert (checks["original"], checks["static-quantize"]) == ("good", "fails")
    names = list(checks)
    assert checks[names[names.index("static-quantize") - 1]] == "good"
    assert [name.rpartition(" ")[2] for name in report["reproducer"]["nodes"]] == ["(QuantizeLinear)"]
    assert report["reproducer"]["minimal"] is True


def test_a_check_that_passes_says_so(run_here: RunHere, conv_net_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "piece"
    done = run_here("blame", conv_net_path, "--check", "true", "-o", out)
    assert done.returncode == 0, done.stderr
    assert "the check passes on the whole model" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "there is no data"),
        (("--check", "no-such-command-anywhere"), 2, "cannot be run: No such file"),
        (("--check", "sh -c 'sleep 60' "), 2, "did not end within 0.2 s"),
        (("--check", "'"), 2, "cannot be split into words"),
        (("--check", " "), 2, "--check is empty"),
        (("--check", "true", "-o", "full"), 73, "full is not empty"),
        (("--check", "true", "-o", "full/file"), 73, "is a file"),
        (("--check", "true", "-o", "no/where"), 73, "does not exist"),
        (("--check", "true", "--samples", "0"), 2, "--samples must be 1 to 1024, not 0"),
        (("--check", "true", "--against", "other.onnx"), 2, "--against is for bundles"),
        (("--check", "true", "--precision", "fp8"), 2, "fp8 needs data"),
    ],
)
def test_mistakes_are_one_message(
    run_here: RunHere,
    mlp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    done = run_here("blame", mlp_path, "--check-seconds", "0.2", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_without_layers_has_nobody_to_blame(run_here: RunHere, tmp_path: Path) -> None:
    helper = onnx.helper
    info = [helper.make_tensor_value_info(name, 1, ["N", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"], "same")], "empty", info[:1], info[1:])
    path = tmp_path / "empty.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32))
    done = run_here("blame", path, "--data", tmp_path / "data.npz", "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    assert "pass to blame: none" in done.stdout
    assert "layer to blame: none" in done.stdout


class TestBundle:
    @pytest.fixture
    def bundle(self, run_here: RunHere, conv_net_path: Path, conv_net_data: Path, tmp_path: Path) -> Path:
        out = tmp_path / "net.ewb"
        words = ("--data", conv_net_data, "--target", "rpi5/onnxruntime", "--precision", "int8", "--max-drop", "50%")
        done = run_here("compile", conv_net_path, *words, "-o", out)
        assert done.returncode == 0, done.stderr
        return out

    def test_it_is_compared_with_its_model(
        self, run_here: RunHere, bundle: Path, conv_net_path: Path, conv_net_data: Path, mlp_path: Path
    ) -> None:
        done = run_here("blame", bundle)
        assert done.returncode == 2
        assert "Give that model with --against MODEL." in done.stderr
        done = run_here("blame", bundle, "--against", mlp_path)
        assert done.returncode == 2
        assert "is not what" in done.stderr
        report = edgewright.Bundle.read(bundle).blame(conv_net_path)
        assert report.exit_code == 0
        alone = json.loads(json.dumps(report.to_json()))
        assert [row["name"] for row in alone["passes"]] == ["original", "net.ewb"]
        assert alone["samples"] == 4, "the golden ones"
        assert any(note.startswith("journal: static-quantize (lossy)") for note in alone["notes"])
        assert {"head.gemm", "dw.conv"} <= {row["name"] for row in alone["layers"]}
        done = run_here("blame", bundle, "--against", conv_net_path, "--data", conv_net_data, "--json")
        assert done.returncode == 0, done.stderr
        again = json.loads(done.stdout)
        assert again["guilty_pass"]["name"] == "static-quantize"
        assert again["passes"][-1]["name"] == "net.ewb"
        assert again["passes"][-1]["moved"] == 0.0, "its passes, run again, make the very model it holds"
