"""Samples for a compile without data: made up, seeded, and never used to claim an accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgewright.core import jsontext
from edgewright.core.errors import UsageError
from edgewright.core.tensors import Array, Feeds, TensorSpec


@dataclass(frozen=True)
class SyntheticSamples:
    """Standard-normal floats, small non-negative integers and fair coins in the shapes of ``specs``.

    Raises:
        UsageError: when an input's shape or element type cannot be made up.
    """

    specs: tuple[TensorSpec, ...]
    count: int
    seed: int

    def __post_init__(self) -> None:
        for spec in self.specs:
            _shape(spec)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Feeds]:
        for index in range(self.count):
            rng = np.random.default_rng((self.seed, index))
            yield {spec.name: _array(spec, rng) for spec in self.specs}

    @property
    def digest(self) -> str:
        """Covers the specs, the count and the seed, which decide everything."""
        return jsontext.digest([[spec.to_json() for spec in self.specs], self.count, self.seed])


def _shape(spec: TensorSpec) -> tuple[int, ...]:
    if spec.shape is None:
        raise UsageError(f"input '{spec.name}' has no known shape", f"Give --data, or --shape {spec.name}=...")
    unknown = [dim for dim in spec.shape[1:] if not isinstance(dim, int)]
    if unknown:
        fixed = ",".join(str(dim) if isinstance(dim, int) else "1" for dim in spec.shape)
        raise UsageError(
            f"input '{spec.name}' has open dimensions ({spec.shape_text}) and there is no data to take them from",
            f"Give --data, or --shape {spec.name}={fixed}",
        )
    return tuple(dim if isinstance(dim, int) else 1 for dim in spec.shape)


def _array(spec: TensorSpec, rng: np.random.Generator) -> Array:
    shape = _shape(spec)
    if spec.dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if spec.dtype == "string":
        return np.full(shape, "edgewright")
    kind = np.dtype(spec.dtype)
    if kind.kind in "iu":
        return np.asarray(rng.integers(0, 2, shape)).astype(kind)
    if kind.kind == "f":
        return np.asarray(rng.standard_normal(shape)).astype(kind)
    raise UsageError(f"cannot make up samples of type {spec.dtype} for input '{spec.name}'", "Give --data.")
