"""From gates to verdicts: what is held against a bundle runs in pairs with it, the rest by itself; all is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from edgewright.benchmarks.bench import Benched, bench_whole
from edgewright.benchmarks.gate.baseline import find_baseline, read_baselines
from edgewright.benchmarks.gate.findings import Failure, GateReport
from edgewright.benchmarks.gate.found import Found
from edgewright.benchmarks.gate.judging import judge_alone, judge_pair
from edgewright.benchmarks.gate.limits import Gate
from edgewright.benchmarks.gate.opened import Opened
from edgewright.benchmarks.gate.pairs import paired
from edgewright.benchmarks.harness.machine import this_machine
from edgewright.benchmarks.harness.protocol import Protocol
from edgewright.benchmarks.pairs.compared import compare_bundles
from edgewright.benchmarks.record import Record
from edgewright.core.bundle import open_bundle
from edgewright.core.errors import EdgewrightError

T = TypeVar("T")
MEMORY_PROCESSES = 3


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a gate leaves behind."""

    report: GateReport
    records: tuple[tuple[Path, Record], ...]
    """The path of a bundle, and its record."""
    entries: tuple[Mapping[str, object], ...]
    """For :func:`edgewright.benchmarks.gate.baseline.save_baselines`: of what neither regressed nor failed anything."""


def run_gates(
    gates: Sequence[Gate],
    preset: str | Protocol = "quick",
    *,
    saving: bool = False,
    log: Callable[[str], None] = lambda _line: None,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> Outcome:
    """Measures and judges; an arm that crashes, hangs or runs out of memory is a failure, and the others go on.

    All that is held against a bundle is one session, and its 1 % of false alarms is that of all its latencies together.
    So is that of all latencies held against stored baselines. The two rates are apart: gates of both kinds alarm with
    at most 2 %.

    Args:
        gates: what is asked; a folder of bundles counts as each in it.
        preset: how much is measured.
        saving: the entries are to be kept: what is compared with nothing is then measured for its own sake, and limits
            that are relative to a baseline begin to hold when there is one.
        log: takes one line of talk at a time.
        progress: takes what is being done, and the share of all that is behind.

    Raises:
        UsageError: an unknown preset, or folders that cannot be paired.
    """
    asked = paired(gates)
    found = Found(saving, list(asked.failures), list(asked.notes))
    first = asked.fresh | {gate.name for gate in asked.gates if saving and not gate.is_compared}
    opened = [one for gate in asked.gates if (one := _guarded(found, gate, partial(_opened, first))) is not None]
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
            judge_pair(found, by_pairing[id(each.pairing)], each)
    measured: list[tuple[Opened, Benched]] = []
    for index, one in enumerate(alone):

        def show(what: str, part: float, one: Opened = one, index: int = index) -> None:
            progress(f"{one.gate.name}: {what}", share + (1 - share) * (index + part) / len(alone))

        benched = _guarded(found, one.gate, partial(_alone, one, preset, log, show))
        measured += [] if benched is None else [(one, benched)]
    judge_alone(found, measured)
    return Outcome(found.report, tuple(found.records), tuple(found.entries))


def _opened(first: frozenset[str], gate: Gate) -> Opened:
    """Raises EdgewrightError: whatever is wrong with its files, before anything is measured."""
    stored = None
    if gate.baseline is not None:
        stored = find_baseline(read_baselines(gate.baseline), gate.name, this_machine(), gate.baseline)
    base = None if gate.against is None else open_bundle(gate.against, gate.key)
    return Opened(gate, open_bundle(gate.bundle, gate.key), base, stored, gate.name in first)


def _alone(
    one: Opened, preset: str | Protocol, log: Callable[[str], None], show: Callable[[str, float], None], gate: Gate
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


def _guarded(found: Found, gate: Gate, work: Callable[[Gate], T]) -> T | None:
    """What ``work`` gives; an error becomes a failure of this gate alone, and None."""
    try:
        return work(gate)
    except EdgewrightError as error:
        found.failures.append(Failure.of(gate.name, error, gate.name))
        return None
