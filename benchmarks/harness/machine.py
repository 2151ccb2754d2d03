"""The machine a figure was measured on, as far as it may be told, and what disturbed it meanwhile.

Never the host's name, a user or a path: records travel.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.benchmarks.harness.nvml import GpuLimits, this_gpu
from edgewright.core import jsontext
from edgewright.targets.detect import this_host

_TELLING_ISA = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16"),
    *("avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
"""The instruction sets that decide which kernels an engine takes."""
_HIGH_LOAD = 0.25
"""Processes waiting per core, before anything is measured, from which the load is worth a word."""
_START_ONLY = ("LD_PRELOAD", "LD_LIBRARY_PATH", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_CONF")
"""Variables that act when a process starts: they are named, since the child cannot undo them."""
_CPU = Path("/sys/devices/system/cpu")
_STAT = Path("/proc/stat")


@dataclass(frozen=True)
class Machine:
    """What identifies a machine for comparison: records of two machines are never compared."""

    cpu: str
    cores: int
    isa: tuple[str, ...]
    memory_bytes: int | None
    governor: str | None
    """The frequency governor of the first core; None where the system does not say (virtual machines)."""
    os: str
    virtual: bool
    gpu: str | None = None
    driver: str | None = None
    gpu_limits: GpuLimits | None = None
    """Of an NVIDIA GPU: its compute capability, its highest clocks and its power limit."""

    @property
    def identity(self) -> str:
        """A short digest: equal for machines of one kind, set up alike."""
        parts = (self.cpu, self.cores, list(self.isa), self.governor, self.virtual, self.gpu, self.driver)
        return jsontext.digest(list(parts))[:16]


@dataclass(frozen=True)
class Pressure:
    """Counters of what takes time away, since the machine started."""

    stolen_ticks: int
    all_ticks: int
    throttled: int
    idle_ticks: int = 0
    """Of ``all_ticks``, those in which cores had nothing to do."""

    def stolen_since(self, earlier: Pressure) -> float:
        """The share of the time in which cores had work that the hypervisor gave to others."""
        wanted = (self.all_ticks - self.idle_ticks) - (earlier.all_ticks - earlier.idle_ticks)
        return (self.stolen_ticks - earlier.stolen_ticks) / max(wanted, 1)


def this_machine() -> Machine:
    """The machine this process runs on."""
    host = this_host()
    gpu = this_gpu().gpu()
    return Machine(
        cpu=host.cpu or host.arch,
        cores=host.cores,
        isa=tuple(name for name in _TELLING_ISA if name in host.isa),
        memory_bytes=host.memory_bytes,
        governor=_text(_CPU / "cpu0/cpufreq/scaling_governor") or None,
        os=f"{platform.system()} {platform.release()}",
        virtual="hypervisor" in host.isa,
        gpu=None if gpu is None else gpu.name,
        driver=None if gpu is None else gpu.driver,
        gpu_limits=None if gpu is None else gpu.limits,
    )


def pressure(cpus: Sequence[int] | None = None) -> Pressure:
    """The counters now; zeros where the system keeps none.

    Args:
        cpus: the cores whose time counts; None for all.
    """
    rows: dict[str, list[int]] = {}
    for line in _text(_STAT).splitlines():
        name, *columns = line.split()
        if name.startswith("cpu"):
            rows[name] = [int(text) for text in columns]
    found = [] if cpus is None else [rows[name] for cpu in cpus if (name := f"cpu{cpu}") in rows]
    if not found:
        found = [rows["cpu"]] if "cpu" in rows else []
    # Columns (proc(5)): user nice system idle iowait irq softirq steal guest guest_nice; guest time is part of user
    # time already.
    everything = sum(sum(columns[:8]) for columns in found)
    idle, stolen = sum(sum(columns[3:5]) for columns in found), sum(sum(columns[7:8]) for columns in found)
    throttled = 0
    for path in _CPU.glob("cpu*/thermal_throttle/*_throttle_count"):
        with contextlib.suppress(ValueError):
            throttled += int(_text(path))
    return Pressure(stolen, everything, throttled, idle)


def disturbances(machine: Machine, threads: int) -> list[str]:
    """What makes figures of this machine shaky, known before anything is measured; one line each."""
    found = []
    with contextlib.suppress(OSError):
        load = os.getloadavg()[0]
        if load > _HIGH_LOAD * machine.cores:
            found.append(f"load average {load:.2f} on {machine.cores} cores: something else is running")
    if machine.governor not in (None, "performance"):
        found.append(f"frequency governor '{machine.governor}': the clock follows the load")
    if _text(_CPU / "intel_pstate/no_turbo") == "0" or _text(_CPU / "cpufreq/boost") == "1":
        found.append("turbo is on: the clock follows the temperature")
    if machine.virtual:
        found.append("virtual machine: other guests share its cores")
    if threads > machine.cores:
        found.append(f"{threads} threads on {machine.cores} cores")
    quota = this_host().quota_cores
    if quota is not None:
        found.append(f"the control group's quota is {quota:g} cores: the system pauses what exceeds it")
    found += [f"{name} is set" for name in _START_ONLY if os.environ.get(name)]
    return found


def choose_cpus(threads: int) -> tuple[int, ...] | None:
    """One core for each thread: different physical cores first, the strongest first; None where that cannot be done."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    if threads >= len(allowed):
        return None
    return tuple(sorted(sorted(allowed, key=lambda cpu: (_sibling(cpu, allowed), -_strength(cpu), cpu))[:threads]))


def _sibling(cpu: int, allowed: Sequence[int]) -> int:
    """0 for the first hardware thread of a physical core that may be used, 1 for the second."""
    text = _text(_CPU / f"cpu{cpu}/topology/thread_siblings_list")
    together: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        if low.isdigit():
            together += range(int(low), int(high or low) + 1)
    usable = [one for one in together if one in allowed]
    return usable.index(cpu) if cpu in usable else 0


def _strength(cpu: int) -> int:
    """Relative speed of a core where cores differ (big.LITTLE); 0 where the system does not say."""
    text = _text(_CPU / f"cpu{cpu}/cpu_capacity") or _text(_CPU / f"cpu{cpu}/cpufreq/cpuinfo_max_freq")
    return int(text) if text.isdigit() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
