"""Samples as arrays on disk, mapped and not read: what training shuffles through in any order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from edgewright.compiler.site import TrainingSamples
from edgewright.core.errors import UsageError
from edgewright.core.tensors import Array, Feeds, TensorSpec

_INDEX = "arrays.json"


@dataclass(frozen=True, eq=False)
class Arrays:
    """Samples of one shape. ``inputs[name]`` has shape (samples, *sample), the batch axis of 1 taken away.

    A model of a fixed batch size B has samples of B rows: then the shape is (samples, B, ...), and ``rows`` is B.
    """

    inputs: dict[str, Array]
    labels: Array | None
    """Shape (samples, ...), or None without labels."""
    rows: int | None
    """None where samples are single rows that can be batched freely."""

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def batch(self, indices: Sequence[int]) -> Feeds:
        """Feeds of the samples at ``indices``, joined along the batch axis."""
        picked = {name: np.asarray(array[np.asarray(indices)]) for name, array in self.inputs.items()}
        return {name: array.reshape(-1, *array.shape[2:]) for name, array in picked.items()} if self.rows else picked

    def labels_of(self, indices: Sequence[int]) -> Array | None:
        """Labels of the samples at ``indices``, stacked; None without labels."""
        return None if self.labels is None else np.asarray(self.labels[np.asarray(indices)])


def write_arrays(
    samples: TrainingSamples, specs: tuple[TensorSpec, ...], folder: Path, exclude: frozenset[bytes] = frozenset()
) -> int:
    """Writes ``samples`` into ``folder``, one file per input, and gives how many were left out.

    Args:
        exclude: fingerprints of samples that must not be among them.

    Raises:
        UsageError: the samples have several shapes, or none is left.
    """
    prints = getattr(samples, "fingerprints", None) if exclude else None
    chosen = [index for index in range(len(samples)) if prints is None or prints[index] not in exclude]
    if not chosen:
        raise UsageError("every training sample is one that accuracy is judged on", "Give other --train-data.")
    folder.mkdir(parents=True, exist_ok=True)
    first = samples.read(chosen[0])
    rows = {first.feeds[spec.name].shape[0] for spec in specs if first.feeds[spec.name].ndim}
    single = rows == {1}
    files = {
        spec.name: _created(folder / f"{place}.npy", len(chosen), first.feeds[spec.name], single)
        for place, spec in enumerate(specs)
    }
    labels = None
    if first.label is not None:
        labels = _created(folder / "labels.npy", len(chosen), first.label, single=False)
    for place, index in enumerate(chosen):
        sample = samples.read(index)
        for spec in specs:
            _put(files[spec.name], place, sample.feeds[spec.name], spec.name)
        if labels is not None and sample.label is not None:
            _put(labels, place, np.asarray(sample.label), "labels")
    for array in (*files.values(), *([labels] if labels is not None else [])):
        array.flush()
    index_text = {"names": [spec.name for spec in specs], "labelled": labels is not None, "single": single}
    (folder / _INDEX).write_text(json.dumps(index_text))
    return len(samples) - len(chosen)


def read_arrays(folder: Path) -> Arrays:
    """What :func:`write_arrays` wrote, mapped."""
    index = json.loads((folder / _INDEX).read_text())
    inputs = {name: _mapped(folder / f"{place}.npy") for place, name in enumerate(index["names"])}
    rows = None if index["single"] else int(next(iter(inputs.values())).shape[1])
    return Arrays(inputs, _mapped(folder / "labels.npy") if index["labelled"] else None, rows)


def _created(path: Path, count: int, first: Array, single: bool) -> np.memmap[tuple[int, ...], np.dtype[np.generic]]:
    shape = first.shape[1:] if single and first.ndim else first.shape
    return np.lib.format.open_memmap(path, "w+", first.dtype, (count, *shape))


def _put(file: np.memmap[tuple[int, ...], np.dtype[np.generic]], place: int, value: Array, name: str) -> None:
    if value.size != file[place].size or (value.ndim and value.shape[-1:] != file[place].shape[-1:]):
        raise UsageError(
            f"training takes samples of one shape: '{name:.100}' is {value.shape} in sample {place},"
            f" {file.shape[1:]} in the first",
            "Pad or resize them to one shape.",
        )
    file[place] = value.reshape(file.shape[1:])


def _mapped(path: Path) -> Array:
    return cast("Array", np.load(path, mmap_mode="r", allow_pickle=False))
