from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from edgewright.benchmarks.gate import latency, session
from edgewright.benchmarks.gate.latency import Look
from edgewright.benchmarks.harness import protocol
from edgewright.benchmarks.harness.protocol import Preset, Protocol, WarmUp, Windows
from edgewright.benchmarks.pairs import duel, pairing
from edgewright.cli import main
from edgewright.core.tensors import Feeds
from tests.conftest import RunCli, write_mlp_bundle

NAME = "mlp\x1b[31m|##[error]x"
"""A model's name is foreign text."""

MakeBundle = Callable[..., Path]


@pytest.fixture
def make_bundle(mlp: onnx.ModelProto, mlp_feeds: list[Feeds], tmp_path: Path) -> MakeBundle:
    """Writes ``mlp`` for this machine's ONNX Runtime, made without the compiler; ``noise`` spoils its weights."""

    def make(path: Path, noise: float = 0.0, target: str | None = None) -> Path:
        model, rng = onnx.ModelProto(), np.random.default_rng(3)
        model.CopyFrom(mlp)
        for weight in model.graph.initializer:
            array = numpy_helper.to_array(weight)
            spoilt = array + rng.normal(0, noise, array.shape).astype(np.float32)
            weight.CopyFrom(numpy_helper.from_array(spoilt, weight.name))
        file = tmp_path / "model.onnx"
        file.write_bytes(model.SerializeToString(deterministic=True))
        path.parent.mkdir(exist_ok=True)
        return write_mlp_bundle(file, mlp_feeds, path, name=NAME, hardware=target or "native")

    return make


@pytest.fixture
def data(mlp: onnx.ModelProto, tmp_path: Path) -> Path:
    """Samples whose labels are what the model says."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, 16)).astype(np.float32)
    session = onnxruntime.InferenceSession(mlp.SerializeToString(), providers=["CPUExecutionProvider"])
    np.savez(tmp_path / "eval.npz", x=x, labels=session.run(None, {"x": x})[0].argmax(axis=1))
    return tmp_path / "eval.npz"


@pytest.fixture(autouse=True)
def own_lock(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for whoever else is timing on this machine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("lock")))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets of a moment, any engine warm at once, two pairs: what is tested here is words, not figures."""
    monkeypatch.setattr(protocol, "LEAST_RUN_SECONDS", 0.05)
    presets = MappingProxyType({"quick": Preset("quick", 64, 0.1, 3)})
    monkeypatch.setattr(protocol, "PRESETS", presets)
    warm = WarmUp(least_seconds=0.05, most_seconds=0.5, unsteady_seconds=0.1, span=10.0, trend=10.0)

    def named(name: str) -> Protocol:
        return Protocol(presets[name], Windows(5, 0.01), warm)

    for module in ("bench", "pairs.pairing"):
        monkeypatch.setattr(f"edgewright.benchmarks.{module}.protocol_named", named)
    for owner in (latency, pairing):
        monkeypatch.setattr(owner, "LOOKS", (Look(1, 0.004), Look(2, 0.006)))
    for module in (duel, session):
        monkeypatch.setattr(module, "MEMORY_PROCESSES", 1)


@pytest.mark.usefixtures("short")
def test_folders_against_folders_in_every_format(
    make_bundle: MakeBundle,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two bundles one is as it was and one has lost its accuracy; a third was shipped and is missing."""
    for name, noise in (("same", 0.0), ("spoilt", 0.0), ("gone", 0.0)):
        make_bundle(tmp_path / "old" / f"{name}.ewb", noise)
    make_bundle(tmp_path / "new" / "same.ewb")
    make_bundle(tmp_path / "new" / "spoilt.ewb", 0.5)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    words = ["gate", str(tmp_path / "new"), "--against", str(tmp_path / "old"), "--data", str(data), "--threads", "1"]
    words += ["--metric", "f1"]  # no mean of scores: computed again over parts of both models' answers
    files = ["--junit", str(tmp_path / "gate.xml"), "--markdown", str(tmp_path / "gate.md"), "--github"]
    code = main([*words, *files])
    out, err = capsys.readouterr()
    assert code == 69, out + err  # a failure outranks a regression
    lines = out.splitlines()
    assert lines[0].startswith("regressed: 1 regressed, 2 inconclusive, 1 pass, 1 failed")
    accuracy = [line for line in lines if ": accuracy: " in line]
    assert [line.split()[:2] for line in accuracy] == [["pass", "same"], ["regressed", "spoilt"]]
    assert "f1 1.0000, was 1.0000, no change" in accuracy[0]
    assert any("gone.ewb" in line and line.startswith("unavailable") for line in lines)
    assert "\x1b" not in out + err
    assert "##[" not in out + err
    assert err.count("::error title=") == 2
    root = ET.fromstring((tmp_path / "gate.xml").read_bytes())
    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["5", "1", "3"]
    markdown = (tmp_path / "gate.md").read_text()
    assert markdown.startswith("## Edgewright gate: regressed")
    assert (tmp_path / "summary.md").read_text() == markdown
    record = json.loads((tmp_path / "new" / "same.record.json").read_text())["records"][0]
    assert record["comparison"]["pairs"] == 2
    assert len(record["runs"]) == 4


@pytest.mark.usefixtures("short")
def test_a_baseline_is_saved_and_held_against(
    make_bundle: MakeBundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, baseline = make_bundle(tmp_path / "mlp.ewb"), tmp_path / "baseline.json"
    words = ["gate", str(bundle), "--data", str(data), "--threads", "1", "--json"]
    assert main([*words, "--save-baseline", str(baseline)]) == 0
    saved = json.loads(capsys.readouterr().out)
    assert saved["verdict"] == "pass"
    assert saved["exit_code"] == 0
    assert saved["findings"] == []
    entry = json.loads(baseline.read_text())["baselines"][0]
    assert len(entry["run_medians_ns"]) == 3
    assert entry["scores"]["per_sample"] == [1] * 400
    assert "runs" not in entry["record"]

    worse = make_bundle(tmp_path / "next" / "mlp.ewb", 0.5)
    assert main(["gate", str(worse), *words[2:], "--baseline", str(baseline), "--save-baseline", str(baseline)]) == 1
    report = json.loads(capsys.readouterr().out)
    found = {one["metric"]: one for one in report["findings"]}
    assert found["accuracy"]["verdict"] == "regressed"
    assert found["latency"]["verdict"] == "inconclusive"  # three runs a side tell nothing at 1 %
    assert "So few runs" in found["latency"]["remedy"]
    assert "mlp: not fit to be a baseline: it regressed" in report["notes"]
    assert json.loads(baseline.read_text())["baselines"] == [entry]

    document = json.loads(baseline.read_text())
    document["baselines"][0]["record"]["machine"]["identity"] = "0" * 16
    baseline.write_text(json.dumps(document))
    assert main(["gate", str(bundle), *words[2:], "--baseline", str(baseline)]) == 69
    failure = json.loads(capsys.readouterr().out)["failures"][0]
    assert "another machine" in failure["problem"]
    assert "--save-baseline" in failure["remedy"]


@pytest.mark.usefixtures("short")
def test_a_file_of_gates(make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Absolute limits, with one bundle that is for hardware which is not here."""
    make_bundle(tmp_path / "here.ewb")
    make_bundle(tmp_path / "elsewhere.ewb", target="rpi5/onnxruntime")
    (tmp_path / "gates.toml").write_text(
        """
        [defaults]
        threads = 1
        [defaults.size]
        max = "1MB"
        [[gate]]
        name = "front door"
        bundle = "here.ewb"
        [gate.latency]
        max = "1s"
        [[gate]]
        bundle = "elsewhere.ewb"
        """
    )
    assert main(["gate", "--limits", str(tmp_path / "gates.toml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "pass: 2 pass, 1 not for this machine"
    assert lines[1].startswith(
        "pass          front door (mlp\\x1b[31m|##[error]x native/onnxruntime fp32): latency-limit:"
    )
    assert any(line.startswith("absent") for line in lines)
    words = ["gate", str(tmp_path / "elsewhere.ewb"), "--limits", str(tmp_path / "gates.toml")]
    assert main(words) == 77
    assert "2 [[gate]] of" in capsys.readouterr().out


def test_mistakes_are_one_message(
    make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.json").write_text("{}")
    bundle = str(make_bundle(tmp_path / "a.ewb"))
    cases = {
        (): "no gates.toml",
        (bundle,): "a: held against nothing",
        (bundle, "--against", "b.ewb", "c.ewb"): "1 bundles and 2 to hold them against",
        ("--against", bundle): "nothing to judge",
        (bundle, "--against", bundle, "--baseline", "x"): "exclude one another",
        (bundle, "--save-baseline", "nowhere/x.json"): "cannot write nowhere",
        (bundle, "--junit", "."): "is a folder",
        (bundle, "--save-baseline", "other.json"): "other.json has the schema None",
        (bundle, "--limits", "no.toml"): "no.toml is not there",
    }
    for words, message in cases.items():
        code = main(["gate", *words])
        _, err = capsys.readouterr()
        assert code in (2, 65, 73), (words, err)
        assert message in err, (words, err)
        assert "Traceback" not in err
    assert not list(tmp_path.glob("*.record.json"))  # nothing was measured


@pytest.mark.usefixtures("short")
def test_what_is_left_out_is_said(
    make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits that are here and not read, and a --baseline for a gate that has its own."""
    monkeypatch.chdir(tmp_path)
    make_bundle(tmp_path / "mlp.ewb")
    gates = '[defaults]\nthreads = 1\n[[gate]]\nbundle = "mlp.ewb"\nbaseline = "b.json"\n'
    (tmp_path / "gates.toml").write_text(gates)
    assert main(["gate", "mlp.ewb", "--threads", "1", "--save-baseline", "b.json"]) == 0
    assert "note: gates.toml is here and not read" in capsys.readouterr().out
    main(["gate", "--baseline", "other.json"])
    out = capsys.readouterr().out
    assert "note: --baseline other.json is not for mlp" in out
    assert "latency: " in out


@pytest.mark.usefixtures("short")
def test_a_reader_that_leaves_changes_no_verdict(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in 'edgewright gate 2>&1 | head -1': a limit that is missed is missed though nobody reads on."""
    make_bundle(tmp_path / "mlp.ewb")
    gates = '[defaults]\nthreads = 1\n[[gate]]\nbundle = "mlp.ewb"\n[gate.size]\nmax = "1B"\n'
    (tmp_path / "gates.toml").write_text(gates)
    with ExitStack() as pipes:
        for name in ("stdout", "stderr"):
            reader, writer = os.pipe()
            os.close(reader)
            monkeypatch.setattr(sys, name, pipes.enter_context(os.fdopen(writer, "w", buffering=1)))
        words = ["gate", "--limits", str(tmp_path / "gates.toml"), "--github", "--junit", str(tmp_path / "gate.xml")]
        assert main(words) == 1
    assert ET.parse(tmp_path / "gate.xml").getroot().get("failures") == "1"


@pytest.mark.full  # 40 s; in the default tier the examples of docs/gate.md run the installed command
def test_the_installed_command_with_a_short_preset(run_cli: RunCli, make_bundle: MakeBundle, tmp_path: Path) -> None:
    """The true protocol, three runs: a limit that any machine keeps, and one that none does."""
    make_bundle(tmp_path / "mlp.ewb")
    (tmp_path / "gates.toml").write_text(
        """
        [defaults]
        preset = "rapid"
        threads = 1
        [[gate]]
        bundle = "mlp.ewb"
        [gate.latency]
        max = "1us"
        [gate.memory]
        max = "1GB"
        """
    )
    done = run_cli("gate", "--json", "--junit", "gate.xml", cwd=tmp_path, env={"TMPDIR": str(tmp_path)})
    assert done.returncode == 1, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert {one["metric"]: one["verdict"] for one in report["findings"]} == {
        "latency-limit": "regressed",
        "memory": "pass",
    }
    assert ET.parse(tmp_path / "gate.xml").getroot().get("tests") == "2"


def test_no_output_is_written_over_what_goes_in(
    make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, base = (make_bundle(tmp_path / name) for name in ("new.ewb", "base.ewb"))
    before = base.read_bytes()
    for option, path in (("--junit", base), ("--markdown", tmp_path / "new.record.json"), ("--save-baseline", bundle)):
        assert main(["gate", str(bundle), "--against", str(base), option, str(path)]) == 2
        assert "would be written over" in capsys.readouterr().err
    assert base.read_bytes() == before
