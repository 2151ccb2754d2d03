"""Energy, from a counter or not at all: which counters a machine has, and what they counted.

Three kinds are looked for: NVML's total of a GPU board (Volta and later), RAPL's of the processor packages
(docs.kernel.org/power/powercap/powercap.html), and boards with Texas Instruments' INA sensors, as NVIDIA's Jetsons have
them, whose power is integrated (docs.kernel.org/hwmon/ina3221.html, ina2xx.html). No power is ever modelled.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from edgewright.benchmarks.harness.nvml import Nvml
from edgewright.benchmarks.harness.protocol import IDLE_SECONDS
from edgewright.benchmarks.readings import Energy

Reading = tuple[int, float]
"""When (ns of ``perf_counter_ns``), and the joules counted since the counter was opened."""

READ_EVERY_S = 0.05
"""Twenty times a second: a sensor's power is integrated at no less than 10 Hz."""
_LONGEST_GAP_S = 1.0
"""A counter that says nothing for longer has not counted what was between."""
_IDLE_SLICES = 10
_IDLE_UNCERTAINTY = 0.25
"""The idle machine's fluctuation, as a share of what the work adds to it, from which no net figure is given."""
_INA = ("ina2", "ina3221")
_CHANNELS = 8
_WHOLE_BOARD = ("VDD_IN", "POM_5V_IN", "VDD_5V_IN")
"""Labels of the rails that feed a whole Jetson, the other rails included."""


class Counter(Protocol):
    """Counts what a part of the machine takes."""

    covers: str
    """Whose counter it is, and of what."""

    def joules(self) -> float | None:
        """Since it was opened; None when it does not say now."""


class Rapl:
    """The processor packages' counters together; each wraps round at its own range."""

    def __init__(self, domains: Sequence[Path]) -> None:
        self._domains = tuple(domains)
        self._last = {domain: _integer(domain / "energy_uj") for domain in domains}
        self._range = {domain: _integer(domain / "max_energy_range_uj") for domain in domains}
        self._microjoules = 0
        names = ", ".join(_text(domain / "name") for domain in domains)
        self.covers = f"RAPL: {names}"

    def joules(self) -> float | None:
        """What all of them counted; None when one cannot be read."""
        now = {domain: _integer(domain / "energy_uj") for domain in self._domains}
        for domain, value in now.items():
            last = self._last[domain]
            if value is None or last is None:
                return None
            step = value - last
            if step < 0:
                step += self._range[domain] or 0
            if step < 0:  # it was set back, and nobody knows by how much
                return None
            self._microjoules += step
            self._last[domain] = value
        return self._microjoules / 1e6


class Board:
    """NVML's counter of one GPU."""

    covers = "NVML: the GPU's board"

    def __init__(self, gpu: Nvml) -> None:
        self._gpu = gpu
        self._first = gpu.energy_mj()

    def joules(self) -> float | None:
        """What the board took."""
        now = self._gpu.energy_mj()
        return None if now is None or self._first is None else (now - self._first) / 1000


class Sensors:
    """Power of sensors, integrated by the trapezoidal rule over the moments at which it is asked.

    Args:
        rails: each gives its watts.
        covers: what they measure.
        clock: seconds.
    """

    def __init__(
        self, rails: Sequence[Callable[[], float | None]], covers: str, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._rails, self._clock, self.covers = tuple(rails), clock, covers
        self._joules = 0.0
        self._last: tuple[float, float] | None = None

    def joules(self) -> float | None:
        """The integral so far; None when a sensor cannot be read now."""
        found = [rail() for rail in self._rails]
        watts = [one for one in found if one is not None]
        if len(watts) < len(found):
            return None
        now, power = self._clock(), math.fsum(watts)
        if self._last is not None:
            then, before = self._last
            self._joules += (power + before) / 2 * (now - then)
        self._last = now, power
        return self._joules


class Meter:
    """Readings of a counter, taken by a thread from ``with`` to its end."""

    def __init__(self, counter: Counter, every_s: float = READ_EVERY_S) -> None:
        self.counter = counter
        self.readings: list[Reading] = []
        self._every_s = every_s
        self._end = threading.Event()
        self._reader = threading.Thread(target=self._keep_reading, name="energy", daemon=True)

    def __enter__(self) -> Self:
        self._read()
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._reader.join()
        self._read()

    def _keep_reading(self) -> None:
        while not self._end.wait(self._every_s):
            self._read()

    def _read(self) -> None:
        joules = self.counter.joules()
        if joules is not None:
            self.readings.append((time.perf_counter_ns(), joules))


def find_counter(*, gpu: bool, nvml: Nvml | None = None, sys: Path = Path("/sys")) -> tuple[Counter | None, str]:
    """The counter for what is measured; or None, and the line that says what was looked for and what was found.

    Args:
        gpu: whether the engine runs on an NVIDIA GPU. Its board is then what counts, or the board that has both.
        nvml: the GPU.
        sys: where the system's files are.
    """
    found, missing = (_of_gpu(nvml)) if gpu else _of_processor(sys)
    if found is None:
        found, also = _of_board(sys)
        missing = f"{missing}; {also}"
    return found, "" if found is not None else f"no energy counter can be read: {missing}"


def _of_gpu(nvml: Nvml | None) -> tuple[Counter | None, str]:
    if nvml is None or nvml.energy_mj() is None:
        return None, "NVML counts no energy of this GPU"
    return Board(nvml), ""


def _of_processor(sys: Path) -> tuple[Counter | None, str]:
    zones = [path for path in sorted((sys / "class/powercap").glob("intel-rapl:*")) if path.name.count(":") == 1]
    packages = [path for path in zones if _text(path / "name").startswith("package")]
    if not packages:
        return None, "no RAPL package (class/powercap)"
    for path in packages:
        try:
            int((path / "energy_uj").read_text())
        except PermissionError:
            return None, f"RAPL's {path.name}/energy_uj is there, but this user may not read it: permission denied"
        except (OSError, ValueError) as error:
            return None, f"RAPL's {path.name}/energy_uj cannot be read ({error.__class__.__name__})"
    return Rapl(packages), ""


def _of_board(sys: Path) -> tuple[Counter | None, str]:
    """INA sensors: the rail that feeds the whole board where one is labelled so, else all rails together."""
    rails: dict[str, Callable[[], float | None]] = {}
    denied = ""
    for chip in sorted((sys / "class/hwmon").glob("hwmon*")):
        if not _text(chip / "name").startswith(_INA):
            continue
        for label, rail in _rails(chip):
            if rail() is None:
                denied = f"the power sensor {label} cannot be read"
                continue
            rails[label] = rail
    whole = [label for label in rails if label.rpartition(" ")[2] in _WHOLE_BOARD]
    chosen = whole[:1] or sorted(rails)
    if not chosen:
        return None, denied or "no INA power sensor (class/hwmon)"
    return Sensors([rails[label] for label in chosen], f"INA sensors: {', '.join(chosen)}"), ""


def _rails(chip: Path) -> list[tuple[str, Callable[[], float | None]]]:
    """The rails of one chip: a power in microwatts, or volts and amperes in thousandths."""
    name = f"{chip.name} {_text(chip / 'name')}"
    found: list[tuple[str, Callable[[], float | None]]] = []
    for channel in range(1, _CHANNELS + 1):
        power, volts, amperes = (chip / f"{kind}{channel}_input" for kind in ("power", "in", "curr"))
        label = _text(chip / f"in{channel}_label") or _text(chip / f"power{channel}_label") or f"rail {channel}"
        if power.exists():
            found.append((f"{name} {label}", partial(_product, 1e-6, power)))
        elif volts.exists() and amperes.exists():
            found.append((f"{name} {label}", partial(_product, 1e-6, volts, amperes)))
    return found


def measure_energy(counter: Counter, work: Callable[[], tuple[int, int, int]]) -> Energy:
    """Counts the idle machine, then ``work``, which gives from when to when it ran inferences, and how many samples."""
    with Meter(counter) as meter:
        begin = time.perf_counter_ns()
        time.sleep(IDLE_SECONDS)
        idle = begin, time.perf_counter_ns()
        began, ended, samples = work()
    return energy_of(meter.readings, idle, (began, ended), samples, counter.covers)


def energy_of(
    readings: Sequence[Reading], idle: tuple[int, int], work: tuple[int, int], samples: int, covers: str
) -> Energy:
    """Joules per sample, gross and net of the idle machine.

    Args:
        readings: of one counter, from before ``idle`` to after ``work``.
        idle, work: from when to when, in the readings' ns; inferences ran without a pause in ``work`` alone.
        samples: how many were done in ``work``.
        covers: whose counter it is.
    """
    gross = joules_between(readings, *work)
    seconds = (work[1] - work[0]) / 1e9
    if gross is None:
        return Energy(reason=f"{covers} fell silent while inferences ran", counter=covers)
    if gross <= 0:
        return Energy(reason=f"{covers} did not move in {seconds:.0f} s of inferences", counter=covers)
    edges = [idle[0] + (idle[1] - idle[0]) * step // _IDLE_SLICES for step in range(_IDLE_SLICES + 1)]
    slices = [joules_between(readings, *pair) for pair in itertools.pairwise(edges)]
    length = (idle[1] - idle[0]) / 1e9 / _IDLE_SLICES
    watts = [one / length for one in slices if one is not None]
    found = Energy(gross / samples, "", None, covers, round(seconds, 3))
    if len(watts) < _IDLE_SLICES:
        return _without_net(found, None, f"{covers} fell silent while the machine was idle")
    resting = statistics.median(watts)
    low, _, high = statistics.quantiles(watts, n=4, method="inclusive")
    added = gross / seconds - resting
    if added <= 0 or high - low > _IDLE_UNCERTAINTY * added:
        why = f"the idle machine took {low:.3g} to {high:.3g} W, with inferences {gross / seconds:.3g} W"
        return _without_net(found, resting, why)
    return Energy(gross / samples, "", added * seconds / samples, covers, round(seconds, 3), resting)


def _without_net(found: Energy, watts: float | None, why: str) -> Energy:
    return Energy(found.joules, f"no net figure: {why}", None, found.counter, found.seconds, watts)


def joules_between(readings: Sequence[Reading], begin: int, end: int) -> float | None:
    """What was counted between two moments, by straight lines between readings; None where there are none near."""
    at_end, at_begin = _joules_at(readings, end), _joules_at(readings, begin)
    return None if at_end is None or at_begin is None else at_end - at_begin


def _joules_at(readings: Sequence[Reading], moment: int) -> float | None:
    for (then, before), (now, after) in itertools.pairwise(readings):
        if then <= moment <= now:
            if now - then > _LONGEST_GAP_S * 1e9:
                return None
            return before + (after - before) * (moment - then) / max(now - then, 1)
    return None


def _product(scale: float, *paths: Path) -> float | None:
    values = [_integer(path) for path in paths]
    return None if None in values else scale * math.prod(value for value in values if value is not None)


def _integer(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return ""
