"""What a session of pairs leaves behind of each comparison: a record, accuracies sample by sample, memory, size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
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
from edgewright.benchmarks.harness.timing_lock import timing_lock
from edgewright.benchmarks.metrics import Metric
from edgewright.benchmarks.pairs.answers import AnswerStore, Keeping
from edgewright.benchmarks.pairs.duel import ARMS, ArmName, Duel, Pairing, Side
from edgewright.benchmarks.pairs.pairing import Session, guarded, run_session
from edgewright.benchmarks.readings import Energy
from edgewright.benchmarks.record import AccuracyFound, Comparison, Record, Status
from edgewright.benchmarks.summary import confidence_95, protocol_used, run_medians, summarise
from edgewright.core.data import DataSet
from edgewright.core.errors import BadInputError, EdgewrightError
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
    """The metric of (new, base) over some of the samples, by their numbers; only until it is judged."""


@dataclass(frozen=True, eq=False)
class Compared:
    """One comparison that came to its end."""

    pairing: Pairing
    record: Record
    """Of the new bundle; its ``runs`` are those of both arms, its ``comparison`` is the verdict on latency."""
    scores: PairedScores | None
    """None without labelled data, and where they could not be had: a failure of the same pairing then says why."""
    accuracy: NonInferiority | None
    """The verdict on ``scores``."""
    memory_new: int | None
    """Peak resident bytes after a hundred inferences, the median of three processes; None where nobody says, and where
    it could not be read: a failure of the same pairing then says why."""
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

    Latency is what takes long: where it was compared, the comparison is there, even if its accuracy or memory failed.

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
        found = []
        with ExitStack() as held:
            _hold_timing_locks(held, session, log)
            for index, duel in enumerate(session.duels):
                progress(f"accuracy of {duel.pairing.subject}", 0.99)
                judged = guarded(failures, duel.pairing, partial(_judged, duel, folder / f"answers-{index}"))
                found.append(_compared(session, duel, judged))
    return tuple(found), tuple(failures)


def _hold_timing_locks(held: ExitStack, session: Session, log: Callable[[str], None]) -> None:
    """Those of the devices that answer whole data sets: another's timing must not run beside that."""
    answering = [duel for duel in session.duels if duel.judging.metric is not None]
    for device in sorted({side.ready.device for duel in answering for side in duel.sides.values()}):
        held.enter_context(timing_lock(device, log))


@dataclass(frozen=True, eq=False)
class _Judged:
    """What labelled data say; nothing without."""

    scores: PairedScores | None = None
    accuracy: NonInferiority | None = None


def _judged(duel: Duel, folder: Path) -> _Judged:
    """Both arms on the labelled data, and the verdict.

    Raises:
        EdgewrightError: an engine, a metric or the disk failed.
    """
    dataset = duel.judging.dataset
    if dataset is None or duel.judging.metric is None:
        return _Judged()
    folder.mkdir()
    with AnswerStore(folder / "base.npy") as base, AnswerStore(folder / "new.npy") as new:
        stores: dict[ArmName, AnswerStore] = {"base": base, "new": new}
        scores = _scores(duel, dataset, stores)
        return _Judged(replace(scores, rescore=None), judge_scores(scores, duel.pairing.max_drop))


def _scores(duel: Duel, dataset: DataSet, stores: Mapping[ArmName, AnswerStore]) -> PairedScores:
    new, base = (_scored(duel, arm, dataset, stores[arm]) for arm in ("new", "base"))
    means = new.per_sample is not None and base.per_sample is not None
    if not means and any(len(stores[arm]) != len(dataset) for arm in ARMS):
        raise BadInputError(
            f"metric {new.metric} has scores per sample for some answers and none for others",
            "Let per_sample give either always, or leave it out.",
        )

    def rescore(indices: Sequence[int]) -> tuple[float, float]:
        values: dict[ArmName, float] = {}
        for arm in ARMS:
            metric = _fresh(duel)
            for index in indices:
                metric.update(*stores[arm].read(index))
            values[arm] = metric.compute()
        return values["new"], values["base"]

    return PairedScores(
        metric=new.metric,
        higher_is_better=new.higher_is_better,
        n=new.n if means else len(dataset),
        value_new=new.value,
        value_base=base.value,
        dataset_sha256=dataset.digest,
        new=new.per_sample if means else None,
        base=base.per_sample if means else None,
        rescore=None if means else rescore,
    )


def judge_scores(scores: PairedScores, max_drop: float) -> NonInferiority:
    """Whether the new one is no more than ``max_drop`` worse.

    Raises:
        BadInputError: scores that are no pairs.
        EdgewrightError: a metric that has no value.
    """
    if scores.new is not None and scores.base is not None:
        if len(scores.new) != len(scores.base) or not len(scores.new):
            raise BadInputError(
                f"metric {scores.metric} gave {len(scores.new)} scores of one model"
                f" and {len(scores.base)} of the other",
                "Let it give one score for each sample.",
            )
        return non_inferiority(scores.new, scores.base, max_drop, scores.higher_is_better)
    assert scores.rescore is not None
    return non_inferiority_of_metric(scores.rescore, scores.n, max_drop, scores.higher_is_better)


def _scored(duel: Duel, arm: ArmName, dataset: DataSet, store: AnswerStore) -> Score:
    metric, side = _fresh(duel), duel.sides[arm]
    # A mean of scores per sample needs no second look at the answers.
    used = metric if _is_mean(metric) else Keeping(metric, store)
    with open_isolated(side.artifact.backend, side.artifact, side.ready.target.threads) as session:
        return score(session.run_many(dataset), dataset, used)


def _fresh(duel: Duel) -> Metric:
    metric = duel.judging.fresh()
    assert metric is not None
    return metric


def _is_mean(metric: Metric) -> bool:
    """Whether a metric says so before it has seen anything; a user's own may fail there, and is asked at the end."""
    try:
        return metric.per_sample() is not None
    except EdgewrightError:
        return False


def _compared(session: Session, duel: Duel, judged: _Judged | None) -> Compared:
    """With ``judged`` None for what failed."""
    found = judged or _Judged()
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
        accuracy=_accuracy(found.scores),
        status=_status(duel, problems),
        notes=(*problems, *_left_out(duel, judged), *duel.shaky, *duel.judging.notes, *_slowed(duel.pairing)),
        comparison=_comparison(duel, base, tests=len(session.duels)),
        side=tuple(one for one in duel.series.readings if one.arm is not None),
        energy=Energy(None, "a session of pairs reads no energy: bench a bundle by itself with --preset standard"),
        created=now(),
    )
    return Compared(
        duel.pairing,
        record,
        found.scores,
        found.accuracy,
        memory_new=_peak(new),
        memory_base=_peak(base),
        size_new=duel.pairing.new.manifest.size_bytes,
        size_base=duel.pairing.base.manifest.size_bytes,
    )


def _comparison(duel: Duel, base: Side, tests: int) -> Comparison:
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
        minimum_detectable_effect=minimum_detectable_effect(new_ns, base_ns, test.delta, tests),
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


def _left_out(duel: Duel, judged: _Judged | None) -> list[str]:
    """What was not done as the protocol has it, or failed; without what a failure says, which may be a path."""
    lines: list[str] = []
    for arm in ARMS:
        children, warmth = duel.sides[arm].children, duel.sides[arm].warmth
        assert warmth is not None
        lines += children.notes
        expected = warmth.expected(children.plan.warm_up)
        if expected < warmth.inferences:
            lines.append(
                f"{arm} warmed up for about {expected} inferences in each run: the {warmth.inferences} that the other"
                f" arm needs would take it {warmth.inferences * warmth.median_ns / 1e9:.0f} s"
            )
    if judged is None:
        lines.append("accuracy not measured: an engine or the metric failed on the data")
    if any(side.memory is None for side in duel.sides.values()):
        lines.append("memory not measured: an engine failed in the processes that read it")
    return list(dict.fromkeys(lines))


def _slowed(pairing: Pairing) -> list[str]:
    if not pairing.slowdown:
        return []
    return [f"a busy wait of {pairing.slowdown:.0%} of each inference was added on purpose: not a figure of this model"]
