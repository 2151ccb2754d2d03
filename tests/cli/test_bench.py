from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from edgewright.benchmarks import bench, summary
from edgewright.benchmarks.gate.latency import Look
from edgewright.benchmarks.harness import protocol
from edgewright.benchmarks.harness.protocol import Preset, Protocol, WarmUp, Windows
from edgewright.benchmarks.harness.scenarios import SINGLE_STREAM, Scenario
from edgewright.benchmarks.record import Run, Summary
from edgewright.benchmarks.statistics import Percentile
from edgewright.cli import main
from edgewright.core.errors import CannotWriteError
from edgewright.core.tensors import Feeds
from tests.conftest import write_mlp_bundle

NAME = "mlp\x1b[31m"
"""A model's name is foreign text."""


@pytest.fixture
def bundle(mlp_path: Path, mlp_feeds: list[Feeds], tmp_path: Path) -> Path:
    """``mlp.ewb`` for this machine's ONNX Runtime, made without the compiler."""
    return write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "mlp.ewb", name=NAME)


@pytest.fixture(autouse=True)
def own_lock(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for whoever else is timing on this machine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("lock")))


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of less than the protocol's second, where the test does not look at figures."""
    monkeypatch.setattr(protocol, "LEAST_RUN_SECONDS", 0.1)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets of a second and any engine warm at once: what is tested here is words, not figures."""
    presets: Mapping[str, Preset] = MappingProxyType({"quick": Preset("quick", 64, 0.1, 1)})
    monkeypatch.setattr(protocol, "PRESETS", presets)
    warm = WarmUp(least_seconds=0.05, most_seconds=0.5, unsteady_seconds=0.1, span=10.0, trend=10.0)

    def named(name: str, scenario: Scenario = SINGLE_STREAM) -> Protocol:
        return Protocol(presets[name], Windows(5, 0.01), warm, scenario)

    monkeypatch.setattr(protocol, "protocol_named", named)
    monkeypatch.setattr("edgewright.benchmarks.bench.protocol_named", protocol.protocol_named)


@pytest.mark.usefixtures("short")
def test_a_table_a_record_and_an_exchange_file(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mlp_feeds: list[Feeds]
) -> None:
    np.savez(tmp_path / "eval.npz", x=np.concatenate([one["x"] for one in mlp_feeds]), labels=np.zeros(32, int))
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        words = ["bench", str(bundle), "--threads", "1", "--data", str(tmp_path / "eval.npz")]
        assert main([*words, "--pytest-benchmark-json", str(file)]) == 0
    out, err = capsys.readouterr()
    head, row = out.splitlines()[:2]
    assert head.split()[:4] == ["model", "target", "precision", "threads"]
    assert "p50 ms" in head
    assert "native/onnxruntime" in row
    assert "top1 0." in row
    assert "\x1b" not in out + err  # neither the model's name nor a bar: this is no terminal
    document = json.loads((tmp_path / "mlp.record.json").read_text())
    assert len(document["records"]) == 2
    compared = subprocess.run(
        [Path(sys.executable).with_name("pytest-benchmark"), "compare", *files],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    assert "Failed to load" not in compared.stdout + compared.stderr
    assert compared.stdout.count("[native/onnxruntime-fp32] (") == 2


@pytest.mark.usefixtures("short")
def test_one_bundle_that_fails_does_not_keep_the_others(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.ewb"
    broken.write_bytes(b"not a zip")
    assert main(["bench", str(broken), str(bundle), "--json"]) == 65
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["schema"] == "edgewright.bench-report/1"
    assert [one["bundle"] for one in document["failures"]] == ["broken.ewb"]
    assert document["failures"][0]["exit_code"] == 65
    assert [one["subject"]["model"] for one in document["records"]] == [NAME]
    assert "broken.ewb" in err


@pytest.mark.usefixtures("short")
def test_figures_that_must_not_be_used_are_said_aloud(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edgewright.benchmarks.harness.measuring.REPEAT_LIMIT", 1e9)
    assert main(["bench", str(bundle), "--threads", "1"]) == 1
    _, err = capsys.readouterr()
    assert "something keeps answers" in err
    assert "invalid: an audit failed" in err


def test_mistakes_are_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tmp_path / "absent.ewb")]) == 2
    assert main(["bench", "x.ewb", "--preset", "fast"]) == 2
    _, err = capsys.readouterr()
    assert "Traceback" not in err
    assert "absent.ewb" in err
    assert "rapid" in err


@pytest.mark.usefixtures("short")
def test_the_devices_own_clock_has_a_line_of_its_own(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_events(runs: Sequence[Run], inner: int, batch: int) -> Summary:
        return replace(summarise(runs, inner, batch), device_percentiles={"p50": Percentile(412_345.0, None, 5e5, 64)})

    summarise = summary.summarise
    monkeypatch.setattr(bench, "summarise", with_events)
    assert main(["bench", str(bundle), "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith("by the device's own clock, without transfers: p50 0.4123 ms")
    assert "0.4123" not in "".join(lines[:-1])


@pytest.mark.usefixtures("short")
def test_samples_arrive_by_a_schedule_or_in_batches(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", str(bundle), "--threads", "1", "--json"]
    assert main([*words, "--scenario", "server", "--rate", "500", "--seed", "7"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["records"]
    used = record["protocol"]
    assert (used["scenario"], used["rate_per_s"], used["seed"]) == ("server", 500.0, 7)
    assert used["sample_kind"] == "response"
    assert used["boundary"].startswith("from a sample's scheduled arrival")
    assert main([*words, "--scenario", "offline", "--batch", "3"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["records"]
    assert (record["protocol"]["batch"], record["status"]) == (3, "ok")
    spent = sum(record["runs"][0]["ns"]) / record["protocol"]["inner"] / len(record["runs"][0]["ns"])
    assert record["summary"]["throughput"] == pytest.approx(3e9 / spent)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "10"], "--rate: nothing arrives in the scenario single-stream"),
        (["--scenario", "server", "--rate", "nan"], "--rate is nan"),
        (["--scenario", "fixed-rate", "--rate", "-1"], "--rate is -1"),
        (["--scenario", "server", "--batch", "2"], "--batch: the scenario server has one sample"),
        (["--scenario", "offline", "--batch", "0"], "--batch is 0"),
        (["--scenario", "server", "--seed", "-1"], "--seed is -1"),
    ],
)
def test_numbers_that_do_not_fit_the_scenario(
    words: list[str], said: str, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(bundle), *words]) == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def short_pairs(monkeypatch: pytest.MonkeyPatch, short: None) -> None:
    """Two looks of three pairs and six: what is tested here is words, not figures."""
    looks = (Look(3, 0.125), Look(6, 0.02))
    for module in ("pairs.pairing", "gate.latency"):
        monkeypatch.setattr(f"edgewright.benchmarks.{module}.LOOKS", looks)
    monkeypatch.setattr("edgewright.benchmarks.pairs.pairing.protocol_named", protocol.protocol_named)


@pytest.mark.usefixtures("short_pairs")
def test_a_self_test_says_what_noise_hides(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["bench", str(bundle), "--threads", "1", "--self-test", "--history", str(tmp_path / "past.sqlite")])
    out = capsys.readouterr().out
    assert code in (0, 1, 75)  # of noise nobody is sure
    assert "against itself, 6 pairs of fresh processes" in out
    assert "minimum detectable effect" in out
    (record,) = json.loads((tmp_path / "mlp.record.json").read_text())["records"]
    assert record["comparison"]["baseline"] == record["subject"]
    assert [run["arm"] for run in record["runs"]] == ["base", "new", "new", "base"] * 3
    assert record["summary"]["n"] < sum(len(run["ns"]) for run in record["runs"])
    assert (tmp_path / "past.sqlite").exists()


@pytest.mark.usefixtures("short_pairs")
def test_against_another_gives_a_verdict_and_a_document(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "base.ewb"
    base.write_bytes(bundle.read_bytes())
    code = main(["bench", str(bundle), "--threads", "1", "--against", str(base), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["gate"]["exit_code"] == code
    assert [one["metric"] for one in document["gate"]["findings"]] == ["latency"]
    assert document["records"][0]["comparison"]["pairs"] in (3, 6)


def test_a_comparison_is_of_single_streams(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(bundle), "--self-test", "--scenario", "offline"]) == 2
    assert main(["bench", str(bundle), "--self-test", "--against", str(bundle)]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.usefixtures("short")
def test_figures_are_shown_though_they_cannot_be_kept(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _record: object) -> None:
        raise CannotWriteError("the disk is full", "Make room.")

    monkeypatch.setattr("edgewright.benchmarks.record.append_record", full)
    assert main(["bench", str(bundle), "--threads", "1"]) == 73
    out, err = capsys.readouterr()
    assert "native/onnxruntime" in out
    assert "the disk is full" in err


def test_what_cannot_be_written_is_said_before_anything_is_measured(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlp.record.json").write_text("mine")
    assert main(["bench", str(bundle)]) == 65
    (tmp_path / "mlp.record.json").unlink()
    nowhere = tmp_path / "no" / "folder.json"
    assert main(["bench", str(bundle), "--pytest-benchmark-json", str(nowhere)]) == 73
    assert main(["bench", str(bundle), "--commit", "abc"]) == 2
    assert not capsys.readouterr().out


def test_a_self_test_keeps_the_exit_code_of_what_failed(bundle: Path, tmp_path: Path) -> None:
    content = bundle.read_bytes()
    damaged = tmp_path / "damaged.ewb"
    damaged.write_bytes(content[:200])
    assert main(["bench", str(damaged), "--self-test"]) == 65


@pytest.mark.usefixtures("short")
def test_a_reader_that_leaves_changes_no_exit_code(bundle: Path) -> None:
    command = [str(Path(sys.executable).with_name("edgewright")), "bench", str(bundle), "--commit", "abc", "--json"]
    script = 'set -o pipefail; "$@" | true'
    done = subprocess.run(["bash", "-c", script, "bash", *command], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2


@pytest.mark.usefixtures("short")
def test_no_library_leaves_anything_at_home(bundle: Path, tmp_path: Path) -> None:
    """ONNX Runtime's telemetry writes a device's identity into HOME and a session's into TMPDIR, unless told not to."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(temporary)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    command = [Path(sys.executable).with_name("edgewright"), "verify", bundle]
    subprocess.run(command, env=environment, capture_output=True, timeout=120, check=True)
    assert [str(path) for path in (*home.rglob("*"), *temporary.rglob("*"))] == []
