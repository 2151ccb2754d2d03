"""From a bundle to its record: opens it, measures it by the protocol, derives the summary, judges its accuracy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

import edgewright
from edgewright.backends import Artifact, Backend, open_isolated, require_trust
from edgewright.backends import registry as backends
from edgewright.benchmarks.accuracy import default_metric, load_metric, score
from edgewright.benchmarks.machine import disturbances, this_machine
from edgewright.benchmarks.measuring import Measured, Question, digest_of_samples, measure
from edgewright.benchmarks.metrics import Metric
from edgewright.benchmarks.metrics import registry as metrics
from edgewright.benchmarks.protocol import Protocol, protocol_named
from edgewright.benchmarks.record import AccuracyFound, ProtocolUsed, Record, Run, Status, Subject, Summary, Target
from edgewright.benchmarks.statistics import autocorrelation, drift, outliers, percentiles, variation
from edgewright.benchmarks.timing_lock import timing_lock
from edgewright.core.bundle import Bundle, Manifest
from edgewright.core.data import DataSet, open_data
from edgewright.core.data.preprocessing import Preprocessing
from edgewright.core.errors import BadInputError, TargetAbsentError, UnavailableError, UsageError
from edgewright.core.tensors import Feeds, Outputs
from edgewright.core.toml import Table
from edgewright.core.workdir import working_folder
from edgewright.targets.detect import is_present, stands_in, this_host
from edgewright.targets.parse import target_from_json

MOST_INPUTS = 32
"""Distinct samples that are cycled; more would measure the reading of memory."""
_FEW_INPUTS = 4
_BOUNDARY = "session.run: arrays in, arrays out"
_ON_A_DEVICE = "; wall time has the copies to the device and back and waits for its stream, device_ns has neither"


def bench_bundle(
    bundle: Bundle,
    preset: str | Protocol = "quick",
    threads: int | None = None,
    data: str | None = None,
    metric: str | None = None,
    *,
    trust_native_code: bool = False,
    log: Callable[[str], None] = lambda _line: None,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> Record:
    """Measures a bundle on this machine, in child processes; nothing is written.

    Args:
        bundle: an opened bundle.
        preset: a name of :data:`edgewright.benchmarks.protocol.PRESETS`, or a protocol of one's own.
        threads: compute threads; None is the target's number, at most this machine's cores.
        data: DATA as the command line has it: its first samples are the inputs instead of the bundle's golden ones,
            and with labels the accuracy is measured.
        metric: a registered one or the user's; None is the one the bundle was judged by, where it can be.
        trust_native_code: open an engine that is machine code, which runs when it is opened.
        log: takes one line of talk at a time.
        progress: takes what is being done, and the share of all that is behind.

    Raises:
        TargetAbsentError: this machine is not what the bundle is for.
        UnavailableError: its runtime is not installed.
        UsageError: an unknown preset, or threads below 1.
        BadInputError: data that is broken or does not fit, or machine code that is not trusted.
        EngineError: the engine fails.
    """
    protocol = protocol_named(preset) if isinstance(preset, str) else preset
    target = _target(bundle.manifest, threads)
    require_built(bundle)
    backend = backends().find(target.backend)()
    require_trust(backend, trust_native_code)
    dataset = None if data is None else open_data(data, bundle.manifest.inputs, _preprocessing(bundle.manifest))
    judge, unjudged = _judge(dataset, metric, bundle.manifest)
    machine = this_machine()
    samples, expected, source = _inputs(bundle, dataset)
    with working_folder() as folder:
        (folder / "engine").mkdir()
        bundle.extract_engine(folder / "engine")
        artifact = artifact_of(bundle, folder / "engine")
        require_fit(backend, artifact)
        tolerance = bundle.manifest.tolerances.engine
        device = target_from_json(bundle.manifest.target.description).device
        on_gpu = device == "CUDA"
        question = Question(
            artifact, samples, expected, tolerance, target.threads, protocol, on_gpu, progress=progress, log=log
        )
        with timing_lock(device, log):
            shaky = disturbances(machine, target.threads)
            measured = measure(question, folder)
        accuracy = None
        if dataset is not None and judge is not None:
            accuracy = _accuracy(artifact, target.threads, dataset, judge)
    return Record(
        subject=_subject(bundle),
        target=target,
        machine=machine,
        versions=_versions(artifact),
        protocol=_protocol_used(protocol, measured, samples, source),
        runs=measured.runs,
        voided=measured.voided,
        summary=summarise(measured.runs, measured.warmth.inner),
        memory=measured.memory,
        accuracy=accuracy,
        status=_status(measured),
        notes=(*measured.problems, *_shaky_inputs(samples), *shaky, *unjudged),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


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


def summarise(runs: Sequence[Run], inner: int) -> Summary:
    """The summary of raw samples; percentiles of single inferences above their floors, only p50 of batch means."""
    pooled = np.concatenate([np.asarray(run.ns, np.float64) for run in runs]) / inner
    medians = [statistics.median(run.ns) / inner for run in runs]
    device = [took for run in runs for took in run.device_ns or ()]
    found = percentiles(pooled)
    return Summary(
        percentiles=found if inner == 1 else {name: one for name, one in found.items() if name == "p50"},
        mean=float(pooled.mean()),
        cv=variation(pooled),
        n=len(pooled),
        run_median=statistics.median(medians),
        run_cv=variation(medians),
        throughput=1e9 / float(pooled.mean()),
        first_ns=statistics.median(run.first_ns for run in runs),
        load_ns=statistics.median(run.load_ns for run in runs),
        import_ns=statistics.median(run.import_ns for run in runs),
        outliers=outliers(pooled),
        autocorrelation=statistics.median(autocorrelation(run.ns) for run in runs),
        drift_pct=100 * max((drift(run.window_medians) for run in runs), key=abs),
        device_percentiles=percentiles(device) if device else None,
    )


def confidence_95(scores: npt.NDArray[np.float64]) -> tuple[float, float] | None:
    """A 95 % interval of the mean of per-sample scores; None for fewer than 30 that are not all 0 or 1.

    Shares: Wilson 1927, equation for the score interval. Other means: normal approximation of the mean.
    """
    n, mean, z = len(scores), float(scores.mean()), 1.959964
    if n and np.isin(scores, (0.0, 1.0)).all():
        middle, half = mean + z * z / (2 * n), z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
        return (max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n)))
    if n < 30:
        return None
    error = z * float(scores.std(ddof=1)) / math.sqrt(n)
    return mean - error, mean + error


def _target(manifest: Manifest, threads: int | None) -> Target:
    if threads is not None and threads < 1:
        raise UsageError(f"--threads is {threads}", "Give 1 or more.")
    target = target_from_json(manifest.target.description)
    absent = is_present(target)
    if absent is not None:
        raise TargetAbsentError(f"{target.name} is not on this machine: {absent}", "Run bench on the device itself.")
    name = manifest.backend.name
    if name not in backends().names():
        known = ", ".join(backends().names())
        raise UnavailableError(f"runtime {name} is unknown here", f"Install the package it is from; there are {known}.")
    found = backends().find(name)().probe()
    if not found.present:
        raise UnavailableError(f"runtime {name} is not here: {found.reason}", found.remedy)
    used = threads or min(target.threads, this_host().cores)
    return Target(manifest.target.name, name, used, stands_in(target) is not None)


def _preprocessing(manifest: Manifest) -> dict[str, Preprocessing]:
    """How images become inputs, by the input's name."""
    problems: list[str] = []
    found = {}
    for name, steps in (manifest.preprocessing or {}).items():
        table = Table(steps if isinstance(steps, Mapping) else {}, f"preprocessing.{name}", problems)
        found[name] = Preprocessing.read(table)
    if problems:
        raise BadInputError(f"the bundle's manifest: {'; '.join(problems)}", "Compile the model again.")
    return found


def _inputs(bundle: Bundle, dataset: DataSet | None) -> tuple[list[Feeds], list[Outputs] | None, str]:
    """The samples to cycle, the engine's right answers to them where they are known, and where they are from."""
    if dataset is not None:
        return list(islice(dataset, MOST_INPUTS)), None, dataset.name
    golden = bundle.golden()
    expected = [dict(one) for one in golden.engine] if golden.engine else None
    return list(golden.inputs), expected, "golden"


def _judge(dataset: DataSet | None, metric: str | None, manifest: Manifest) -> tuple[Metric | None, tuple[str, ...]]:
    """The metric to judge by; or None, and the line that says why accuracy is not measured."""
    if dataset is None:
        return None, () if metric is None else ("accuracy not measured: --metric needs --data",)
    if not dataset.labelled:
        return None, (f"accuracy not measured: {dataset.name} has no labels, and the original model is not here",)
    name, reason = _metric_name(metric, manifest)
    judge = load_metric(name)
    if judge.compares_to == "original":
        return None, (f"accuracy not measured: {reason}; name a --metric that compares with labels",)
    return judge, dataset.warnings


def _accuracy(artifact: Artifact, threads: int, dataset: DataSet, judge: Metric) -> AccuracyFound:
    with open_isolated(artifact.backend, artifact, threads) as session:
        found = score(session.run_many(dataset), dataset, judge)
    interval = None if found.per_sample is None else confidence_95(found.per_sample)
    return AccuracyFound(found.metric, found.value, interval, found.n, found.higher_is_better, dataset.digest)


def _metric_name(metric: str | None, manifest: Manifest) -> tuple[str, str]:
    if metric is not None:
        return metric, f"{metric} compares with the original model, which is not here"
    if manifest.accuracy is not None and manifest.accuracy.metric in metrics().names():
        judged = manifest.accuracy.metric
        return judged, f"the bundle was judged by {judged}, which compares with the original model"
    choice = default_metric(manifest.outputs, labelled=True)
    return choice.name, choice.reason


def _subject(bundle: Bundle) -> Subject:
    manifest = bundle.manifest
    return Subject(
        bundle_sha256=bundle.digest,
        recipe_digest=manifest.recipe_digest,
        plan_digest=manifest.plan_digest,
        model=manifest.model.name,
        precision=manifest.precision,
        size_bytes=manifest.size_bytes,
    )


def _versions(artifact: Artifact) -> Mapping[str, str]:
    """What ran here, which need not be what built the engine."""
    here = backends().find(artifact.backend)().probe().version or "unknown"
    return {"edgewright": edgewright.__version__, artifact.backend: here, "numpy": np.__version__}


def _protocol_used(protocol: Protocol, measured: Measured, samples: Sequence[Feeds], source: str) -> ProtocolUsed:
    warmth = measured.warmth
    return ProtocolUsed(
        preset=protocol.preset.name,
        scenario="single-stream",
        boundary=_BOUNDARY + (_ON_A_DEVICE if any(run.device_ns for run in measured.runs) else ""),
        sample_kind=warmth.sample_kind,
        inner=warmth.inner,
        warmup=warmth.inferences,
        warmup_steady=warmth.steady,
        seed=0,
        inputs=len(samples),
        inputs_sha256=digest_of_samples(samples),
        inputs_from=source,
        cpus_pinned=measured.cpus is not None,
        scrubbed=warmth.scrubbed,
    )


def _status(measured: Measured) -> Status:
    if measured.problems:
        return "invalid"
    return "ok" if measured.warmth.steady else "unsteady"


def _shaky_inputs(samples: Sequence[Feeds]) -> list[str]:
    if len(samples) >= _FEW_INPUTS:
        return []
    return [f"only {len(samples)} distinct inputs: caches may flatter the figures"]
