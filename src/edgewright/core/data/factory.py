"""Data from a user's own function: ``package.module:factory`` or ``path/file.py:factory``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from edgewright.core.data.checking import check_samples
from edgewright.core.data.cutting import Cut, cut_for
from edgewright.core.data.dataset import DataSet, Sample
from edgewright.core.data.spool import Spool
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.tensors import Array, Feeds, TensorSpec
from edgewright.core.user_code import blaming_user, load_function

_FORM = "It must return an iterable of (inputs, labels): inputs by name, one array, or a tuple in the model's order."


def open_factory(text: str, specs: tuple[TensorSpec, ...]) -> FactoryDataSet:
    """The samples of the iterable that a function returns; it is called once and walked once.

    Raises:
        UsageError: the function is missing, raises, or returns something else.
        BadInputError: samples that do not fit the model.
    """
    function = load_function(text, "data")
    source, _, attribute = text.rpartition(":")
    return FactoryDataSet(f"{Path(source).name}:{attribute}", function, specs)


class FactoryDataSet(DataSet):
    """What a factory gave, put aside in a temporary file: any sample can be read again, none stays in memory."""

    def __init__(self, name: str, function: object, specs: tuple[TensorSpec, ...]) -> None:
        self.name = name
        self._specs = specs
        self._spool = Spool(name)
        labels = self._fill(function)
        if len(labels) > 1:
            raise BadInputError(f"{name}: some samples have labels and some have None", "Label all samples, or none.")
        self.labelled = True in labels
        findings = check_samples(self, specs)
        self.warnings, self._digest, self._fingerprints = findings.warnings, findings.digest, findings.fingerprints

    def __len__(self) -> int:
        return len(self._spool)

    def read(self, index: int) -> Sample:
        """The sample at ``index``."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        *arrays, label = self._spool.row(index)
        feeds = {spec.name: array for spec, array in zip(self._specs, arrays, strict=True) if array is not None}
        return Sample(feeds, label)

    @property
    def digest(self) -> str:
        """SHA-256 in hex over every sample's feeds and label."""
        return self._digest

    @property
    def fingerprints(self) -> Sequence[bytes] | None:
        """A hash of each sample's feeds."""
        return self._fingerprints

    def _fill(self, function: object) -> set[bool]:
        """Walks the user's iterable into the spool; returns whether labels were seen, and their absence."""
        assert callable(function)
        with blaming_user(f"calling {self.name}"):
            iterable = function()
        if not isinstance(iterable, Iterable) or isinstance(iterable, str | bytes | Mapping):
            raise UsageError(f"{self.name} returned a {type(iterable).__name__}", _FORM)
        labels: set[bool] = set()
        with blaming_user(f"iterating over {self.name}"):
            iterator = iter(iterable)
        while True:
            with blaming_user(f"reading item {len(self._spool)} of {self.name}"):
                item = next(iterator, _END)
            if item is _END:
                return labels
            for sample in self._samples(item):
                labels.add(sample.label is not None)
                self._spool.append([*(sample.feeds[spec.name] for spec in self._specs), sample.label])

    def _samples(self, item: object) -> Iterable[Sample]:
        where = f"{self.name}, item {len(self._spool)}"
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise UsageError(f"{where} is a {_described(item)}, not (inputs, labels)", _FORM)
        inputs, given = item
        feeds = _feeds(inputs, self._specs, where)
        return cut_item(feeds, None if given is None else as_array(given, f"{where}: labels"), self._specs, where)


_END = object()


@runtime_checkable
class _Tensor(Protocol):
    """What a torch tensor can do, known without importing torch."""

    def detach(self) -> _Tensor: ...
    def cpu(self) -> _Tensor: ...
    def numpy(self) -> Array: ...


def as_array(value: object, where: str) -> Array:
    """``value`` as a numpy array; tensors are detached and brought to the CPU.

    Raises:
        UsageError: when it is neither numbers nor text.
    """
    with blaming_user(f"{where}: making an array of a {type(value).__name__}"):
        array = value.detach().cpu().numpy() if isinstance(value, _Tensor) else np.asarray(value)
    if array.dtype.hasobject:
        raise UsageError(f"{where} is a {_described(value)}, neither numbers nor text", _FORM)
    return array


def cut_item(feeds: Feeds, label: Array | None, specs: tuple[TensorSpec, ...], where: str) -> list[Sample]:
    """The samples in one item: it may be one feed, one sample without its batch axis, or a loader's batch of samples.

    A batch is taken apart by the rule of ``.npz`` files when its labels count its rows or it has none; otherwise its
    label belongs to the whole of it.

    Raises:
        BadInputError: arrays that fit the model in neither way.
    """
    lifted = {spec.name: _lifted(spec, feeds[spec.name]) for spec in specs}
    if any(array is not feeds[name] for name, array in lifted.items()):
        return [Sample(lifted, label)]
    cuts: dict[str, Cut] = {}
    for spec in specs:
        array = feeds[spec.name]
        cut = None if spec.shape is None or array.ndim != len(spec.shape) else cut_for(spec, array.shape)
        if cut is not None and cut.kind == "rows":
            cuts[spec.name] = cut
    counts = {cut.count for cut in cuts.values()}
    rows = {feeds[name].shape[0] for name in cuts}
    whole = label is not None and not (label.ndim > 0 and {label.shape[0]} == rows)
    if counts <= {1} or len(counts) > 1 or whole:
        return [Sample(dict(feeds), label)]
    (count,) = counts
    if any(cut.left_over for cut in cuts.values()) or not count:
        names = ", ".join(f"'{name}' {feeds[name].shape}" for name in cuts)
        raise BadInputError(f"{where}: {names} is no whole number of the model's batches", "Drop the last batch.")
    size = next(iter(cuts.values())).rows
    label_cut = Cut("feeds", count) if size == 1 else Cut("rows", count, size)
    return [
        Sample(
            {name: cuts[name].feed(array, index) if name in cuts else array for name, array in feeds.items()},
            None if label is None else label_cut.feed(label, index),
        )
        for index in range(count)
    ]


def _lifted(spec: TensorSpec, array: Array) -> Array:
    """``array`` with the batch axis it lacks, where the model's batch is 1 or dynamic."""
    if not spec.shape or array.ndim != len(spec.shape) - 1 or array.ndim == 0:
        return array
    batch = spec.shape[0]
    return array[None] if batch == 1 or not isinstance(batch, int) else array


def _feeds(inputs: object, specs: tuple[TensorSpec, ...], where: str) -> dict[str, Array]:
    names = [spec.name for spec in specs]
    if isinstance(inputs, Mapping):
        given: dict[str, object] = {str(key): value for key, value in inputs.items()}
    elif isinstance(inputs, tuple | list) and not (len(specs) == 1 and len(inputs) != 1):
        if len(inputs) != len(specs):
            raise BadInputError(f"{where} has {len(inputs)} inputs, the model takes {len(specs)}", _takes(specs))
        given = dict(zip(names, inputs, strict=True))
    elif len(specs) == 1:
        given = {names[0]: inputs}
    else:
        raise BadInputError(f"{where} has one input, the model takes {len(specs)}", _takes(specs))
    wrong = sorted(set(given) ^ set(names))
    if wrong:
        raise BadInputError(f"{where}: inputs {sorted(given)} differ from the model's in {wrong}", _takes(specs))
    return {name: as_array(given[name], f"{where}: input '{name}'") for name in names}


def _takes(specs: tuple[TensorSpec, ...]) -> str:
    return f"The model takes {', '.join(f'{spec.name}: {spec.dtype} {spec.shape_text}' for spec in specs)}."


def _described(value: object) -> str:
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, tuple | list) else type(value).__name__
