"""What the quantiser knows of each operator: which inputs are activations, weights and bias, and how it behaves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """Why an operator would be quantised."""

    ANCHOR = "anchor"
    """It multiplies by weights: quantised for its own sake."""
    FOLLOWER = "follower"
    """Quantised only where it stands between quantised operators, so that the codes need not become reals."""
    MOVER = "mover"
    """A follower that passes values on unchanged: its inputs and output share one grid."""


@dataclass(frozen=True)
class Operator:
    """One operator kind."""

    role: Role
    activations: tuple[int, ...] = (0,)
    """Indices of the inputs that carry activations."""
    weight: int | None = None
    bias: int | None = None
    every_input: bool = False
    """All inputs are activations, however many."""


OPERATORS: dict[str, Operator] = {
    "Conv": Operator(Role.ANCHOR, weight=1, bias=2),
    "ConvTranspose": Operator(Role.ANCHOR, weight=1, bias=2),
    "Gemm": Operator(Role.ANCHOR, weight=1, bias=2),
    "MatMul": Operator(Role.ANCHOR, weight=1),
    "Add": Operator(Role.FOLLOWER, every_input=True),
    "Mul": Operator(Role.FOLLOWER, every_input=True),
    "AveragePool": Operator(Role.FOLLOWER),
    "GlobalAveragePool": Operator(Role.FOLLOWER),
    "LeakyRelu": Operator(Role.FOLLOWER),
    "Sigmoid": Operator(Role.FOLLOWER),
    "Concat": Operator(Role.MOVER, every_input=True),
    "DepthToSpace": Operator(Role.MOVER),
    "Flatten": Operator(Role.MOVER),
    "MaxPool": Operator(Role.MOVER),
    "Reshape": Operator(Role.MOVER),
    "Resize": Operator(Role.MOVER),
    "Slice": Operator(Role.MOVER),
    "SpaceToDepth": Operator(Role.MOVER),
    "Squeeze": Operator(Role.MOVER),
    "Transpose": Operator(Role.MOVER),
    "Unsqueeze": Operator(Role.MOVER),
}
"""Operators a scheme may name; others are always left in float."""

TABLE_READERS = frozenset({"Gather"})
"""Operators that a scheme may name to have their tables stored as codes; see ``tables.py``."""

CLAMPS = frozenset({"Relu", "Clip"})
"""Activations that a grid's own ends can stand for when they directly follow a quantised operator."""
