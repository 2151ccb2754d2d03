"""The contract of every backend: building and running are two objects; the base class checks, the engine only does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self, cast, final

from edgewright.backends._threads import threads_of
from edgewright.backends._wire import Json
from edgewright.core import jsontext
from edgewright.core.errors import UnavailableError
from edgewright.core.files import sha256_file
from edgewright.core.model import Model
from edgewright.core.registry import Registry
from edgewright.core.tensors import Feeds, Outputs, TensorSpec, check_feeds
from edgewright.targets.schema import Target

if TYPE_CHECKING:
    from edgewright.backends._profiles import Profiles


@dataclass(frozen=True)
class Availability:
    """Whether an engine is installed here. ``reason`` and ``remedy`` (a command to type) are set when it is not."""

    version: str | None
    devices: tuple[str, ...] = ()
    reason: str = ""
    remedy: str = ""

    @property
    def present(self) -> bool:
        """True when models can be opened."""
        return self.version is not None


@dataclass(frozen=True)
class Unsupported:
    """One operator (or element type) the backend cannot take, where it stands, and why."""

    op: str
    """``domain::Name`` with its opset, as people know it."""
    node: str
    reason: str


@dataclass(frozen=True)
class Artifact:
    """An engine on disk. ``properties`` are what :meth:`Backend.open` must be told again (never a host's path)."""

    backend: str
    folder: Path
    entry: str
    """The file to open, relative to ``folder``."""
    files: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    properties: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    pending: str = ""
    """Why there is no engine yet, where only the device can build it: ``entry`` is then the model it is built from, and
    :meth:`Backend.complete` builds it there."""
    remarks: tuple[str, ...] = ()
    """What its builder found that users must know, a line each; told once, and not kept in a manifest."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all files of the engine."""
        return sum((self.folder / name).stat().st_size for name in self.files)

    @property
    def path(self) -> Path:
        """The file to open."""
        return self.folder / self.entry

    def threads(self, most: int) -> int:
        """Compute threads where nobody says otherwise: as many as it was fastest with, at most ``most``."""
        return threads_of(self.properties, most)

    def run_as(self, execution: Mapping[str, str]) -> Artifact:
        """The same files with some of what :meth:`Backend.open` is told changed."""
        return replace(self, properties={**self.properties, **execution}) if execution else self

    @property
    def digest(self) -> str:
        """SHA-256 in hex over its files and what it says of itself, wherever it lies."""
        files = {name: sha256_file(self.folder / name) for name in self.files}
        return jsontext.digest({**self.to_json(), "folder": "", "files": files})

    def to_json(self) -> dict[str, Json]:
        """What a child process on this machine needs to open it; names the folder, so never for a bundle."""
        return {
            "backend": self.backend,
            "folder": str(self.folder.absolute()),
            "entry": self.entry,
            "files": list(self.files),
            "inputs": [cast("Json", spec.to_json()) for spec in self.inputs],
            "outputs": [cast("Json", spec.to_json()) for spec in self.outputs],
            "properties": dict(self.properties),
            "versions": dict(self.versions),
            "pending": self.pending,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Artifact:
        """Reads what :meth:`to_json` wrote."""
        inputs, outputs = (
            tuple(TensorSpec.from_json(spec) for spec in cast("list[Mapping[str, object]]", data[key]))
            for key in ("inputs", "outputs")
        )
        return cls(
            str(data["backend"]),
            Path(str(data["folder"])),
            str(data["entry"]),
            tuple(cast("list[str]", data["files"])),
            inputs,
            outputs,
            cast("dict[str, str]", data["properties"]),
            cast("dict[str, str]", data["versions"]),
            str(data.get("pending", "")),
        )


@dataclass(frozen=True)
class LayerTime:
    """One executed layer: the engine's name for it, its kind, the precision it ran in, and its time."""

    name: str
    kind: str
    precision: str
    time_us: float
    operators: tuple[str, ...] = ()
    """Names of the model's nodes behind it, where the engine tells."""
    read_bytes: int | None = None
    """Of the tensors it takes, weights left out; None where the engine does not tell, as for the next two."""
    written_bytes: int | None = None
    weight_bytes: int | None = None
    macs: int | None = None
    """Multiply-accumulates by the sizes of what it executes, where those are shown and tell."""


class Session(ABC):
    """A loaded engine. Use it as a context manager; ``run`` checks every feed before the engine sees it."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    device_ns: int | None = None
    """Time of the last inference by the device's own clock (CUDA events), transfers left out; None without such a
    clock. A second series beside wall time, never in its place."""

    @final
    def run(self, feeds: Feeds) -> Outputs:
        """One inference, synchronously.

        Args:
            feeds: an array for each input, of its dtype, rank and fixed sizes.

        Raises:
            BadInputError: when a feed does not fit its spec.
            EngineError: when the engine refuses or fails.
        """
        check_feeds(self.inputs, feeds)
        return self._run(feeds)

    @final
    def profile(self, feeds: Feeds) -> list[LayerTime]:
        """Times of the layers of one inference as the engine itself reports them, in execution order.

        Raises:
            BadInputError: when a feed does not fit its spec.
            UnavailableError: when the engine has no such report.
        """
        check_feeds(self.inputs, feeds)
        return self._profile(feeds)

    @final
    def profiles(self, feeds: Feeds, runs: int) -> Profiles:
        """About ``runs`` inferences with their layers timed, each beside its own wall time, and as many without.

        Raises:
            BadInputError: when a feed does not fit its spec.
            UnavailableError: when the engine does not show the graph that it executes.
        """
        check_feeds(self.inputs, feeds)
        return self._profiles(feeds, runs)

    def _profiles(self, feeds: Feeds, runs: int) -> Profiles:
        del feeds, runs
        raise UnavailableError("the engine does not show the graph that it executes", "Ask for its profile.")

    @final
    def precisions(self, operators: Sequence[str]) -> dict[str, str]:
        """What the engine computes operators of the model in, by its own information about its layers.

        Args:
            operators: names of nodes of the model that it was built from.

        Returns:
            For each of them ``int8``, ``fp16``, ...; ``unknown`` where the engine does not say.

        Raises:
            UnavailableError: when the engine has no such information.
        """
        return self._precisions(operators)

    def _precisions(self, operators: Sequence[str]) -> dict[str, str]:
        del operators
        raise UnavailableError("the engine does not tell what it computes in", "Ask for its profile.")

    @abstractmethod
    def _run(self, feeds: Feeds) -> Outputs: ...

    @abstractmethod
    def _profile(self, feeds: Feeds) -> list[LayerTime]: ...

    def close(self) -> None:  # noqa: B027 - most engines let go when they are collected
        """Lets go of the engine; a closed session cannot be run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Backend(ABC):
    """Lowers models for a target and opens what it lowered. Stateless; engines are imported inside the methods."""

    name: ClassVar[str]
    """The module's name with dashes for underscores; the second half of a target's name."""
    accepts: ClassVar[frozenset[str]] = frozenset({"onnx"})
    """The model forms it lowers: ``onnx``, ``torch``."""

    runs_on_cpu: ClassVar[bool] = True
    """Whether what it lowers for a device can be run on this machine's CPU, to stand in for a device that is absent."""
    native_code: ClassVar[bool] = False
    """Whether opening an artifact runs machine code that lies in it, so that only a trusted one may be opened."""
    completing_runs_code: ClassVar[bool] = False
    """Whether what a pending artifact is built from can run code when it is read: then only a trusted one is built."""

    @abstractmethod
    def probe(self) -> Availability:
        """Whether it is installed, its version and devices; never raises."""

    def installed(self) -> Availability:
        """As :meth:`probe`, where what is found without loading the engine will do; devices may be left out."""
        return self.probe()

    def available_for(self, target: Target) -> Availability:
        """Whether what is installed here can lower for ``target``; never raises."""
        del target
        return self.probe()

    @abstractmethod
    def supports(self, model: Model, target: Target) -> list[Unsupported]:
        """What of ``model`` the engine cannot take, found in seconds and without running anything; [] is good."""

    @abstractmethod
    def lower(self, model: Model, target: Target, workdir: Path, precision: str = "fp32") -> Artifact:
        """Builds the engine into ``workdir`` (an empty folder).

        Args:
            precision: what the engine computes in where the graph says float32; one of
                ``target.hinted_precisions`` or ``fp32``.

        Raises:
            UnavailableError: an operator or precision the engine does not have.
            EngineError: the engine failed to build it.
        """

    @abstractmethod
    def open(self, artifact: Artifact, threads: int) -> Session:
        """Loads the engine in this process with exactly ``threads`` compute threads.

        Raises:
            EngineError: when the engine refuses the artifact.
        """

    def executions(self, target: Target, threads: int) -> tuple[Mapping[str, str], ...]:
        """Other ways to run what it lowers for ``target`` on ``threads`` at most: properties worth measuring."""
        del self, target, threads
        return ()

    def complete(self, artifact: Artifact, target: Target, workdir: Path) -> Artifact:
        """Builds, on the device itself, the engine of a ``pending`` artifact into ``workdir`` (an empty folder).

        Raises:
            UnavailableError: this backend leaves nothing pending, or what builds the engine is not installed.
            EngineError: the engine failed to build.
        """
        del target, workdir
        raise UnavailableError(f"{self.name} leaves no engine to be built later", f"Open {artifact.entry} as it is.")

    def unfit(self, artifact: Artifact) -> str | None:
        """Why the engine cannot be opened with what is installed here, told before anything of it is read; else None.

        Compares what the artifact says of itself (versions, hardware) with this machine.
        """
        from edgewright.backends._fingerprint import fingerprint_problem

        return fingerprint_problem(self, artifact.versions)

    def on_cpu(self, artifact: Artifact) -> Artifact:
        """The same engine as this machine's CPU opens it, where :attr:`runs_on_cpu`; its times say nothing.

        What the CPU computes in may be more precise than the device (float32 for float16).
        """
        return artifact


def registry() -> Registry[Backend]:
    """All backends: the files of ``backends`` and the entry points of group ``edgewright.backends``."""
    return Registry("backend", "edgewright.backends", Backend, "edgewright.backends")  # type: ignore[type-abstract]
