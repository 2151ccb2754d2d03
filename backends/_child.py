"""The child's side of an isolated engine: takes one request after the other until its parent hangs up.

Started by :mod:`edgewright.backends._process`; imports only what the request needs.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import resource
import select
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypedDict, cast

from edgewright.backends._wire import DOORBELL, Json, Slot
from edgewright.core import offline
from edgewright.core.errors import EdgewrightError, EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgewright.backends._base import Session
    from edgewright.core.tensors import Array

_SLACK_BYTES: Final = 512 << 20
"""What the data segment may hold beyond the memory bound: stacks and arenas are reserved, not used."""
_F_SETSIG: Final = getattr(fcntl, "F_SETSIG", 10)  # Linux's number; the name is in the module from Python 3.13 on


class Setup(TypedDict):
    """What the parent says on the command line: descriptors, and the memory bound in bytes."""

    bell: int
    lifeline: int
    inbox: list[int]
    outbox: list[int]
    memory: int | None


def main(setup: Setup) -> None:
    """Serves requests; returns when the parent hangs up."""
    offline.require_where_wished()
    _bind_to_parent(setup["lifeline"])
    _bound_resources(setup["memory"])
    bell = socket.socket(fileno=setup["bell"])
    inbox = [Slot(descriptor) for descriptor in setup["inbox"]]
    outbox = [Slot(descriptor) for descriptor in setup["outbox"]]
    server = _Server()
    while message := bell.recv(DOORBELL.size, socket.MSG_WAITALL):
        index, header_bytes, total_bytes = DOORBELL.unpack(message)
        request, arrays = inbox[index].read(header_bytes, total_bytes, copy=False)
        try:
            answer, results = server.answer(request, arrays)
            sizes = outbox[index].write(answer, results)
        except BaseException as error:  # noqa: BLE001 - whatever an engine raises is the parent's to judge
            sizes = outbox[index].write({"error": _described(error)})
        bell.sendall(DOORBELL.pack(index, *sizes))
    os._exit(0)  # an engine's destructors are one more thing that could hang


class _Server:
    """Holds the open session between requests."""

    def __init__(self) -> None:
        self._session: Session | None = None

    def answer(
        self, request: Mapping[str, Json], arrays: list[tuple[str, Array]]
    ) -> tuple[dict[str, Json], list[tuple[str, Array]]]:
        action = request["do"]
        if action == "run":
            assert self._session is not None
            results = list(self._session.run(dict(arrays)).items())
            took = self._session.device_ns
            return {} if took is None else {"device_ns": took}, results
        if action == "profile":
            assert self._session is not None
            layers = self._session.profile(dict(arrays))
            rows = [[one.name, one.kind, one.precision, one.time_us, list(one.operators)] for one in layers]
            return {"layers": cast("Json", rows)}, []
        if action == "profiles":
            assert self._session is not None
            return self._session.profiles(dict(arrays), cast("int", request["runs"])).to_json(), []
        if action == "precisions":
            assert self._session is not None
            return {"precisions": dict(self._session.precisions(cast("list[str]", request["operators"])))}, []
        function = _function(str(request["function"]))
        arguments = cast("dict[str, Json]", request["arguments"])
        if action == "open":
            self._session = cast("Session", function(**arguments))
            inputs = [cast("Json", spec.to_json()) for spec in self._session.inputs]
            outputs = [cast("Json", spec.to_json()) for spec in self._session.outputs]
            return {"inputs": inputs, "outputs": outputs}, []
        return {"value": cast("Json", function(**arguments))}, []


def _function(path: str) -> Callable[..., object]:
    module, _, name = path.partition(":")
    return cast("Callable[..., object]", getattr(importlib.import_module(module), name))


def _described(error: BaseException) -> dict[str, Json]:
    if isinstance(error, EngineError):
        return {"type": "EngineError", "problem": error.problem, "remedy": error.remedy, "kind": error.kind}
    if isinstance(error, EdgewrightError):
        return {"type": type(error).__name__, "problem": error.problem, "remedy": error.remedy}
    text = f"{type(error).__name__}: {error}"
    memory = isinstance(error, MemoryError) or any(sign in text for sign in ("bad_alloc", "bad allocation"))
    return {"type": "memory" if memory else "raised", "problem": text, "remedy": ""}


def _bind_to_parent(lifeline: int) -> None:
    """Has the kernel kill this process when the other end of ``lifeline`` closes; Ctrl-C is the parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not hasattr(os, "O_ASYNC"):
        return  # elsewhere than on Linux the end of the doorbell's socket must do
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(lifeline, 0)
    if poll.poll(0):  # it closed before it was armed
        os._exit(1)


def _bound_resources(memory: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory is not None:
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        bound = memory + _SLACK_BYTES
        if most == resource.RLIM_INFINITY or bound < most:
            resource.setrlimit(resource.RLIMIT_DATA, (bound, most))
    # When the machine itself runs out of memory, this process is the one to go, not its parent.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
