"""What a device installs and pays, and what it can do with less: checked in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.device.bundles import square_bundle

STANDARD_LIBRARY_ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != "edgewright":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return square_bundle(tmp_path_factory.mktemp("square") / "square.ewb")


def without_packages(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", STANDARD_LIBRARY_ALONE + code], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_blocker_blocks() -> None:
    assert "No module named 'numpy'" in without_packages("import numpy").stderr


def test_a_bundle_is_read_and_its_engine_taken_out_with_the_standard_library_alone(
    square: Path, tmp_path: Path
) -> None:
    done = without_packages(f"""
import edgewright, json
bundle = edgewright.Bundle.read({str(square)!r})
engine = bundle.extract_engine({str(tmp_path / "engine")!r})
print(json.dumps([bundle.digest, bundle.manifest.to_json()["inputs"], str(engine)]))
""")
    assert done.returncode == 0, done.stderr
    digest, inputs, engine = json.loads(done.stdout)
    assert len(digest) == 64
    assert inputs == [{"name": "x", "dtype": "float32", "shape": [2, 3]}]
    assert Path(engine).read_bytes() == square.with_suffix(".onnx").read_bytes()


def test_an_altered_bundle_is_refused_with_the_standard_library_alone(square: Path, tmp_path: Path) -> None:
    data = bytearray(square.read_bytes())
    data[data.index(b"ReduceMean")] ^= 1
    (tmp_path / "altered.ewb").write_bytes(data)
    done = without_packages(f"""
import edgewright
try:
    edgewright.Bundle.read({str(tmp_path / "altered.ewb")!r})
except edgewright.EdgewrightError as error:
    print(int(error.exit_code))
""")
    assert done.stdout == "65\n", done.stderr


def test_an_engine_is_loaded_by_its_child_process_alone(square: Path) -> None:
    """What the parent would load too, a device would hold in memory twice."""
    code = f"""
import sys, numpy, edgewright
with edgewright.load({str(square)!r}) as model:
    assert model.run(numpy.ones((2, 3), "f4"))["mean"] == 1
assert edgewright.Bundle.read({str(square)!r}).verify().exit_code == 0
heavy = {{"onnxruntime", "rich", "onnx", "torch", "edgewright.benchmarks.accuracy"}}
print(sorted(heavy & set(sys.modules)))
from edgewright.backends import registry
backend = registry().find("onnxruntime")()
assert backend.installed().version == backend.probe().version
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
