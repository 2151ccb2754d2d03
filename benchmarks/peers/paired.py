"""The ratio of two arms from paired runs: Hodges-Lehmann estimate with its exact signed-rank interval."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement


def ratio(pairs: list[tuple[float, float]], confidence: float = 0.95) -> tuple[float, float | None, float | None]:
    """Estimate of first / second and its interval; None for both ends where there are too few pairs.

    The median of the Walsh averages of log ratios (Hodges and Lehmann 1963); the interval inverts Wilcoxon's
    signed-rank test, whose null distribution is counted exactly.

    >>> ratio([(2.0, 1.0)] * 8)
    (2.0, 2.0, 2.0)
    >>> ratio([(1.0, 2.0)])
    (0.5, None, None)
    """
    logs = [math.log(a / b) for a, b in pairs]
    walsh = sorted((x + y) / 2 for x, y in combinations_with_replacement(logs, 2))
    middle = len(walsh) // 2
    centre = walsh[middle] if len(walsh) % 2 else (walsh[middle - 1] + walsh[middle]) / 2
    cut = lower_cut(len(pairs), (1 - confidence) / 2)
    if cut < 1:
        return round(math.exp(centre), 6), None, None
    return round(math.exp(centre), 6), round(math.exp(walsh[cut - 1]), 6), round(math.exp(walsh[-cut]), 6)


def lower_cut(count: int, tail: float) -> int:
    """How many Walsh averages lie outside the interval on each side: the largest k with P(W < k) <= tail."""
    ways = [1]
    for rank in range(1, count + 1):
        ways = [
            (ways[s] if s < len(ways) else 0) + (ways[s - rank] if 0 <= s - rank < len(ways) else 0)
            for s in range(len(ways) + rank)
        ]
    below, k = 0, 0
    while (below + ways[k]) / 2**count <= tail:
        below += ways[k]
        k += 1
    return k
