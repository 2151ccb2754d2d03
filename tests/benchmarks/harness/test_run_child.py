from __future__ import annotations

import subprocess
import sys
from typing import cast

import numpy as np
import pytest

from edgewright.benchmarks.harness import _audits, _run_child, _series, protocol
from edgewright.benchmarks.harness._audits import repeat_ratio
from edgewright.benchmarks.harness._series import Series, batch_size, is_steady
from edgewright.benchmarks.harness._subject import Plan, Subject, peak_memory
from edgewright.benchmarks.harness.nvml import Clocks
from edgewright.benchmarks.harness.protocol import PRESETS, Preset, WarmUp, Windows, protocol_named
from edgewright.core.errors import UsageError
from edgewright.core.tensors import Outputs

RULE = WarmUp()


@pytest.mark.parametrize(
    ("medians", "steady"),
    [
        ([100.0, 100, 100, 100], False),  # four of five windows
        ([100.0, 100, 100, 100, 100], True),
        ([200.0, 150, 100, 101, 100, 101, 100], True),  # only the last five count
        ([100.0, 103.1, 100, 103, 100], False),  # spans more than 3 %
        ([100.0, 100.5, 101, 101.5, 102], False),  # within 3 %, but 2 % of trend
        ([100.0, 102, 100, 102, 100], True),  # noise without trend
    ],
)
def test_when_an_engine_is_warm(medians: list[float], steady: bool) -> None:
    assert is_steady(medians, RULE) is steady


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 6, 32])
def test_batches_end_with_every_sample_in_turn(samples: int) -> None:
    size = batch_size(20_000, samples)
    assert 50 <= size <= 53
    assert {(turn * size - 1) % samples for turn in range(1, samples + 1)} == set(range(samples))


def test_windows() -> None:
    windows = Windows()
    assert not windows.is_full(19, 0.5)
    assert not windows.is_full(1000, 0.1)
    assert windows.is_full(20, 0.2)
    assert windows.is_full(3, 2.0)  # a slow model


def test_a_series_of_stamps_has_the_windows_they_would_have_filled() -> None:
    series = Series(Windows(2, 0.0, 9.0), 1, since=0)
    filled = [series.add(took, done) for took, done in ((10, 10), (20, 40), (30, 80), (50, 200), (1, 300))]
    assert filled == [False, True, False, True, False]
    assert series.medians == [15.0, 40.0]
    by_time = Series(Windows(1, 100e-9, 9.0), 1, since=0)
    assert [by_time.add(took, done) for took, done in ((10, 60), (20, 120), (30, 180), (50, 230))] == [
        False,
        True,
        False,
        True,
    ]


def test_presets_split_over_runs_with_a_floor_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LEAST_RUN_SECONDS", 1.0)
    assert PRESETS["standard"].run_inferences == 103
    assert PRESETS["standard"].run_seconds == 6.0
    assert Preset("x", 64, 2, 4).run_inferences == 64
    assert Preset("x", 64, 2, 4).run_seconds == 1.0
    # A slow model: 64 inferences of half a second each are 32 s, three such runs would be 16 times the preset.
    assert [PRESETS["rapid"].runs_for(seconds) for seconds in (0.001, 0.1, 0.5)] == [3, 3, 1]
    assert PRESETS["quick"].runs_for(5.0) == 2
    assert PRESETS["standard"].runs_for(5.0) == 10
    with pytest.raises(UsageError, match="unknown preset 'fast'"):
        protocol_named("fast")


def test_peak_memory_is_of_this_process_and_grows_with_what_is_touched() -> None:
    if peak_memory() is None:
        pytest.skip("this system does not say (no /proc/self/status)")
    # In a child: a test run's own peak may be so high already that nothing reasonable raises it.
    script = (
        "from edgewright.benchmarks.harness._subject import peak_memory\n"
        "before = peak_memory(); block = bytearray(200_000_000); print(before, peak_memory())"
    )
    block = bytearray(300_000_000)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    del block
    before, after = map(int, done.stdout.split())
    assert before < 200_000_000  # not the parent's
    assert after - before > 150_000_000


class Clockwork:
    """An engine of stated speed, on a clock of its own; one that keeps its last answer gives it again at once."""

    def __init__(self, seconds: float, samples: int = 4, *, keeps: bool = False) -> None:
        self.samples = [{"x": np.full(1, sample)} for sample in range(samples)]
        self.turn, self.now, self.count = 0, 0, 0
        self._ns, self._keeps, self._last = round(seconds * 1e9), keeps, -1

    def perf_counter_ns(self) -> int:
        return self.now

    def timed(self, inner: int) -> tuple[int, int, Outputs]:
        took = 0
        for _ in range(inner):
            sample = int(self.samples[self.turn]["x"][0])
            took += self._ns // 100 if self._keeps and sample == self._last else self._ns
            self._last, self.turn = sample, (self.turn + 1) % len(self.samples)
        self.now += took
        self.count += inner
        return took, self.turn, {}


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.1, 0.3, 0.9])
@pytest.mark.parametrize("samples", [2, 3, 4])
def test_a_kept_answer_shows_at_every_speed_that_can_be_asked(
    seconds: float, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for keeps, worst, best in ((False, 0.999, 1.001), (True, 0.0, 0.5)):
        engine = Clockwork(seconds, samples, keeps=keeps)
        monkeypatch.setattr(_audits, "time", engine)
        ratio, unasked = repeat_ratio(cast("Subject", engine), 1, seconds * 1e9)
        assert ratio is not None
        assert worst <= ratio <= best
        assert unasked == ""
        assert len(engine.samples) == samples
        # Three times where something seems to be kept.
        assert engine.now < (30.5e9 if keeps else 10.5e9)


def test_an_engine_too_slow_to_be_asked_is_not_run() -> None:
    engine = Clockwork(2.0)
    ratio, unasked = repeat_ratio(cast("Subject", engine), 1, 2e9)
    assert (ratio, engine.count) == (None, 0)
    assert unasked.endswith("an inference takes 2 s")


def test_a_run_warms_for_its_own_count_and_for_anothers_as_long_as_that_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def warmed(count: int, needed: int, inner: int = 1) -> int:
        engine = Clockwork(0.01)
        monkeypatch.setattr(_run_child, "time", engine)
        rule = WarmUp(shared_seconds=1.0)
        plan = Plan({}, "", None, 1, None, Windows(), rule, inner, warm_up_inferences=count, warm_up_needed=needed)
        _run_child._warm(cast("Subject", engine), plan)
        return engine.count

    assert warmed(50, 20) == 50
    assert warmed(10_000, 20) == 100  # a second of 10 ms each
    assert warmed(10_000, 500) == 500
    assert warmed(500, 500) == 500
    assert warmed(50, 50, inner=20) == 60


def test_a_slow_engine_is_probed_once_and_a_fast_one_seven_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds, times in ((0.001, 7), (2.0, 3), (60.0, 1)):
        engine = Clockwork(seconds)
        monkeypatch.setattr(_run_child, "time", engine)
        assert _run_child._typical_ns(cast("Subject", engine)) == seconds * 1e9
        assert engine.count == times


def test_clocks_are_read_at_the_ends_and_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gpu:
        readings = 0

        def clocks(self) -> Clocks:
            self.readings += 1
            return Clocks(1000 + self.readings, 2600, 50, ("power cap",))

    gpu = Gpu()
    monkeypatch.setattr(_series, "this_gpu", lambda: gpu)
    clocks = _series.Clocks(wanted=True)
    clocks.read()
    for _ in range(100):
        clocks.read(60_000_000_000)
    clocks.read()
    assert [row["sm_mhz"] for row in clocks.readings] == [1001, 1002]
    unwanted = _series.Clocks(wanted=False)
    unwanted.read()
    assert (unwanted.readings, gpu.readings) == ([], 2)
