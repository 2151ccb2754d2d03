from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import onnx

    from tests.conftest import RunCli


@pytest.fixture(scope="module")
def compiled(run_cli: RunCli, conv_net: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    model, out = folder / "conv_net.onnx", folder / "net.ewb"
    model.write_bytes(conv_net.SerializeToString(deterministic=True))
    done = run_cli("compile", model, "--target", "native/onnxruntime", "-o", out, "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def bundle(compiled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(compiled, tmp_path))


def test_a_bundle_verifies_zipped_and_unzipped(run_cli: RunCli, bundle: Path, tmp_path: Path) -> None:
    done = run_cli("verify", bundle, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {check["name"]: check["state"] for check in report["checks"]} == {
        "digests": "ok",
        "machine": "ok",
        "versions": "ok",
        "engine": "ok",
        "original": "ok",
    }
    folder = tmp_path / "unzipped"
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    again = run_cli("verify", folder, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["digest"] == report["digest"]


def test_an_edited_bundle_is_refused_before_anything_runs(run_cli: RunCli, bundle: Path) -> None:
    data = bytearray(bundle.read_bytes())
    place = data.index(b"stem.w")
    data[place] ^= 1
    bundle.write_bytes(data)
    done = run_cli("verify", bundle)
    assert done.returncode == 65
    assert "Traceback" not in done.stderr


def test_wrong_numbers_fail_the_verification(run_cli: RunCli, bundle: Path, tmp_path: Path) -> None:
    """A bundle whose engine computes something else, with digests that fit: only the golden samples can tell."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    from edgewright.core.bundle import open_bundle, write_bundle

    whole = open_bundle(bundle)
    engine = whole.extract_engine(tmp_path / "engine")
    model = onnx.load(engine)
    weight = next(item for item in model.graph.initializer if item.dims == [10, 8])
    weight.CopyFrom(numpy_helper.from_array(np.ones((10, 8), np.float32), weight.name))
    engine.write_bytes(model.SerializeToString())
    forged = tmp_path / "forged.ewb"
    write_bundle(forged, whole.manifest.to_json(), whole.journal, {engine.name: engine}, whole.golden())
    done = run_cli("verify", forged)
    assert done.returncode == 1
    assert "failed" in done.stdout


def test_a_target_that_is_not_here_is_skipped(run_cli: RunCli, conv_net_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "pi.ewb"
    done = run_cli("compile", conv_net_path, "--target", "rpi5/onnxruntime", "-o", out, "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    verified = run_cli("verify", out)
    assert verified.returncode == 77
    assert "is not here" in verified.stdout


def test_an_engine_of_a_newer_runtime_is_not_opened(run_cli: RunCli, bundle: Path, tmp_path: Path) -> None:
    from edgewright.core.bundle import open_bundle, write_bundle

    whole = open_bundle(bundle)
    engine = whole.extract_engine(tmp_path / "engine")
    manifest = whole.manifest.to_json()
    manifest["backend"] = {**manifest["backend"], "versions": {"onnxruntime": "99.0.0"}}  # type: ignore[dict-item]
    newer = tmp_path / "newer.ewb"
    write_bundle(newer, manifest, whole.journal, {engine.name: engine}, whole.golden())
    done = run_cli("verify", newer)
    assert done.returncode == 69
    assert "built with onnxruntime 99.0.0" in done.stdout
    measured = run_cli("bench", newer, "--preset", "rapid")
    assert measured.returncode == 69
    assert "built with onnxruntime 99.0.0" in measured.stderr


def test_json_is_one_document_even_where_nothing_comes_of_it(run_cli: RunCli, tmp_path: Path) -> None:
    broken = tmp_path / "broken.ewb"
    broken.write_bytes(b"no zip")
    done = run_cli("verify", broken, "--json")
    assert done.returncode == 65
    document = json.loads(done.stdout)
    assert document["schema"] == "edgewright.error/1"
    assert document["exit_code"] == 65
    assert document["problem"] in done.stderr
