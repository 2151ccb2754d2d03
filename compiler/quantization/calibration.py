"""What values activations take on real samples, observed in one streaming pass with bounded memory.

The observation happens inside the graph: a copy of the model gets, for each tensor, its minimum, maximum, sum and a
strided subset as extra outputs. What crosses over from the engine is a few kilobytes per tensor and sample, however
large the activation is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgewright.compiler.quantization.grid import LARGEST_MAGNITUDE
from edgewright.compiler.site import Absent, Samples, Site
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Outputs

BINS = 4096
"""Half of them on each side of zero."""
_SMALLEST_EXPONENT = -126.0
"""Of float32's normal numbers."""
SUBSET_TOTAL = 1 << 21
"""About how many elements of one tensor enter its histogram, over all samples together."""
SUBSET_PER_SAMPLE = (1 << 10, 1 << 15)
"""Least and most of them taken from one sample."""


@dataclass(frozen=True, eq=False)
class Observation:
    """The values one tensor took: exact ends, and a histogram of a subset."""

    minimum: float
    maximum: float
    width: float
    """Of one bin; bin ``i`` covers ``[(i - BINS/2) * width, (i + 1 - BINS/2) * width)``."""
    counts: npt.NDArray[np.int64]
    zeros: int
    """Elements of the subset that were exactly zero; ``counts`` leaves them out."""

    @property
    def centres(self) -> npt.NDArray[np.float64]:
        """The middle of each bin."""
        return (np.arange(BINS, dtype=np.float64) - BINS // 2 + 0.5) * np.float64(self.width)


class Observer:
    """Gathers an :class:`Observation` sample by sample."""

    def __init__(self) -> None:
        self._minimum, self._maximum, self._width, self._zeros = np.inf, -np.inf, 0.0, 0
        self._counts = np.zeros(BINS, np.int64)

    def add(self, minimum: float, maximum: float, subset: npt.NDArray[np.float32]) -> None:
        """Takes one sample in: its exact ends and some of its elements. All finite."""
        self._minimum, self._maximum = min(self._minimum, minimum), max(self._maximum, maximum)
        self._grow(max(-self._minimum, self._maximum))
        filled = subset[subset != 0.0]
        self._zeros += subset.size - filled.size
        if filled.size and self._width > 0.0:
            bins = np.floor(filled / np.float32(self._width)).astype(np.int32) + BINS // 2
            self._counts += np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS)

    def finish(self) -> Observation:
        """What was seen; the ends are crossed (``minimum > maximum``) where no sample held an element."""
        return Observation(self._minimum, self._maximum, self._width, self._counts, self._zeros)

    def _grow(self, reach: float) -> None:
        if reach <= 0.0:
            return
        if self._width == 0.0:
            # A power of two: doubling stays exact and the same data give the same bins in any order.
            # Never below float32's normal numbers: what is divided by it would be infinite.
            self._width = 2.0 ** max(np.ceil(np.log2(reach / (BINS // 2))), _SMALLEST_EXPONENT)
        while reach > self._width * (BINS // 2):
            pairs = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts = np.zeros(BINS, np.int64)
            self._counts[BINS // 4 : BINS // 4 + BINS // 2] = pairs
            self._width *= 2.0


def merged(observations: Sequence[Observation]) -> Observation:
    """The observation of all the tensors together, for those that must share one grid."""
    width = max(item.width for item in observations)
    total = np.zeros(BINS, np.int64)
    for item in observations:
        counts, own = item.counts, item.width
        while 0.0 < own < width:
            pairs = counts.reshape(-1, 2).sum(axis=1)
            counts = np.zeros(BINS, np.int64)
            counts[BINS // 4 : BINS // 4 + BINS // 2] = pairs
            own *= 2.0
        total = total + counts
    low, high = min(item.minimum for item in observations), max(item.maximum for item in observations)
    return Observation(low, high, width, total, sum(item.zeros for item in observations))


def calibrate(model: OnnxModel, tensors: Iterable[str], site: Site, limit: int) -> Mapping[str, Observation]:
    """Observes ``tensors`` (float32, of the main graph) on the first ``limit`` calibration samples.

    Observations are kept in ``site.memo``: asking again for the same model, samples and limit runs only what is new.

    Raises:
        BadInputError: an activation is NaN or infinite; the message names it and the sample.
        UsageError: there are no samples, or nothing to run the model with.
    """
    count = sample_count(site, limit)
    assert not isinstance(site.samples, Absent)
    assert not isinstance(site.run, Absent)
    wanted = sorted(set(tensors))
    keys = dict(zip(wanted, _keys(model, site.samples, count, wanted), strict=True))
    missing = [name for name in wanted if keys[name] not in site.memo]
    if missing:
        site.log(f"calibrating {len(missing)} tensors on {count} samples")
        observers = {name: Observer() for name in missing}
        probe = observed_copy(model, missing, _subset_size(count))
        for index, outputs in enumerate(site.run(probe, islice(site.samples, count))):
            site.progress("calibrating", (index + 1) / count)
            for position, name in enumerate(missing):
                _take(observers[name], name, index, outputs, position)
        site.memo.update({keys[name]: observer.finish() for name, observer in observers.items()})
    found = {name: site.memo[key] for name, key in keys.items()}
    return {name: item for name, item in found.items() if isinstance(item, Observation)}


def sample_count(site: Site, limit: int) -> int:
    """How many calibration samples there are to use, at most ``limit``.

    Raises:
        UsageError: none, or nothing to run the model with.
    """
    if isinstance(site.samples, Absent):
        raise UsageError(f"int8 needs calibration samples: {site.samples.reason}", "Give --data, or compile in float.")
    if isinstance(site.run, Absent):
        raise UsageError(
            f"int8 needs a calibration run: {site.run.reason}", "Install onnxruntime, or compile in float."
        )
    if len(site.samples) == 0:
        raise UsageError("the calibration set is empty", "Give at least 32 samples.")
    return min(limit, len(site.samples))


def observed_copy(model: OnnxModel, tensors: Sequence[str], subset: int) -> OnnxModel:
    """A copy of ``model`` whose only outputs are ``observed_{i}_{min,max,sum,subset}`` of each tensor ``i``."""
    copy = model.copy()
    graph = copy.ir.graph
    values = {value.name: value for value in _values(graph)}
    graph.outputs.clear()
    constants = {
        name: ir.Value(
            name=f"observed_{name}", const_value=ir.tensor(np.asarray(data, np.int64), name=f"observed_{name}")
        )
        for name, data in {"flat": [-1], "start": [0], "end": [np.iinfo(np.int64).max], "axis": [0]}.items()
    }
    for constant in constants.values():
        graph.register_initializer(constant)
    for index, name in enumerate(tensors):
        graph.extend(_observation_nodes(graph, values[name], f"observed_{index}", constants, subset))
    return replace(copy)


def _observation_nodes(
    graph: ir.Graph, value: ir.Value, prefix: str, constants: Mapping[str, ir.Value], subset: int
) -> list[ir.Node]:
    nodes: list[ir.Node] = []
    for op_type, suffix in (("ReduceMin", "min"), ("ReduceMax", "max"), ("ReduceSum", "sum")):
        node = ir.node(op_type, [value], {"keepdims": 0}, name=f"{prefix}_{suffix}")
        nodes.append(node)
    flat = ir.node("Reshape", [value, constants["flat"]], name=f"{prefix}_flat")
    stride = _stride(value, subset)
    step = ir.Value(name=f"{prefix}_step", const_value=ir.tensor(np.asarray([1], np.int64), name=f"{prefix}_step"))
    if stride is not None:
        step.const_value = ir.tensor(np.asarray([stride], np.int64), name=step.name)
        graph.register_initializer(step)
        nodes.append(flat)
    else:
        nodes += [flat, *_dynamic_stride(graph, flat.outputs[0], prefix, subset)]
        step = nodes[-1].outputs[0]
    picked = [flat.outputs[0], constants["start"], constants["end"], constants["axis"], step]
    nodes.append(ir.node("Slice", picked, name=f"{prefix}_subset"))
    for node in [*nodes[:3], nodes[-1]]:
        output = node.outputs[0]
        output.name, output.dtype = node.name, ir.DataType.FLOAT
        graph.outputs.append(output)
    return nodes


def _dynamic_stride(graph: ir.Graph, flat: ir.Value, prefix: str, subset: int) -> list[ir.Node]:
    """Nodes that compute ``2 * (size // (2 * subset)) + 1`` as a tensor of one element."""
    numbers = []
    for name, number in (("double", 2 * subset), ("two", 2), ("one", 1)):
        data = ir.tensor(np.asarray([number], np.int64), name=f"{prefix}_{name}")
        numbers.append(ir.Value(name=data.name, const_value=data))
        graph.register_initializer(numbers[-1])
    double, two, one = numbers
    shape = ir.node("Shape", [flat])
    quotient = ir.node("Div", [shape.outputs[0], double])
    even = ir.node("Mul", [quotient.outputs[0], two])
    odd = ir.node("Add", [even.outputs[0], one])
    return [shape, quotient, even, odd]


def _stride(value: ir.Value, subset: int) -> int | None:
    """A step through the flattened tensor that visits every row and column: it shares no factor with the sizes."""
    if value.shape is None or not value.shape.is_static():
        return None
    sizes = [int(dim) for dim in value.shape.numpy()]
    total = int(np.prod(sizes, dtype=np.int64))
    stride = max(1, -(-total // subset))
    while stride > 1 and any(size > 1 and np.gcd(stride, size) > 1 for size in sizes):
        stride += 1
    return stride


def _take(observer: Observer, name: str, index: int, outputs: Outputs, position: int) -> None:
    subset = np.asarray(outputs[f"observed_{position}_subset"], np.float32)
    if subset.size == 0:  # a cache that nothing has been put into yet: it has no ends
        return
    ends = {key: float(outputs[f"observed_{position}_{key}"]) for key in ("min", "max", "sum")}
    reach = max(-ends["min"], ends["max"])
    if not np.isfinite(ends["min"] + ends["max"]) or (not np.isfinite(ends["sum"]) and reach < LARGEST_MAGNITUDE):
        raise BadInputError(
            f"activation '{name}' is not finite on calibration sample {index}",
            "Check that sample, or leave the layer in float (keep_float).",
        )
    observer.add(ends["min"], ends["max"], subset)


def _values(graph: ir.Graph) -> Iterable[ir.Value]:
    yield from graph.inputs
    for node in graph:
        yield from node.outputs


def _subset_size(count: int) -> int:
    least, most = SUBSET_PER_SAMPLE
    return int(np.clip(SUBSET_TOTAL // count, least, most))


def _keys(model: OnnxModel, samples: Samples, count: int, tensors: Sequence[str]) -> list[str]:
    base = f"calibration:{model.digest}:{samples.digest}:{count}"
    return [hashlib.sha256(f"{base}:{name}".encode("utf-8", "surrogatepass")).hexdigest() for name in tensors]
