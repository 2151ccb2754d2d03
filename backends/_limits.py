"""How long and how much memory an engine in a child process may take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_KIB = 1024
_SHARE_OF_FREE = 0.9


@dataclass(frozen=True)
class Limits:
    """Bounds of one child process.

    ``deadline_s`` is wall-clock seconds for each single call (building, opening, one inference). ``memory_bytes``
    bounds the child's own resident memory: what its engine and interpreter allocated, and the arrays on their way in
    and out, as Linux counts them (RssAnon + RssShmem). Pages of mapped files, such as libraries and weights that are
    read in place, do not count: the system can drop them. None is nine tenths of what is free when the child starts.
    The memory is looked at every ``watch_s`` seconds while a call runs, so a short peak can pass unseen; the data
    segment's limit (RLIMIT_DATA) refuses single allocations beyond the bound at once. A child that is being timed is
    looked at rarely: the look itself takes the processor away from it.
    """

    deadline_s: float = 120.0
    memory_bytes: int | None = None
    watch_s: float = 0.02

    def __post_init__(self) -> None:
        if not self.deadline_s > 0:
            raise ValueError(f"deadline_s: {self.deadline_s} is not positive")
        if not self.watch_s > 0:
            raise ValueError(f"watch_s: {self.watch_s} is not positive")
        if self.memory_bytes is not None and self.memory_bytes <= 0:
            raise ValueError(f"memory_bytes: {self.memory_bytes} is not positive")

    @property
    def memory_bound(self) -> int | None:
        """Bytes: the stated bound, or the share of what is free now; None where the system does not say."""
        if self.memory_bytes is not None:
            return self.memory_bytes
        free = free_memory()
        return None if free is None else int(free * _SHARE_OF_FREE)


def free_memory() -> int | None:
    """Bytes that can be had without swapping (``MemAvailable``, and the control group's limit if it is tighter)."""
    free = _status_bytes(Path("/proc/meminfo"), ("MemAvailable:",))
    group = Path("/sys/fs/cgroup")
    try:
        bound = int((group / "memory.max").read_text())
        used = [line.split() for line in (group / "memory.stat").read_text().splitlines()]
    except (OSError, ValueError):  # no version 2 control group, or "max"
        return free
    # memory.current would count cached files, which are given up when memory is wanted.
    bound = max(0, bound - sum(int(size) for name, size in used if name in ("anon", "shmem")))
    return bound if free is None else min(free, bound)


def resident_bytes(pid: int) -> int | None:
    """The memory of a process as :class:`Limits` counts it; None when it is gone or the system does not say."""
    return _status_bytes(Path(f"/proc/{pid}/status"), ("RssAnon:", "RssShmem:"))


def peak_bytes(pid: int) -> int | None:
    """The largest resident memory a process has had (``VmHWM``, mapped files included)."""
    return _status_bytes(Path(f"/proc/{pid}/status"), ("VmHWM:",))


def _status_bytes(path: Path, fields: tuple[str, ...]) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * _KIB for line in lines if line.startswith(fields)]
    return sum(found) if found else None
