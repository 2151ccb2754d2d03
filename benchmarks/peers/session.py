"""One case's timing: rounds in which every artifact has a run, then pairs of the two that matter, judged by the gate.

- Rounds. In each, every artifact has one fresh process, in an order that is turned round each time; a ratio is of the
  two runs of one round. Few rounds tell which route is fastest, and how far the others are off.
- A duel. Ours and one route in adjacent processes, ABBA, at the gate's two looks: after the first it can only be
  `regressed`, at the last it is `regressed`, `pass` or `inconclusive`.

What runs a process is given, so that nothing here starts one.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgewright.benchmarks.gate.latency import LOOKS, Look, judge, paired_test
from edgewright.benchmarks.record import Verdict
from edgewright.benchmarks.statistics import paired_ratio

Run = Callable[[str], float]
"""The median nanoseconds of a fresh process of the artifact of that name."""


class RunFailedError(Exception):
    """A timed process ended without a figure; the text is the last line it wrote."""


@dataclass(frozen=True)
class Race:
    """What the rounds gave: nanoseconds of each round by artifact, and who dropped out, with why."""

    runs: Mapping[str, Sequence[float]]
    failed: Mapping[str, str]

    def median_ms(self, name: str) -> float:
        """Of one artifact, over its rounds."""
        return statistics.median(self.runs[name]) / 1e6

    def ratio(self, first: str, second: str) -> tuple[float, tuple[float, float] | None]:
        """First over second, round by round, and its 95 % interval; None with fewer than six rounds."""
        return paired_ratio(self.runs[first], self.runs[second])


@dataclass(frozen=True)
class Duel:
    """Pairs of ours and a route, and the gate's verdict."""

    pairs: tuple[tuple[float, float], ...]
    ratio: float
    ci95: tuple[float, float] | None
    p: float
    verdict: Verdict


def race(run: Run, names: Sequence[str], rounds: int) -> Race:
    """All of `names` in turn, forwards and backwards; who fails once is not asked again."""
    runs: dict[str, list[float]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            if name not in failed:
                try:
                    runs[name].append(run(name))
                except RunFailedError as failure:
                    failed[name] = str(failure)
    return Race({name: took for name, took in runs.items() if name not in failed}, failed)


def duel(pair: Callable[[int], tuple[float, float]], looks: Sequence[Look] = LOOKS) -> Duel:
    """Takes pairs until a look decides.

    Args:
        pair: the run of ours and that of the other of pair `n`, whichever went first.
        looks: the gate's; the last always decides.

    Raises:
        RunFailedError: a process failed.
    """
    taken: list[tuple[float, float]] = []
    for look in looks:
        taken += [pair(number) for number in range(len(taken), look.pairs)]
        test = paired_test([ours for ours, _ in taken], [theirs for _, theirs in taken])
        verdicts = judge({"": test}, look)
        if verdicts is not None:
            break
    else:
        # The gate knows its own last look; with others, such as a short one to try this out, nothing was decided.
        verdicts = {"": "inconclusive"}
    return Duel(tuple(taken), test.ratio, test.ci95, test.p, verdicts[""])
