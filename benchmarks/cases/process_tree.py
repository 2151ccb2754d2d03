"""What a command and everything it starts cost: time, processor time, and memory summed at every instant."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

INTERVAL_S = 0.05
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Finished:
    """A command that has ended.

    Attributes:
        exit_code: of the command; minus the signal's number where one ended it.
        stdout: what it printed.
        stderr: what it said.
        wall_s: seconds from start to end.
        cpu_s: processor seconds, user and system, of the command and all descendants that were waited for.
        peak_bytes: largest sum of resident memory over the tree; pages that processes share count for each of them.
    """

    exit_code: int
    stdout: str
    stderr: str
    wall_s: float
    cpu_s: float
    peak_bytes: int


def run_measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Finished:
    """Run `command` to its end, looking at its tree of processes every 50 ms."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        process = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
        watch = _Watch(process.pid)
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.stop()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    return Finished(process.returncode, *texts, wall_s, usage.ru_utime + usage.ru_stime, watch.peak_bytes)


def resident_bytes(root: int) -> int:
    """Resident memory of process `root` and all its descendants now; 0 when it is gone."""
    parents: dict[int, int] = {}
    pages: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  looked at all the time: a Path for each costs more than the look
        if name.isdigit():
            # A process that ends meanwhile is not there any more.
            with contextlib.suppress(OSError, IndexError), open(f"/proc/{name}/stat", "rb", 0) as file:  # noqa: PTH123
                # Fields after the command's name, which may hold anything, are counted from its closing parenthesis.
                fields = file.read().rpartition(b")")[2].split()
                parents[int(name)], pages[int(name)] = int(fields[1]), int(fields[21])
    return sum(count for pid, count in pages.items() if _descends(pid, root, parents)) * _PAGE


def _descends(pid: int, root: int, parents: Mapping[int, int]) -> bool:
    for _ in range(len(parents)):
        if pid == root:
            return True
        if pid not in parents:
            return False
        pid = parents[pid]
    return False


class _Watch(threading.Thread):
    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._root, self._over = root, threading.Event()

    def run(self) -> None:
        while not self._over.wait(INTERVAL_S):
            self.peak_bytes = max(self.peak_bytes, resident_bytes(self._root))

    def stop(self) -> None:
        self._over.set()
        self.join()
