"""What a member of the zoo is: a model with data that makes its accuracy mean something, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx

Array = npt.NDArray[np.generic]
CALIBRATE, JUDGE = 48, 240
"""Samples of the calibration set and of the evaluation set."""


@dataclass(frozen=True)
class Case:
    """One model and its data; every array has its samples along the first axis."""

    model: onnx.ModelProto
    calibration: Mapping[str, Array]
    evaluation: Mapping[str, Array]
    """With ``labels`` where the metric needs them."""
    metric: str = "top1"
    max_drop: float = 0.03
    """240 samples of which 160 prove: a few that change sides are no loss of accuracy."""
    worst_float: float = 0.8
    """What the float model must reach on its labels, else nothing would be proven by keeping it."""
    codes: Mapping[str, int] = field(default_factory=dict)
    """Exit code by runtime where it is not 0: 69 where the engine has no such operator or nothing is quantisable."""
    says: Mapping[str, str] = field(default_factory=dict)
    """By runtime, what the message of that exit names."""


Build = Callable[[], Case]
_ZOO: dict[str, Build] = {}


def member(build: Build) -> Build:
    """Puts a model into the zoo under its function's name."""
    _ZOO[build.__name__.replace("_", "-")] = build
    return build


def zoo() -> Mapping[str, Build]:
    """All members by name."""
    from . import attention, control_flow, convolutional, edges, oddities, quantized, recurrent, scales, signals

    del attention, control_flow, convolutional, edges, oddities, quantized, recurrent, scales, signals
    return _ZOO
