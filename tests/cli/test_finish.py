"""A runtime whose engines only its device can build, as a third party would bring it: compiled here, finished there."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from edgewright.core.bundle import open_bundle

if TYPE_CHECKING:
    import onnx

    from tests.conftest import RunCli

MOMENTS = Path(__file__).resolve().parents[1] / "moments"
PLUGIN = '''
"""Leaves every engine to be built on the device; the engine is the ONNX file, run by ONNX Runtime."""

import os
import shutil
from collections import Counter
from dataclasses import replace

from edgewright.backends import Artifact, Availability, Backend, LayerTime, Session
from edgewright.backends.onnxruntime import OnnxRuntime
from edgewright.core.errors import UnavailableError


class Device(Session):
    def __init__(self, inner, precision):
        self.inner, self.precision = inner, precision
        self.inputs, self.outputs = inner.inputs, inner.outputs

    def _run(self, feeds):
        off = float(os.environ.get("LATER_IS_OFF", "0"))
        return {name: array + array.dtype.type(off) for name, array in self.inner.run(feeds).items()}

    def _profile(self, feeds):
        return [LayerTime("first", "Conv", self.precision, 1.0), LayerTime("second", "Conv", "fp32", 1.0)]

    def _precisions(self, operators):
        return {name: "fp16" if place == 0 else self.precision for place, name in enumerate(operators)}


class Later(Backend):
    name = "later"
    completing_runs_code = bool(os.environ.get("LATER_RUNS_CODE"))

    def probe(self):
        return Availability("2.1.0")

    def supports(self, model, target):
        return []

    def lower(self, model, target, workdir, precision="fp32"):
        plain = OnnxRuntime().lower(model, target, workdir)
        return replace(plain, backend=self.name, versions={"later": "2.1.0"}, pending="only the device builds it")

    def complete(self, artifact, target, workdir):
        if os.environ.get("LATER_IS_MISSING"):
            raise UnavailableError("later is not installed on this device", "pip install later")
        shutil.copy(artifact.path, workdir / "model.engine")
        return replace(
            artifact, folder=workdir, entry="model.engine", files=("model.engine",), pending="", remarks=("built",)
        )

    def open(self, artifact, threads):
        return Device(OnnxRuntime().open(replace(artifact, backend="onnxruntime"), threads), "fp32")

    def on_cpu(self, artifact):
        return replace(artifact, backend="onnxruntime", pending="")
'''

TARGET = """
title = "A device of tomorrow"
arch = "any"
isa = []

[[signs]]
path = "{sign}"
contains = ["tomorrow"]

[runtimes.later]
device = "NPU"
precisions = ["fp32"]
opset = [7, 24]
"""


class Elsewhere(NamedTuple):
    bundle: Path
    sign: Path
    env: dict[str, str | None]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    info = folder / "later-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "later.py").write_text(textwrap.dedent(PLUGIN))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: later\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgewright.backends]\nlater = later:Later\n")
    return folder


@pytest.fixture(scope="module")
def compiled(
    run_cli: RunCli, plugin: Path, conv_net: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory
) -> Elsewhere:
    folder = tmp_path_factory.mktemp("elsewhere")
    sign, target, out = folder / "sign", folder / "tomorrow.toml", folder / "net.ewb"
    target.write_text(TARGET.format(sign=sign))
    model, data = folder / "conv_net.onnx", folder / "data.npz"
    model.write_bytes(conv_net.SerializeToString(deterministic=True))
    np.savez(data, x=np.random.default_rng(0).normal(size=(20, 3, 16, 16)).astype(np.float32))
    env: dict[str, str | None] = {"PYTHONPATH": str(plugin), "TMPDIR": str(folder)}
    done = run_cli("compile", model, "--target", target, "-o", out, "--data", data, env=env)
    assert done.returncode == 0, done.stderr
    assert "the engine is not built yet: only the device builds it" in done.stderr
    return Elsewhere(out, sign, env)


@pytest.fixture
def elsewhere(compiled: Elsewhere, tmp_path: Path) -> Iterator[Elsewhere]:
    """A copy of the bundle in this test's own folder, on a machine that is not the device until ``sign`` says so."""
    yield compiled._replace(bundle=Path(shutil.copy(compiled.bundle, tmp_path)))
    compiled.sign.unlink(missing_ok=True)


def test_what_is_compiled_elsewhere_says_what_is_still_to_be_done(run_cli: RunCli, elsewhere: Elsewhere) -> None:
    manifest = open_bundle(elsewhere.bundle).manifest
    assert manifest.backend.pending == "only the device builds it"
    assert manifest.accuracy is not None
    assert manifest.accuracy.mark == "host-proxy"
    assert open_bundle(elsewhere.bundle).golden().engine == []
    assert run_cli("verify", elsewhere.bundle, env=elsewhere.env).returncode == 77
    absent = run_cli("finish", elsewhere.bundle, "-o", elsewhere.bundle.with_name("new.ewb"), env=elsewhere.env)
    assert absent.returncode == 77
    assert "on the device itself" in absent.stderr
    elsewhere.sign.write_text("tomorrow")
    for verb in ("verify", "bench"):
        done = run_cli(verb, elsewhere.bundle, env=elsewhere.env)
        assert done.returncode == 69
        assert "edgewright finish" in done.stdout + done.stderr


def test_the_device_builds_proves_and_measures_it(run_cli: RunCli, elsewhere: Elsewhere) -> None:
    elsewhere.sign.write_text("tomorrow")
    out = elsewhere.bundle.with_name("finished.ewb")
    before = elsewhere.bundle.read_bytes()
    done = run_cli("finish", elsewhere.bundle, "-o", out, "--json", env=elsewhere.env)
    assert done.returncode == 0, done.stderr
    assert elsewhere.bundle.read_bytes() == before
    report = json.loads(done.stdout)
    finished, parent = open_bundle(out), open_bundle(elsewhere.bundle)
    assert report["parent"] == finished.manifest.parent == parent.digest
    assert report["executed"]["source"] == "engine"
    assert report["executed"]["layers"] == {"fp32": 2}
    shares = report["executed"]["shares"]
    assert set(shares) == {"fp16", "fp32"}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    assert report["p50_ms"] > 0
    assert finished.manifest.backend.pending is None
    assert finished.manifest.backend.entry == "model.engine"
    assert finished.manifest.accuracy == parent.manifest.accuracy  # what a stand-in showed is still a stand-in's
    assert finished.journal["finish"] == {"executed": report["executed"], "notes": ["built"]}
    assert len(finished.golden().engine) == len(parent.golden().inputs)
    record = json.loads(out.with_name("finished.record.json").read_text())
    assert record["records"][0]["subject"]["bundle_sha256"] == report["digest"]
    verified = run_cli("verify", out, env=elsewhere.env)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    again = run_cli("finish", out, "-o", out.with_name("more.ewb"), env=elsewhere.env)
    assert again.returncode == 2
    assert "has its engine already" in again.stderr


def test_an_engine_that_answers_something_else_is_not_passed_off(run_cli: RunCli, elsewhere: Elsewhere) -> None:
    elsewhere.sign.write_text("tomorrow")
    out = elsewhere.bundle.with_name("finished.ewb")
    short = {"PYTHONPATH": f"{elsewhere.env['PYTHONPATH']}{os.pathsep}{MOMENTS}"}
    done = run_cli("finish", elsewhere.bundle, "-o", out, env={**elsewhere.env, **short, "LATER_IS_OFF": "1"})
    assert done.returncode == 1
    assert "off the original's golden answers" in done.stderr
    assert not out.exists()
    assert out.with_name("finished.missed.ewb").exists()


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"LATER_IS_MISSING": "1"}, 69, "pip install later"),
        ({"LATER_IS_MISSING": "1", "LATER_RUNS_CODE": "1"}, 65, "--trust-native-code"),
        ({}, 2, "is the bundle itself"),
        ({}, 73, "does not exist"),
    ],
)
def test_what_goes_wrong_is_one_message_and_loses_nothing(
    run_cli: RunCli, elsewhere: Elsewhere, change: dict[str, str], code: int, words: str
) -> None:
    elsewhere.sign.write_text("tomorrow")
    names = {69: "finished.ewb", 65: "finished.ewb", 2: elsewhere.bundle.name, 73: "nowhere/finished.ewb"}
    before = elsewhere.bundle.read_bytes()
    done = run_cli(
        "finish", elsewhere.bundle, "-o", elsewhere.bundle.parent / names[code], env={**elsewhere.env, **change}
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert elsewhere.bundle.read_bytes() == before
