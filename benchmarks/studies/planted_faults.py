"""Passes that break one layer on purpose: plug-ins for the study of `blame`, one behind each stage of the graph passes.

Which layer is broken is the pass's option; its name is appended to the file that PLANTED_FAULT names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import working_copy
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel

MULTIPLIES = ("Conv", "Gemm", "MatMul")
SHARE = 1.0
"""Standard deviation of what is added to the weights, as a share of their largest magnitude."""


@dataclass(frozen=True)
class Options:
    """``seed`` draws the layer and the noise."""

    seed: int = 0


class _Fault(Pass[OnnxModel, OnnxModel]):
    effect: ClassVar[Effect] = Effect.LOSSY
    order: ClassVar[int] = 99
    options_type: ClassVar[type] = Options

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """Adds noise to one layer's weights, or to the codes that stand for them."""
        del site
        assert isinstance(self.options, Options)
        rng = np.random.default_rng([self.options.seed, int(self.stage)])
        whole = working_copy(model)
        layers = [(node, stored) for node in whole.graph if (stored := _weights(node)) is not None]
        node, stored = layers[int(rng.integers(len(layers)))]
        assert stored.const_value is not None
        was = stored.const_value.numpy()
        moved = was.astype(np.float64)
        moved += rng.normal(0, np.abs(moved).max() * SHARE, was.shape)
        if was.dtype.kind in "iu":
            limits = np.iinfo(was.dtype)
            moved = np.clip(np.round(moved), limits.min, limits.max)
        stored.const_value = ir.tensor(moved.astype(was.dtype), name=stored.name)
        with Path(os.environ["PLANTED_FAULT"]).open("a", encoding="utf-8") as file:
            file.write(f"{node.name}\n")
        return Outcome(replace(model, ir=whole), 1)


def _weights(node: ir.Node) -> ir.Value | None:
    """The stored weights of a layer that multiplies by them; what several layers share is left alone."""
    if node.op_type not in MULTIPLIES or not node.name or node.inputs[1] is None:
        return None
    value = node.inputs[1]
    maker = value.producer()
    stored = value if maker is None else maker.inputs[0] if maker.op_type == "DequantizeLinear" else None
    if stored is None or stored.const_value is None or len(stored.uses()) > 1 or len(value.uses()) > 1:
        return None
    return stored


class FaultBehindClean(_Fault):
    """Behind what tidies the graph."""

    name: ClassVar[str] = "fault-behind-clean"
    stage: ClassVar[Stage] = Stage.CLEAN


class FaultBehindFold(_Fault):
    """Behind what folds constants and batch norms."""

    name: ClassVar[str] = "fault-behind-fold"
    stage: ClassVar[Stage] = Stage.FOLD


class FaultBehindFuse(_Fault):
    """Behind what fuses operators."""

    name: ClassVar[str] = "fault-behind-fuse"
    stage: ClassVar[Stage] = Stage.FUSE


class FaultBehindQuantize(_Fault):
    """Behind quantisation."""

    name: ClassVar[str] = "fault-behind-quantize"
    stage: ClassVar[Stage] = Stage.QUANTIZE


FAULTS = (FaultBehindClean, FaultBehindFold, FaultBehindFuse, FaultBehindQuantize)
