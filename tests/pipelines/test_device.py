"""What a device installs and pays, and what it can do with less: checked in processes of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.pipelines.device.bundles import square_bundle
from tests.test_imports import ABSENT_ON_A_DEVICE, BLOCKER

ROOT = Path(__file__).resolve().parents[2]
STUDIES = ROOT / "benchmarks" / "studies"
RECORD = ROOT / "benchmarks" / "results" / "small.json"

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


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, ModuleType]]:
    """``small`` and ``small_table`` of the folder of studies, as its own command imports them."""
    monkeypatch.syspath_prepend(str(STUDIES))
    before = set(sys.modules)
    import importlib

    yield importlib.import_module("small"), importlib.import_module("small_table")
    for name in set(sys.modules) - before:
        if str(STUDIES) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture(scope="module")
def record() -> Any:
    return json.loads(RECORD.read_text("utf-8"))


def test_run_and_verify_need_none_of_the_extras(square: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.float32))
    words = [["verify", str(square)], ["run", str(square), "--input", str(tmp_path / "x.npy")]]
    code = f"""{BLOCKER}
from edgewright.cli import main
print([main(words) for words in {words!r}])
print(set({ABSENT_ON_A_DEVICE!r}) & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-2:] == ["[0, 0]", "set()"], done.stderr


def test_verify_run_and_load_keep_to_their_memory(
    square: Path, tmp_path: Path, studies: tuple[ModuleType, ModuleType]
) -> None:
    """In this environment, which has far more installed: what a device is promised holds here too."""
    small, _ = studies
    np.savez(tmp_path / "x.npz", x=np.ones((1, 2, 3), np.float32))
    edgewright = str(Path(sys.executable).with_name("edgewright"))
    for command in (
        [edgewright, "verify", str(square)],
        [edgewright, "run", str(square), "--input", str(tmp_path / "x.npz")],
        [sys.executable, "-c", small.LOAD, str(square), str(tmp_path / "x.npz"), "1", "10"],
    ):
        code, pss, rss = small.memory_of(command)
        assert code == 0, command
        assert 30e6 < pss <= rss, "it was not looked at while it ran"
        assert pss <= small.LIMIT_BYTES + square.with_suffix(".onnx").stat().st_size, command


def test_the_recorded_limits_are_kept_with_the_pinned_versions(
    record: Any, studies: tuple[ModuleType, ModuleType]
) -> None:
    small, _ = studies
    assert record["schema"] == small.SCHEMA
    small_engines = [row for row in record["rows"] if row["engine_bytes"] < 15e6]
    assert len(small_engines) >= 3
    assert small.kept({**record, "rows": small_engines})
    assert {row["precision"] for row in record["rows"]} == {"int8"}
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.M))
    pinned = {_plain(name): version for name, version in pins.items()}
    installed = {_plain(name): version for name, version in record["install"]["packages"].items()}
    assert {"numpy", "onnxruntime", "rich"} < installed.keys()
    assert {name: pinned[name] for name in installed if name != "edgewright"} == {
        name: version for name, version in installed.items() if name != "edgewright"
    }


def test_every_dependency_was_found_for_arm_at_its_pinned_version(record: Any) -> None:
    arm = record["arm"]
    assert arm["skipped"] is None
    installed = {_plain(name): version for name, version in record["install"]["packages"].items()}
    files = {_plain(name): file for name, file in arm["files"].items()}
    assert files.keys() == installed.keys()
    for name, file in files.items():
        assert file.split("-")[1] == installed[name]
        assert file.endswith(("_aarch64.whl", "-none-any.whl")), file


def test_the_page_has_the_recorded_figures(record: Any, studies: tuple[ModuleType, ModuleType]) -> None:
    _, table = studies
    page = (ROOT / "docs" / "device.md").read_text("utf-8")
    for name, lines in (("small", table.lines(record)), ("arm", table.arm_lines(record))):
        shown = page.partition(f"<!-- figures: {name} -->\n")[2].partition(f"<!-- end: {name} -->")[0]
        assert shown.splitlines() == lines
    assert table._held({"pss_bytes": 2e6, "rss_bytes": 3e6}, 1_000_000) == "**2 MB (3)**"


@pytest.mark.full
def test_a_fresh_environment_keeps_its_promises(
    square: Path, tmp_path: Path, studies: tuple[ModuleType, ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    small, _ = studies
    if subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", tmp_path, "mdurl"],
                      capture_output=True, check=False).returncode:  # fmt: skip
        pytest.skip("no package index can be reached")
    assert small.run([square], tmp_path / "small.json") == 0
    assert "| square, fp32 |" in capsys.readouterr().out
    found = json.loads((tmp_path / "small.json").read_text("utf-8"))
    assert found["wheel"]["pure"]
    assert found["arm"]["files"]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
