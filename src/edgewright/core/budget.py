"""The limits the user states, in the units everything else uses."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_MAX_DROP = 0.01


@dataclass(frozen=True)
class Budget:
    """What the result must keep to; None is no limit.

    ``max_drop`` is absolute, in the metric's own unit; ``max_latency_ms`` bounds the median, ``max_latency_ratio`` its
    ratio to the original's in float32 on the same target; sizes are bytes.
    """

    max_drop: float = DEFAULT_MAX_DROP
    max_latency_ms: float | None = None
    max_bytes: int | None = None
    max_memory_bytes: int | None = None
    max_latency_ratio: float | None = None
