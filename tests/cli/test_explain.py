"""``edgewright explain`` as users have it: a bundle that ``compile`` made, and everything that cannot be explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import pytest

from tests.conftest import write_mlp_bundle

if TYPE_CHECKING:
    from edgewright.core.tensors import Feeds
    from tests.cli.conftest import RunHere
    from tests.conftest import RunCli


def test_a_compiled_bundle_is_explained(run_cli: RunCli, conv_net_path: Path, own_lock: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.ewb"
    done = run_cli("compile", conv_net_path, "--target", "native/onnxruntime", "-o", out, "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    before = sorted(tmp_path.iterdir())
    shown = run_cli("explain", out, "--threads", "1", "--json")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["schema"] == "edgewright.explain/1"
    assert found["threads"] == 1
    layers = found["layers"]
    products = [one for one in layers if one["macs"]]
    assert len(products) == 4
    assert {one["precision"] for one in layers} == {"fp32"}
    assert {name for one in products for name in one["operators"]} >= {"block.add", "dw.conv", "dw.clip", "head.gemm"}
    assert sum(one["macs"] for one in products) == 16 * 16 * 8 * 27 + 16 * 16 * 8 * 72 + 8 * 8 * 8 * 9 + 80
    timing = found["timing"]
    assert timing["profiled_us"] > 0
    assert sum(one["time_us"] for one in layers) == pytest.approx(timing["layers_us"], abs=0.1)
    assert found["ceilings"]["macs_per_s"]["fp32"] > 0
    assert found["ceilings"]["absent"].keys() <= {"bf16", "int8"}
    assert found["fallbacks"] == found["unfused"] == []
    assert len(found["changes"]) <= 3
    assert sorted(tmp_path.iterdir()) == before, "explaining writes nothing"

    table = run_cli("explain", out, "--threads", "1", "--top", "2")
    assert table.returncode == 0, table.stderr
    assert "layer " in table.stdout
    assert f"... {len(layers) - 2} more layers" in table.stdout
    assert "most likely to help" in table.stdout
    assert "\x1b" not in table.stdout


@pytest.fixture
def mlp_bundle(mlp_path: Path, mlp_feeds: list[Feeds], tmp_path: Path) -> Path:
    return write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "mlp.ewb")


def test_a_device_without_the_compiler_says_what_is_missing(run_cli: RunCli, mlp_bundle: Path, tmp_path: Path) -> None:
    """Blocked as on a device: times, precisions and activations are there, what needs the graph is absent."""
    blocker = "import sys\nfor name in ('onnx', 'onnx_ir'):\n    sys.modules[name] = None\n"
    (tmp_path / "sitecustomize.py").write_text(blocker)
    done = run_cli("explain", mlp_bundle, "--threads", "1", "--json", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert any("edgewright[compile]" in note for note in found["notes"])
    assert found["layers"]
    for one in found["layers"]:
        assert one["precision"] == "fp32"
        assert one["read_bytes"] is not None
    assert any("onnx package" in one["why"] for one in found["layers"] if one["weight_bytes"] is None)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--top", "0"], 2, "--top is 0"),
        (["--top", "-3"], 2, "--top is -3"),
        (["--top", "many"], 2, "invalid int"),
        (["--threads", "0"], 2, "--threads is 0"),
    ],
)
def test_wrong_options(run_here: RunHere, mlp_bundle: Path, words: list[str], code: int, said: str) -> None:
    done = run_here("explain", mlp_bundle, *words)
    assert done.returncode == code
    assert said in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(("content", "code"), [(None, 2), (b"", 65), (b"no zip", 65), (b"PK\3\4" + bytes(90), 65)])
def test_what_is_no_bundle(run_here: RunHere, tmp_path: Path, content: bytes | None, code: int) -> None:
    path = tmp_path / "x.ewb"
    if content is not None:
        path.write_bytes(content)
    done = run_here("explain", path)
    assert done.returncode == code
    assert "error:" in done.stderr
    assert not done.stdout


def test_a_bundle_for_another_machine_is_skipped(
    run_here: RunHere, mlp_path: Path, mlp_feeds: list[Feeds], tmp_path: Path
) -> None:
    bundle = write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "pi.ewb", hardware="rpi5")
    done = run_here("explain", bundle)
    assert done.returncode == 77
    assert "Run explain on the device itself." in done.stderr


def test_a_runtime_that_does_not_show_what_it_executes(
    run_here: RunHere, mlp_path: Path, mlp_feeds: list[Feeds], own_lock: Path, tmp_path: Path
) -> None:
    backend = {
        "name": "reference",
        "versions": {"onnx": onnx.__version__},
        "entry": "model.onnx",
        "properties": {},
        "pending": None,
    }
    bundle = write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "reference.ewb", backend=backend)
    done = run_here("explain", bundle)
    assert done.returncode == 69
    assert "reference on CPU cannot be explained" in done.stderr
    assert "edgewright bench" in done.stderr
    assert run_here("explain", bundle, "--json").stdout.startswith("{")
