"""``edgewright.load``: a bundle's engine, ready for a program on the device to run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from edgewright.backends import open_isolated
from edgewright.benchmarks.preparing import Prepared, prepare
from edgewright.core.bundle import Manifest, open_bundle
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.tensors import Array, Outputs, TensorSpec
from edgewright.core.workdir import working_folder

if TYPE_CHECKING:
    from edgewright.backends import Session
    from edgewright.core.bundle import StateLink


class Loaded:
    """A running engine: give it arrays, get arrays. Made by :func:`load`.

    It runs until :meth:`close`, the end of a ``with`` block, or that of the program. Threads that share it take turns.
    """

    def __init__(self, session: Session, manifest: Manifest, digest: str, threads: int) -> None:
        self.manifest, self.digest, self.threads = manifest, digest, threads
        self.inputs: tuple[TensorSpec, ...] = session.inputs
        """What it takes, state included: names, element types, shapes."""
        self.outputs: tuple[TensorSpec, ...] = session.outputs
        self._session, self._lock = session, Lock()
        self._links: tuple[StateLink, ...] = manifest.state
        self._state: dict[str, Array] = {}

    def run(self, feeds: Mapping[str, Array] | Array | None = None, /, **named: Array) -> Outputs:
        """One inference: ``run(x)`` where there is one input, ``run({"x": x})``, or ``run(x=x)``.

        Nothing is converted: an array has its input's dtype, rank and fixed sizes. Inputs that are state need not be
        given; they begin as zeros and are then what the last run left.

        Returns:
            An array for each output, by its name.

        Raises:
            UsageError: one array where there are several inputs.
            BadInputError: naming every input that is missing, unknown or of the wrong form.
            EngineError: the engine failed; one that crashed is closed.
        """
        with self._lock:
            given = self._feeds(feeds, named)
            outputs = self._session.run({**self._states(given), **given})
            self._state = {link.input: outputs[link.output] for link in self._links}
            return outputs

    def reset(self) -> None:
        """Forgets the state: the next run begins a new sequence."""
        with self._lock:
            self._state = {}

    def close(self) -> None:
        """Ends the engine; harmless when done twice."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        takes = ", ".join(f"{spec.name}: {spec.dtype} {spec.shape_text}" for spec in self.inputs)
        gives = ", ".join(f"{spec.name}: {spec.dtype} {spec.shape_text}" for spec in self.outputs)
        return f"<{self.manifest.model.name}, {self.manifest.precision}: {takes} -> {gives}>"

    @property
    def data_inputs(self) -> tuple[TensorSpec, ...]:
        """What has to be given: the inputs that are not state."""
        states = {link.input for link in self._links}
        return tuple(spec for spec in self.inputs if spec.name not in states)

    def _feeds(self, feeds: Mapping[str, Array] | Array | None, named: dict[str, Array]) -> dict[str, Array]:
        if feeds is None or isinstance(feeds, Mapping):
            return {name: _array(name, value) for name, value in {**(feeds or {}), **named}.items()}
        wanted = self.data_inputs
        if named or len(wanted) != 1:
            names = ", ".join(f"'{spec.name}'" for spec in wanted)
            raise UsageError(
                f"one array was given, and the model takes {names}", "Give them by name: run({name: array})."
            )
        return {wanted[0].name: _array(wanted[0].name, feeds)}

    def _states(self, given: Mapping[str, Array]) -> dict[str, Array]:
        left = [link.input for link in self._links if link.input not in given]
        specs = {spec.name: spec for spec in self.inputs}
        return {name: self._state[name] if name in self._state else _zeros(specs[name]) for name in left}


def _array(name: str, value: object) -> Array:
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    raise BadInputError(
        f"input '{name}' is a {type(value).__name__}, not an array", "Give numpy.asarray(value, dtype)."
    )


def _zeros(spec: TensorSpec) -> Array:
    """What a sequence begins with; one sequence where the number is open."""
    return np.zeros([dim if isinstance(dim, int) else 1 for dim in spec.shape or ()], spec.dtype)


def load(
    path: Path | str,
    threads: int | None = None,
    *,
    key: Path | str | None = None,
    trust_native_code: bool = False,
    isolated: bool = True,
) -> Loaded:
    """Opens a bundle, or its unzipped folder, and starts its engine on this machine.

    Every digest is checked before anything is loaded. The engine runs in a child process: what it does wrong (a crash,
    a hang, all memory) is an :class:`~edgewright.core.errors.EngineError` here, and not the end of the program.

    Args:
        path: what ``edgewright compile`` wrote.
        threads: compute threads; None is what the engine was fastest with, at most this machine's cores.
        key: a public key that must have signed the bundle.
        trust_native_code: open an engine that is machine code, which runs when it is opened.
        isolated: False loads the engine into this very process: less memory and no hop, and its crash is yours.

    Raises:
        UsageError: there is nothing at ``path`` or ``key``, or ``threads`` is below 1.
        BadInputError: a bundle that was altered or damaged, or has no good signature of ``key``; machine code that is
            not trusted.
        TargetAbsentError: this machine is not what it is for.
        UnavailableError: its runtime is not installed, or its engine is still to be built (``edgewright finish``).
        EngineError: the engine refuses it.
    """
    bundle = open_bundle(Path(path), None if key is None else Path(key))
    return started(prepare(bundle, threads, trust_native_code=trust_native_code), isolated=isolated)


def started(prepared: Prepared, *, isolated: bool = True) -> Loaded:
    """The engine of a bundle that was found to be for this machine.

    Raises:
        UnavailableError, EngineError: as :func:`load`.
    """
    backend, threads = prepared.backend, prepared.target.threads
    with working_folder() as folder:
        artifact = prepared.extracted(folder / "engine")
        session = open_isolated(backend.name, artifact, threads) if isolated else backend.open(artifact, threads)
    return Loaded(session, prepared.bundle.manifest, prepared.bundle.digest, threads)
