"""A fresh child process for engine calls: started, spoken to, watched, and always cleaned away.

The child is a new interpreter (never a fork: a fork of a threaded parent can deadlock in any allocator). It dies with
its parent: the kernel itself sends SIGKILL when the parent's end of the lifeline closes. ``prctl(PR_SET_PDEATHSIG)``
would kill it as soon as the *thread* that started it ends, and a thread of the child could not act while a hung engine
holds the interpreter lock. It is in a session of its own, so that Ctrl-C in a terminal reaches the parent alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgewright.backends._limits import Limits, resident_bytes
from edgewright.backends._wire import DOORBELL, Json, Slot
from edgewright.core import errors
from edgewright.core.errors import EdgewrightError, EngineError
from edgewright.core.tensors import Array

SLOTS = 2
"""Messages that may be on their way in one direction: the next feeds are written while the child computes."""

_OUTPUT_BYTES = 16384
_PIPE_BYTES = 1 << 20
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from edgewright.backends._child import main; main(json.loads(sys.argv[2]))"
)


class ChildProcess:
    """One child and the conversation with it. Not for use by several threads at once.

    Args:
        limits: deadline of each call, and memory.
        engine: what runs in it, in the words of messages to the user.

    Raises:
        EngineError: when the child cannot be started.
    """

    def __init__(self, limits: Limits, engine: str) -> None:
        self.limits = limits
        self.engine = engine
        self._memory_bound = limits.memory_bound
        self._sent = self._received = 0
        self._last_event = time.monotonic()
        self._output = bytearray()
        self._scratch = Path(tempfile.mkdtemp(prefix="edgewright-"))
        self._out = [Slot.create() for _ in range(SLOTS)]
        self._in = [Slot.create() for _ in range(SLOTS)]
        self._bell, theirs = socket.socketpair()
        self._pipe, their_output = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(their_output, True)
        with contextlib.suppress(OSError, AttributeError):  # the default of 64 KiB would slow down one who prints much
            fcntl.fcntl(their_output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        lifeline, self._lifeline = os.pipe2(os.O_CLOEXEC)
        try:
            self._process = self._start(theirs.fileno(), lifeline, their_output)
        finally:
            theirs.close()
            os.close(lifeline)
            os.close(their_output)
        self._dispose = weakref.finalize(
            self,
            _dispose,
            self._process,
            self._bell,
            (self._pipe, self._lifeline),
            (*self._out, *self._in),
            self._scratch,
        )
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        self._poll.register(self._pipe, select.POLLIN)

    def _start(self, bell: int, lifeline: int, output: int) -> subprocess.Popen[bytes]:
        inbox, outbox = [slot.descriptor for slot in self._out], [slot.descriptor for slot in self._in]
        setup = {"bell": bell, "lifeline": lifeline, "inbox": inbox, "outbox": outbox, "memory": self._memory_bound}
        paths = [str(Path(entry).absolute()) for entry in sys.path]
        # The linear algebra of numpy would start a thread per core that no engine needs.
        environment = {**os.environ, "TMPDIR": str(self._scratch), "OPENBLAS_NUM_THREADS": "1"}
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-c", _BOOT, json.dumps(paths), json.dumps(setup)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(bell, lifeline, *inbox, *outbox),
                start_new_session=True,
                cwd=self._scratch,
                env=environment,
            )
        except OSError as error:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise EngineError(f"cannot start a process for {self.engine}: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def in_flight(self) -> int:
        """Requests whose answer has not been received."""
        return self._sent - self._received

    @property
    def closed(self) -> bool:
        """True when the child is gone, by :meth:`close` or by a failure."""
        return not self._dispose.alive

    def submit(self, request: Mapping[str, Json], arrays: Sequence[tuple[str, Array]] = ()) -> None:
        """Sends a request without waiting for its answer; at most :data:`SLOTS` may be in flight.

        Raises:
            EngineError: when the child is gone.
        """
        assert self.in_flight < SLOTS
        if self.closed:
            raise EngineError(f"{self.engine} is closed", "Open it again.")
        index = self._sent % SLOTS
        if self.in_flight == 0:
            self._last_event = time.monotonic()
        sizes = self._out[index].write(request, arrays)
        # A child that has died is noticed, with its reason, when its answer is waited for.
        with contextlib.suppress(OSError):
            self._bell.sendall(DOORBELL.pack(index, *sizes))
        self._sent += 1

    def receive(self, doing: str) -> tuple[dict[str, Json], list[tuple[str, Array]]]:
        """Waits for the next answer.

        Args:
            doing: what the child is at, in the words of a message: ``opening the model``.

        Raises:
            EngineError: when the child crashes, hangs or takes too much memory, or its engine raised.
            EdgewrightError: what the code in the child raised of our own errors.
        """
        try:
            index, header_bytes, total_bytes = self._await_bell(doing)
            header, arrays = self._in[index % SLOTS].read(header_bytes, total_bytes, copy=True)
        except EngineError:
            raise
        except ValueError as error:
            self.close()
            raise EngineError(f"{self.engine} answered nonsense while {doing}", kind="crashed") from error
        except BaseException:  # interrupted: what the child will say next would answer the wrong question
            self.close()
            raise
        self._received += 1
        self._last_event = time.monotonic()
        failure = header.get("error")
        if isinstance(failure, dict):
            raise self._error_from(failure, doing)
        return header, arrays

    def close(self) -> None:
        """Ends the child, whatever it is doing, and removes its folder; harmless when done twice."""
        self._dispose()

    def _await_bell(self, doing: str) -> tuple[int, int, int]:
        ends = self._last_event + self.limits.deadline_s
        bell = b""
        while True:
            events = dict(self._poll.poll(self.limits.watch_s * 1000))
            if self._pipe in events:
                self._drain()
            if self._bell.fileno() in events:
                part = b""
                with contextlib.suppress(ConnectionError):  # it was killed before it had read what we sent
                    part = self._bell.recv(DOORBELL.size - len(bell))
                if not part:
                    raise self._death(doing)
                bell += part
                if len(bell) == DOORBELL.size:
                    index, header_bytes, total_bytes = DOORBELL.unpack(bell)
                    return index, header_bytes, total_bytes
            self._check_limits(doing, ends)

    def _check_limits(self, doing: str, ends: float) -> None:
        if time.monotonic() > ends:
            self.close()
            raise EngineError(
                f"{self.engine} did not finish within {self.limits.deadline_s:g} s while {doing}",
                f"Raise the time limit if the model needs longer.{self._last_words()}",
                "timeout",
            )
        used = resident_bytes(self.pid) if self._memory_bound is not None else None
        if used is not None and self._memory_bound is not None and used > self._memory_bound:
            self.close()
            raise self._out_of_memory(doing)

    def _out_of_memory(self, doing: str) -> EngineError:
        bound = f" of {self._memory_bound / 1e6:,.0f} MB" if self._memory_bound is not None else ""
        remedy = f"Raise the memory limit, or make the model or its inputs smaller.{self._last_words()}"
        return EngineError(f"{self.engine} went beyond its memory limit{bound} while {doing}", remedy, "memory")

    def _death(self, doing: str) -> EngineError:
        """Says how the child ended; called when it hung up."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = 0
        self._drain(reads=4)
        self.close()
        if code == -signal.SIGKILL:  # not by us: the kernel ran out of memory, or its user killed it
            return EngineError(
                f"{self.engine} was killed by the system while {doing}, most likely for want of memory",
                "Give the machine more memory, or make the model or its inputs smaller.",
                "memory",
            )
        if any(sign in self._output for sign in (b"bad_alloc", b"MemoryError")):
            return self._out_of_memory(doing)
        how = f"signal {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        remedy = f"The fault is the engine's; another runtime or precision may work.{self._last_words()}"
        return EngineError(f"{self.engine} crashed ({how}) while {doing}", remedy, "crashed")

    def _drain(self, reads: int = 1) -> None:
        """Reads what the child printed and keeps the end of it; a few reads only, it may print without end."""
        with contextlib.suppress(BlockingIOError, KeyError):
            for _ in range(reads):
                part = os.read(self._pipe, _PIPE_BYTES)
                self._output += part[-_OUTPUT_BYTES:]
                del self._output[:-_OUTPUT_BYTES]
                if not part:  # it closed its output: nothing more will come, and polling would not wait any more
                    self._poll.unregister(self._pipe)  # KeyError: it is not the first time we hear so
                    return

    @property
    def printed(self) -> str:
        """The end of what the child has printed on stdout and stderr: untrusted text."""
        if not self.closed:
            self._drain()
        return self._output.decode(errors="replace")

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._output.decode(errors="replace").splitlines() if line.strip()]
        return f" It last printed: {lines[-1][:300]}" if lines else ""

    def _error_from(self, failure: Mapping[str, Json], doing: str) -> EdgewrightError:
        kind, problem, remedy = str(failure.get("type")), str(failure.get("problem")), str(failure.get("remedy"))
        if kind == "raised":
            return EngineError(f"{self.engine} failed while {doing}: {problem}", remedy, "raised")
        if kind == "memory":
            return self._out_of_memory(doing)
        if kind == EngineError.__name__:
            return EngineError(problem, remedy, str(failure.get("kind")))
        known = getattr(errors, kind, EdgewrightError)
        return known(problem, remedy) if issubclass(known, EdgewrightError) else EdgewrightError(problem, remedy)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _dispose(
    process: subprocess.Popen[bytes],
    bell: socket.socket,
    descriptors: Sequence[int],
    slots: Sequence[Slot],
    scratch: Path,
) -> None:
    # The child leads its own group, so that whatever its engine started goes with it; until it is waited for, its
    # number cannot belong to anybody else.
    if process.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    bell.close()
    for descriptor in descriptors:
        os.close(descriptor)
    for slot in slots:
        slot.close()
    shutil.rmtree(scratch, ignore_errors=True)
