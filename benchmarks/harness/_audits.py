"""The two audits of a timed loop: its answers are the right ones, and nothing keeps answers to give them again."""

from __future__ import annotations

import statistics
import time

import numpy as np

from edgewright.benchmarks.harness._subject import Subject
from edgewright.benchmarks.harness.protocol import MOST_ATTEMPTS, REPEAT_LIMIT, REPEAT_SECONDS
from edgewright.core.compare import worst_error
from edgewright.core.tensors import Outputs

_BLOCKS, _FEWEST_BLOCKS, _BLOCK_SECONDS = 7, 3, 0.05


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


def repeat_ratio(subject: Subject, inner: int, typical_ns: float) -> tuple[float | None, str]:
    """Time of one sample repeated over that of distinct ones; or None, and the line that says why it was not asked.

    The largest of up to three ratios: a cache of answers shows every time, other work on the machine does not.

    Args:
        subject: the engine, warm.
        inner: inferences that are timed together.
        typical_ns: of one inference.
    """
    blocks = repeat_blocks(inner * typical_ns / 1e9)
    why = ""
    if len(subject.samples) < 2:
        why = "there is only one input"
    elif len({tuple(array.shape for array in one.values()) for one in subject.samples}) > 1:
        why = "the inputs have several shapes"  # the first may simply be smaller
    elif blocks is None:
        why = f"an inference takes {typical_ns / 1e9:.2g} s"
    if why or blocks is None:
        return None, f"not looked whether something keeps answers to give them again: {why}"
    worst = 0.0
    for _ in range(MOST_ATTEMPTS):
        worst = max(worst, _one_ratio(subject, inner, *blocks))
        if worst >= REPEAT_LIMIT:
            break
    return worst, ""


def repeat_blocks(one_s: float) -> tuple[int, int] | None:
    """How many blocks of each kind, and of how many times of that length at least; None where they take too long.

    >>> [repeat_blocks(seconds) for seconds in (0.001, 0.2, 0.4, 1.0, 1.5)]
    [(7, 3), (7, 3), (7, 1), (3, 1), None]
    """
    least = 3 if _BLOCKS * (2 * 3 + 1) * one_s <= REPEAT_SECONDS else 1
    blocks = min(_BLOCKS, int(REPEAT_SECONDS / ((2 * least + 1) * max(one_s, 1e-9))))
    return None if blocks < _FEWEST_BLOCKS else (blocks, least)


def _one_ratio(subject: Subject, inner: int, blocks: int, least: int) -> float:
    """By medians of alternating blocks.

    A block of distinct samples never begins with the repeated one, and one of the repeated sample begins untimed: else
    a single time in each would never show that the last answer is kept.
    """
    distinct, repeated = subject.samples, subject.samples[:1]
    medians: dict[bool, list[float]] = {False: [], True: []}
    for block in range(2 * blocks):
        again = bool(block % 2)
        subject.samples = repeated if again else distinct
        subject.turn = 0 if again else 1 + block // 2 % (len(distinct) - 1)
        if again:
            subject.timed(inner)
        times: list[int] = []
        begin = time.perf_counter_ns()
        while len(times) < least or time.perf_counter_ns() - begin < _BLOCK_SECONDS * 1e9:
            times.append(subject.timed(inner)[0])
        medians[again].append(statistics.median(times))
    subject.samples = distinct
    return statistics.median(medians[True]) / statistics.median(medians[False])
