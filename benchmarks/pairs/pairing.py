"""A session of comparisons: fresh processes in interleaved pairs, looked at twice, several bundles at once.

Pair 0 runs the baseline first, pair 1 the new one, and so on (ABBA), so that a machine that gets slower or faster on
the way does so for both. What voids one run of a pair voids the pair, which is made again whole. An arm that crashes,
hangs or runs out of memory ends its comparison, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from edgewright.benchmarks.gate.findings import Failure
from edgewright.benchmarks.gate.latency import LOOKS, judge
from edgewright.benchmarks.harness.machine import Machine, disturbances, this_machine
from edgewright.benchmarks.harness.protocol import Preset, Protocol, protocol_named
from edgewright.benchmarks.harness.timing_lock import timing_lock
from edgewright.benchmarks.pairs.duel import Duel, Pairing, open_duel
from edgewright.core.errors import EdgewrightError, UsageError

T = TypeVar("T")
_STARTING_S = 0.7
"""What a run takes beside warming up and measuring, for the estimate that is shown: starting, importing, loading."""
_WARMING, _MEMORY = 0.05, 0.05
"""Shares of a session, for its progress."""


@dataclass(frozen=True)
class Session:
    """What was found in one session: comparisons that came to an end, and those that could not."""

    duels: tuple[Duel, ...]
    failures: tuple[Failure, ...]
    machine: Machine
    protocol: Protocol


def run_session(
    pairings: Sequence[Pairing],
    folder: Path,
    preset: str | Protocol = "quick",
    *,
    every_look: bool = False,
    log: Callable[[str], None] = lambda _line: None,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> Session:
    """Runs the pairs of all pairings in turn, in the looks of :data:`edgewright.benchmarks.gate.latency.LOOKS`.

    Args:
        pairings: one or several; with several, the error rate holds for all of them together.
        folder: an empty one for files the children read.
        preset: how long each run is: the preset's inferences and seconds, split over the pairs of the last look.
        every_look: take all pairs even where the first look decides (self-test).
        log: takes one line of talk at a time.
        progress: takes what is being done, and the share of all that is behind.

    Raises:
        UsageError: no pairing, or an unknown preset.
    """
    if not pairings:
        raise UsageError("nothing to compare", "Give a bundle, and another with --against.")
    protocol = _for_pairs(protocol_named(preset) if isinstance(preset, str) else preset)
    failures: list[Failure] = []
    machine = this_machine()
    duels: list[Duel] = []
    with ExitStack() as held:
        for index, pairing in enumerate(pairings):
            place = folder / str(index)
            place.mkdir()
            duel = guarded(failures, pairing, partial(open_duel, pairing, place, protocol, log))
            duels += [] if duel is None else [duel]
        for device in sorted({side.ready.device for duel in duels for side in duel.sides.values()}):
            held.enter_context(timing_lock(device, log))
        for number, duel in enumerate(duels):
            held.enter_context(duel.series)
            progress(f"warming up {duel.pairing.subject}", _WARMING * number / len(duels))
            duel.shaky += tuple(disturbances(machine, duel.sides["new"].ready.target.threads))
        duels = _through(duels, failures, Duel.warm_up)
        _say_how_long(duels, protocol.preset, log)
        duels = _looks(duels, failures, every_look=every_look, log=log, progress=progress)
        progress("memory", 1 - _MEMORY)
        _through(duels, failures, Duel.read_memory)  # what fails here costs nobody a finished comparison
    return Session(tuple(duels), tuple(failures), machine, protocol)


def _looks(
    duels: list[Duel],
    failures: list[Failure],
    *,
    every_look: bool,
    log: Callable[[str], None],
    progress: Callable[[str, float], None],
) -> list[Duel]:
    """Takes pairs until a look decides; gives the duels that came through."""
    done = 0
    for look in LOOKS:
        for number in range(done, look.pairs):
            share = _WARMING + (1 - _WARMING - _MEMORY) * number / LOOKS[-1].pairs

            def run(duel: Duel, number: int = number, share: float = share, of: int = look.pairs) -> None:
                progress(f"pair {number + 1} of {of}{_estimate(duel)}", share)
                duel.run_pair(number, log)

            duels = _through(duels, failures, run)
        done = look.pairs
        tests = {str(index): duel.test for index, duel in enumerate(duels)}
        verdicts = judge(tests, look) if tests else {}
        if verdicts is not None:
            for index, duel in enumerate(duels):
                duel.verdict = duel.verdict or verdicts[str(index)]  # what the first look decided stands
            if not every_look:
                break
    return duels


def _through(duels: Sequence[Duel], failures: list[Failure], work: Callable[[Duel], object]) -> list[Duel]:
    """The duels that came through ``work``."""
    before = len(failures)
    left = []
    for duel in duels:
        guarded(failures, duel.pairing, partial(work, duel))
        left += [duel] if len(failures) == before else []
        before = len(failures)
    return left


def guarded(failures: list[Failure], pairing: Pairing, work: Callable[[], T]) -> T | None:
    """What ``work`` gives; an error becomes a failure of this pairing alone, and None."""
    try:
        return work()
    except EdgewrightError as error:
        failures.append(Failure.of(pairing.subject, error, pairing.name))
        return None


def _for_pairs(protocol: Protocol) -> Protocol:
    """The preset's inferences and seconds split over as many runs of each arm as there may be pairs."""
    return replace(protocol, preset=replace(protocol.preset, runs=LOOKS[-1].pairs))


def _say_how_long(duels: Sequence[Duel], preset: Preset, log: Callable[[str], None]) -> None:
    """What the user waits for, before the waiting begins."""
    seconds = 0.0
    for duel in duels:
        for side in duel.sides.values():
            assert side.warmth is not None
            one = side.warmth.median_ns / 1e9
            timed = max(preset.run_seconds, preset.run_inferences * one)
            seconds += _STARTING_S + side.warmth.expected(side.children.plan.warm_up) * one + timed
    first, last = (seconds * look.pairs / 60 for look in LOOKS)
    if duels:
        log(f"{LOOKS[0].pairs} pairs of runs take about {first:.1f} min, {LOOKS[-1].pairs} about {last:.1f} min")


def _estimate(duel: Duel) -> str:
    """The ratio so far, in a few words."""
    return f", ratio so far {duel.test.ratio:.3f}" if duel.sides["base"].runs else ""
