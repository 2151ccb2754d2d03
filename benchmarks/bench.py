"""From a bundle to its record: opens it, measures it by the protocol, derives the summary, judges its accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from edgewright.backends import Artifact, open_isolated
from edgewright.benchmarks.accuracy import Score, score
from edgewright.benchmarks.harness.machine import disturbances, this_machine
from edgewright.benchmarks.harness.measuring import Question
from edgewright.benchmarks.harness.protocol import Protocol, protocol_named
from edgewright.benchmarks.harness.session import Measured, measure
from edgewright.benchmarks.harness.timing_lock import timing_lock
from edgewright.benchmarks.preparing import Judging, dataset_for, few_inputs, inputs_of, judging, prepare
from edgewright.benchmarks.record import AccuracyFound, Record, Status
from edgewright.benchmarks.summary import confidence_95, protocol_used, summarise
from edgewright.core.bundle import Bundle
from edgewright.core.workdir import working_folder


@dataclass(frozen=True, eq=False)
class Benched:
    """A record, and what a later comparison needs beside it."""

    record: Record
    score: Score | None = field(repr=False)
    """Sample by sample; None without labelled data."""


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
        preset: a name of :data:`edgewright.benchmarks.harness.protocol.PRESETS`, or a protocol of one's own.
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
    return bench_whole(
        bundle, preset, threads, data, metric, trust_native_code=trust_native_code, log=log, progress=progress
    ).record


def bench_whole(
    bundle: Bundle,
    preset: str | Protocol = "quick",
    threads: int | None = None,
    data: str | None = None,
    metric: str | None = None,
    *,
    memory_processes: int = 1,
    trust_native_code: bool = False,
    log: Callable[[str], None] = lambda _line: None,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> Benched:
    """As :func:`bench_bundle`, with the scores and with memory read in several processes."""
    protocol = protocol_named(preset) if isinstance(preset, str) else preset
    ready = prepare(bundle, threads, trust_native_code=trust_native_code)
    dataset = dataset_for(bundle, data)
    judge = judging(dataset, metric, bundle.manifest)
    samples, expected, source = inputs_of(bundle, dataset)
    machine = this_machine()
    with working_folder() as folder:
        artifact = ready.extracted(folder / "engine")
        question = Question(
            artifact,
            samples,
            expected,
            bundle.manifest.tolerances.engine,
            ready.target.threads,
            protocol,
            gpu=ready.device == "CUDA",
            progress=progress,
            log=log,
        )
        with timing_lock(ready.device, log):
            shaky = disturbances(machine, ready.target.threads)
            measured = measure(question, folder, memory_processes)
            # Under the lock too: a whole data set on all threads is what another's timing must not run beside.
            found = score_here(artifact, ready.target.threads, judge)
    warmth = measured.warmth
    cpus = measured.cpus
    used = protocol_used(protocol, warmth, measured.runs, samples, source, pinned=cpus is not None, cpus=cpus)
    record = Record(
        subject=ready.subject,
        target=ready.target,
        machine=machine,
        versions=ready.versions,
        protocol=used,
        runs=measured.runs,
        voided=measured.voided,
        summary=summarise(measured.runs, warmth.inner, warmth.batch),
        memory=measured.memory,
        accuracy=accuracy_found(found, judge),
        status=_status(measured),
        notes=(*measured.problems, *measured.notes, *few_inputs(samples), *shaky, *judge.notes),
        energy=measured.energy,
        side=measured.side,
        created=now(),
    )
    return Benched(record, found)


def score_here(artifact: Artifact, threads: int, judge: Judging) -> Score | None:
    """The metric over the labelled data, run on this machine; None without either.

    Raises:
        EngineError: the engine fails on a sample.
        BadInputError: labels or answers that do not fit each other.
    """
    metric, dataset = judge.fresh(), judge.dataset
    if metric is None or dataset is None:
        return None
    with open_isolated(artifact.backend, artifact, threads) as session:
        return score(session.run_many(dataset), dataset, metric)


def accuracy_found(found: Score | None, judge: Judging) -> AccuracyFound | None:
    """A score as the record has it."""
    if found is None or judge.dataset is None:
        return None
    interval = None if found.per_sample is None else confidence_95(found.per_sample)
    return AccuracyFound(found.metric, found.value, interval, found.n, found.higher_is_better, judge.dataset.digest)


def now() -> str:
    """The time of a record: UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _status(measured: Measured) -> Status:
    if measured.problems:
        return "invalid"
    return "ok" if measured.warmth.steady else "unsteady"
