"""How long a model takes at any widths, from times at a few: each layer's share of the time, fitted to what was timed.

A layer takes time in proportion to the channels it reads times those it writes, so what two neighbouring groups save
together is less than the sum of what each saves alone. A layer's time at full width is first taken from its
multiplications (and from the elements it writes) and then scaled, again and again, until narrowing one group at a time
saves what was measured (multiplicative algebraic reconstruction: Gordon, Bender, Herman 1970). What is left to
explain goes into the group's own curve: how much of its time remains at each measured width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgewright.compiler.pruning.extents import Extents, Widths

_ELEMENT_WORK = 8.0
"""Multiply-accumulates that take as long as writing one element; a first guess, which measurement corrects."""
VARIABLE = 0.9
"""Share of a model's time that its layers are thought to take before anything is measured; the rest is fixed."""
_ROUNDS = 60
_STEP = 0.3
"""How much of a mismatch one round corrects."""


@dataclass(frozen=True)
class Part:
    """Some of the time: it shrinks with every factor, each a sum over groups of the channels' shares."""

    factors: tuple[Mapping[str, float], ...]
    work: float

    def share(self, ratios: Mapping[str, float]) -> float:
        """What is left of it when ``ratios`` of the groups' times are left."""
        left = 1.0
        for factor in self.factors:
            left *= 1 - sum(weight * (1 - ratios.get(group, 1.0)) for group, weight in factor.items())
        return left


@dataclass(frozen=True, eq=False)
class LatencyModel:
    """Predicted milliseconds on one target."""

    full_ms: float
    parts: tuple[Part, ...]
    times_ms: tuple[float, ...]
    """Of each part at full width."""
    curves: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]
    """Group -> shares of its width, rising, and the ratio of its time that is left at each."""
    units: Mapping[str, int]
    trust: float = 1.0
    """What share of the predicted saving turned out to be real."""

    def predict(self, widths: Widths) -> float:
        """Milliseconds at ``widths``; groups that are not named have their full width."""
        return self.full_ms - self.trust * self._saving(widths)

    def corrected(self, widths: Widths, measured_ms: float, noise_ms: float = 0.0) -> LatencyModel:
        """The model that predicts ``measured_ms`` at ``widths``, as far as the saving stands out from the noise."""
        saving = self._saving(widths)
        if saving <= 0:
            return self
        gained = believed(self.full_ms - measured_ms, self.trust * saving, noise_ms)
        return replace(self, trust=float(np.clip(gained / saving, 0.05, 10.0)))

    def shifted(self, widths: Widths, measured_ms: float) -> LatencyModel:
        """The model that predicts ``measured_ms`` at ``widths`` because something is gone that no width tells of."""
        return replace(self, full_ms=self.full_ms + measured_ms - self.predict(widths))

    def _saving(self, widths: Widths) -> float:
        ratios = {name: self._ratio(name, width) for name, width in widths.items() if width != self.units.get(name)}
        return sum(time * (1 - part.share(ratios)) for part, time in zip(self.parts, self.times_ms, strict=True))

    def _ratio(self, name: str, width: int) -> float:
        shares, left = self.curves[name]
        return float(np.interp(width / self.units[name], shares, left))


def parts_of(extents: Extents) -> tuple[Part, ...]:
    """What takes time: a part for each weight that multiplies, and one for all that is written of each group."""
    parts = []
    for one in extents.parameters:
        if one.macs and one.axes:
            factors = tuple(
                {name: per * extents.units[name] / one.shape[axis] for name, per in groups.items()}
                for axis, groups in one.axes.items()
            )
            parts.append(Part(factors, float(one.macs)))
    parts += [Part(({name: 1.0},), _ELEMENT_WORK * count) for name, count in extents.elements.items() if count]
    return tuple(parts)


def fit_latency(
    extents: Extents, full_ms: float, measured_ms: Mapping[tuple[str, int], float], noise: float
) -> LatencyModel:
    """The model that fits what was measured.

    Args:
        measured_ms: (group, units left) -> milliseconds with that group alone narrowed.
        noise: relative; savings that do not stand out from it are taken for what multiplications say instead.
    """
    parts = parts_of(extents)
    all_work = sum(one.macs for one in extents.parameters) + _ELEMENT_WORK * sum(extents.elements.values())
    times = np.array([VARIABLE * full_ms * part.work / max(all_work, 1.0) for part in parts])
    savings = {
        key: believed(full_ms - ms, _saved_alone(parts, times, key[0], key[1] / extents.units[key[0]]), noise * full_ms)
        for key, ms in sorted(measured_ms.items())
    }
    times = _reconstructed(parts, times, savings, extents.units, full_ms)
    curves = {name: _curve(parts, times, name, savings, extents.units[name]) for name in extents.units}
    return LatencyModel(full_ms, parts, tuple(times.tolist()), curves, extents.units)


def _saved_alone(parts: tuple[Part, ...], times: np.ndarray, group: str, ratio: float) -> float:
    return float(sum(time * (1 - part.share({group: ratio})) for part, time in zip(parts, times, strict=True)))


def believed(saved_ms: float, expected_ms: float, noise_ms: float) -> float:
    """Between what was measured and what was expected: the first as far as either stands out from the noise."""
    signal = max(abs(saved_ms), expected_ms)
    weight = signal**2 / max(signal**2 + noise_ms**2, 1e-30)
    return weight * saved_ms + (1 - weight) * expected_ms


def _reconstructed(
    parts: tuple[Part, ...],
    times: np.ndarray,
    savings: Mapping[tuple[str, int], float],
    units: Mapping[str, int],
    full_ms: float,
) -> np.ndarray:
    times = times.copy()
    presence = {
        name: np.array([max((factor.get(name, 0.0) for factor in part.factors), default=0.0) for part in parts])
        for name, _ in savings
    }
    for _ in range(_ROUNDS):
        for (name, width), saved in savings.items():
            predicted = _saved_alone(parts, times, name, width / units[name])
            if predicted > 0:
                mismatch = float(np.clip(saved / predicted, 0.05, 20.0))
                times *= mismatch ** (_STEP * presence[name])
        total = float(times.sum())
        if total > full_ms:
            times *= full_ms / total
    return times


def _curve(
    parts: tuple[Part, ...], times: np.ndarray, group: str, savings: Mapping[tuple[str, int], float], units: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The group's ratios that give just the savings, and a straight line on to width 0."""
    points = [(1.0, 1.0)]
    for (name, width), saved in sorted(savings.items(), key=lambda item: -item[0][1]):
        if name == group and width < units:
            # Wider ones bound narrower ones: a width is not worse for being narrower, or it is barred elsewhere.
            points.append((width / units, min(_solve(parts, times, group, saved), points[-1][1])))
    if len(points) == 1:
        return (0.0, 1.0), (0.0, 1.0)
    (wide, above), (narrow, below) = points[-2], points[-1]
    points.append((0.0, max(0.0, below - (above - below) / (wide - narrow) * narrow)))
    shares, ratios = zip(*reversed(points), strict=True)
    return tuple(shares), tuple(ratios)


def _solve(parts: tuple[Part, ...], times: np.ndarray, group: str, saved: float) -> float:
    """The ratio at which the group alone saves ``saved``, by halving: savings fall as the ratio rises."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _saved_alone(parts, times, group, middle) > saved else (low, middle)
    return high
