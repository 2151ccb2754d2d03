"""Lines through a history: the points of one machine that may be joined, and where they stepped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.benchmarks.history.entry import Key
from edgewright.benchmarks.history.figures import Unit, figure_named
from edgewright.benchmarks.history.steps import Step, detect_steps, exact_steps
from edgewright.benchmarks.history.store import History, Point, point_of


@dataclass(frozen=True)
class Series:
    """One figure of one key on one machine, oldest measurement first."""

    key: Key
    metric: str
    unit: Unit
    machine: str
    """Its identity."""
    cpu: str
    """Its processor, as the records name it."""
    basis: str
    """Of an accuracy its metric and data set, of what depends on them the inputs; empty otherwise."""
    higher_is_better: bool
    points: Sequence[Point]
    steps: Sequence[Step]
    """Advisory; indices into ``points``."""

    def worsens(self, step: Step) -> bool:
        """True when the step goes to the worse."""
        return (step.after < step.before) == self.higher_is_better


@dataclass(frozen=True)
class LeftOut:
    """A record without a point."""

    key: Key
    commit: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {self.commit:.12}: {self.reason}"


@dataclass(frozen=True)
class HistorySeries:
    """Every line of one figure, and what has no point in any."""

    series: Sequence[Series]
    left_out: Sequence[LeftOut]


def series_of(history: History, metric: str, key: Key | None = None, *, alpha: float = 0.01) -> HistorySeries:
    """The lines of ``metric`` by key, then by their first measurement.

    A change of machine, of the inputs, and of an accuracy's metric or data set, begins another line: their points are
    never joined.

    Args:
        history: an open history.
        metric: a name of :data:`edgewright.benchmarks.history.FIGURES`.
        key: the only one that is wanted; None is all.
        alpha: the probability of a false step in a line without any.

    Raises:
        UsageError, BadInputError: as :meth:`History.points`.
    """
    figure = figure_named(metric)
    lines: dict[tuple[Key, str, str], list[Point]] = {}
    processors: dict[str, str] = {}
    left_out: list[LeftOut] = []
    for entry in history.entries(key):
        point = point_of(entry, figure)
        if isinstance(point, str):
            left_out.append(LeftOut(entry.key, entry.commit, point))
            continue
        lines.setdefault((entry.key, point.machine, point.basis), []).append(point)
        processors.setdefault(point.machine, entry.cpu)
    ordered = sorted(lines.items(), key=lambda item: (item[0][0], item[1][0].created, item[0][1:]))
    series = []
    for (line_key, machine, basis), points in ordered:
        values = [point.value for point in points]
        steps = exact_steps(values) if figure.exact else detect_steps(values, alpha=alpha)
        cpu, higher = processors[machine], points[-1].higher_is_better
        series.append(Series(line_key, metric, figure.unit, machine, cpu, basis, higher, points, steps))
    return HistorySeries(series, left_out)
