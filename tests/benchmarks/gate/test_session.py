"""Whole sessions on an engine whose speed and faults are written in its bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewright.backends import Artifact
from edgewright.benchmarks.gate import latency, session
from edgewright.benchmarks.gate.baseline import read_baselines, save_baselines
from edgewright.benchmarks.gate.findings import GateReport
from edgewright.benchmarks.gate.latency import Look
from edgewright.benchmarks.gate.limits import Gate, Limits
from edgewright.benchmarks.gate.session import Outcome, run_gates
from edgewright.benchmarks.harness.protocol import Preset, Protocol, WarmUp, Windows
from edgewright.benchmarks.pairs import duel, pairing
from edgewright.core import jsontext
from edgewright.core.bundle import Bundle
from edgewright.core.errors import ExitCode

WARM = WarmUp(least_seconds=0.02, most_seconds=0.1, unsteady_seconds=0.05, span=10.0, trend=10.0)
TINY = Protocol(Preset("tiny", 320, 0.02, 5), Windows(5, 0.005), WARM)
ONCE = replace(TINY, preset=Preset("once", 64, 0.02, 1))

MakeBundle = Callable[..., Path]


@pytest.fixture(autouse=True)
def two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer pairs, with levels they can reach: 2^-4 and 2^-5; and memory read once."""
    for owner in (latency, pairing):
        monkeypatch.setattr(owner, "LOOKS", (Look(4, 0.07), Look(5, 0.05)))
    for module in (duel, session):
        monkeypatch.setattr(module, "MEMORY_PROCESSES", 1)


@pytest.fixture
def paced_bundle(paced: Callable[..., Artifact], mlp_bundle: Callable[..., Bundle], tmp_path: Path) -> MakeBundle:
    """``paced_bundle("new/a.ewb", us=300)``: a bundle of the paced engine."""
    paced()

    def make(name: str, **how: object) -> Path:
        specs = [{"name": one, "dtype": "float32", "shape": [1, 16]} for one in ("x", "y")]
        backend = {
            "name": "paced",
            "versions": {"paced": "1"},
            "entry": "model.onnx",
            "properties": {key: str(value) for key, value in how.items()},
            "pending": None,
        }
        bundle = mlp_bundle(backend=backend, inputs=specs[:1], outputs=specs[1:])
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        bundle.path.replace(path)
        return path

    return make


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Inputs for an engine whose golden answers are another's."""
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32))
    return str(tmp_path / "x.npz")


def verdicts(outcome: Outcome) -> dict[tuple[str, str], str]:
    return {(one.gate, one.metric): one.verdict for one in outcome.report.findings}


def test_one_engine_crashes_and_the_others_are_judged(paced_bundle: MakeBundle, data: str) -> None:
    base = paced_bundle("old/a.ewb", us=300)
    gates = [
        Gate("crashes", paced_bundle("new/crashes.ewb", us=300, crash_at=40), against=base),
        Gate("slower", paced_bundle("new/slower.ewb", us=600), against=base),
        Gate("refused", paced_bundle("new/refused.ewb", open="refuse"), limits=Limits(max_bytes=1)),
        Gate("big", paced_bundle("new/big.ewb", us=300), limits=Limits(max_bytes=1)),
        Gate("broken", Path(__file__), limits=Limits(max_bytes=1)),
    ]
    outcome = run_gates([replace(gate, threads=1, data=data) for gate in gates], TINY)
    assert {one.gate: one.kind for one in outcome.report.failures} == {
        "crashes": "crashed",
        "refused": "raised",
        "broken": "bad-input",
    }
    assert verdicts(outcome) == {("slower", "latency"): "regressed", ("big", "size"): "regressed"}
    assert outcome.report.exit_code == ExitCode.UNAVAILABLE
    assert [path.name for path, _ in outcome.records] == ["slower.ewb", "big.ewb"]
    assert outcome.entries == ()  # what regressed is nobody's baseline
    assert any(
        note.startswith("slower, big: accuracy not measured: x.npz has no labels") for note in outcome.report.notes
    )


def test_against_a_stored_baseline(paced_bundle: MakeBundle, data: str, tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    first = run_gates([Gate("a", paced_bundle("old/a.ewb", us=500), data=data, threads=1)], TINY, saving=True)
    assert verdicts(first) == {}
    save_baselines(file, first.entries)
    assert len(read_baselines(file)[0].run_medians_ns) == 5
    slow = Gate("a", paced_bundle("new/a.ewb", us=1000), baseline=file, data=data, threads=1)
    found = run_gates([slow], TINY)
    assert verdicts(found) == {("a", "latency"): "regressed"}
    assert found.report.findings[0].figures["ratio"] == pytest.approx(2, rel=0.2)  # the machine may be busy
    fast = replace(slow, bundle=paced_bundle("new/fast.ewb", us=250), limits=Limits(max_memory_growth=10.0))
    assert verdicts(run_gates([fast], TINY)) == {("a", "latency"): "pass", ("a", "memory"): "pass"}


def test_what_only_the_new_folder_has(
    paced_bundle: MakeBundle, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a limit of its own it is no pass; with one, what is relative is left out."""
    for owner in (latency, pairing):  # no verdict here rests on how many pairs there are
        monkeypatch.setattr(owner, "LOOKS", (Look(1, 0.004), Look(2, 0.006)))
    for name in ("old/a.ewb", "new/a.ewb", "new/fresh.ewb"):
        paced_bundle(name, us=300)
    gate = Gate("all", tmp_path / "new", against=tmp_path / "old", data=data, threads=1, limits=Limits(max_growth=1.0))
    found = verdicts(run_gates([gate], TINY))
    assert found["a", "size"] == "pass"
    assert found["fresh", "latency"] == "inconclusive"
    assert ("fresh", "size") not in found
    alone = verdicts(run_gates([replace(gate, limits=Limits(max_growth=1.0, max_bytes=10**9))], TINY))
    assert [name for name in alone if name[0] == "fresh"] == [("fresh", "size")]


def test_other_threads_or_inputs_are_not_compared(paced_bundle: MakeBundle, data: str, tmp_path: Path) -> None:
    file, bundle = tmp_path / "b.json", paced_bundle("old/a.ewb", us=300)
    save_baselines(file, run_gates([Gate("a", bundle, data=data, threads=1)], ONCE).entries)
    grown = Limits(max_memory_growth=10.0)
    more = run_gates([Gate("a", bundle, baseline=file, data=data, threads=2, limits=grown)], ONCE).report
    assert [(one.metric, one.verdict) for one in more.findings] == [
        ("latency", "inconclusive"),
        ("memory", "inconclusive"),
    ]
    assert "--threads 1" in more.findings[0].remedy
    np.savez(tmp_path / "other.npz", x=np.random.default_rng(1).normal(size=(8, 16)).astype(np.float32))
    other = run_gates([Gate("a", bundle, baseline=file, threads=1, data=str(tmp_path / "other.npz"))], ONCE).report
    assert "other inputs" in other.findings[0].text
    assert other.verdict == "inconclusive"


def test_a_missing_entry_fails_before_anything_is_measured(paced_bundle: MakeBundle, tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    file.write_bytes(jsontext.canonical({"schema": "edgewright.baseline/1", "baselines": []}))
    said: list[str] = []
    gate = Gate("a", paced_bundle("new/a.ewb", us=300), baseline=file)
    found: GateReport = run_gates([gate], TINY, progress=lambda what, _share: said.append(what)).report
    assert said == []
    assert "has no baseline of a" in found.failures[0].problem
    assert found.exit_code == ExitCode.UNAVAILABLE
