"""The two audits of a timed loop: its answers are the right ones, and nothing keeps answers to give them again."""

from __future__ import annotations

import statistics
import time

import numpy as np

from edgewright.benchmarks.harness._subject import Subject
from edgewright.benchmarks.harness.protocol import MOST_ATTEMPTS, REPEAT_LIMIT
from edgewright.core.compare import worst_error
from edgewright.core.tensors import Outputs

_REPEAT_BLOCKS, _REPEAT_SECONDS = 7, 0.05


class Kept:
    """Some of the answers given inside a timed loop, to be looked at when it is over.

    They are kept in growing steps: early and late answers both, never many of them, and not always to the same sample.
    """

    def __init__(self) -> None:
        self.answers: list[tuple[int, Outputs]] = []
        self._next = 1

    def offer(self, count: int, sample: int, answer: Outputs) -> None:
        """Keeps a copy of the answer to a sample, given after ``count`` others or not at all."""
        if count == self._next:
            self.answers.append((sample, {name: np.array(array) for name, array in answer.items()}))
            self._next = count * 3 // 2 + 1


def worst_answer(subject: Subject, kept: Kept) -> float | None:
    """The worst error of the kept answers; None for one that is infinitely far off."""
    worst = 0.0
    for sample, answer in kept.answers:
        right = subject.session.run(subject.samples[sample]) if subject.right is None else subject.right[sample]
        worst = max(worst, worst_error(answer, right)[1])
    return worst if np.isfinite(worst) else None


def repeat_ratio(subject: Subject, inner: int) -> float | None:
    """The largest of up to three ratios: a cache of answers shows every time, other work on the machine does not."""
    worst: float | None = None
    for _ in range(MOST_ATTEMPTS):
        ratio = _one_ratio(subject, inner)
        if ratio is None or ratio >= REPEAT_LIMIT:
            return ratio
        worst = ratio if worst is None else max(worst, ratio)
    return worst


def _one_ratio(subject: Subject, inner: int) -> float | None:
    """Time of one sample repeated over that of distinct ones, by medians of alternating blocks.

    None for a single sample, and for samples of several shapes: there the first may simply be smaller.
    """
    if len(subject.samples) < 2 or len({tuple(a.shape for a in one.values()) for one in subject.samples}) > 1:
        return None
    distinct, repeated = subject.samples, subject.samples[:1]
    medians: dict[bool, list[float]] = {False: [], True: []}
    for block in range(2 * _REPEAT_BLOCKS):
        again = bool(block % 2)
        subject.samples, subject.turn = (repeated if again else distinct), 0
        times: list[int] = []
        begin = time.perf_counter_ns()
        while len(times) < 3 or time.perf_counter_ns() - begin < _REPEAT_SECONDS * 1e9:
            times.append(subject.timed(inner)[0])
        medians[again].append(statistics.median(times))
    subject.samples = distinct
    return statistics.median(medians[True]) / statistics.median(medians[False])
