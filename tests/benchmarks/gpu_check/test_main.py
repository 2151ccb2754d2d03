"""The program as it is started, on a CPU: every part runs, its figures mean nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "edgewright.benchmarks.gpu_check"]
BLOCKER = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnx", "onnxruntime", "onnxscript"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from edgewright.benchmarks.gpu_check.__main__ import main
"""


def start(*words: str, folder: Path, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    # A folder of its own for the timing lock too, and one thread: tests run beside one another.
    env = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*PROGRAM, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )


def test_a_network_goes_from_torch_to_a_record_and_its_table(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    cell_of = ("--device", "cpu", "--only", "tiny:2")
    exported = start(*cell_of, "--export", "files", folder=tmp_path)
    assert exported.returncode == 0, exported.stderr
    words = (*cell_of, "--quick", "--arms", "onnxruntime", "--threads", "1", "--onnx-folder", "files")
    done = start(*words, "--minutes", "2", "--out", "gpu.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "gpu.json").read_text()
    assert str(tmp_path) not in text
    assert not re.search(r'"[^"]*/(tmp|home|usr)/', text)
    record = json.loads(text)
    assert record["schema"] == "edgewright.gpu-check/1"
    (cell,) = record["cells"]
    assert {name: arm["status"] for name, arm in cell["arms"].items()} == {
        "eager-fp32": "measured",
        "onnxruntime-fp32": "measured",
    }
    assert cell["arms"]["onnxruntime-fp32"]["error"] < 1e-4
    for name, boundaries in (("eager-fp32", {"host", "device"}), ("onnxruntime-fp32", {"host"})):
        assert cell["arms"][name]["wall_ns"].keys() == boundaries
        assert cell["arms"][name]["device_ns"] == {}
    ratio = cell["figures"]["onnxruntime-fp32"]["host"]["wall_ns"]["to_eager"]
    assert ratio["ci95"][0] <= ratio["value"] <= ratio["ci95"][1]
    assert "| onnxruntime-fp32 |" in done.stdout
    again = start("--table", "gpu.json", folder=tmp_path)
    assert again.stdout == done.stdout


@pytest.mark.full
def test_every_way_that_a_cpu_has(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    words = ("--device", "cpu", "--quick", "--only", "tiny:1,minilm:1", "--threads", "1", "--precisions", "fp32,bf16")
    done = start(*words, "--minutes", "9", "--out", "gpu.json", folder=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "gpu.json").read_text())["cells"]
    assert [cell["network"] for cell in cells] == ["tiny", "minilm"]
    for cell in cells:
        status = {name: arm["status"] for name, arm in cell["arms"].items()}
        assert {status[f"{way}-fp32"] for way in ("eager", "compile", "aotinductor", "onnxruntime")} == {"measured"}
        assert status["eager-bf16"] == "measured"
        assert status["tensorrt-fp32"] == status["compile-graphs-fp32"] == "not run"


def test_a_machine_without_cuda_is_one_message_and_77(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done = start("--only", "tiny:1", folder=tmp_path)
    assert (done.returncode, done.stdout) == (77, "")
    assert "--device cpu" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--only", "resnet18:1"], 2, "resnet18:1"),
        (["--only", "tiny:0"], 2, "tiny:0"),
        (["--only", "tiny:1", "--arms", "tensorflow", "--device", "cpu"], 2, "tensorflow"),
        (["--only", "tiny:1", "--precisions", "int8", "--device", "cpu"], 2, "int8"),
        (["--merge", "absent.json"], 2, "--out"),
        (["--table", "absent.json"], 2, "absent.json"),
    ],
)
def test_mistakes_are_one_message(
    words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from edgewright.benchmarks.gpu_check.__main__ import main

    assert main([word if word != "absent.json" else str(tmp_path / word) for word in words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err


def test_without_torch_there_is_help_and_a_command_to_type() -> None:
    script = f"{BLOCKER}\nprint(main(['--device', 'cpu']))\nmain(['--help'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("69\nusage: python -m edgewright.benchmarks.gpu_check")
    assert "pip install torch" in done.stderr
