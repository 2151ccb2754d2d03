"""The algebra of per-channel affine maps beside linear layers; ``fold-batchnorm`` has it in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgewright.compiler.graphs import float_attribute, int_attribute
from edgewright.core.tensors import Array

Vector: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """``scale * x + shift`` per channel; arrays of one element or of as many as there are channels."""

    scale: Vector
    shift: Vector
    source: ir.Value
    """``x``."""

    def spread(self, channels: int) -> tuple[Vector, Vector] | None:
        """Scale and shift with one element for each of ``channels``; None when there are not as many."""
        if any(part.size not in {1, channels} for part in (self.scale, self.shift)):
            return None
        return np.broadcast_to(self.scale, (channels,)), np.broadcast_to(self.shift, (channels,))


@dataclass(frozen=True)
class WeightLayout:
    """How a linear layer's weight is laid out, and what an affine map before or behind the layer does to it.

    Conv ``(out, in/groups, ...)``; ConvTranspose ``(in, out/groups, ...)``; Gemm and MatMul ``(in, out)``, or
    ``(out, in)`` for a Gemm with ``transB``.
    """

    kind: str
    out_channels: int
    in_channels: int
    groups: int = 1
    transposed: bool = False
    alpha: float = 1.0
    beta: float = 1.0

    @classmethod
    def of(cls, linear: ir.Node, weight: Array) -> WeightLayout | None:
        """The layout of this node's weight; None for a form that is not covered."""
        kind, shape = linear.op_type, weight.shape
        groups = int_attribute(linear, "group", 1)
        if kind in {"Conv", "ConvTranspose"}:
            if weight.ndim < 3 or groups < 1 or shape[0] % groups:
                return None
            if kind == "Conv":
                return cls(kind, shape[0], shape[1] * groups, groups)
            return cls(kind, shape[1] * groups, shape[0], groups)
        if weight.ndim != 2:
            return None
        if kind == "MatMul":
            return cls(kind, shape[1], shape[0])
        flipped = bool(int_attribute(linear, "transB", 0))
        alpha, beta = float_attribute(linear, "alpha", 1.0), float_attribute(linear, "beta", 1.0)
        out, into = (shape[0], shape[1]) if flipped else (shape[1], shape[0])
        return cls(kind, out, into, transposed=flipped, alpha=alpha, beta=beta)

    def scaled_out(self, weight: Array, scale: Vector) -> Vector:
        """The weight with each output channel multiplied by its scale, and ``alpha`` in it."""
        wide = weight.astype(np.float64)
        if self.kind == "Conv":
            return wide * scale.reshape(-1, *[1] * (wide.ndim - 1))
        if self.kind == "ConvTranspose":
            # (groups, in/groups, out/groups, ...): the scale of group g belongs to its own output channels.
            grouped = wide.reshape(self.groups, self.in_channels // self.groups, *wide.shape[1:])
            factor = scale.reshape(self.groups, 1, -1, *[1] * (wide.ndim - 2))
            return (grouped * factor).reshape(wide.shape)
        return self.alpha * wide * (scale[:, None] if self.transposed else scale[None, :])

    def scaled_in(self, weight: Array, scale: Vector) -> Vector:
        """The weight with each input channel multiplied by its scale, and ``alpha`` in it."""
        wide = weight.astype(np.float64)
        if self.kind == "Conv":
            grouped = wide.reshape(self.groups, self.out_channels // self.groups, *wide.shape[1:])
            factor = scale.reshape(self.groups, 1, -1, *[1] * (wide.ndim - 2))
            return (grouped * factor).reshape(wide.shape)
        return self.alpha * wide * (scale[None, :] if self.transposed else scale[:, None])

    def shifted(self, weight: Array, shift: Vector) -> Vector:
        """What the shift of the input adds to each output channel."""
        summed = self.scaled_in(weight, shift)
        if self.kind == "Conv":
            return np.asarray(summed.reshape(self.out_channels, -1).sum(axis=1))
        return np.asarray(summed.sum(axis=1 if self.transposed else 0))
