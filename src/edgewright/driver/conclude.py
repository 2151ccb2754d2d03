"""The end of a target: its bundle is written whole, and what it is worth is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgewright.benchmarks.record import append_record
from edgewright.benchmarks.search_record import append_search
from edgewright.benchmarks.training_record import StageTimings, append_training
from edgewright.core.errors import ExitCode
from edgewright.driver import package
from edgewright.driver.contender import Contender
from edgewright.driver.job import Job
from edgewright.driver.latency import LatencyFinding
from edgewright.driver.outputs import Group, record_of
from edgewright.driver.report import TargetReport

_WITHOUT = {
    "host-proxy": "latency unmeasured, accuracy shown by this machine in its place (host-proxy): {}",
    "unmeasured": "latency and accuracy unmeasured: {}",
}


@dataclass(frozen=True)
class Winner:
    """The candidate that is shipped, and everything that was found out about it."""

    contender: Contender
    proof: package.Proof
    latency: LatencyFinding | None
    warnings: tuple[str, ...]
    search: Mapping[str, object] | None = None
    """What was searched among, as the record has it."""


def conclude(job: Job, group: Group, winner: Winner, because: object) -> TargetReport:
    """Writes the bundle (with ``.missed`` in its name where a limit was missed), then the record of what was timed.

    Raises:
        CannotWriteError, IOFailureError: nothing is written then, and what was there stays.
    """
    contender, proof = winner.contender, winner.proof
    built, target = contender.trial.built, contender.lane.target
    problem = _missed(job, winner)
    out = group.out.with_name(f"{group.out.stem}.missed{group.out.suffix}") if problem else group.out
    recipe_digest = job.recipe_digest(target)
    if job.depfile is not None:
        job.depfile.write()
    record = record_of(job.request, out)
    digest = package.write(
        out,
        job.original,
        target,
        built,
        proof,
        recipe_digest=recipe_digest,
        preprocessing=job.preprocessing_json,
        because=because,
        data=job.data_digests,
    )
    if winner.latency is not None and winner.latency.record is not None:
        subject = replace(winner.latency.record.subject, bundle_sha256=digest)
        append_record(record, replace(winner.latency.record, subject=subject))
    timed = [StageTimings(one.pass_name, one.timings) for one in built.journal if one.timings]
    if timed:
        append_training(record, digest, target.name, timed)
    if winner.search is not None:
        append_search(record, digest, winner.search)
    remedy = f"It is in {out}. {_remedy(job, winner)}"
    return TargetReport(
        target=target.name,
        exit_code=ExitCode.LIMIT_MISSED if problem else ExitCode.OK,
        bundle=out,
        digest=digest,
        precision=built.choice.precision,
        candidate=built.choice.title,
        size_bytes=built.artifact.size_bytes,
        original_bytes=job.original.size_bytes,
        accuracy=proof.accuracy,
        problem=problem,
        remedy=remedy if problem else "",
        notes=(*winner.warnings, *_marks(winner), *package.float_notes(built.journal)),
        recipe_digest=recipe_digest,
        plan_digest=built.choice.digest,
        search=winner.search,
    )


def _missed(job: Job, winner: Winner) -> str:
    """Which stated limit was missed, and by how much; empty when none was."""
    problems = []
    accuracy, limits = winner.proof.accuracy, winner.proof.limits
    if limits.drop_met is False and accuracy is not None and accuracy.drop is not None:
        over = accuracy.drop - job.request.budget.max_drop
        problems.append(f"the best found loses {accuracy.drop:.4f} of {job.metric}, {over:.4f} more than --max-drop")
    if winner.latency is not None and winner.latency.met is False:
        problems.append(winner.latency.text)
    name = winner.contender.lane.target.name
    return f"{name}: {'; '.join(problems)}" if problems else ""


def _remedy(job: Job, winner: Winner) -> str:
    """What a user may do about a limit that was missed."""
    if winner.proof.limits.drop_met is False:
        return "Allow more, give more calibration data, or leave --precision to auto."
    if winner.latency is not None and winner.latency.open:
        return "Compile again while nothing else runs, or allow more."
    if job.train is not None:
        return "Allow more, or leave --precision to auto."
    return "Allow more, give --train-data so that the model can be pruned, or leave --precision to auto."


def _marks(winner: Winner) -> list[str]:
    presence = winner.contender.lane.presence
    choice, artifact = winner.contender.trial.choice, winner.contender.trial.built.artifact
    mark = "unmeasured" if winner.proof.accuracy is None else presence.mark
    lines = [_WITHOUT[mark].format(presence.reason)] if presence.mark != "measured" else []
    later = "" if "edgewright finish" in artifact.pending else "; edgewright finish builds it on the device"
    lines += [f"the engine is not built yet: {artifact.pending}{later}"] if artifact.pending else []
    lines += artifact.remarks
    if shortfall := winner.proof.executed.shortfall(choice.precision, _share_written(winner)):
        lines.append(shortfall)
    if winner.latency is not None and winner.latency.met is not False:
        lines.append(winner.latency.text)
    kept = choice.kept_float
    layers = "1 layer stays" if len(kept) == 1 else f"{len(kept)} layers stay"
    return [*lines, *([f"{layers} float to keep the accuracy: {', '.join(kept)}"] if kept else [])]


def _share_written(winner: Winner) -> float:
    """Share of the multiplications that the model says are in the precision it was compiled to."""
    shares = winner.proof.written
    return 0.0 if shares is None else shares.shares.get(winner.contender.trial.choice.precision, 0.0)
