from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewright.backends import Artifact
from edgewright.benchmarks.harness import measuring, protocol
from edgewright.benchmarks.harness._subject import Plan
from edgewright.benchmarks.harness.energy import Sensors
from edgewright.benchmarks.harness.machine import Pressure
from edgewright.benchmarks.harness.measuring import Children, Question, Warmth, digest_of_samples
from edgewright.benchmarks.harness.protocol import Preset, Protocol, WarmUp, Windows
from edgewright.benchmarks.harness.session import Measured, measure
from edgewright.benchmarks.harness.side import SideSeries
from edgewright.benchmarks.record import Memory
from edgewright.core.errors import EngineError
from edgewright.core.tensors import Feeds

Paced = Callable[..., Artifact]
# Short enough for a test; the rule itself is tested on figures in test_run_child.py.
WARM = WarmUp(least_seconds=0.05, most_seconds=1.0, unsteady_seconds=0.1, span=10.0, trend=10.0)
TINY = Protocol(Preset("tiny", 64, 0.1, 2), Windows(5, 0.01, 0.5), WARM)


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other guests of this machine do not void what a test asks for."""
    monkeypatch.setattr(measuring, "pressure", lambda _cpus: Pressure(0, 0, 0))


@pytest.fixture
def asked(paced_feeds: list[Feeds], tmp_path: Path) -> Callable[..., Measured]:
    def ask(artifact: Artifact, protocol: Protocol = TINY, threads: int = 1) -> Measured:
        folder = tmp_path / "work"
        folder.mkdir()
        return measure(Question(artifact, paced_feeds, None, 1e-3, threads, protocol), folder)

    return ask


def test_every_run_is_a_process_and_each_inference_is_stamped(
    paced: Paced, asked: Callable[..., Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LEAST_RUN_SECONDS", 1.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("KMP_BLOCKTIME", "0")
    found = asked(paced(us=1000))
    assert found.warmth.steady
    assert found.warmth.sample_kind == "inference"
    assert {"OMP_NUM_THREADS", "KMP_BLOCKTIME"} <= set(found.warmth.scrubbed)
    assert [run.order for run in found.runs] == [0, 1]
    for run in found.runs:
        # At least 64 inferences and at least one second of them.
        assert len(run.ns) >= 64
        assert sum(run.ns) >= 0.8e9
        assert min(run.ns) >= 1_000_000
        assert run.window_medians
        assert min(run.import_ns, run.load_ns, run.first_ns) > 0
        assert run.audit_error == 0.0
    assert found.problems == ()
    assert found.memory.import_bytes is not None
    assert found.memory.hundredth_bytes is not None
    assert found.memory.import_bytes <= found.memory.hundredth_bytes


def test_short_inferences_are_batched_and_a_lie_inside_the_loop_is_found(
    paced: Paced, asked: Callable[..., Measured]
) -> None:
    found = asked(paced(us=20, lie_after=6_000), Protocol(Preset("tiny", 64, 1.0, 1), TINY.windows, WARM))
    assert found.warmth.sample_kind == "batch_mean"
    (run,) = found.runs
    per_inference = np.median(run.ns) / found.warmth.inner
    assert 20_000 <= per_inference < 100_000
    assert np.median(run.ns) > 0.5e6  # a sample is about a millisecond
    # The engine starts to answer 3 x instead of 2 x, and goes on doing so when it is asked again: what it answered
    # before differs from what it says now.
    assert any("answers inside the timed loop" in problem for problem in found.problems)


def test_an_engine_that_never_settles_is_unsteady(paced: Paced, asked: Callable[..., Measured]) -> None:
    never = WarmUp(span=0.0, least_seconds=0.05, most_seconds=0.5, unsteady_seconds=0.1)
    found = asked(paced(us=200), Protocol(Preset("tiny", 64, 0.1, 1), TINY.windows, never))
    assert not found.warmth.steady
    assert found.warmth.inferences < 0.4 * 0.5e6 / 200  # about a fifth of what fits half a second


def test_a_crash_is_an_error_with_its_kind(paced: Paced, asked: Callable[..., Measured]) -> None:
    with pytest.raises(EngineError) as caught:
        asked(paced(open="crash"))
    assert caught.value.kind == "crashed"


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ({"crash_at": 20}, "crashed"),
        ({"raise_at": 20}, "raised"),
        ({"hang_at": 20}, "timeout"),
        ({"eat_at": 20}, "memory"),
    ],
)
def test_a_run_that_fails_is_classified(
    how: dict[str, int],
    kind: str,
    paced: Paced,
    paced_feeds: list[Feeds],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind == "timeout":
        monkeypatch.setattr(measuring, "_GRACE_S", 4.0)
    children = Children(Question(paced(**how), paced_feeds, None, 1e-3, 1, TINY, memory_bytes=700_000_000), tmp_path)
    warmth = Warmth(5, True, 1, 3e5, None, ())
    with pytest.raises(EngineError) as caught:
        children.attempt(0, warmth)
    assert caught.value.kind == kind
    # The next process knows nothing of it.
    assert Children(Question(paced(), paced_feeds, None, 1e-3, 1, TINY), tmp_path).attempt(1, warmth)[0].order == 1


def test_an_attempt_tells_what_voids_it_and_leaves_what_to_do_to_others(
    paced: Paced, paced_feeds: list[Feeds], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = iter([Pressure(0, 100, 5), Pressure(0, 200, 6), Pressure(0, 300, 6), Pressure(0, 400, 6)])
    monkeypatch.setattr(measuring, "pressure", lambda _cpus: next(counted))
    children = Children(Question(paced(us=300), paced_feeds, None, 1e-3, 1, TINY), tmp_path)
    warmth = Warmth(5, True, 1, 3e5, None, ())
    run, reason = children.attempt(4, warmth)
    assert reason == "the processor throttled itself"
    assert (run.order, "disturbed" in run.flags) == (4, True)
    assert children.voided == []
    run, reason = children.attempt(5, warmth)
    assert (reason, "disturbed" in run.flags) == (None, False)


def test_a_clock_that_fell_while_timing_voids_a_run_and_side_readings_know_whose_they_are(
    paced: Paced, paced_feeds: list[Feeds], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans: list[tuple[int, int]] = []

    def fell(_side: SideSeries, began: int, ended: int) -> str:
        spans.append((began, ended))
        return "the clock of its cores fell from 2000 to 1500 MHz"

    monkeypatch.setattr(SideSeries, "clock_fell", fell)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\ncpu MHz : 2000\n")
    question = Question(paced(us=300), paced_feeds, None, 1e-3, 1, TINY)
    before = time.perf_counter_ns()
    with SideSeries((0,), 0.02, tmp_path / "sys", tmp_path / "proc") as side:
        children = Children(question, tmp_path, "new", side)
        run, reason = children.attempt(2, Warmth(5, True, 1, 3e5, None, ()))
    after = time.perf_counter_ns()
    assert reason == "the clock of its cores fell from 2000 to 1500 MHz"
    assert "disturbed" in run.flags
    ((began, ended),) = spans
    # A child's clock is its parent's: what it timed lies within.
    assert before < began < ended < after
    assert ended - began >= sum(run.ns)
    assert {(one.arm, one.order) for one in side.readings} >= {("new", 2)}


def test_a_slow_model_is_waited_for(
    paced: Paced, paced_feeds: list[Feeds], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    patience: list[float] = []
    # Ten inferences of 30 ms are more than the 0.2 s in which others have to settle.
    rule = WarmUp(span=10.0, trend=10.0, least_seconds=0.05, most_seconds=0.2)
    slow = Protocol(TINY.preset, Windows(1, 0.001, 0.5), rule)
    children = Children(Question(paced(us=30_000), paced_feeds, None, 1e-3, 1, slow, log=said.append), tmp_path)
    ask = children._ask

    def asked(function: str, plan: Plan, expected_s: float) -> dict[str, object]:
        patience.append(expected_s)
        return ask(function, plan, expected_s)

    monkeypatch.setattr(children, "_ask", asked)
    found = children.warm_up()
    assert found.steady
    assert found.inferences >= 10
    assert len(patience) == 2
    assert patience[1] - patience[0] > 4 * 10 * 0.03
    assert [line.partition(" 0.0")[0] for line in said] == ["an inference takes about"]
    assert children.notes == ()


def test_what_the_audit_of_repeats_left_out_is_a_note(paced: Paced, paced_feeds: list[Feeds], tmp_path: Path) -> None:
    children = Children(Question(paced(us=300), paced_feeds[:1], None, 1e-3, 1, TINY), tmp_path)
    assert children.warm_up().repeat_ratio is None
    assert children.notes == ("not looked whether something keeps answers to give them again: there is only one input",)


def test_the_count_of_another_engine_costs_a_run_no_more_than_its_seconds() -> None:
    rule = WarmUp(shared_seconds=10.0)
    slow = Warmth(10_000, True, 1, 10e6, None, (), needed=200)
    assert slow.expected(rule) == 1_000
    assert replace(slow, needed=3_000).expected(rule) == 3_000  # never short of its own count
    assert replace(slow, median_ns=1e5).expected(rule) == 10_000
    assert replace(slow, needed=None).expected(rule) == 10_000


def test_no_process_that_reads_memory_or_energy_holds_the_right_answers(
    paced: Paced, paced_feeds: list[Feeds], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = [{"y": feeds["x"] * 2} for feeds in paced_feeds]
    protocol = Protocol(Preset("tiny", 64, 0.1, 1, energy=True))
    children = Children(Question(paced(), paced_feeds, right, 1e-3, 1, protocol), tmp_path)
    plans: dict[str, Plan] = {}

    def ask(function: str, plan: Plan, _seconds: float) -> dict[str, object]:
        plans[function] = plan
        sizes = dict.fromkeys(("import_bytes", "load_bytes", "first_bytes", "hundredth_bytes"), 1)
        return {**sizes, "began_ns": 0, "ended_ns": 1, "inferences": 1}

    monkeypatch.setattr(children, "_ask", ask)
    monkeypatch.setattr(measuring, "measure_energy", lambda _counter, work: work())
    warmth = Warmth(5, True, 1, 1e6, None, ())
    children.memory(warmth)
    children.energy(warmth, Sensors([], "none"))
    assert {name: plan.expected for name, plan in plans.items()} == {"memory_here": None, "energy_here": None}
    assert children.plan.expected is not None  # by which runs are audited


def test_memory_is_the_median_of_fresh_processes(
    paced: Paced, paced_feeds: list[Feeds], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = Children(Question(paced(us=1000), paced_feeds, None, 1e-3, 1, TINY), tmp_path)
    figures = iter([3_000, 1_000, 2_000])

    def ask(_function: str, _plan: object, _seconds: float) -> dict[str, object]:
        one = next(figures)
        return {"import_bytes": one, "load_bytes": None, "first_bytes": one + 1, "hundredth_bytes": one + 2}

    monkeypatch.setattr(children, "_ask", ask)
    found = children.memory(Warmth(5, True, 1, 1e6, None, ()), processes=3)
    assert found == Memory(2_000, None, 2_001, 2_002, 3)


def test_a_disturbed_run_is_made_again_and_kept_with_a_flag_at_last(
    paced: Paced, paced_feeds: list[Feeds], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        ticks = 0

        def __call__(self, _cpus: object) -> Pressure:
            self.ticks += 100
            return Pressure(stolen_ticks=self.ticks // 10, all_ticks=self.ticks, throttled=0)

    monkeypatch.setattr(measuring, "pressure", Clock())
    said: list[str] = []
    question = Question(paced(us=300), paced_feeds, None, 1e-3, 1, TINY, subject="mlp", log=said.append)
    children = Children(question, tmp_path, "new")
    run = children.run(0, Warmth(5, True, 1, 3e5, None, ()))
    why = "the hypervisor took 10.0% of the processor time"
    assert [one.reason for one in children.voided] == [why, why, f"{why} (kept: third attempt)"]
    again, kept = "is void and made again", "is disturbed and kept, the third attempt"
    assert said == [f"mlp: new: run 1 {what}: {why}" for what in (again, again, kept)]
    assert "disturbed" in run.flags
    assert run.stolen == pytest.approx(0.1)


def test_a_run_whose_gpu_slowed_down_is_made_again(
    paced: Paced, tmp_path: Path, paced_feeds: list[Feeds], monkeypatch: pytest.MonkeyPatch
) -> None:
    once = iter(["the SM clock fell from 1980 to 1800 MHz"])
    monkeypatch.setattr(measuring, "held_back", lambda _readings: next(once, None))
    one_run = Protocol(Preset("tiny", 64, 0.1, 1), TINY.windows, WARM)
    found = measure(Question(paced(us=300), paced_feeds, None, 1e-3, 1, one_run, gpu=True), tmp_path)
    assert [one.reason for one in found.voided] == ["the SM clock fell from 1980 to 1800 MHz"]
    assert "disturbed" not in found.runs[0].flags


def test_the_devices_own_times_are_a_second_series(paced: Paced, asked: Callable[..., Measured]) -> None:
    one_run = Protocol(Preset("tiny", 64, 0.1, 1), TINY.windows, WARM)
    (run,) = asked(paced(us=300, device_us=40), one_run).runs
    assert run.device_ns is not None
    assert len(run.device_ns) == len(run.ns)
    assert min(run.ns) >= 300_000
    # The engine counts its inferences into the figure: each sample has the one of its own inference.
    assert set(np.diff(run.device_ns)) == {1}
    assert 40_000 <= run.device_ns[0] < 45_000
    assert run.clocks is None


def test_the_digest_of_inputs_sees_names_shapes_types_and_bytes() -> None:
    base: Feeds = {"x": np.zeros((1, 4), np.float32)}
    others: list[Feeds] = [
        {"y": base["x"]},
        {"x": base["x"].reshape(4, 1)},
        {"x": base["x"].astype(np.int32)},
        {"x": base["x"] + 1},
        {"x": np.array(["a", "b"], object)},
        {"x": np.array(["a", "c"], object)},
    ]
    digests = {digest_of_samples([feeds]) for feeds in [base, *others]}
    assert len(digests) == 7
    assert digest_of_samples([{"x": np.array(["a", "b"], object)}]) in digests
