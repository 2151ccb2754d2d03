"""What comes before measuring: is this bundle for this machine, can it be opened here, and what is it fed with?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import edgewright
from edgewright.backends import Artifact, Backend, require_trust, threads_of
from edgewright.backends import registry as backends
from edgewright.core.bundle import Bundle, Manifest
from edgewright.core.errors import BadInputError, TargetAbsentError, UnavailableError, UsageError
from edgewright.core.tensors import Feeds, Outputs
from edgewright.core.toml import Table
from edgewright.targets.detect import is_present, stands_in, this_host
from edgewright.targets.parse import target_from_json

if TYPE_CHECKING:
    from edgewright.benchmarks.metrics import Metric
    from edgewright.benchmarks.record import Subject, Target
    from edgewright.core.data import DataSet
    from edgewright.core.data.preprocessing import Preprocessing

MOST_INPUTS = 32
"""Distinct samples that are cycled; more would measure the reading of memory."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A bundle that can be measured here."""

    bundle: Bundle
    backend: Backend
    target: Target
    device: str
    """``CPU``, ``CUDA``, ...: whose timing lock is to be held."""
    most_threads: int
    """Compute threads that there are for it; it may be run with fewer."""

    def extracted(self, folder: Path) -> Artifact:
        """The engine's files in ``folder``, which is made.

        Raises:
            UnavailableError: an engine of another version, which nothing here opens.
        """
        folder.mkdir()
        self.bundle.extract_engine(folder)
        artifact = artifact_of(self.bundle, folder)
        require_fit(self.backend, artifact)
        return artifact

    @property
    def subject(self) -> Subject:
        """What a record calls it."""
        from edgewright.benchmarks.record import Subject

        manifest = self.bundle.manifest
        return Subject(
            bundle_sha256=self.bundle.digest,
            recipe_digest=manifest.recipe_digest,
            plan_digest=manifest.plan_digest,
            model=manifest.model.name,
            precision=manifest.precision,
            size_bytes=manifest.size_bytes,
        )

    @property
    def versions(self) -> Mapping[str, str]:
        """What runs here, which need not be what built the engine."""
        import numpy as np

        here = self.backend.installed().version or "unknown"
        return {"edgewright": edgewright.__version__, self.backend.name: here, "numpy": np.__version__}


@dataclass(frozen=True, eq=False)
class Judging:
    """Labelled data and the metric to judge by; where either is missing, why."""

    dataset: DataSet | None
    metric: str | None
    notes: tuple[str, ...]

    def fresh(self) -> Metric | None:
        """A metric that has seen nothing; None where accuracy is not measured."""
        from edgewright.benchmarks.accuracy import load_metric

        return None if self.dataset is None or self.metric is None else load_metric(self.metric)


def prepare(bundle: Bundle, threads: int | None, *, trust_native_code: bool, most: int | None = None) -> Prepared:
    """Finds out, without opening the engine, that it can be measured here.

    Args:
        bundle: an opened bundle.
        threads: compute threads; None is what the engine was fastest with, else the target's number, at most this
            machine's cores.
        trust_native_code: open an engine that is machine code, which runs when it is opened.
        most: where ``threads`` is None, no more than so many.

    Raises:
        TargetAbsentError: this machine is not what the bundle is for.
        UnavailableError: its runtime is not installed, or it has no engine yet.
        UsageError: threads below 1.
        BadInputError: machine code that is not trusted.
    """
    from edgewright.benchmarks.record import Target

    if threads is not None and threads < 1:
        raise UsageError(f"--threads is {threads}", "Give 1 or more.")
    manifest = bundle.manifest
    target = target_from_json(manifest.target.description)
    absent = is_present(target)
    if absent is not None:
        raise TargetAbsentError(f"{target.name} is not on this machine: {absent}", "Run it on the device itself.")
    name = manifest.backend.name
    if name not in backends():
        known = ", ".join(backends().names())
        raise UnavailableError(f"runtime {name} is unknown here", f"Install the package it is from; there are {known}.")
    backend = backends().find(name)()
    found = backend.installed()
    if not found.present:
        raise UnavailableError(f"runtime {name} is not here: {found.reason}", found.remedy)
    require_built(bundle)
    require_trust(backend, trust_native_code)
    there = min(target.threads, this_host().cores, most or target.threads)
    used = threads or threads_of(manifest.backend.properties, there)
    record_target = Target(manifest.target.name, name, used, stands_in(target) is not None)
    return Prepared(bundle, backend, record_target, target.device, threads or there)


def require_built(bundle: Bundle) -> None:
    """Lets through a bundle that has its engine.

    Raises:
        UnavailableError: when that is still to be built on the device.
    """
    if bundle.manifest.backend.pending:
        raise UnavailableError(
            f"{bundle.path.name} has no engine yet: {bundle.manifest.backend.pending}",
            f"On the device, type: edgewright finish {bundle.path.name} -o finished.ewb",
        )


def require_fit(backend: Backend, artifact: Artifact) -> None:
    """Lets through an engine that this machine's installation can open; nothing of another is read.

    Raises:
        UnavailableError: saying what it was built with, and what is here.
    """
    if problem := backend.unfit(artifact):
        raise UnavailableError(
            f"the bundle's {backend.name} engine cannot be opened here: {problem}",
            "Compile the model again for this machine, or use the version it was built with.",
        )


def artifact_of(bundle: Bundle, folder: Path) -> Artifact:
    """The engine of ``bundle`` as it was extracted to ``folder``."""
    manifest = bundle.manifest
    return Artifact(
        backend=manifest.backend.name,
        folder=folder,
        entry=manifest.backend.entry,
        files=bundle.engine_files,
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        properties=manifest.backend.properties,
        versions=manifest.backend.versions,
        pending=manifest.backend.pending or "",
    )


def dataset_for(bundle: Bundle, data: str | None) -> DataSet | None:
    """The user's DATA as this bundle's inputs.

    Raises:
        BadInputError: data that is broken or does not fit.
    """
    if data is None:
        return None
    from edgewright.core.data import open_data

    return open_data(data, bundle.manifest.inputs, preprocessing_of(bundle.manifest))


def inputs_of(bundle: Bundle, dataset: DataSet | None) -> tuple[list[Feeds], list[Outputs] | None, str]:
    """The samples to cycle, the engine's right answers to them where they are known, and where they are from."""
    if dataset is not None:
        return list(islice(dataset, MOST_INPUTS)), None, dataset.name
    golden = bundle.golden()
    expected = [dict(one) for one in golden.engine] if golden.engine else None
    return list(golden.inputs), expected, "golden"


def judging(dataset: DataSet | None, metric: str | None, manifest: Manifest) -> Judging:
    """The metric to judge by, or the line that says why accuracy is not measured.

    Raises:
        UsageError: an unknown metric.
    """
    from edgewright.benchmarks.accuracy import load_metric

    if dataset is None:
        return Judging(None, None, () if metric is None else ("accuracy not measured: --metric needs --data",))
    if not dataset.labelled:
        why = f"accuracy not measured: {dataset.name} has no labels, and the original model is not here"
        return Judging(dataset, None, (why,))
    name, reason = _metric_name(metric, manifest)
    found = load_metric(name)
    if found.compares_to == "original":
        # By its own name: what the user typed may be a path, and records travel.
        why = f"accuracy not measured: {found.name} {reason}; name a --metric that compares with labels"
        return Judging(dataset, None, (why,))
    return Judging(dataset, name, tuple(dataset.warnings))


def few_inputs(samples: Sequence[Feeds], least: int = 4) -> list[str]:
    """The line that says that there are hardly any distinct inputs."""
    if len(samples) >= least:
        return []
    return [f"only {len(samples)} distinct inputs: caches may flatter the figures"]


def preprocessing_of(manifest: Manifest) -> dict[str, Preprocessing]:
    """How images become inputs, by the input's name.

    Raises:
        BadInputError: the manifest says what no reader of images knows.
    """
    from edgewright.core.data.preprocessing import Preprocessing

    problems: list[str] = []
    found = {}
    for name, steps in (manifest.preprocessing or {}).items():
        table = Table(steps if isinstance(steps, Mapping) else {}, f"preprocessing.{name}", problems)
        found[name] = Preprocessing.read(table)
    if problems:
        raise BadInputError(f"the bundle's manifest: {'; '.join(problems)}", "Compile the model again.")
    return found


def _metric_name(metric: str | None, manifest: Manifest) -> tuple[str, str]:
    from edgewright.benchmarks.accuracy import default_metric
    from edgewright.benchmarks.metrics import registry as metrics

    if metric is not None:
        return metric, "compares with the original model, which is not here"
    if manifest.accuracy is not None and manifest.accuracy.metric in metrics().names():
        judged = manifest.accuracy.metric
        return judged, "is what the bundle was judged by, and compares with the original model"
    choice = default_metric(manifest.outputs, labelled=True)
    return choice.name, f"is the default ({choice.reason})"
