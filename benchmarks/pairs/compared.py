"""What a session of pairs leaves behind of each comparison: a record, accuracies sample by sample, memory, size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgewright.backends import open_isolated
from edgewright.benchmarks.accuracy import Score, score
from edgewright.benchmarks.bench import now
from edgewright.benchmarks.gate.accuracy import NonInferiority, non_inferiority, non_inferiority_of_metric
from edgewright.benchmarks.gate.findings import Failure
from edgewright.benchmarks.gate.latency import minimum_detectable_effect
from edgewright.benchmarks.harness.protocol import Protocol
from edgewright.benchmarks.pairs.answers import AnswerStore
from edgewright.benchmarks.pairs.duel import ARMS, ArmName, Duel, Pairing, Side
from edgewright.benchmarks.pairs.pairing import Session, guarded, run_session
from edgewright.benchmarks.readings import Energy
from edgewright.benchmarks.record import AccuracyFound, Comparison, Record, Status
from edgewright.benchmarks.summary import confidence_95, protocol_used, run_medians, summarise
from edgewright.core.workdir import working_folder

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PairedScores:
    """Both arms' answers to the same labelled samples, judged by one metric."""

    metric: str
    higher_is_better: bool
    n: int
    value_new: float
    value_base: float
    dataset_sha256: str
    new: Scores | None = field(default=None, repr=False)
    """Shape ``(n,)``; None for a metric that is no mean of per-sample scores, which has ``rescore`` instead."""
    base: Scores | None = field(default=None, repr=False)
    rescore: Callable[[Sequence[int]], tuple[float, float]] | None = field(default=None, repr=False)
    """The metric of (new, base) over some of the samples, by their numbers; only while the session lasts."""


@dataclass(frozen=True, eq=False)
class Compared:
    """One comparison that came to its end."""

    pairing: Pairing
    record: Record
    """Of the new bundle; its ``runs`` are those of both arms, its ``comparison`` is the verdict on latency."""
    scores: PairedScores | None
    """None without labelled data."""
    accuracy: NonInferiority | None
    """The verdict on ``scores``."""
    memory_new: int | None
    """Peak resident bytes after a hundred inferences, the median of three processes; None where nobody says."""
    memory_base: int | None
    size_new: int
    size_base: int


def compare_bundles(
    pairings: Sequence[Pairing],
    preset: str | Protocol = "quick",
    *,
    every_look: bool = False,
    log: Callable[[str], None] = lambda _line: None,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> tuple[tuple[Compared, ...], tuple[Failure, ...]]:
    """Measures every new bundle against its baseline, in one session; what fails is classified, the rest goes on.

    Args:
        pairings: one or several; with several the error rate holds for all of them together (Holm).
        preset: how long each run is.
        every_look: take all pairs even where the first look decides.
        log: takes one line of talk at a time.
        progress: takes what is being done, and the share of all that is behind.

    Raises:
        UsageError: no pairing, or an unknown preset.
    """
    with working_folder() as folder:
        session = run_session(pairings, folder, preset, every_look=every_look, log=log, progress=progress)
        failures = list(session.failures)
        found: list[Compared] = []
        for index, duel in enumerate(session.duels):
            progress(f"accuracy of {duel.pairing.subject}", 0.99)
            scored = partial(_scores, duel, folder / f"answers-{index}")
            compared = guarded(failures, duel.pairing, partial(_compared, session, duel, scored))
            found += [] if compared is None else [compared]
    return tuple(found), tuple(failures)


def _scores(duel: Duel, folder: Path) -> PairedScores | None:
    """Both arms on the labelled data; None without."""
    dataset = duel.judging.dataset
    if dataset is None or duel.judging.fresh() is None:
        return None
    folder.mkdir()
    stores = {arm: AnswerStore(folder / f"{arm}.npy") for arm in ARMS}
    found = {arm: _scored(duel, duel.sides[arm], stores[arm]) for arm in ARMS}
    new, base = found["new"], found["base"]
    means = new.per_sample is not None and base.per_sample is not None

    def rescore(indices: Sequence[int]) -> tuple[float, float]:
        values: dict[ArmName, float] = {}
        for arm in ARMS:
            metric = duel.judging.fresh()
            assert metric is not None
            for index in indices:
                label = dataset.read(index).label
                assert label is not None
                metric.update(stores[arm].read(index), label)
            values[arm] = metric.compute()
        return values["new"], values["base"]

    return PairedScores(
        metric=new.metric,
        higher_is_better=new.higher_is_better,
        n=new.n,
        value_new=new.value,
        value_base=base.value,
        dataset_sha256=dataset.digest,
        new=new.per_sample if means else None,
        base=base.per_sample if means else None,
        rescore=None if means else rescore,
    )


def judge_scores(scores: PairedScores, max_drop: float) -> NonInferiority:
    """Whether the new one is no more than ``max_drop`` worse."""
    if scores.new is not None and scores.base is not None:
        return non_inferiority(scores.new, scores.base, max_drop, scores.higher_is_better)
    assert scores.rescore is not None
    return non_inferiority_of_metric(scores.rescore, scores.n, max_drop, scores.higher_is_better)


def _scored(duel: Duel, side: Side, store: AnswerStore) -> Score:
    dataset, metric = duel.judging.dataset, duel.judging.fresh()
    assert dataset is not None
    assert metric is not None
    artifact = side.artifact
    with open_isolated(artifact.backend, artifact, side.ready.target.threads) as session:
        answers = session.run_many(dataset)
        # A mean of scores per sample needs no second look at the answers.
        kept = answers if metric.per_sample() is not None else store.passing(answers)
        return score(kept, dataset, metric)


def _compared(session: Session, duel: Duel, scored: Callable[[], PairedScores | None]) -> Compared:
    scores = scored()
    # Here, since the answers that a metric may have to be computed from again go with the session.
    accuracy = None if scores is None else judge_scores(scores, duel.pairing.max_drop)
    new, base = duel.sides["new"], duel.sides["base"]
    problems = [f"{arm}: {line}" for arm in ARMS for line in duel.sides[arm].problems]
    record = Record(
        subject=new.ready.subject,
        target=new.ready.target,
        machine=session.machine,
        versions={**base.ready.versions, **new.ready.versions},
        protocol=protocol_used(
            session.protocol,
            duel.warmth,
            new.runs,
            duel.samples,
            duel.source,
            pinned=new.children.plan.cpus is not None,
            cpus=new.children.plan.cpus,
        ),
        runs=tuple(sorted((*new.runs, *base.runs), key=lambda run: run.order)),
        voided=tuple(duel.voided),
        summary=summarise(new.runs, duel.warmth.inner),
        memory=new.memory,
        accuracy=_accuracy(scores),
        status=_status(duel, problems),
        notes=(*problems, *duel.shaky, *duel.judging.notes, *_slowed(duel.pairing)),
        comparison=_comparison(duel, base),
        side=tuple(one for one in duel.series.readings if one.arm is not None),
        energy=Energy(None, "a session of pairs reads no energy: bench a bundle by itself with --preset standard"),
        created=now(),
    )
    return Compared(
        duel.pairing,
        record,
        None if scores is None else replace(scores, rescore=None),
        accuracy,
        memory_new=_peak(new),
        memory_base=_peak(base),
        size_new=duel.pairing.new.manifest.size_bytes,
        size_base=duel.pairing.base.manifest.size_bytes,
    )


def _comparison(duel: Duel, base: Side) -> Comparison:
    inner, test = duel.warmth.inner, duel.test
    new_ns, base_ns = (run_medians(duel.sides[arm].runs, inner) for arm in ("new", "base"))
    assert duel.verdict is not None
    return Comparison(
        baseline=base.ready.subject,
        baseline_arm="base",
        pairs=test.pairs,
        ratio=test.ratio,
        ci95=test.ci95,
        p=test.p,
        delta=test.delta,
        verdict=duel.verdict,
        minimum_detectable_effect=minimum_detectable_effect(new_ns, base_ns, test.delta),
        baseline_summary=summarise(base.runs, inner),
    )


def _accuracy(scores: PairedScores | None) -> AccuracyFound | None:
    if scores is None:
        return None
    interval = None if scores.new is None else confidence_95(scores.new)
    return AccuracyFound(
        scores.metric, scores.value_new, interval, scores.n, scores.higher_is_better, scores.dataset_sha256
    )


def _peak(side: Side) -> int | None:
    return None if side.memory is None else side.memory.hundredth_bytes


def _status(duel: Duel, problems: Sequence[str]) -> Status:
    if problems:
        return "invalid"
    return "ok" if duel.warmth.steady else "unsteady"


def _slowed(pairing: Pairing) -> list[str]:
    if not pairing.slowdown:
        return []
    return [f"a busy wait of {pairing.slowdown:.0%} of each inference was added on purpose: not a figure of this model"]
