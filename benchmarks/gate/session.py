"""From gates to verdicts: what is held against a bundle runs in pairs with it, the rest by itself; all is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from edgewright.benchmarks.bench import Benched, bench_whole
from edgewright.benchmarks.gate.accuracy_findings import paired_accuracy, stored_accuracy
from edgewright.benchmarks.gate.baseline import Baseline, Scores, entry_of, find_baseline, read_baselines
from edgewright.benchmarks.gate.findings import Failure, Finding, GateReport
from edgewright.benchmarks.gate.latency import holm
from edgewright.benchmarks.gate.latency_findings import (
    latency_limit,
    not_comparable,
    paired_latency,
    stored_latency,
    subject_runs,
)
from edgewright.benchmarks.gate.limits import Gate
from edgewright.benchmarks.gate.pairs import paired
from edgewright.benchmarks.gate.size_memory import judge_bytes
from edgewright.benchmarks.gate.unpaired import ALPHA, UnpairedTest, unpaired_test
from edgewright.benchmarks.harness.machine import this_machine
from edgewright.benchmarks.harness.protocol import Protocol
from edgewright.benchmarks.pairs.compared import Compared, compare_bundles
from edgewright.benchmarks.pairs.duel import Pairing
from edgewright.benchmarks.record import Record
from edgewright.benchmarks.summary import run_medians
from edgewright.core.bundle import Bundle, open_bundle
from edgewright.core.errors import EdgewrightError

T = TypeVar("T")
MEMORY_PROCESSES = 3
_MOST_NAMED = 4


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a gate leaves behind."""

    report: GateReport
    records: tuple[tuple[Path, Record], ...]
    """The path of a bundle, and its record."""
    entries: tuple[Mapping[str, object], ...]
    """For :func:`edgewright.benchmarks.gate.baseline.save_baselines`: of what neither regressed nor failed an audit."""


@dataclass(frozen=True, eq=False)
class _Opened:
    """A gate whose files were found sound."""

    gate: Gate
    new: Bundle
    base: Bundle | None
    stored: Baseline | None

    @property
    def subject(self) -> str:
        manifest = self.new.manifest
        return f"{manifest.model.name} {manifest.target.name} {manifest.precision}"

    @property
    def pairing(self) -> Pairing:
        """As a session of pairs takes it."""
        assert self.base is not None
        gate = self.gate
        return Pairing(
            self.new,
            self.base,
            gate.data,
            gate.metric,
            gate.threads,
            trust_native_code=gate.trust_native_code,
            delta=gate.limits.max_regression,
            max_drop=gate.limits.max_drop,
            name=gate.name,
        )


@dataclass(eq=False)
class _Found:
    """What is known so far, and what is to be kept of it."""

    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    """What was remarked, and of which gates."""
    findings: list[Finding] = field(default_factory=list)
    records: list[tuple[Path, Record]] = field(default_factory=list)
    entries: list[Mapping[str, object]] = field(default_factory=list)

    def take(self, gate: Gate, record: Record, findings: Sequence[Finding], notes: Sequence[str]) -> None:
        """Adds what was found of one gate."""
        self.findings += [replace(one, gate=gate.name) for one in findings]
        self.records.append((gate.bundle, record))
        own = [*notes, *record.notes]
        if record.status == "unsteady":
            own.append("the times never settled, so the figures are shaky")
        if record.target.host_proxy:
            own.append(f"this machine stands in for {record.target.name}: of the device itself the times say nothing")
        if gate.data is None:
            own.append("accuracy not judged: no data is named")
        for line in dict.fromkeys(own):
            self.remarks.setdefault(line, []).append(gate.name)

    def keep(self, gate: Gate, record: Record, memory: int | None, scores: Scores | None, arm: str) -> None:
        """Keeps what would be a baseline; nothing that regressed may become the next one's measure."""
        if record.status == "invalid":
            self.notes.append(f"{gate.name}: not fit to be a baseline: an audit failed")
        elif any(one.gate == gate.name and one.verdict == "regressed" for one in self.findings):
            self.notes.append(f"{gate.name}: not fit to be a baseline: it regressed")
        else:
            self.entries.append(entry_of(gate.name, record, memory, scores, arm))


def run_gates(
    gates: Sequence[Gate],
    preset: str | Protocol = "quick",
    *,
    log: Callable[[str], None] = lambda _line: None,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> Outcome:
    """Measures and judges; an arm that crashes, hangs or runs out of memory is a failure, and the others go on.

    All that is held against a bundle is one session, and its 1 % of false alarms is that of all its latencies together.
    So is that of all latencies held against stored baselines.

    Args:
        gates: what is asked; a folder of bundles counts as each in it.
        preset: how much is measured.
        log: takes one line of talk at a time.
        progress: takes what is being done, and the share of all that is behind.

    Raises:
        UsageError: an unknown preset, or folders that cannot be paired.
    """
    asked = paired(gates)
    found = _Found(list(asked.failures), list(asked.notes))
    opened = [one for gate in asked.gates if (one := _guarded(found, gate, _opened)) is not None]
    duels = [one for one in opened if one.base is not None]
    alone = [one for one in opened if one.base is None]
    share = len(duels) / max(len(opened), 1)
    if duels:
        pairings = [one.pairing for one in duels]
        compared, failures = compare_bundles(
            pairings, preset, log=log, progress=lambda what, part: progress(what, share * part)
        )
        found.failures += failures
        by_pairing = dict(zip(map(id, pairings), duels, strict=True))
        for each in compared:
            _judge_pair(found, by_pairing[id(each.pairing)], each)
    measured: list[tuple[_Opened, Benched]] = []
    for index, one in enumerate(alone):

        def show(what: str, part: float, one: _Opened = one, index: int = index) -> None:
            progress(f"{one.gate.name}: {what}", share + (1 - share) * (index + part) / len(alone))

        benched = _guarded(found, one.gate, partial(_alone, one, preset, log, show))
        measured += [] if benched is None else [(one, benched)]
    _judge_alone(found, measured)
    remarks = [f"{_several(names)}: {line}" for line, names in found.remarks.items()]
    report = GateReport(tuple(found.findings), tuple(found.failures), (*found.notes, *remarks))
    return Outcome(report, tuple(found.records), tuple(found.entries))


def _several(names: Sequence[str]) -> str:
    """What is true of many gates, such as a busy machine, is said once."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _opened(gate: Gate) -> _Opened:
    """Raises EdgewrightError: whatever is wrong with its files, before anything is measured."""
    stored = None
    if gate.baseline is not None:
        stored = find_baseline(read_baselines(gate.baseline), gate.name, this_machine(), gate.baseline)
    base = None if gate.against is None else open_bundle(gate.against)
    return _Opened(gate, open_bundle(gate.bundle), base, stored)


def _alone(
    one: _Opened, preset: str | Protocol, log: Callable[[str], None], show: Callable[[str, float], None], gate: Gate
) -> Benched:
    return bench_whole(
        one.new,
        preset,
        gate.threads,
        gate.data,
        gate.metric,
        memory_processes=MEMORY_PROCESSES,
        trust_native_code=gate.trust_native_code,
        log=log,
        progress=show,
    )


def _judge_pair(found: _Found, one: _Opened, compared: Compared) -> None:
    subject, limits, record = one.subject, one.gate.limits, compared.record
    findings = [paired_latency(subject, record)]
    limit = latency_limit(subject, record, limits)
    findings += [] if limit is None else [limit]
    scores, verdict = compared.scores, compared.accuracy
    if scores is not None and verdict is not None:
        findings.append(paired_accuracy(subject, scores.metric, scores.value_new, scores.value_base, verdict))
    more, notes = _bytes(one, compared.size_new, compared.size_base, compared.memory_new, compared.memory_base)
    found.take(one.gate, record, [*findings, *more], notes)
    kept = None
    if scores is not None:
        kept = Scores(
            scores.metric, scores.higher_is_better, scores.value_new, scores.n, scores.dataset_sha256, scores.new
        )
    found.keep(one.gate, record, compared.memory_new, kept, subject_runs(record)[0].arm)


def _judge_alone(found: _Found, measured: Sequence[tuple[_Opened, Benched]]) -> None:
    tests = {str(index): _test(one, benched.record) for index, (one, benched) in enumerate(measured)}
    ps = {key: test.p for key, test in tests.items() if isinstance(test, UnpairedTest)}
    rejected = holm(ps, ALPHA) if ps else frozenset()
    for index, (one, benched) in enumerate(measured):
        subject, limits, record, stored = one.subject, one.gate.limits, benched.record, one.stored
        test = tests[str(index)]
        findings: list[Finding] = []
        if isinstance(test, UnpairedTest):
            findings.append(stored_latency(subject, record, test, rejected=str(index) in rejected))
        elif test is not None:
            findings.append(test)
        limit = latency_limit(subject, record, limits)
        findings += [] if limit is None else [limit]
        data = "" if record.accuracy is None else record.accuracy.dataset_sha256
        if stored is not None and benched.score is not None:
            findings.append(stored_accuracy(subject, benched.score, data, stored.scores, limits.max_drop))
        memory = None if record.memory is None else record.memory.hundredth_bytes
        base_size, base_memory = (None, None) if stored is None else (stored.size_bytes, stored.memory_bytes)
        more, notes = _bytes(one, record.subject.size_bytes, base_size, memory, base_memory)
        found.take(one.gate, record, [*findings, *more], notes)
        found.keep(one.gate, record, memory, _scores(benched, data), subject_runs(record)[0].arm)


def _test(one: _Opened, record: Record) -> UnpairedTest | Finding | None:
    """The stored runs against these; or the finding that says why not; None without a baseline."""
    stored, limits = one.stored, one.gate.limits
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
    return unpaired_test(medians, stored.run_medians_ns, limits.max_regression, limits.session_allowance)


def _bytes(
    one: _Opened, size: int, base_size: int | None, memory: int | None, base_memory: int | None
) -> tuple[list[Finding], list[str]]:
    limits, subject = one.gate.limits, one.subject
    both = (
        judge_bytes("size", subject, size, base_size, most=limits.max_bytes, most_growth=limits.max_growth),
        judge_bytes(
            "memory",
            subject,
            memory,
            base_memory,
            most=limits.max_memory_bytes,
            most_growth=limits.max_memory_growth,
        ),
    )
    return [item for each in both for item in each.findings], [note for each in both for note in each.notes]


def _scores(benched: Benched, dataset_sha256: str) -> Scores | None:
    score = benched.score
    if score is None:
        return None
    return Scores(score.metric, score.higher_is_better, score.value, score.n, dataset_sha256, score.per_sample)


def _guarded(found: _Found, gate: Gate, work: Callable[[Gate], T]) -> T | None:
    """What ``work`` gives; an error becomes a failure of this gate alone, and None."""
    try:
        return work(gate)
    except EdgewrightError as error:
        found.failures.append(Failure.of(gate.name, error, gate.name))
        return None
