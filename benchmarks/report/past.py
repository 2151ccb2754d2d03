"""One metric over commits, from a history of records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.benchmarks.report.data import Figure, HistoryShown, PastPoint

if TYPE_CHECKING:
    from edgewright.benchmarks.history import Series


def read_history(path: Path, metric: str) -> tuple[tuple[HistoryShown, ...], tuple[str, ...]]:
    """The lines of ``metric`` in the history at ``path``; and a note for each reason why records have no point in any.

    Raises:
        UsageError, BadInputError: as :func:`edgewright.benchmarks.history.series_of`.
    """
    from edgewright.benchmarks.history import open_history, series_of

    found = series_of(open_history(path), metric)
    reasons = Counter(one.reason for one in found.left_out)
    notes = tuple(
        f"{path.name}: {count} record{' has' if count == 1 else 's have'} no point in it: {reason}"
        for reason, count in reasons.most_common()
    )
    return tuple(_shown(one) for one in found.series), notes


def history_to_json(one: HistoryShown, newest: int | None = None) -> Mapping[str, object]:
    """The figures of a line; of its points the ``newest`` alone, where that is not None."""
    left_out = 0 if newest is None else max(len(one.points) - newest, 0)
    return {
        "metric": one.metric,
        "unit": one.unit,
        "subject": one.subject,
        "points": [_point_to_json(point) for point in one.points[left_out:]],
        "older_points_left_out": left_out,
        "steps": [
            {"commit": one.points[index].commit, "before": before, "after": after}
            for index, before, after in one.steps
            if index >= left_out
        ],
    }


def _point_to_json(point: PastPoint) -> Mapping[str, object]:
    ends = point.figure.ci95
    return {
        "commit": point.commit,
        "created": point.created,
        "value": point.figure.value,
        "ci95": None if ends is None else list(ends),
        "status": point.status,
    }


def _shown(one: Series) -> HistoryShown:
    from edgewright.benchmarks.history.table import rows_of

    points = (
        PastPoint(
            point.commit,
            point.created,
            Figure(point.value, None if point.low is None or point.high is None else (point.low, point.high)),
            point.status,
            tuple(words),
        )
        for point, words in zip(one.points, rows_of(one), strict=True)
    )
    return HistoryShown(
        metric=one.metric,
        unit=one.unit,
        subject=", ".join(part for part in (str(one.key), one.cpu, one.machine[:6], one.basis) if part),
        points=tuple(points),
        steps=tuple((step.index, step.before, step.after) for step in one.steps),
    )
