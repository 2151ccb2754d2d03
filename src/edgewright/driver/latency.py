"""Times that are shown or promised: measured by the full protocol, in fresh processes, on the target itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from edgewright.benchmarks.bench import bench_bundle
from edgewright.benchmarks.record import Record
from edgewright.core.bundle import open_bundle
from edgewright.driver.choice import float_choices
from edgewright.driver.job import Job, Lane
from edgewright.driver.package import Proof, golden_samples, write
from edgewright.driver.proof import golden_feeds
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
    limit, ratio = job.request.budget.max_latency_ms, job.request.budget.max_latency_ratio
    if limit is None and ratio is None:
        return None
    if not contender.lane.presence.timed:
        return LatencyFinding(None, f"--max-latency is unmeasured: {contender.lane.presence.reason}")
    if limit is None:
        return _check_ratio(job, contender, proof, cast("float", ratio))
    record = measured(job, contender.lane, contender.trial.built, proof)
    p50 = record.summary.percentiles["p50"]
    bound_ms = (p50.value if p50.ci95 is None else p50.ci95[1]) / 1e6
    text = (
        f"p50 is {p50.value / 1e6:.3g} ms, at most {bound_ms:.3g} ms with 95 % confidence; --max-latency {limit:g} ms"
    )
    return LatencyFinding(bound_ms <= limit, text, record)


def _check_ratio(job: Job, contender: Contender, proof: Proof, limit: float) -> LatencyFinding:
    """The ratio to the original in float32 on the same target, both measured twice (float, new, new, float).

    What counts is its upper bound: the new one's largest upper bound over the float one's smallest lower bound.
    """
    lane = contender.lane
    rival = lane.workshop.build(float_choices(lane.target)[0])
    feeds, originals = golden_feeds(job)
    golden, tolerances = golden_samples(rival, rival.artifact, feeds, originals, lane.threads)
    against = Proof(None, proof.limits, golden, tolerances)
    arms = [(rival, against), (contender.trial.built, proof)]
    records = [measured(job, lane, *arm) for arm in (arms[0], arms[1], arms[1], arms[0])]
    spans = [_span_ms(record) for record in records]
    (first, second, third, fourth) = spans
    ratio = (second[0] + third[0]) / (first[0] + fourth[0])
    bound = max(second[2], third[2]) / min(first[1], fourth[1])
    text = (
        f"p50 is {ratio:.3g}x of the float32 original's ({(second[0] + third[0]) / 2:.3g} ms against"
        f" {(first[0] + fourth[0]) / 2:.3g} ms), at most {bound:.3g}x; --max-latency {limit:g}x"
    )
    return LatencyFinding(bound <= limit, text, records[1])


def _span_ms(record: Record) -> tuple[float, float, float]:
    """Median, and the bounds of its 95 % interval."""
    p50 = record.summary.percentiles["p50"]
    low, high = (p50.value, p50.value) if p50.ci95 is None else p50.ci95
    return p50.value / 1e6, low / 1e6, high / 1e6


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
