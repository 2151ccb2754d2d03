"""The smallest part of something that still fails: bisection first, then delta debugging.

After Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002): from the subset that bisection
leaves, ever smaller groups are taken away for as long as it goes on failing; the result is 1-minimal, nothing in it can
be left out alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Fails = Callable[[tuple[int, ...]], bool]
"""Whether a part, in the order of execution, still fails; what cannot be judged does not."""


@dataclass
class Reduction:
    """One search; every answer of ``fails`` is remembered.

    Args:
        most: how many parts may be judged; the smallest failing one found by then is the result.
    """

    fails: Fails
    most: int
    progress: Callable[[int, int], None] = lambda _size, _judged: None
    """Takes the size of the smallest failing part so far, and how many were judged."""
    _known: dict[tuple[int, ...], bool] = field(default_factory=dict)

    @property
    def judged(self) -> int:
        """How many parts were judged."""
        return len(self._known)

    @property
    def exhausted(self) -> bool:
        """Whether the search ended before nothing more could be left out."""
        return self.judged >= self.most

    def smallest(self, whole: Sequence[int]) -> tuple[int, ...] | None:
        """What is left of ``whole``, which must be sorted; None where the whole does not fail."""
        part = tuple(whole)
        if not self._fails(part):
            return None
        part = part[: self._shortest(part, lambda size: part[:size])]
        tail = part
        part = tail[len(tail) - self._shortest(tail, lambda size: tail[len(tail) - size :]) :]
        return self._minimised(part)

    def _shortest(self, part: tuple[int, ...], cut: Callable[[int], tuple[int, ...]]) -> int:
        """The smallest size at which the cut fails, if whatever is larger than a failing one fails too."""
        low, high = 1, len(part)
        while low < high:  # the cut of size `high` was seen to fail
            middle = (low + high) // 2
            low, high = (low, middle) if self._fails(cut(middle)) else (middle + 1, high)
        return high

    def _minimised(self, part: tuple[int, ...]) -> tuple[int, ...]:
        groups = 2
        while len(part) > 1 and not self.exhausted:
            size = max(1, len(part) // groups)
            smaller = self._without_a_group(part, size)
            if smaller is not None:
                part, groups = smaller, max(groups - 1, 2)
            elif size == 1:
                break
            else:
                groups = min(groups * 2, len(part))
        return part

    def _without_a_group(self, part: tuple[int, ...], size: int) -> tuple[int, ...] | None:
        starts = range(0, len(part), size)
        for start in starts:
            rest = part[:start] + part[start + size :]
            if rest and self._fails(rest):
                return rest
        return None

    def _fails(self, part: tuple[int, ...]) -> bool:
        if part not in self._known:
            if self.exhausted:
                return False
            self._known[part] = self.fails(part)
            if self._known[part]:
                self.progress(len(part), self.judged)
        return self._known[part]
