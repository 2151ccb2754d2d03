"""Times that are shown or promised: measured by the full protocol, in fresh processes, on the target itself."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from edgewright.benchmarks.bench import bench_bundle
from edgewright.benchmarks.record import Record
from edgewright.benchmarks.statistics import paired_ratio
from edgewright.benchmarks.summary import run_medians
from edgewright.core.bundle import open_bundle
from edgewright.driver.automatic import GAIN
from edgewright.driver.choice import float_choices
from edgewright.driver.contender import Contender
from edgewright.driver.job import Job, Lane
from edgewright.driver.package import Proof, golden_samples, write
from edgewright.driver.proof import golden_feeds
from edgewright.driver.search import Trial
from edgewright.driver.selection import Selection
from edgewright.driver.workshop import Built

PRESET = "rapid"
_LOOKS = (1, 3)
"""After how many rounds of float, new, new, float a ratio is judged; the second look only where the first is open."""


@dataclass(frozen=True)
class LatencyFinding:
    """A latency limit against what was measured. ``met`` is None where the target is not here."""

    met: bool | None
    text: str
    record: Record | None = None
    open: bool = False
    """Whether more measuring could tell otherwise."""


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
    """The ratio to the original in float32 on the same target, from pairs of runs, measured float, new, new, float.

    What counts is the interval of the paired ratio. Where it lies on both sides of the limit, more is measured: with
    two looks whose upper ends are of 97.5 % each, the ratio is above the last of them with at most 5 %.
    """
    lane = contender.lane
    rival = lane.workshop.build(float_choices(lane.target)[0])
    feeds, originals = golden_feeds(job)
    golden, tolerances = golden_samples(rival, rival.artifact, feeds, originals, lane.threads)
    against = Proof(None, proof.limits, golden, tolerances)
    news: list[Record] = []
    floats: list[Record] = []
    for rounds in _LOOKS:
        while len(news) < 2 * rounds:
            floats.append(measured(job, lane, rival, against))
            news += [measured(job, lane, contender.trial.built, proof) for _ in range(2)]
            floats.append(measured(job, lane, rival, against))
        finding = ratio_finding(_medians(news), _medians(floats), limit, news[0])
        if not finding.open:
            break
    return finding


def ratio_finding(
    new_ms: Sequence[float], float_ms: Sequence[float], limit: float, record: Record | None = None
) -> LatencyFinding:
    """What pairs of run medians say of a ratio that is to be ``limit`` at most."""
    ratio, interval = paired_ratio(new_ms, float_ms)
    low, high = (0.0, math.inf) if interval is None else interval
    text = (
        f"p50 is {ratio:.3g}x of the float32 original's ({statistics.median(new_ms):.3g} ms against"
        f" {statistics.median(float_ms):.3g} ms), {low:.3g}x to {high:.3g}x with 95 % confidence;"
        f" --max-latency {limit:g}x"
    )
    undecided = low <= limit < high
    if undecided and ratio <= limit:
        text += " is met by the median, but not beyond doubt: the machine is not quiet enough"
    return LatencyFinding(high <= limit, text, record, open=undecided)


def _medians(records: Sequence[Record]) -> list[float]:
    """Of all runs, in milliseconds."""
    return [one / 1e6 for record in records for one in run_medians(record.runs, record.protocol.inner)]


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
        return bench_bundle(open_bundle(path, made_here=True), PRESET, trust_native_code=True, log=job.request.log)
    finally:
        Path(path).unlink(missing_ok=True)
