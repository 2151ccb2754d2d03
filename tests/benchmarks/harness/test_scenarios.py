from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgewright.backends import Artifact
from edgewright.benchmarks.harness.measuring import Children, Question, Warmth
from edgewright.benchmarks.harness.protocol import Preset, Protocol, Windows
from edgewright.benchmarks.harness.scenarios import (
    HIGHEST_RATE,
    SCENARIOS,
    Scenario,
    arrivals,
    batched,
    batches,
    is_overloaded,
    scenario_named,
    throughput,
    why_not_batched,
)
from edgewright.benchmarks.record import Run
from edgewright.benchmarks.summary import summarise
from edgewright.core.errors import UsageError
from edgewright.core.tensors import Feeds, Outputs, TensorSpec

Paced = Callable[..., Artifact]
Asked = Callable[..., Run]
WARM = 5
WARMTH = Warmth(WARM, True, 1, 1e6, None, ())


@pytest.fixture
def run_once(paced: Paced, paced_feeds: list[Feeds], tmp_path: Path) -> Asked:
    """One run of 64 inferences and a tenth of a second, after five to warm up."""

    def ask(scenario: Scenario, **how: object) -> Run:
        tiny = Protocol(Preset("tiny", 64, 0.1, 1), Windows(5, 0.01, 0.5), scenario=scenario)
        children = Children(Question(paced(**how), paced_feeds, None, 1e-3, 1, tiny), tmp_path)
        warmth = replace(WARMTH, rate_per_s=scenario.rate_for(WARMTH.median_ns))
        return children.attempt(0, warmth)[0]

    return ask


def test_a_fixed_rate_is_even_and_a_server_is_poisson() -> None:
    even = arrivals("fixed-rate", 200.0, 10, 0.5, [0])
    assert len(even) == 100  # half a second of them, since that is more than ten
    assert set(np.diff(even)) == {5_000_000}
    poisson = arrivals("server", 200.0, 4000, 0.5, [3, 0])
    assert len(poisson) == 4000
    assert (np.diff(poisson) >= 0).all()
    gaps = np.diff(poisson, prepend=0) / 5e6
    # Of a fixed seed, so it passes always or never; a constant or a uniform gap has p < 1e-30.
    assert stats.kstest(gaps, "expon").pvalue > 0.01
    assert (arrivals("server", 200.0, 100, 0.5, [3, 0]) == poisson[:100]).all()
    assert (arrivals("server", 200.0, 100, 0.5, [3, 1]) != poisson[:100]).any()
    assert (arrivals("server", 200.0, 100, 0.5, [4, 0]) != poisson[:100]).any()


def test_the_rate_is_half_of_what_the_engine_can_take_unless_stated() -> None:
    assert Scenario("server").rate_for(2e6) == 250.0
    assert Scenario("fixed-rate", 10.0).rate_for(2e6) == 10.0
    assert Scenario("server").rate_for(10.0) == HIGHEST_RATE
    assert Scenario("single-stream").rate_for(2e6) is None
    assert Scenario("offline").rate_for(2e6) is None


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios_are_known_by_their_names(name: str) -> None:
    assert scenario_named(name).name == name


def test_what_is_no_scenario_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown scenario 'multi-stream'"):
        scenario_named("multi-stream")
    with pytest.raises(UsageError, match="--rate is 1e\\+09"):
        scenario_named("server", 1e9)
    with pytest.raises(UsageError, match="--rate is inf"):
        scenario_named("server", float("inf"))
    with pytest.raises(UsageError, match="--rate is 0"):
        scenario_named("server", 0.0)
    with pytest.raises(UsageError, match="--batch is 1000000"):
        scenario_named("offline", batch=1_000_000)


def test_latency_counts_from_the_scheduled_arrival(run_once: Asked) -> None:
    # The eleventh sample keeps the engine for 0.2 s; 100 a second go on arriving meanwhile, and each of them waited.
    run = run_once(Scenario("fixed-rate", 100.0), us=1000, pause_at=1 + WARM + 11)
    assert run.service_ns is not None
    assert run.span_ns is not None
    assert len(run.ns) == 64
    late = np.array(run.ns) / 1e6
    assert late[10] >= 200
    # Of 21 samples that arrived in 0.2 s the k-th waited about 200 - 10 k ms: on average a hundred.
    assert (late[11:20] > 90).all()
    assert (np.diff(late[10:20]) < 0).all()
    assert (np.array(run.service_ns)[11:20] < 90e6).all()  # the engine itself was slow but once
    assert np.median(late[:10]) < 20
    assert run.span_ns >= 0.63e9
    # The pause is a fifth of a second, the schedule 0.64 s: the queue was emptied again.
    assert "overloaded" not in run.flags
    assert run.audit_error == 0.0
    assert summarise([run], 1).throughput == pytest.approx(64e9 / run.span_ns)


def test_an_overloaded_run_says_so_and_ends(run_once: Asked) -> None:
    run = run_once(Scenario("server", 1000.0, seed=1), us=5000)
    assert "overloaded" in run.flags
    assert run.unserved > 0
    assert len(run.ns) + run.unserved == 100
    assert len(run.ns) >= 64
    # Each waits for all before it: the queue grows by about 4 ms for each millisecond of the schedule.
    assert np.median(run.ns[-10:]) > 5 * np.median(run.ns[:10])


def test_a_queue_grows_when_work_comes_faster_than_it_is_done() -> None:
    assert not is_overloaded(100.0, busy_ns=64 * 9_900_000, served=64, unserved=0)
    assert is_overloaded(100.0, busy_ns=64 * 10_000_000, served=64, unserved=0)
    assert is_overloaded(100.0, busy_ns=64, served=64, unserved=1)


def test_short_inferences_are_stamped_one_by_one_where_samples_arrive(
    paced: Paced, paced_feeds: list[Feeds], tmp_path: Path
) -> None:
    tiny = Protocol(Preset("tiny", 64, 0.1, 1), Windows(5, 0.01, 0.5), scenario=Scenario("server"))
    children = Children(Question(paced(us=20), paced_feeds, None, 1e-3, 1, tiny), tmp_path)
    warmth = children.warm_up()
    assert warmth.inner == 1
    assert warmth.sample_kind == "response"
    assert warmth.rate_per_s is not None
    assert warmth.rate_per_s == pytest.approx(0.5e9 / warmth.median_ns, rel=1e-3)
    assert warmth.pace_s == pytest.approx(1 / warmth.rate_per_s)


def test_two_runs_that_are_compared_have_the_same_arrivals(
    paced: Paced, paced_feeds: list[Feeds], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = Protocol(Preset("tiny", 64, 0.1, 1), scenario=Scenario("server", 10.0, seed=4))
    children = Children(Question(paced(), paced_feeds, None, 1e-3, 1, tiny), tmp_path)
    seeds = []

    class Asked(Exception):
        pass

    def ask(_function: str, plan: object, _seconds: float) -> None:
        seeds.append(plan.seed)  # type: ignore[attr-defined]
        raise Asked

    monkeypatch.setattr(children, "_ask", ask)
    for order, schedule in ((6, None), (7, None), (6, 3), (7, 3)):
        with pytest.raises(Asked):
            children.attempt(order, WARMTH, schedule)
    assert seeds == [(4, 6), (4, 7), (4, 3), (4, 3)]


def feeds_of(rows: int, shape: tuple[int, ...] = (1, 2)) -> list[Feeds]:
    return [{"x": np.full(shape, row, np.float32)} for row in range(rows)]


@given(rows=st.integers(1, 32), size=st.integers(2, 40))
def test_batches_go_round_the_samples_in_order(rows: int, size: int) -> None:
    found = batches(feeds_of(rows), size)
    flat = np.concatenate([one["x"][:, 0] for one in found])
    assert all(one["x"].shape == (size, 2) for one in found)
    assert (flat == np.arange(len(flat)) % rows).all()
    assert set(flat) == set(range(rows))
    assert len(found) <= 32


def test_batches_stay_within_memory() -> None:
    large = [{"x": np.full((1, 1_000_000), row, np.float32)} for row in range(7)]
    assert len(batches(large, 20)) == 3  # of 80 MB each: 256 MiB at most, where seven would come round


FREE, FIXED = TensorSpec("x", "float32", ("N", 2)), TensorSpec("x", "float32", (1, 2))


@pytest.mark.parametrize(
    ("specs", "samples", "why"),
    [
        ([FREE, TensorSpec("y", "float32", ("N", 3))], feeds_of(3), None),
        ([FREE, FIXED], feeds_of(3), "the first axis of 'x' is fixed (1x2)"),
        ([FREE, TensorSpec("y", "float32", ())], feeds_of(3), "the first axis of 'y' is fixed (scalar)"),
        ([FREE, TensorSpec("y", "float32", ("T", 3))], feeds_of(3), "are different ones (N, T)"),
        ([FREE], feeds_of(3, (5, 2)), "not one long in their first axis"),
        ([FREE], [*feeds_of(2), *feeds_of(1, (1, 3))], "several shapes"),
    ],
)
def test_what_cannot_be_put_together(specs: list[TensorSpec], samples: list[Feeds], why: str | None) -> None:
    found = why_not_batched(specs, samples)
    assert found is None if why is None else found is not None and why in found


def test_a_fixed_batch_runs_back_to_back_and_says_so() -> None:
    samples = feeds_of(3)
    assert batched(samples, [FIXED], 1) == (samples, "")
    same, why = batched(samples, [FIXED], 8)
    assert same is samples
    assert "not in batches of 8: the first axis of 'x' is fixed" in why


def test_offline_counts_samples_not_batches(paced: Paced, paced_feeds: list[Feeds], tmp_path: Path) -> None:
    tiny = Protocol(Preset("tiny", 64, 0.1, 1), Windows(5, 0.01, 0.5), scenario=Scenario("offline", batch=8))
    said: list[str] = []
    expected: list[Outputs] = [
        {"y": np.zeros((1, 4), np.float32)}
    ] * 4  # of single samples: not what batches are held against
    question = Question(paced(us=2000, free="yes"), paced_feeds, expected, 1e-3, 1, tiny, log=said.append)
    children = Children(question, tmp_path)
    warmth = replace(WARMTH, median_ns=2e6, batch=8)
    run, _ = children.attempt(0, warmth)
    assert said == []
    assert len(run.ns) >= 8  # 64 samples
    assert run.audit_error == 0.0
    found = summarise([run], inner=1, batch=8)
    assert found.throughput == pytest.approx(8 * len(run.ns) * 1e9 / sum(run.ns))
    assert 400 < found.throughput <= 4000  # eight in two milliseconds, less what the machine takes
    assert found.mean == pytest.approx(float(np.mean(run.ns)))  # latency is that of a batch
    assert warmth.pace_s == pytest.approx(0.002 / 8)


def test_throughput_has_an_interval_from_six_runs_on() -> None:
    assert throughput([100.0, 90.0, 110.0]) == (100.0, None)
    assert throughput([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == (3.5, (1.0, 6.0))
