"""The system's files are those of a made-up tree."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.benchmarks.harness.side import SideSeries

Tree = Callable[..., None]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """``tree(mhz={0: 2000.0}, zones=["45000"], cpuinfo="...")`` writes what a kernel would show."""

    def write(mhz: dict[int, float] | None = None, zones: tuple[str, ...] = (), cpuinfo: str = "") -> None:
        for cpu, clock in (mhz or {}).items():
            folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "scaling_cur_freq").write_text(f"{round(clock * 1000)}\n")
        for number, temperature in enumerate(zones):
            zone = tmp_path / f"sys/class/thermal/thermal_zone{number}"
            zone.mkdir(parents=True, exist_ok=True)
            (zone / "temp").write_text(f"{temperature}\n")
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc/cpuinfo").write_text(cpuinfo)

    return write


def series(tmp_path: Path, cpus: tuple[int, ...] = (0, 1), every_s: float = 60.0) -> SideSeries:
    return SideSeries(cpus, every_s, tmp_path / "sys", tmp_path / "proc")


def test_the_clock_is_of_the_cores_that_are_used_and_the_temperature_of_the_hottest_zone(
    tree: Tree, tmp_path: Path
) -> None:
    tree({0: 2000, 1: 3000, 2: 800}, ("45000", "61500", "-273200", "junk", "200000"))
    with series(tmp_path) as side, side.during("new", 3):
        side.read()
    first, second = side.readings
    assert (first.arm, first.order) == (None, None)
    assert (second.arm, second.order) == ("new", 3)
    assert second.cpu_mhz == 2500.0
    assert second.temperature_c == 61.5
    assert 0 <= first.seconds <= second.seconds < 60


def test_without_cpufreq_the_clock_is_what_cpuinfo_says_and_voids_nothing(tree: Tree, tmp_path: Path) -> None:
    def cpuinfo(clock: float) -> str:
        return "".join(f"processor\t: {cpu}\nmodel name\t: x\ncpu MHz\t\t: {clock + cpu}\n\n" for cpu in range(3))

    side = series(tmp_path)
    begin = time.perf_counter_ns()
    for clock in (2600.0, 2600.0, 1300.0, 1300.0):
        tree(cpuinfo=cpuinfo(clock))
        side.read()
    assert [one.cpu_mhz for one in side.readings] == [2600.5, 2600.5, 1300.5, 1300.5]
    assert side.readings[0].temperature_c is None
    assert side.clock_fell(begin, time.perf_counter_ns()) is None


@pytest.mark.parametrize(
    ("clocks", "why"),
    [
        ([2000, 2000, 1890, 1890], "the clock of its cores fell from 2000 to 1890 MHz"),
        ([2000, 2000, 1910, 1910], None),  # 4.5 %
        ([2000, 1000, 2000, 2000, 2000, 2000], None),  # a single low reading
        ([2000, 2000, 2000, 1500, 1500, 1500], "fell from 2000 to 1500"),
        ([1500, 1500, 2000, 2000], None),  # it rose
        ([2000, 1000, 1000], None),  # too few to conclude anything
    ],
)
def test_a_clock_that_falls_for_good_voids_the_run(
    clocks: list[float], why: str | None, tree: Tree, tmp_path: Path
) -> None:
    side = series(tmp_path)
    tree({0: 4000, 1: 4000})  # while it imports and loads, on one core: not of what is judged
    for _ in range(5):
        side.read()
    begin = time.perf_counter_ns()
    for clock in clocks:
        tree({0: clock, 1: clock})
        side.read()
    end = time.perf_counter_ns()
    tree({0: 800, 1: 800})
    for _ in range(5):
        side.read()
    assert len(side.readings) == len(clocks) + 10
    found = side.clock_fell(begin, end)
    assert found is None if why is None else found is not None and why in found


def test_a_thread_reads_until_the_session_ends(tree: Tree, tmp_path: Path) -> None:
    tree({0: 2000}, ("40000",))
    with series(tmp_path, every_s=0.01) as side:
        until = time.monotonic() + 10
        while len(side.readings) < 4 and time.monotonic() < until:
            time.sleep(0.01)
    count = len(side.readings)
    assert count >= 4
    assert len(side._clocks) >= 4 * (count - 1)  # the clock is looked at more often than it is kept
    time.sleep(0.05)
    assert len(side.readings) == count
    assert not any(thread.name == "side-series" for thread in threading.enumerate())


def test_a_machine_that_says_nothing_has_no_series(tmp_path: Path) -> None:
    with series(tmp_path, every_s=0.01) as side:
        time.sleep(0.05)
    assert side.readings == ()
