"""The last word on a candidate: its figure on samples nothing was decided with, and the golden answers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

from edgewright.backends import Artifact
from edgewright.compiler.precisions import typed_precisions
from edgewright.core.bundle.manifest import Accuracy, Limits
from edgewright.core.tensors import Feeds, Outputs
from edgewright.driver.contender import Contender
from edgewright.driver.executed import Executed, executed
from edgewright.driver.job import Job, Lane
from edgewright.driver.package import GOLDEN_SAMPLES, Proof, golden_samples
from edgewright.driver.samples import SyntheticSamples
from edgewright.driver.sizes import usual_inputs
from edgewright.driver.tolerances import ENGINE_TOLERANCE, round_up


def prove(job: Job, contender: Contender) -> Proof:
    """Judges ``contender`` on the proof set and records what ``verify`` will hold it to.

    Raises:
        EngineError: when the engine fails on a proof sample.
    """
    accuracy = _accuracy(job, contender)
    budget = job.request.budget
    built = contender.trial.built
    drop = None if accuracy is None else accuracy.drop
    limits = Limits(
        max_drop=None if job.sets is None else budget.max_drop,
        drop_met=None if drop is None else drop <= budget.max_drop,
        max_bytes=budget.max_bytes,
        bytes_met=_bytes_met(budget.max_bytes, built.artifact),
    )
    feeds, originals = golden_feeds(job)
    lane = contender.lane
    here = lane.workshop.openable(built.artifact) if lane.presence.runnable else None
    golden, tolerances = golden_samples(built, here, feeds, originals, lane.threads)
    if lane.presence.elsewhere and lane.target.device != "CPU":
        # A stand-in of another kind cannot say what the device will answer, only how far from the original it may be.
        golden = replace(golden, engine=[])
        # The device rounds elsewhere than its stand-in does, by as much as two machines of one kind may differ.
        apart = tolerances.original + ENGINE_TOLERANCE[built.choice.precision]
        tolerances = replace(tolerances, original=round_up(apart))
    notes = [note for entry in built.journal for note in entry.notes]
    written = typed_precisions(built.model, notes) if built.passes else None
    found = _executed(lane, built.artifact, feeds[0], {} if written is None else written.products)
    return Proof(accuracy, limits, golden, tolerances, found, written)


def _accuracy(job: Job, contender: Contender) -> Accuracy | None:
    lane = contender.lane
    if job.sets is None or lane.judge is None:
        return None
    data = job.sets.prove
    if not lane.presence.runnable:
        return Accuracy(job.metric, lane.judge.reference(data).value, None, None, 0, data.digest, "unmeasured")
    engine = lane.workshop.openable(contender.trial.built.artifact)
    score = lane.judge.score(engine, data, engine.threads(lane.threads))
    return Accuracy(
        metric=score.metric,
        reference=lane.judge.reference(data).value,
        value=score.value,
        drop=lane.judge.drop(score, data),
        n=score.n,
        data_digest=data.digest,
        mark=lane.presence.mark,
    )


def golden_feeds(job: Job) -> tuple[list[Feeds], list[Outputs]]:
    """The samples that go into the bundle, and what the original answers to them."""
    if job.golden is not None:
        feeds = list(itertools.islice(iter(job.golden), max(GOLDEN_SAMPLES, len(job.golden))))
        return feeds, list(job.answers.run(feeds))
    if job.sets is None:
        feeds = list(SyntheticSamples(usual_inputs(job.original), GOLDEN_SAMPLES, job.request.seed))
        return feeds, list(job.answers.run(feeds))
    feeds = list(itertools.islice(iter(job.sets.prove), GOLDEN_SAMPLES))
    return feeds, list(itertools.islice(job.answers.of(job.sets.prove), GOLDEN_SAMPLES))


def _bytes_met(limit: int | None, artifact: Artifact) -> bool | None:
    """None where nothing was asked, or where the engine is not there yet to be weighed."""
    return None if limit is None or artifact.pending else artifact.size_bytes <= limit


def _executed(lane: Lane, artifact: Artifact, feeds: Feeds, products: Mapping[str, int]) -> Executed:
    """Devices that choose kernels by themselves are asked what they chose; a CPU's runtime is not worth the wait."""
    if not lane.presence.timed:
        return Executed(unknown=f"nothing of the engine ran here: {lane.presence.reason}")
    if lane.target.device == "CPU":
        return Executed(unknown="not asked on a CPU")
    return executed(artifact, feeds, artifact.threads(lane.threads), products)
