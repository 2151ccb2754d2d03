"""Traces of small models in this process: every figure measured, with a protocol that takes little time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgewright.benchmarks.harness.protocol import Preset, Protocol, WarmUp
from edgewright.benchmarks.trace import read_traces
from edgewright.core.errors import EngineError
from edgewright.driver import latency, trace, trace_layers, trace_steps
from edgewright.driver.compile import compile_model
from edgewright.driver.request import CompileRequest

if TYPE_CHECKING:
    from edgewright.driver.report import TargetReport

SHORT = Protocol(Preset("rapid", 64, 1, 1), warm_up=WarmUp(windows=2, span=1.0, trend=1.0, least_seconds=0.1))


def compiled(model: Path, out: Path, lines: list[str], **options: object) -> TargetReport:
    request = CompileRequest(
        model=str(model), targets=("native/onnxruntime",), out=out, trace=True, log=lines.append, **options
    )  # type: ignore[arg-type]
    (report,) = compile_model(request).targets
    assert report.exit_code == 0, report.problem
    return report


def test_a_timed_trace_of_float(mlp_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without data: sizes and times of every step, and a word for everything else."""
    monkeypatch.setattr(latency, "PRESET", SHORT)
    lines: list[str] = []
    report = compiled(mlp_path, tmp_path / "net.ewb", lines, precision="fp32")
    (found,) = read_traces(tmp_path / "net.record.json")
    assert found.bundle_sha256 == report.digest
    assert report.notes[0] == f"traced {len(found.steps)} steps and {len(found.layers)} layers into net.record.json"
    assert [step.kind for step in found.steps] == ["original", *["pass"] * (len(found.steps) - 2), "engine"]
    assert all(step.size_bytes and step.p50_ns and step.accuracy is None for step in found.steps)
    assert found.steps[-1].size_bytes == report.size_bytes
    assert all(step.p50_ci95 is None or step.p50_ci95[0] <= (step.p50_ns or 0) for step in found.steps)
    assert "the same computation as" in found.steps[-1].note, "what was measured is not measured again"
    assert any(layer.time_ns for layer in found.layers)
    assert all(layer.error is None for layer in found.layers)
    assert found.notes[1:] == (
        "no accuracies: no data was given",
        "no errors of layers: no data was given",
        "no flips: no data was given",
    )
    steps = len(found.steps)
    told = [line.strip() for line in lines if "trace:" in line]
    assert told[0].startswith(f"trace: {steps} engines to build and measure, about ")
    assert told[1] == f"trace: the original (1 of {steps})"
    assert told[2].startswith(f"trace: after {found.steps[1].name} (2 of {steps}, about ")


def test_what_cannot_be_built_or_run_has_a_note_and_no_figures(
    mlp_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object) -> object:
        raise EngineError("the engine fell over", "Try again.")

    monkeypatch.setattr(trace_steps, "measured", broken)
    monkeypatch.setattr(trace_layers, "open_isolated", broken)
    compiled(mlp_path, tmp_path / "net.ewb", [], precision="fp32")
    (found,) = read_traces(tmp_path / "net.record.json")
    assert {(step.p50_ns, step.note) for step in found.steps[:-1]} == {(None, "the engine fell over")}
    assert all(step.size_bytes for step in found.steps)
    assert "no times of layers: the engine fell over" in found.notes


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (EngineError("no luck", "Try again."), "not traced: no luck"),
        (ZeroDivisionError("oh"), "not traced, by a fault of ours: ZeroDivisionError: oh"),
    ],
)
def test_a_failure_while_tracing_costs_nothing(
    problem: Exception, said: str, mlp_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object) -> object:
        raise problem

    monkeypatch.setattr(trace, "trace_steps", broken)
    report = compiled(mlp_path, tmp_path / "net.ewb", [], precision="fp32")
    assert report.notes[0] == said
    assert (tmp_path / "net.ewb").exists()
    assert read_traces(tmp_path / "net.record.json") == []
