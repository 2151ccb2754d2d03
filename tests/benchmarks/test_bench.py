from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from edgewright.backends import Artifact
from edgewright.benchmarks import bench
from edgewright.benchmarks.accuracy import Score
from edgewright.benchmarks.bench import bench_bundle
from edgewright.benchmarks.harness.protocol import Preset, Protocol, WarmUp, Windows
from edgewright.benchmarks.preparing import Judging
from edgewright.benchmarks.record import Run
from edgewright.benchmarks.summary import confidence_95, summarise
from edgewright.core.bundle import Bundle
from edgewright.core.errors import TargetAbsentError, UnavailableError, UsageError
from edgewright.core.jsontext import canonical
from edgewright.core.tensors import Feeds
from edgewright.targets.detect import this_host

MakeBundle = Callable[..., Bundle]
TINY = Protocol(
    Preset("tiny", 64, 0.1, 1),
    Windows(5, 0.01, 0.5),
    WarmUp(least_seconds=0.05, most_seconds=1.0, unsteady_seconds=0.1, span=10.0, trend=10.0),
)


@pytest.fixture
def labelled(mlp_feeds: list[Feeds], tmp_path: Path) -> Path:
    """32 rows whose labels are right for the first class alone."""
    path = tmp_path / "labelled.npz"
    np.savez(path, x=np.concatenate([feeds["x"] for feeds in mlp_feeds]), labels=np.zeros(32, np.int64))
    return path


def test_a_bundle_becomes_a_record(mlp_bundle: MakeBundle, labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = mlp_bundle()
    held, scored = [False], bench.score_here

    @contextlib.contextmanager
    def lock(_device: str, _log: object) -> Iterator[None]:
        held[0] = True
        yield
        held[0] = False

    def score_here(artifact: Artifact, threads: int, judge: Judging) -> Score | None:
        assert held[0]  # a whole data set on all cores is noise to whoever times beside it
        return scored(artifact, threads, judge)

    monkeypatch.setattr(bench, "timing_lock", lock)
    monkeypatch.setattr(bench, "score_here", score_here)
    steps: list[float] = []
    record = bench_bundle(
        bundle, TINY, threads=1, data=str(labelled), progress=lambda _what, share: steps.append(share)
    )
    assert steps == sorted(steps)
    assert 0 <= steps[0] < steps[-1] <= 1
    assert record.subject.bundle_sha256 == bundle.digest
    assert (record.target.backend, record.target.threads) == ("onnxruntime", 1)
    assert (record.protocol.inputs, record.protocol.inputs_from) == (32, "labelled.npz")
    assert record.versions["onnxruntime"]
    assert record.accuracy is not None
    assert (record.accuracy.metric, record.accuracy.n) == ("top1", 32)
    assert record.memory is not None
    document = canonical(record.to_json())
    for secret in (str(Path.cwd()), str(bundle.path.parent), "/tmp"):
        assert secret not in document.decode()
    parsed = json.loads(document)
    assert parsed["schema"] == "edgewright.bench/1"
    assert parsed["machine"]["identity"] == record.machine.identity
    assert len(parsed["runs"][0]["ns"]) * record.protocol.inner >= 64


def test_golden_inputs_are_audited_against_the_answers_of_the_day_it_was_built(
    mlp_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = mlp_bundle()
    golden = bundle.golden()
    monkeypatch.setattr(type(bundle), "golden", lambda _self: golden)
    golden.engine[2]["y"][0, 0] += 0.5
    record = bench_bundle(bundle, TINY, threads=1)
    assert record.status == "invalid"
    assert any("answers inside the timed loop" in note for note in record.notes)


def test_a_metric_that_needs_the_original_is_not_measured_and_says_so(mlp_bundle: MakeBundle, labelled: Path) -> None:
    record = bench_bundle(mlp_bundle(), TINY, threads=1, data=str(labelled), metric="cosine")
    assert record.accuracy is None
    assert any("cosine compares with the original" in note for note in record.notes)


def test_a_metric_that_cannot_be_had_fails_before_anything_is_measured(
    mlp_bundle: MakeBundle, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "measure", None)
    with pytest.raises(UsageError, match="topp1"):
        bench_bundle(mlp_bundle(), TINY, data=str(labelled), metric="topp1")


def test_a_target_that_is_not_this_machine_is_skipped(mlp_bundle: MakeBundle) -> None:
    other = "aarch64" if this_host().arch == "x86_64" else "x86_64"
    description = {**mlp_bundle().manifest.target.description, "arch": other, "isa": [], "detected": False}
    with pytest.raises(TargetAbsentError, match=r"odd|native"):
        bench_bundle(mlp_bundle(target={"name": "odd/onnxruntime", "description": description}), TINY)


def test_a_runtime_nobody_here_knows_is_named(mlp_bundle: MakeBundle) -> None:
    backend = {"name": "nowhere", "versions": {}, "entry": "model.onnx", "properties": {}}
    with pytest.raises(UnavailableError, match="nowhere is unknown here"):
        bench_bundle(mlp_bundle(backend=backend), TINY)


def test_a_runtime_that_is_not_installed_is_named(mlp_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = mlp_bundle()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnavailableError, match="onnxruntime") as caught:
        bench_bundle(bundle, TINY)
    assert "pip install onnxruntime" in caught.value.remedy


def test_threads_below_one_are_refused(mlp_bundle: MakeBundle) -> None:
    with pytest.raises(UsageError, match="--threads is 0"):
        bench_bundle(mlp_bundle(), TINY, threads=0)


def run_of(ns: list[int], order: int = 0) -> Run:
    return Run("a", order, tuple(ns), (1.0, 1.0), 3, 2, 1, 0.0, 1, 0.0)


def test_the_summary_is_of_single_inferences() -> None:
    found = summarise([run_of([100, 110, 120] * 30), run_of([200] * 90, 1)], inner=1)
    assert found.n == 180
    assert found.run_median == (110 + 200) / 2
    assert found.mean == (110 + 200) / 2
    assert found.throughput == pytest.approx((1e9 / 110 + 1e9 / 200) / 2)  # the median of the runs
    assert found.throughput_ci95 is None
    assert set(found.percentiles) == {"p50", "p90", "p95"}


def test_the_devices_own_times_never_enter_the_figures_of_wall_time() -> None:
    runs = [replace(run_of([100] * 40), device_ns=(7,) * 40), replace(run_of([100] * 40, 1), device_ns=(9,) * 40)]
    found = summarise(runs, inner=1)
    assert found.percentiles["p50"].value == found.mean == 100
    assert found.device_percentiles is not None
    assert found.device_percentiles["p50"].value == 7
    assert found.device_percentiles["p90"].value == 9
    assert summarise([run_of([100] * 40)], inner=1).device_percentiles is None


def test_means_of_batches_have_no_tail() -> None:
    found = summarise([run_of([1000, 1100] * 500)], inner=10)
    assert set(found.percentiles) == {"p50"}
    assert found.percentiles["p50"].value == 100
    assert found.mean == 105


def test_confidence_of_a_share_is_wilsons() -> None:
    scores = np.repeat([1.0, 0.0], [91, 9])
    expected = stats.binomtest(91, 100).proportion_ci(0.95, method="wilson")
    assert confidence_95(scores) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_confidence_of_a_mean_needs_thirty() -> None:
    scores = np.linspace(0, 1, 40)
    assert confidence_95(scores[:29]) is None
    found = confidence_95(scores)
    assert found is not None
    half = 1.96 * scores.std(ddof=1) / np.sqrt(40)
    assert found == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)
