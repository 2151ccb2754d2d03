"""Divides a data set into disjoint parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.core.data.dataset import DataSet, Subset
from edgewright.core.errors import BadInputError


def split(data: DataSet, shares: Sequence[float], seed: int) -> tuple[DataSet, ...]:
    """Divides into disjoint parts of about the given shares, shuffled, so that sorted data gives no lopsided part.

    Samples of one group stay together, and so do samples that are the same: a part never proves what another has seen.
    Deterministic for a seed; every sample is in exactly one part.

    Args:
        data: what to divide.
        shares: positive; only their ratios count.
        seed: of the shuffle.

    Raises:
        BadInputError: when there are fewer samples (or groups) than parts.
        ValueError: no share, or one that is not positive.
    """
    if not shares or min(shares) <= 0:
        raise ValueError(f"shares must be positive, not {tuple(shares)}")
    clusters = _clusters(data)
    if len(clusters) < len(shares):
        what = "different samples" if data.groups is None else "groups of samples"
        raise BadInputError(
            f"{data.name} has {len(clusters)} {what}: too few for {len(shares)} disjoint sets",
            "Give more data, from more sources.",
        )
    order = np.random.default_rng(seed).permutation(len(clusters))
    parts = _deal([clusters[index] for index in order], np.asarray(shares, float) / sum(shares))
    return tuple(Subset(data, part, f"{data.name} [{place + 1}/{len(parts)}]") for place, part in enumerate(parts))


def _deal(clusters: list[list[int]], shares: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[list[int]]:
    """Gives each cluster to the part that lacks most of its share; the last ones go to parts that are still empty."""
    parts: list[list[int]] = [[] for _ in shares]
    total = sum(map(len, clusters))
    for left, cluster in zip(range(len(clusters), 0, -1), clusters, strict=True):
        empty = [place for place, part in enumerate(parts) if not part]
        among = empty if len(empty) >= left else range(len(parts))
        parts[max(among, key=lambda place: shares[place] * total - len(parts[place]))].extend(cluster)
    return parts


def _clusters(data: DataSet) -> list[list[int]]:
    """Indices that must stay together, joined by group and by content, in order of their first member."""
    root = list(range(len(data)))

    def top(index: int) -> int:
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    for keys in (data.groups, data.fingerprints):
        first: dict[object, int] = {}
        for index, key in enumerate(keys or ()):
            a, b = sorted((top(first.setdefault(key, index)), top(index)))
            root[b] = a
    found: dict[int, list[int]] = {}
    for index in range(len(data)):
        found.setdefault(top(index), []).append(index)
    return list(found.values())
