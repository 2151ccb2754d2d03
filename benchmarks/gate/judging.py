"""From measurements to findings: what was asked of a gate is judged, or a finding says why nobody can."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.benchmarks.bench import Benched
from edgewright.benchmarks.gate.accuracy_findings import paired_accuracy, stored_accuracy, unjudged_accuracy
from edgewright.benchmarks.gate.baseline import Baseline, Scores
from edgewright.benchmarks.gate.doubts import of_the_device
from edgewright.benchmarks.gate.findings import Finding
from edgewright.benchmarks.gate.found import Found
from edgewright.benchmarks.gate.latency import holm
from edgewright.benchmarks.gate.latency_findings import (
    latency_limit,
    not_comparable,
    paired_latency,
    stored_latency,
    subject_runs,
    unjudged_latency,
)
from edgewright.benchmarks.gate.opened import Opened
from edgewright.benchmarks.gate.size_memory import judge_bytes
from edgewright.benchmarks.gate.unpaired import ALPHA, UnpairedTest, unpaired_test
from edgewright.benchmarks.pairs.compared import Compared
from edgewright.benchmarks.record import Record
from edgewright.benchmarks.summary import run_medians

_NOT_MEASURED = "accuracy not measured: "
_NO_LABELS = " has no labels, "
"""As :func:`edgewright.benchmarks.preparing.judging` has it."""
_TAKE_OUT = "or take 'metric' and 'max_drop' out."


def judge_pair(found: Found, one: Opened, compared: Compared) -> None:
    """What ran in pairs with its baseline; where scoring failed, ``found`` has that failure, and the rest is judged."""
    subject, record, scores = one.subject, compared.record, compared.scores
    findings = [paired_latency(subject, record), *_limit(one, record)]
    if scores is not None and compared.accuracy is not None:
        findings.append(paired_accuracy(subject, scores.metric, scores.value_new, scores.value_base, compared.accuracy))
    else:
        findings += _unmeasured(one, record)
    sizes, memories = (compared.size_new, compared.size_base), (compared.memory_new, compared.memory_base)
    more, notes = _bytes(one, record, sizes, memories, "the baseline has no figure of it")
    found.take(one, record, [*findings, *more], notes)
    kept = None
    if scores is not None:
        kept = Scores(
            scores.metric, scores.higher_is_better, scores.value_new, scores.n, scores.dataset_sha256, scores.new
        )
    found.keep(one.gate, record, compared.memory_new, kept, subject_runs(record)[0].arm)


def judge_alone(found: Found, measured: Sequence[tuple[Opened, Benched]]) -> None:
    """What ran by itself, all together: stored baselines share one rate of false alarms."""
    tests = {str(index): _test(one, benched.record) for index, (one, benched) in enumerate(measured)}
    ps = {key: test.p for key, test in tests.items() if isinstance(test, UnpairedTest)}
    rejected = holm(ps, ALPHA) if ps else frozenset()
    for index, (one, benched) in enumerate(measured):
        record, test = benched.record, tests[str(index)]
        findings = _latency(one, record, test, rejected=str(index) in rejected)
        accuracy, unheld = _accuracy(one, benched)
        sizes, memories, missing = _beside_stored(record, one.stored, comparable=not isinstance(test, Finding))
        more, notes = _bytes(one, record, sizes, memories, missing)
        found.take(one, record, [*findings, *accuracy, *more], [*notes, *unheld])
        found.keep(one.gate, record, _peak(record), _scores(benched), subject_runs(record)[0].arm)


def _latency(one: Opened, record: Record, test: UnpairedTest | Finding | None, *, rejected: bool) -> list[Finding]:
    findings: list[Finding] = []
    if isinstance(test, UnpairedTest):
        findings.append(stored_latency(one.subject, record, test, rejected=rejected))
    elif test is not None:
        findings.append(test)
    elif one.limits.max_regression is not None:
        findings.append(unjudged_latency(one.subject))
    return findings + _limit(one, record)


def _limit(one: Opened, record: Record) -> list[Finding]:
    found = latency_limit(one.subject, record, one.limits)
    return [] if found is None else [found]


def _test(one: Opened, record: Record) -> UnpairedTest | Finding | None:
    """The stored runs against these; or the finding that says why not; None without a baseline."""
    stored, limits = one.stored, one.limits
    if stored is None:
        return None
    if stored.threads != record.target.threads:
        why = f"it ran on {stored.threads} threads, and this did on {record.target.threads}"
        return not_comparable(one.subject, why, f"Give --threads {stored.threads}, or save the baseline again.")
    if stored.inputs_sha256 != record.protocol.inputs_sha256:
        return not_comparable(
            one.subject, "it ran on other inputs", "Give the same --data, or save the baseline again."
        )
    medians = run_medians(subject_runs(record), record.protocol.inner)
    return unpaired_test(medians, stored.run_medians_ns, limits.allowed_regression, limits.session_allowance)


def _accuracy(one: Opened, benched: Benched) -> tuple[list[Finding], list[str]]:
    """Findings and notes on what ran by itself."""
    score = benched.score
    if score is None:
        return _unmeasured(one, benched.record), []
    if one.stored is not None:
        found = stored_accuracy(one.subject, score, _data(benched), one.stored.scores, one.limits.allowed_drop)
        return [found], []
    shown, why = f"{score.metric} {score.value:.4f}", "there is nothing to hold it against"
    if one.asks_for_accuracy:
        remedy = f"Give --against BUNDLE or --baseline FILE, {_TAKE_OUT}"
        return [unjudged_accuracy(one.subject, f"{shown}, and {why}", remedy)], []
    return [], [f"accuracy ({shown}) not judged: {why}"]


def _unmeasured(one: Opened, record: Record) -> list[Finding]:
    """What asked for accuracy and got none.

    Data alone asks for it where it has labels. Where the engine or the metric failed, a failure says so already.
    """
    remedy = f"Give labelled --data and a --metric that compares with labels, {_TAKE_OUT}"
    if one.stored is not None and one.stored.scores is not None:
        remedy = "Give the --data and --metric that the baseline was judged by, or save it again without."
    asked = one.asks_for_accuracy
    why = "no data is named"
    if one.gate.data is not None:
        reasons = [note.removeprefix(_NOT_MEASURED) for note in record.notes if note.startswith(_NOT_MEASURED)]
        if not reasons:
            return []
        why = reasons[0]
        asked = asked or (one.is_compared and _NO_LABELS not in why)
    return [unjudged_accuracy(one.subject, why, remedy)] if asked else []


def _beside_stored(
    record: Record, stored: Baseline | None, *, comparable: bool
) -> tuple[tuple[int, int | None], tuple[int | None, int | None], str]:
    """Sizes and memories, each new and stored, and why a stored one is missing; memory goes by threads and inputs."""
    size, memory = record.subject.size_bytes, _peak(record)
    if stored is None:
        return (size, None), (memory, None), "there is no baseline"
    if not comparable:
        return (size, stored.size_bytes), (memory, None), "the baseline ran on other threads or inputs"
    return (size, stored.size_bytes), (memory, stored.memory_bytes), "the baseline has no figure of it"


def _peak(record: Record) -> int | None:
    return None if record.memory is None else record.memory.hundredth_bytes


def _bytes(
    one: Opened,
    record: Record,
    sizes: tuple[int, int | None],
    memories: tuple[int | None, int | None],
    missing: str,
) -> tuple[list[Finding], list[str]]:
    """Findings and notes on bytes, each of the new bundle and of its baseline."""
    limits, subject = one.limits, one.subject
    size = judge_bytes("size", subject, *sizes, most=limits.max_bytes, most_growth=limits.max_growth, missing=missing)
    memory = judge_bytes(
        "memory",
        subject,
        *memories,
        most=limits.max_memory_bytes,
        most_growth=limits.max_memory_growth,
        missing=missing,
    )
    shown = [of_the_device(each, record) if "max_bytes" in each.figures else each for each in memory.findings]
    return [*size.findings, *shown], [*size.notes, *memory.notes]


def _scores(benched: Benched) -> Scores | None:
    score = benched.score
    if score is None:
        return None
    return Scores(score.metric, score.higher_is_better, score.value, score.n, _data(benched), score.per_sample)


def _data(benched: Benched) -> str:
    """The digest of the labelled data."""
    return "" if benched.record.accuracy is None else benched.record.accuracy.dataset_sha256
