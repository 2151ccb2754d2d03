"""One metric over commits, from a history of records."""

from __future__ import annotations

from pathlib import Path

from edgewright.benchmarks.report.data import Figure, HistoryShown


def read_history(path: Path, metric: str) -> tuple[tuple[HistoryShown, ...], tuple[str, ...]]:
    """The lines of ``metric`` in the history at ``path``, and what has no point in any, with the reason.

    Raises:
        UsageError, BadInputError: as :func:`edgewright.benchmarks.history.series_of`.
    """
    from edgewright.benchmarks.history import open_history, series_of

    found = series_of(open_history(path), metric)
    shown = tuple(
        HistoryShown(
            metric=one.metric,
            unit=one.unit,
            subject=", ".join(part for part in (str(one.key), one.cpu, one.machine[:6], one.basis) if part),
            points=tuple((point.commit, _figure(point.value, point.low, point.high)) for point in one.points),
            steps=tuple((step.index, step.before, step.after) for step in one.steps),
        )
        for one in found.series
    )
    return shown, tuple(found.left_out)


def _figure(value: float, low: float | None, high: float | None) -> Figure:
    return Figure(value, None if low is None or high is None else (low, high))
