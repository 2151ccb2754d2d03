"""Counters are read from made-up trees; what they counted is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewright.backends import Artifact
from edgewright.benchmarks.harness import energy, measuring
from edgewright.benchmarks.harness.energy import (
    Board,
    Meter,
    Rapl,
    Reading,
    Sensors,
    energy_of,
    find_counter,
    joules_between,
)
from edgewright.benchmarks.harness.measuring import Children, Question, Warmth
from edgewright.benchmarks.harness.nvml import Nvml
from edgewright.benchmarks.harness.protocol import PRESETS, Preset, Protocol, Windows
from edgewright.core.tensors import Feeds

S = 1_000_000_000


def write(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")
    return folder


def zone(tmp_path: Path, number: str, name: str, **files: object) -> Path:
    return write(tmp_path / f"class/powercap/intel-rapl:{number}", name=name, **files)


def test_rapl_sums_packages_and_goes_on_where_they_wrap_round(tmp_path: Path) -> None:
    first = zone(tmp_path, "0", "package-0", energy_uj=9_000_000, max_energy_range_uj=10_000_000)
    second = zone(tmp_path, "1", "package-1", energy_uj=1_000_000, max_energy_range_uj=10_000_000)
    zone(tmp_path, "0:0", "core", energy_uj=5)
    zone(tmp_path, "2", "psys", energy_uj=5)  # what it counts is in the packages already
    counter, reason = find_counter(gpu=False, sys=tmp_path)
    assert isinstance(counter, Rapl)
    assert (counter.covers, reason) == ("RAPL: package-0, package-1", "")
    assert counter.joules() == 0.0
    write(first, energy_uj=9_500_000)
    write(second, energy_uj=1_250_000)
    assert counter.joules() == 0.75
    write(first, energy_uj=500_000)  # one joule more, round the end
    assert counter.joules() == 1.75
    (second / "energy_uj").unlink()
    assert counter.joules() is None
    write(second, energy_uj=2_250_000)
    assert counter.joules() == 2.75  # what it said nothing of is not lost


def test_a_counter_that_was_set_back_without_a_range_says_nothing(tmp_path: Path) -> None:
    domain = zone(tmp_path, "0", "package-0", energy_uj=9_000_000)
    counter = Rapl([domain])
    write(domain, energy_uj=1)
    assert counter.joules() is None


def test_a_counter_that_may_not_be_read_is_said_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone(tmp_path, "0", "package-0", energy_uj=1, max_energy_range_uj=10)
    whole = Path.read_text

    def guarded(path: Path, *arguments: object) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return whole(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", guarded)  # the tests may run as root
    counter, reason = find_counter(gpu=False, sys=tmp_path)
    assert counter is None
    assert "RAPL's intel-rapl:0/energy_uj is there, but this user may not read it: permission denied" in reason
    assert "no INA power sensor" in reason


def test_a_machine_without_counters_says_what_was_looked_for(tmp_path: Path) -> None:
    counter, reason = find_counter(gpu=False, sys=tmp_path)
    assert counter is None
    assert reason == (
        "no energy counter can be read: no RAPL package (class/powercap); no INA power sensor (class/hwmon)"
    )
    counter, reason = find_counter(gpu=True, sys=tmp_path)
    assert counter is None
    assert "NVML counts no energy of this GPU" in reason


def test_a_jetsons_whole_board_is_one_rail(tmp_path: Path) -> None:
    chip = write(tmp_path / "class/hwmon/hwmon3", name="ina3221", in1_label="VDD_IN", in2_label="VDD_CPU_GPU_CV")
    write(chip, in1_input=5000, curr1_input=2000, in2_input=5000, curr2_input=800)
    write(chip, in7_label="Sum of shunt voltages", in7_input=3)
    write(tmp_path / "class/hwmon/hwmon0", name="nvme", temp1_input=40000)
    counter, _ = find_counter(gpu=True, sys=tmp_path)
    assert isinstance(counter, Sensors)
    assert counter.covers == "INA sensors: hwmon3 ina3221 VDD_IN"
    assert counter._rails[0]() == pytest.approx(10.0)


def test_rails_without_a_whole_are_added_up(tmp_path: Path) -> None:
    write(tmp_path / "class/hwmon/hwmon1", name="ina226", power1_input=4_000_000, in1_input=5000, curr1_input=9)
    chip = write(tmp_path / "class/hwmon/hwmon2", name="ina3221", in1_label="GPU", in3_label="CPU")
    write(chip, in1_input=10_000, curr1_input=100, in3_input=10_000, curr3_input=200)
    counter, _ = find_counter(gpu=False, sys=tmp_path)
    assert isinstance(counter, Sensors)
    assert counter.covers == "INA sensors: hwmon1 ina226 rail 1, hwmon2 ina3221 CPU, hwmon2 ina3221 GPU"
    assert sorted(rail() or 0 for rail in counter._rails) == pytest.approx([1.0, 2.0, 4.0])


def test_power_is_integrated_by_trapezes() -> None:
    watts: list[float | None] = [10.0, 20.0, None, 20.0]
    moments = iter([0.0, 1.0, 1.5])
    counter = Sensors([lambda: watts.pop(0)], "sensor", lambda: next(moments))
    assert counter.joules() == 0.0
    assert counter.joules() == 15.0
    assert counter.joules() is None
    assert counter.joules() == 25.0


def test_a_gpus_board_counts_from_when_it_is_opened() -> None:
    class Gpu(Nvml):
        def __init__(self) -> None:
            self.said: list[int | None] = [5000, 5000, 7500, None]

        def energy_mj(self) -> int | None:
            return self.said.pop(0)

    counter, reason = find_counter(gpu=True, nvml=Gpu())
    assert isinstance(counter, Board)
    assert reason == ""
    assert counter.joules() == 2.5
    assert counter.joules() is None


def readings_of(watts: Callable[[float], float], seconds: float, step: float = 0.05) -> list[Reading]:
    moments = np.arange(0, seconds + step, step)
    joules = np.concatenate([[0.0], np.cumsum([watts(at) * step for at in moments[:-1]])])
    return [(round(at * S), float(one)) for at, one in zip(moments, joules, strict=True)]


IDLE, WORK = (0, 10 * S), (12 * S, 42 * S)


def test_gross_and_net_of_a_quiet_machine() -> None:
    found = energy_of(readings_of(lambda at: 5.0 if at < 11 else 25.0, 45), IDLE, WORK, 3000, "RAPL: package-0")
    assert found.joules == pytest.approx(0.25)
    assert found.net_joules == pytest.approx(0.20)
    assert found.idle_watts == pytest.approx(5.0)
    assert (found.reason, found.counter, found.seconds) == ("", "RAPL: package-0", 30.0)


def test_one_burst_of_an_idle_machine_does_not_count() -> None:
    def watts(at: float) -> float:
        return 60.0 if 3 <= at < 4 else 5.0 if at < 11 else 25.0

    found = energy_of(readings_of(watts, 45), IDLE, WORK, 3000, "c")
    assert found.idle_watts == pytest.approx(5.0)
    assert found.net_joules == pytest.approx(0.20)


def test_a_noisy_idle_machine_has_no_net_figure() -> None:
    found = energy_of(readings_of(lambda at: (4.0, 20.0)[int(at) % 2] if at < 11 else 25.0, 45), IDLE, WORK, 3000, "c")
    assert found.joules == pytest.approx(0.25)
    assert found.net_joules is None
    assert found.reason == "no net figure: the idle machine took 4 to 20 W, with inferences 25 W"
    busier = energy_of(readings_of(lambda at: 30.0 if at < 11 else 25.0, 45), IDLE, WORK, 3000, "c")
    assert busier.net_joules is None
    assert busier.idle_watts == pytest.approx(30.0)


def test_a_counter_that_stands_still_or_falls_silent_has_no_figure() -> None:
    still = energy_of(readings_of(lambda _at: 0.0, 45), IDLE, WORK, 3000, "RAPL: package-0")
    assert (still.joules, still.reason) == (None, "RAPL: package-0 did not move in 30 s of inferences")
    readings = readings_of(lambda _at: 5.0, 45)
    silent = energy_of([one for one in readings if not 41 * S < one[0] < 43 * S], IDLE, WORK, 3000, "c")
    assert (silent.joules, silent.reason) == (None, "c fell silent while inferences ran")
    idle = energy_of([one for one in readings if not 4 * S < one[0] < 6 * S], IDLE, WORK, 3000, "c")
    assert idle.joules == pytest.approx(0.05)
    assert idle.reason == "no net figure: c fell silent while the machine was idle"


def test_between_readings_lines_are_straight() -> None:
    readings = [(0, 0.0), (S, 10.0), (2 * S, 40.0)]
    assert joules_between(readings, S // 2, S + S // 10) == pytest.approx(5 + 3)
    assert joules_between(readings, 0, 3 * S) is None


class Steady:
    """Twenty watts."""

    covers = "a test's"

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def joules(self) -> float:
        return 20 * (time.perf_counter() - self._began)


def test_a_meter_reads_all_the_while() -> None:
    with Meter(Steady(), every_s=0.005) as meter:
        time.sleep(0.1)
    moments = [at for at, _ in meter.readings]
    assert len(moments) >= 4
    assert moments == sorted(moments)


def test_inferences_run_without_a_pause_while_it_is_counted(
    paced: Callable[..., Artifact], paced_feeds: list[Feeds], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(measuring, "ENERGY_SECONDS", 0.6)
    tiny = Protocol(Preset("tiny", 64, 0.1, 1, energy=True), Windows(5, 0.01, 0.5))
    children = Children(Question(paced(us=2000), paced_feeds, None, 1e-3, 1, tiny), tmp_path)
    warmth = Warmth(5, True, 1, 2e6, None, ())
    found = children.energy(warmth, Steady())
    assert found.seconds is not None
    assert found.joules is not None
    assert found.seconds >= 0.6
    # Twenty watts for two milliseconds each, and for what the machine loses between them.
    assert 0.9 * 0.04 < found.joules < 0.2
    assert found.net_joules is None  # the idle machine took just as much
    assert found.idle_watts == pytest.approx(20.0, rel=0.05)


def test_short_presets_measure_no_energy_and_say_which_do(
    paced: Callable[..., Artifact], paced_feeds: list[Feeds], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [name for name, preset in PRESETS.items() if preset.energy] == ["standard", "certify"]
    warmth = Warmth(5, True, 1, 2e6, None, ())
    children = Children(Question(paced(), paced_feeds, None, 1e-3, 1, Protocol(PRESETS["quick"])), tmp_path)
    found = children.energy(warmth, Steady())
    assert (found.joules, found.reason) == (
        None,
        "not measured with the preset quick: use --preset standard or certify",
    )
    monkeypatch.setattr(measuring, "find_counter", lambda **_how: (None, "no energy counter can be read: none"))
    children.question = Question(paced(), paced_feeds, None, 1e-3, 1, Protocol(PRESETS["standard"]))
    assert children.energy(warmth).reason == "no energy counter can be read: none"
