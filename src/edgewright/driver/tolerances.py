"""How far answers may be apart and still count as the same."""

from __future__ import annotations

import math

ENGINE_TOLERANCE = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 5e-2, "int8": 2e-2, "fp8": 5e-2}
"""How far the same engine may be off its own golden answers on another machine of the target. Float kernels differ in
the order of their sums; an engine that works on codes can round a value on the edge of two steps either way."""


def round_up(value: float) -> float:
    """Two significant digits, never smaller: a tolerance people can read."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step) * step:.2g}")
