"""Looks at every sample once: does it fit the model, is it finite, does it differ from the others?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from edgewright.core.data.dataset import DataSet, Sample
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import Array, TensorSpec

FEW_SAMPLES = 32
"""Below this many distinct samples the ranges and the accuracy found are rough, and the user is told."""


@dataclass(frozen=True)
class Findings:
    """What one walk over a data set found."""

    digest: str
    fingerprints: tuple[bytes, ...]
    warnings: tuple[str, ...]


def check_samples(data: DataSet, specs: tuple[TensorSpec, ...]) -> Findings:
    """Walks over ``data``.

    Raises:
        BadInputError: a sample that does not fit or is not finite, fewer than two samples, or all the same.
    """
    if len(data) < 2:
        count = "no sample" if len(data) == 0 else "one sample"
        raise BadInputError(f"{data.name} holds {count}", f"Give at least two samples, better {FEW_SAMPLES} or more.")
    hasher = hashlib.sha256()
    prints = []
    spans: dict[str, tuple[Array, Array]] = {}
    for index, sample in enumerate(data.samples()):
        print_ = _fingerprint(sample, specs)
        hasher.update(print_)
        if sample.label is not None:
            _update(hasher, sample.label)
            _finite(data.name, "labels", index, sample.label)
        prints.append(print_)
        for spec in specs:
            array = sample.feeds[spec.name]
            if problem := spec.problem_with(array):
                raise BadInputError(f"{data.name}, sample {index}: {problem}", f"The model takes {_taken(specs)}.")
            _finite(data.name, f"input '{spec.name}'", index, array)
            if array.dtype.kind not in "SU" and array.size:
                low, high = array.min(), array.max()
                old = spans.get(spec.name, (low, high))
                spans[spec.name] = (min(old[0], low), max(old[1], high))
    constant = [name for name, (low, high) in spans.items() if low == high]
    if spans and len(constant) == len(specs):
        value = spans[constant[0]][0]
        raise BadInputError(
            f"{data.name}: every element of input '{constant[0]}' is {value} in all {len(data)} samples",
            "Give real samples: nothing can be calibrated or judged with constant ones.",
        )
    distinct = len(set(prints))
    if distinct == 1:
        raise BadInputError(f"{data.name}: all {len(data)} samples are the same", "Give samples that differ.")
    warnings = []
    if distinct < FEW_SAMPLES:
        same = "" if distinct == len(data) else f" ({len(data)} in all)"
        warnings.append(
            f"{data.name} has {distinct} distinct samples{same}: with fewer than {FEW_SAMPLES} results are rough"
        )
    return Findings(hasher.hexdigest(), tuple(prints), tuple(warnings))


def _fingerprint(sample: Sample, specs: tuple[TensorSpec, ...]) -> bytes:
    hasher = hashlib.sha256()
    for spec in specs:
        hasher.update(spec.name.encode("utf-8", "surrogatepass") + b"\0")
        _update(hasher, sample.feeds[spec.name])
    return hasher.digest()


def _update(hasher: hashlib._Hash, array: Array) -> None:
    """Adds dtype, shape and elements; the text of strings, so that the width of their cells does not count."""
    hasher.update(f"{array.dtype.kind if array.dtype.kind in 'SU' else array.dtype.str}{array.shape}\0".encode())
    if array.dtype.kind in "SU":
        hasher.update("\0".join(map(str, array.reshape(-1).tolist())).encode("utf-8", "surrogatepass"))
    else:
        hasher.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")


def _finite(name: str, what: str, index: int, array: Array) -> None:
    # ml_dtypes' bfloat16 is of kind V and has its own isfinite.
    if array.dtype.kind in "fc" and not np.isfinite(array).all():
        word = "NaN" if np.isnan(array).any() else "infinity"
        raise BadInputError(f"{name}, sample {index}: {what} holds {word}", "Remove or mend that sample.")


def _taken(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.name}: {spec.dtype} {spec.shape_text}" for spec in specs)
