"""Engine calls that a user's file can crash, made in a child process with a deadline and a memory limit.

A child costs the start of an interpreter and the import of its engine once (0.2 s with either engine on a server CPU),
and a call costs two doorbells (60 us there) and one copy of its arrays each way (several GB/s).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from edgewright.backends._base import Artifact, LayerTime, Session, registry
from edgewright.backends._limits import Limits, peak_bytes
from edgewright.backends._process import SLOTS, ChildProcess
from edgewright.backends._profiles import Profiles
from edgewright.backends._wire import Json
from edgewright.core.errors import EdgewrightError
from edgewright.core.tensors import Feeds, Outputs, TensorSpec, check_feeds

DEFAULT_LIMITS = Limits()


class IsolatedSession(Session):
    """A session whose engine lives in a child process of its own.

    After a crash, a hang or a memory failure the session is closed; an engine that merely raised can be run again.
    Not for use by several threads at once.

    Args:
        opener: ``module:function`` that the child calls for the real session.
        arguments: the function's keyword arguments.
        engine: the engine's name in messages.
        limits: deadline of opening and of each single inference, and memory.

    Raises:
        EngineError: when opening crashes, hangs, takes too much memory or raises.
    """

    def __init__(self, opener: str, arguments: Mapping[str, Json], engine: str, limits: Limits) -> None:
        self._child = ChildProcess(limits, engine)
        try:
            self._child.submit({"do": "open", "function": opener, "arguments": dict(arguments)})
            answer, _ = self._child.receive("opening the model")
        except BaseException:
            self._child.close()
            raise
        self.inputs = _specs(answer["inputs"])
        self.outputs = _specs(answer["outputs"])

    def run_many(self, feeds: Iterable[Feeds]) -> Iterator[Outputs]:
        """One inference for each of ``feeds``, in order; the next is written while the engine computes.

        Raises:
            BadInputError: when a feed does not fit its spec; the answer to the one before it is then lost.
            EngineError: as :meth:`run`.
        """
        try:
            for item in feeds:
                check_feeds(self.inputs, item)
                self._submit(item)
                if self._child.in_flight == SLOTS:
                    yield self._receive()
            while self._child.in_flight:
                yield self._receive()
        finally:
            # Whoever stops in the middle must not find the answer to an old question at the next run.
            while self._child.in_flight and not self._child.closed:
                with contextlib.suppress(EdgewrightError):
                    self._receive()

    @property
    def peak_bytes(self) -> int | None:
        """The child's largest resident memory so far (``VmHWM``: everything, mapped files included)."""
        return peak_bytes(self._child.pid) if not self._child.closed else None

    def close(self) -> None:
        """Ends the child process."""
        self._child.close()

    def _run(self, feeds: Feeds) -> Outputs:
        self._submit(feeds)
        return self._receive()

    def _submit(self, feeds: Feeds) -> None:
        self._child.submit({"do": "run"}, list(feeds.items()))

    def _receive(self) -> Outputs:
        answer, arrays = self._child.receive("running one inference")
        self.device_ns = cast("int | None", answer.get("device_ns"))
        return dict(arrays)

    def _precisions(self, operators: Sequence[str]) -> dict[str, str]:
        self._child.submit({"do": "precisions", "operators": list(operators)})
        answer, _ = self._child.receive("asking for its layers")
        return cast("dict[str, str]", answer["precisions"])

    def _profiles(self, feeds: Feeds, runs: int) -> Profiles:
        self._child.submit({"do": "profiles", "runs": runs}, list(feeds.items()))
        answer, _ = self._child.receive("profiling")
        return Profiles.from_json(answer)

    def _profile(self, feeds: Feeds) -> list[LayerTime]:
        self._child.submit({"do": "profile"}, list(feeds.items()))
        answer, _ = self._child.receive("profiling one inference")
        rows = cast("list[tuple[str, str, str, float, list[str]]]", answer["layers"])
        return [LayerTime(name, kind, precision, time, tuple(behind)) for name, kind, precision, time, behind in rows]


def open_isolated(
    backend_name: str, artifact: Artifact, threads: int, limits: Limits = DEFAULT_LIMITS
) -> IsolatedSession:
    """Opens an artifact in a child process of its own with exactly ``threads`` compute threads.

    Raises:
        EngineError: when the engine crashes, hangs, takes too much memory or refuses the artifact.
    """
    arguments: dict[str, Json] = {"backend": backend_name, "artifact": artifact.to_json(), "threads": threads}
    return IsolatedSession(f"{__name__}:_open_here", arguments, backend_name, limits)


def call_isolated(
    function: str,
    arguments: Mapping[str, Json],
    *,
    engine: str,
    doing: str,
    limits: Limits = DEFAULT_LIMITS,
) -> Json:
    """Calls ``module:function`` with keyword arguments in a child process that ends with the call.

    Args:
        function: where it is found; what it takes and returns is JSON.
        engine: the engine's name in messages.
        doing: what it does, in the words of a message: ``building the model``.

    Raises:
        EngineError: when it crashes, hangs, takes too much memory, or raises what is not an error of ours.
        EdgewrightError: what it raised of our own.
    """
    child = ChildProcess(limits, engine)
    try:
        child.submit({"do": "call", "function": function, "arguments": dict(arguments)})
        return child.receive(doing)[0]["value"]
    finally:
        child.close()


def _open_here(backend: str, artifact: dict[str, Json], threads: int) -> Session:
    """Runs in the child."""
    from edgewright.backends._allocator import giving_back

    with giving_back():
        return registry().find(backend)().open(Artifact.from_json(artifact), threads)


def _specs(value: Json) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec.from_json(cast("Mapping[str, object]", item)) for item in cast("list[Json]", value))
