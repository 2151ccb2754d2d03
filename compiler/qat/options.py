"""How quantisation-aware training is done, as recipes write it; shared by the pass and its stage."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.compiler.recovery.options import TrainOptions

RANGES = ("learned", "average", "fixed")


@dataclass(frozen=True)
class QatOptions(TrainOptions):
    """Options of ``qat``."""

    scheme: str = ""
    """Name of one of the target's static schemes; empty for the first of them."""
    keep_float: tuple[str, ...] = ()
    """Nodes of the ONNX form, by name, to leave in float."""
    keep_kinds: tuple[str, ...] = ()
    """Operator kinds of the ONNX form to leave in float."""
    even: bool = True
    """Start from channels that are evened out between a layer and the next, where that changes no answer."""
    bias_correction: bool = True
    """Start from biases that take back what codes add to the mean of each channel, where answers are closer then."""
    ranges: str = "learned"
    """Where activations' ranges come from, after calibration gave the first: ``learned`` by their gradient, ``average``
    of what passes, or ``fixed``."""
    observers_until: float = 0.7
    """Share of the steps after which the activations' ranges stay as they are."""
    batchnorm_until: float = 0.0
    """Share of the steps after which BatchNorm uses its running statistics, as the compiled model does; 0 folds it into
    the layer before it from the start, which saves time in each step."""
    calibration: int = 256
    """At most so many calibration samples choose the first ranges."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ranges not in RANGES:
            raise ValueError(f"ranges: '{self.ranges}' is not one of {', '.join(RANGES)}")
        for name in ("observers_until", "batchnorm_until"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: {getattr(self, name):g} is not from 0 to 1")
        if self.calibration < 1:
            raise ValueError(f"calibration: {self.calibration} is not positive")
