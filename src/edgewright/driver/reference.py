"""Running models on this machine in float32: what calibration, the numeric gate and every comparison stand on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgewright.backends import Artifact, open_isolated
from edgewright.backends import registry as backends
from edgewright.core.data import DataSet
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds, Outputs
from edgewright.driver.cache_steps import Clock, Steps
from edgewright.targets.schema import Target

BACKEND = "onnxruntime"
"""Executes the original and all intermediate models, whatever the target's own runtime is."""


@dataclass(frozen=True)
class ReferenceExecutor:
    """Runs any model in a child process; ``run`` is the function passes get as ``site.run``."""

    target: Target
    workdir: Path
    threads: int

    def lower(self, model: OnnxModel) -> Artifact:
        """Writes ``model`` for the reference engine into a folder of its own.

        For the CPU, whatever the target is: lowering for a GPU that is here opens the model there.
        """
        folder = Path(tempfile.mkdtemp(prefix="reference-", dir=self.workdir))
        return backends().find(BACKEND)().lower(model, replace(self.target, device="CPU"), folder)

    def run(self, model: OnnxModel, feeds: Iterable[Feeds]) -> Iterator[Outputs]:
        """The outputs for each feed, in order, one at a time.

        Raises:
            EngineError: when the engine refuses the model, crashes, hangs or runs out of memory.
        """
        artifact = self.lower(model)
        try:
            with open_isolated(BACKEND, artifact, self.threads) as session:
                yield from session.run_many(feeds)
        finally:
            for name in artifact.files:
                (artifact.folder / name).unlink(missing_ok=True)


class Answers:
    """What the original answered to each sample of a set, computed once and read back from disk one at a time."""

    def __init__(self, executor: ReferenceExecutor, original: OnnxModel, steps: Steps | None = None) -> None:
        self.executor, self._original, self._steps = executor, original, steps or Steps()
        self._folders: dict[str, Path] = {}

    @property
    def digest(self) -> str:
        """The original's: it decides every answer."""
        return self._original.digest

    def of(self, data: DataSet) -> Iterator[Outputs]:
        """The original's outputs for each sample of ``data``, in its order.

        Raises:
            EngineError: when the original cannot be run.
        """
        if data.digest not in self._folders:
            self._folders[data.digest] = self._spool(data)
        folder = self._folders[data.digest]
        names = [spec.name for spec in self._original.outputs]
        for index in range(len(data)):
            with np.load(folder / f"{index}.npz", allow_pickle=False) as arrays:
                yield {name: arrays[str(place)] for place, name in enumerate(names)}

    def run(self, feeds: Iterable[Feeds]) -> Iterator[Outputs]:
        """The original's outputs for feeds that belong to no set."""
        return self.executor.run(self._original, feeds)

    def _spool(self, data: DataSet) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="answers-", dir=self.executor.workdir))
        parts = {} if self._steps.store is None else {"model": self.digest, "data": data.digest}
        with self._steps.found_or_owned("answers", parts, f"what the original answers to {data.name}") as hit:
            if hit is not None:
                hit.copy_into(folder)
                return folder
            clock = Clock()
            names = [spec.name for spec in self._original.outputs]
            for index, outputs in enumerate(self.executor.run(self._original, data)):
                # Numbered, not named: an output's name is foreign text and must not become part of a path.
                np.savez(folder / f"{index}.npz", **{str(place): outputs[name] for place, name in enumerate(names)})  # type: ignore[arg-type]
            self._steps.keep("answers", parts, None, {one.name: one for one in folder.iterdir()}, took_s=clock.seconds)
            return folder
