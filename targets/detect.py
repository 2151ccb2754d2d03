"""What this machine is: its instruction sets, the cores and memory it may use, and whether a target is on it."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgewright.targets.cuda import Cuda, absence, this_cuda
from edgewright.targets.schema import Sign, Target

_ARCHES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Host:
    """The machine this process runs on, as far as Linux tells."""

    arch: str
    cpu: str
    """The processor's name; a virtual machine may hide it."""
    isa: frozenset[str]
    """Every flag of /proc/cpuinfo, in Linux's names."""
    cores: int
    """Cores this process may use: its affinity, and the whole cores its cgroup's quota pays for."""
    memory_bytes: int | None
    """Memory this process may use: the machine's, or its cgroup's limit where that is lower."""
    quota_cores: float | None = None
    """The cgroup's CPU quota in cores; None without one."""


@cache
def this_host() -> Host:
    """This machine, looked at once."""
    return read_host(Path("/"))


def read_host(root: Path) -> Host:
    """The machine whose /proc and /sys lie under ``root``; arch and affinity are this process's own."""
    flags, cpu = _cpuinfo(root)
    quota = _quota_cores(root)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if quota is not None:
        cores = max(1, min(cores, math.floor(quota)))
    limits = [size for size in (_memory_total(root), _memory_limit(root)) if size is not None]
    machine = platform.machine().lower()
    return Host(_ARCHES.get(machine, machine), cpu, flags, cores, min(limits, default=None), quota)


def is_present(target: Target, host: Host | None = None, cuda: Cuda | None = None) -> str | None:
    """None when this machine can run what is compiled for ``target``, else what it lacks.

    A CPU target is here when this machine has its instruction sets; an NVIDIA GPU, when the first that CUDA shows has
    exactly its compute capability; any other device, when one of its signs shows. Whether the machine *is* the target
    is another question: :func:`stands_in`.
    """
    if target.compute_capability is not None:
        return absence(target.compute_capability, target.hardware, cuda or this_cuda())
    host = host or this_host()
    if target.signs:
        if any(_shows(sign) for sign in target.signs):
            return None
        return f"no {target.title} on this machine"
    if target.arch == "any":
        return None
    if target.arch != host.arch:
        return f"{target.hardware} is {target.arch}, this machine is {host.arch}"
    missing = sorted(target.isa - host.isa)
    return f"this machine's CPU lacks {', '.join(missing)}" if missing else None


def stands_in(target: Target) -> str | None:
    """None when what is measured here is ``target``'s own, else what this machine is in its place.

    A description says what a device is sure to have; this machine has its own caches, clocks and newer instructions, so
    its figures are a stand-in's unless the target was detected here or is a device that shows.
    """
    if target.detected or target.signs or target.compute_capability is not None:
        return None
    return f"measured on {this_host().cpu or 'this machine'} in place of {target.title}"


def _shows(sign: Sign) -> bool:
    for path in sorted(Path("/").glob(sign.path.lstrip("/"))):
        try:
            text = path.read_bytes()[:65536].decode(errors="replace").replace("\0", "\n")
        except OSError:
            continue
        if any(word in text for word in sign.contains):
            return True
    return False


def _cpuinfo(root: Path) -> tuple[frozenset[str], str]:
    """The flags every processor has, and the first one's name."""
    flags: frozenset[str] | None = None
    cpu = ""
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        key = key.strip()
        if key in ("flags", "Features"):
            found = frozenset(value.split())
            flags = found if flags is None else flags & found
        elif key in ("model name", "Model") and not cpu:
            cpu = value.strip()
    return flags or frozenset(), cpu


def _memory_total(root: Path) -> int | None:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _memory_limit(root: Path) -> int | None:
    limits = [_number(folder / "memory.max") for folder in _groups(root, "")]
    limits += [_number(folder / "memory.limit_in_bytes") for folder in _groups(root, "memory")]
    return min((limit for limit in limits if limit is not None), default=None)


def _quota_cores(root: Path) -> float | None:
    found = []
    for folder in _groups(root, ""):
        words = _text(folder / "cpu.max").split()
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
            found.append(int(words[0]) / int(words[1]))
    for folder in _groups(root, "cpu"):
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota and period:
            found.append(quota / period)
    return min(found, default=None)


def _groups(root: Path, controller: str) -> list[Path]:
    """This process's cgroup folders, innermost first; a limit of any of them binds. "" is version 2's one hierarchy."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / controller
            inner = top / path.lstrip("/")
            return [inner, *(folder for folder in inner.parents if folder == top or top in folder.parents)]
    return []


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None  # "max" and -1 are no limit


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
