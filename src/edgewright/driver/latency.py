"""Times that are shown or promised: measured by the full protocol, in fresh processes, on the target itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgewright.benchmarks.bench import bench_bundle
from edgewright.benchmarks.record import Record
from edgewright.core.bundle import open_bundle
from edgewright.driver.choice import float_choices
from edgewright.driver.job import Job, Lane
from edgewright.driver.package import Proof, write
from edgewright.driver.search import Trial
from edgewright.driver.selection import GAIN, Contender, Selection
from edgewright.driver.workshop import Built

PRESET = "rapid"


@dataclass(frozen=True)
class LatencyFinding:
    """A latency limit against what was measured. ``met`` is None where the target is not here."""

    met: bool | None
    text: str
    record: Record | None = None


def check_latency(job: Job, contender: Contender, proof: Proof) -> LatencyFinding | None:
    """Holds the candidate to ``--max-latency``: the median's upper bound counts, not the median.

    Raises:
        EngineError: the engine fails while it is timed.
    """
    limit = job.request.budget.max_latency_ms
    if limit is None:
        return None
    if not contender.lane.presence.timed:
        return LatencyFinding(None, f"--max-latency is unmeasured: {contender.lane.presence.reason}")
    record = measured(job, contender.lane, contender.trial.built, proof)
    p50 = record.summary.percentiles["p50"]
    bound_ms = (p50.value if p50.ci95 is None else p50.ci95[1]) / 1e6
    text = (
        f"p50 is {p50.value / 1e6:.3g} ms, at most {bound_ms:.3g} ms with 95 % confidence; --max-latency {limit:g} ms"
    )
    return LatencyFinding(bound_ms <= limit, text, record)


def slower_than_float(job: Job, selection: Selection, contender: Contender, proof: Proof) -> str | None:
    """The warning for an int8 that was asked for and does not pay, with figures of both; None where it pays.

    A search-grade look decides whether the figures are worth their time; they themselves are of the full protocol.
    """
    chosen = contender.trial.choice
    if chosen.precision != "int8" or job.request.precision != "int8" or job.request.plan is not None:
        return None
    if not contender.lane.presence.timed:
        return None
    lane = contender.lane
    rival = Contender(lane, Trial(lane.workshop.build(float_choices(lane.target)[0]), None, None), holds=True)
    times = [one.time_ms for one in selection.timed([rival, contender], seconds_per_arm=1.0)]
    if times[0] is None or times[1] is None or times[1] <= times[0] * (1 - GAIN):
        return None
    ours, theirs = (
        measured(job, one.lane, one.trial.built, proof).summary.percentiles["p50"].value / 1e6
        for one in (contender, rival)
    )
    if ours <= theirs:
        return None
    return (
        f"int8 was asked for and is slower than float32 here: p50 {ours:.3g} ms against {theirs:.3g} ms"
        f" ({PRESET} preset). --precision auto keeps the faster one."
    )


def measured(job: Job, lane: Lane, built: Built, proof: Proof) -> Record:
    """The record of an engine that need not be the one shipped, by the full protocol.

    Args:
        built: its engine runs here.
        proof: of this engine; its golden answers are what the audits hold it to.

    Raises:
        EngineError: the engine fails while it is timed.
    """
    path = job.workdir / "timed.ewb"
    digest = job.recipe_digest(lane.target)
    write(
        path,
        job.original,
        lane.target,
        built,
        proof,
        recipe_digest=digest,
        preprocessing={},
        because=[],
    )
    try:
        return bench_bundle(open_bundle(path), PRESET, trust_native_code=True, log=job.request.log)
    finally:
        Path(path).unlink(missing_ok=True)
