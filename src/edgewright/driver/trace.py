"""``compile --trace``: what became of the winner pass by pass, measured and appended to the record beside its bundle.

The bundle is written before anything is traced and never changes by it; whatever fails here is a warning.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from edgewright.backends import open_isolated
from edgewright.benchmarks.flips import CLASSIFYING, compare_classes
from edgewright.benchmarks.harness.machine import this_machine
from edgewright.benchmarks.trace import NO_ACCURACIES, NO_TIMES, ClassDelta, Flips, Trace, append_trace
from edgewright.core.errors import EdgewrightError
from edgewright.driver.conclude import Winner
from edgewright.driver.job import Job
from edgewright.driver.outputs import record_of
from edgewright.driver.report import TargetReport
from edgewright.driver.trace_layers import trace_layers
from edgewright.driver.trace_steps import trace_steps
from edgewright.driver.waypoints import Waypoint, waypoints


def traced(job: Job, winner: Winner, report: TargetReport) -> TargetReport:
    """Appends the trace of the bundle of ``report`` to its record.

    Returns:
        ``report`` with one more note: where the trace is, or why there is none.
    """
    if report.bundle is None or report.digest is None:
        return report
    try:
        trace = make_trace(job, winner, report.digest)
        path = record_of(job.request, report.bundle)
        append_trace(path, trace)
    except EdgewrightError as error:
        line = f"not traced: {error.problem}"
    except Exception as error:  # noqa: BLE001 - the bundle is there and proven; a fault in looking at it must not hide that
        line = f"not traced, by a fault of ours: {type(error).__name__}: {str(error)[:200]}"
    else:
        line = f"traced {len(trace.steps)} steps and {len(trace.layers)} layers into {path.name}"
    return replace(report, notes=(line, *report.notes))


def make_trace(job: Job, winner: Winner, bundle_sha256: str) -> Trace:
    """The trace of the engine that is shipped; each part that cannot be had is absent with a note.

    Raises:
        EdgewrightError: the winner's passes cannot be run again.
    """
    contender = winner.contender
    built, lane = contender.trial.built, contender.lane
    notes: list[str] = []
    on_the_way: list[Waypoint] = []
    if built.passes:
        on_the_way = waypoints(lane.workshop, built)
    else:
        notes.append(f"{lane.target.name} takes the torch form: no pass ran, and its layers are not known")
    if not lane.presence.timed:
        notes.append(f"{NO_TIMES}{lane.presence.reason}")
    else:
        notes.append("steps are timed one after the other: a few percent between two can be the machine's")
    if lane.presence.mark == "host-proxy" and job.sets is not None:
        notes.append("accuracies are this machine's in the target's place (host-proxy)")
    if job.sets is None:
        notes.append(f"{NO_ACCURACIES}no data was given")
    steps = trace_steps(job, winner, on_the_way)
    layers = trace_layers(job, winner, on_the_way) if on_the_way else None
    classes, flips, why = _classes(job, winner)
    return Trace(
        bundle_sha256=bundle_sha256,
        model=job.original.name,
        target=lane.target.name,
        precision=built.choice.precision,
        metric=_metric(winner),
        higher_is_better=lane.judge is None
        or job.sets is None
        or lane.judge.reference(job.sets.prove).higher_is_better,
        machine_identity=this_machine().identity,
        steps=steps,
        layers=() if layers is None else layers.layers,
        classes=classes,
        flips=flips,
        notes=(*notes, *(() if layers is None else layers.notes), *([why] if why else [])),
        samples=None if layers is None else layers.samples,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _metric(winner: Winner) -> str:
    """The name of the metric, as the manifest has it: what the user typed may be a path."""
    accuracy = winner.proof.accuracy
    return "" if accuracy is None else accuracy.metric


def _classes(job: Job, winner: Winner) -> tuple[tuple[ClassDelta, ...], Flips | None, str]:
    """Per class and per sample, original against compiled on the proof set; or why not."""
    lane = winner.contender.lane
    if job.sets is None:
        return (), None, "no flips: no data was given"
    if job.metric not in CLASSIFYING:
        return (), None, f"no flips: {_metric(winner)} is no metric of classes"
    if not lane.presence.runnable:
        return (), None, f"no flips: {lane.presence.reason}"
    job.request.log("  trace: which samples are answered otherwise")
    artifact = lane.workshop.openable(winner.contender.trial.built.artifact)
    data = job.sets.prove
    try:
        with open_isolated(artifact.backend, artifact, artifact.threads(lane.threads)) as session:
            classes, flips = compare_classes(data, job.answers.of(data), session.run_many(data), job.recipe.decode)
    except EdgewrightError as error:
        return (), None, f"no flips: {error.problem}"
    return classes, flips, "" if data.labelled else "no shares of classes: the data has no labels"
