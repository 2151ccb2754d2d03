"""Engines that do what real ones do on a bad day; run in child processes by test_isolation."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgewright.backends import LayerTime, Session
from edgewright.core.errors import BadInputError, EngineError
from edgewright.core.tensors import Feeds, Outputs, TensorSpec


class FakeSession(Session):
    """Doubles its input, unless told otherwise by the first element."""

    def __init__(self, dtype: str = "float32", behaviour: str = "") -> None:
        self.inputs = (TensorSpec("x", dtype, None),)
        self.outputs = (TensorSpec("y", dtype, None),)
        self.behaviour = behaviour
        self.calls = 0

    def _run(self, feeds: Feeds) -> Outputs:
        self.calls += 1
        if self.behaviour == "has a clock":
            self.device_ns = 1000 * self.calls if self.calls < 3 else None
        elif self.behaviour and self.calls > 1:
            misbehave(self.behaviour)
        return {"y": feeds["x"] if feeds["x"].dtype.kind in "OUSb" else feeds["x"] + feeds["x"]}

    def _profile(self, feeds: Feeds) -> list[LayerTime]:
        return [LayerTime("layer", "Add", "fp32", 1.5)]


def _eat_memory() -> None:
    hoard = []
    while True:
        hoard.append(np.ones(4 << 20, np.uint8))
        time.sleep(0.001)


def _print_a_gigabyte() -> None:
    block = b"nonsense " * 116509
    for _ in range(1024):
        os.write(1, block)


def _print_without_end() -> None:
    while True:
        os.write(2, b"again and again\n" * 1000)


def _print_and_abort() -> None:
    os.write(2, b"assertion failed: width < 3\n")
    os.abort()


def _close_its_output() -> None:
    os.close(1)
    os.close(2)
    time.sleep(0.2)


def _answer_nonsense() -> None:
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()).startswith("socket"):
                os.write(int(descriptor.name), b"\xff" * 24)
    time.sleep(3600)


def _leave_files() -> None:
    Path("left.txt").write_text("x")
    Path(tempfile.mkdtemp(), "also.txt").write_text("x")


def _raise(error: Exception) -> None:
    raise error


BEHAVIOURS: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit": lambda: os._exit(3),
    "killed": lambda: os.kill(os.getpid(), 9),
    "hang": lambda: time.sleep(3600),
    "hang holding the interpreter": lambda: ctypes.PyDLL(None).sleep(3600),
    "raise": lambda: _raise(RuntimeError("the layer is too wide")),
    "raise ours": lambda: _raise(BadInputError("not a tensor", "Give one.")),
    "raise engine": lambda: _raise(EngineError("building the model broke", "Mend it.", "memory")),
    "eat memory": _eat_memory,
    "one large bite": lambda: np.ones(1 << 40, np.uint8),
    "print a gigabyte": _print_a_gigabyte,
    "print without end": _print_without_end,
    "print and abort": _print_and_abort,
    "close its output": _close_its_output,
    "answer nonsense": _answer_nonsense,
    "leave files": _leave_files,
}


def misbehave(how: str) -> str:
    BEHAVIOURS[how]()
    return how


def start_a_process() -> int:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]).pid


def open_fake(dtype: str = "float32", behaviour: str = "", opening: str = "") -> Session:
    if opening:
        misbehave(opening)
    return FakeSession(dtype, behaviour)


def where() -> list[str]:
    return [str(Path.cwd()), tempfile.gettempdir(), str(os.getpid())]
