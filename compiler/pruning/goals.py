"""The goal as numbers to divide by: what each target may take, how large the model may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edgewright.compiler.pruning.extents import Extents, Widths
from edgewright.compiler.pruning.latency_model import LatencyModel
from edgewright.compiler.site import Goal

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Limits:
    """Exactly one kind of limit."""

    extents: Extents
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    """By target."""
    parameters: float | None = None
    macs: float | None = None

    def relaxed(self, factor: float) -> Limits:
        """The same kind of limits, ``factor`` times as wide."""
        latency_ms = {target: limit * factor for target, limit in self.latency_ms.items()}
        parameters, macs = (None if limit is None else limit * factor for limit in (self.parameters, self.macs))
        return Limits(self.extents, latency_ms, parameters, macs)

    def costs(self, models: Mapping[str, LatencyModel]) -> Callable[[Widths], dict[str, float]]:
        """Widths -> predicted share of each limit."""
        if not self.latency_ms:
            return self.exact
        return lambda widths: {
            target: models[target].predict(widths) / limit for target, limit in self.latency_ms.items()
        }

    def exact(self, widths: Widths) -> dict[str, float]:
        """Share of a limit that is counted and not timed."""
        if self.parameters is not None:
            return {"parameters": self.extents.count(widths) / self.parameters}
        assert self.macs is not None
        return {"macs": self.extents.macs(widths) / self.macs}

    def timed(self, latency_ms: Mapping[str, float]) -> dict[str, float]:
        """Measured share of each limit in latency; a target that could not be timed is not among them."""
        return {target: latency_ms[target] / limit for target, limit in self.latency_ms.items() if target in latency_ms}


def limits_of(goal: Goal, extents: Extents, full_ms: Mapping[str, float]) -> Limits | None:
    """What ``goal`` allows; None for a latency goal that nothing can be held against.

    Args:
        full_ms: the original's time by target; empty where nothing can be timed.
    """
    if _in_latency(goal):
        return _latency_limits(goal, extents, full_ms)
    if goal.max_bytes is not None:
        return Limits(extents, parameters=goal.max_bytes / _FLOAT_BYTES)
    if goal.ratio is not None:
        return Limits(extents, macs=extents.macs({}) * (1 - goal.ratio))
    return None


def _in_latency(goal: Goal) -> bool:
    return goal.latency_ms is not None or goal.latency_ratio is not None or bool(goal.limits_ms)


def _latency_limits(goal: Goal, extents: Extents, full_ms: Mapping[str, float]) -> Limits | None:
    if not full_ms:
        # Multiplications stand in for time: the ratio is all that can be carried over.
        return None if goal.latency_ratio is None else Limits(extents, macs=extents.macs({}) * goal.latency_ratio)
    if goal.limits_ms:
        limits = {target: goal.limits_ms[target] for target in full_ms if target in goal.limits_ms}
        return Limits(extents, latency_ms=limits) if limits else None
    if goal.latency_ms is not None:
        return Limits(extents, latency_ms=dict.fromkeys(full_ms, goal.latency_ms))
    assert goal.latency_ratio is not None
    # The ratio is of float32, which a model that is timed in int8 does not show.
    whole = {**full_ms, **{name: ms for name, ms in goal.float32_ms.items() if name in full_ms}}
    return Limits(extents, latency_ms={target: ms * goal.latency_ratio for target, ms in whole.items()})
