"""How far each layer of a compiled model is from its float twin, accumulated: both are run on the same samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.compiler.layers import Layer
from edgewright.compiler.numeric_gate import exposed
from edgewright.compiler.site import Run
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array, Feeds

_LAYERS_PER_RUN = 48
"""Tensors made visible at once; bounds memory."""


@dataclass(frozen=True)
class LayerError:
    """A layer's error; infinite where the two cannot be compared: other shapes, or other positions that are finite."""

    largest: float
    """``max|compiled - float| / max(1, max|float|)`` over all samples."""
    noise: float
    """``|compiled - float| / |float|``, norms over all elements of all samples: what most of the values lose."""


@dataclass
class ErrorSums:
    """What is kept of one layer while samples pass."""

    difference: float = 0.0
    value: float = 0.0
    squared_difference: float = 0.0
    squared_value: float = 0.0

    def add(self, compiled: Array, reference: Array) -> None:
        """Takes one sample's tensor and what it should have been."""
        have, want = compiled.astype(np.float64), reference.astype(np.float64)
        finite = np.isfinite(want)
        if have.shape != want.shape or not np.array_equal(finite, np.isfinite(have)):
            self.difference = self.squared_difference = math.inf
            return
        have, want = have[finite], want[finite]
        if not want.size:
            return
        apart = np.abs(have - want)
        self.difference = max(self.difference, float(apart.max()))
        self.value = max(self.value, float(np.abs(want).max()))
        self.squared_difference += float(np.sum(apart * apart))
        self.squared_value += float(np.sum(want * want))

    def error(self) -> LayerError:
        """Over all that was added."""
        if self.squared_difference == 0.0:
            return LayerError(0.0, 0.0)
        noise = math.sqrt(self.squared_difference / self.squared_value) if self.squared_value else math.inf
        return LayerError(self.difference / max(1.0, self.value), noise)


def layer_errors(
    model: OnnxModel, twin: OnnxModel, layers: Sequence[Layer], feeds: Sequence[Feeds], run: Run
) -> dict[str, LayerError]:
    """The error of each of ``layers`` that has a counterpart in ``twin``, by the layer's name.

    Args:
        model: the compiled model, whose layers they are.
        twin: the same in float.
        feeds: the samples; both models are run on each of them once per 48 layers.
        run: runs a model.

    Raises:
        EngineError: when one of the two cannot be run.
    """
    pairs = [(layer.name, layer.tensor, layer.twin) for layer in layers if layer.twin is not None]
    found: dict[str, LayerError] = {}
    for start in range(0, len(pairs), _LAYERS_PER_RUN):
        part = pairs[start : start + _LAYERS_PER_RUN]
        sums = [ErrorSums() for _ in part]
        tensors, twins = list(dict.fromkeys(one[1] for one in part)), list(dict.fromkeys(one[2] for one in part))
        answers = zip(run(exposed(model, tensors), feeds), run(exposed(twin, twins), feeds), strict=True)
        for ours, theirs in answers:
            for total, (_, tensor, counterpart) in zip(sums, part, strict=True):
                total.add(ours[tensor], theirs[counterpart])
        found.update({one[0]: total.error() for one, total in zip(part, sums, strict=True)})
    return found
