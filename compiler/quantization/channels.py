"""Per-channel statistics of activations: the largest magnitude and the mean, gathered like ranges are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgewright.compiler.graphs import opset_of
from edgewright.compiler.quantization.calibration import sample_count
from edgewright.compiler.site import Absent, Site
from edgewright.core.model import OnnxModel

SAMPLES = 32
"""Enough for means and peaks: every sample has many positions per channel."""
_AXES_ARE_INPUT = 18
"""The opset from which ReduceMax and ReduceMean take their axes as an input."""


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """Of one tensor along one axis; arrays of shape (channels,)."""

    peak: npt.NDArray[np.float64]
    """Largest absolute value."""
    mean: npt.NDArray[np.float64]


def channel_statistics(
    model: OnnxModel, axes: Mapping[str, int], site: Site, limit: int
) -> Mapping[str, ChannelStatistics]:
    """Statistics of tensors along their channel axis, on up to ``SAMPLES`` of the first ``limit`` samples; memoised.

    Args:
        model: prepared; the tensors belong to its main graph and have a known rank.
        axes: tensor name -> its channel axis, 0 or more.
        site: gives samples and the run; see :func:`calibrate` for what it raises.
        limit: the most samples to use.
    """
    count = sample_count(site, min(limit, SAMPLES))
    assert not isinstance(site.run, Absent)
    assert not isinstance(site.samples, Absent)
    base = f"channels:{model.digest}:{site.samples.digest}:{count}"
    keys = {
        name: hashlib.sha256(f"{base}:{axis}:{name}".encode("utf-8", "surrogatepass")).hexdigest()
        for name, axis in axes.items()
    }
    missing = sorted(name for name in axes if keys[name] not in site.memo)
    if missing:
        peaks: list[npt.NDArray[np.float64] | None] = [None] * len(missing)
        sums: list[npt.NDArray[np.float64]] = [np.zeros(1)] * len(missing)
        probe = _observed_copy(model, [(name, axes[name]) for name in missing])
        for outputs in site.run(probe, islice(site.samples, count)):
            for index in range(len(missing)):
                highest, lowest = outputs[f"channel_{index}_max"], outputs[f"channel_{index}_min"]
                peak = np.maximum(np.abs(highest), np.abs(lowest)).astype(np.float64)
                last = peaks[index]
                peaks[index] = peak if last is None else np.maximum(peak, last)
                sums[index] = sums[index] + outputs[f"channel_{index}_mean"].astype(np.float64)
        for name, top, total in zip(missing, peaks, sums, strict=True):
            assert top is not None
            site.memo[keys[name]] = ChannelStatistics(top, total / count)
    found = {name: site.memo[key] for name, key in keys.items()}
    return {name: item for name, item in found.items() if isinstance(item, ChannelStatistics)}


def _observed_copy(model: OnnxModel, tensors: Sequence[tuple[str, int]]) -> OnnxModel:
    copy = model.copy()
    graph = copy.ir.graph
    values = {value.name: value for node in graph for value in node.outputs}
    values.update({value.name: value for value in graph.inputs})
    graph.outputs.clear()
    axes_are_input = opset_of(copy.ir) >= _AXES_ARE_INPUT
    for index, (name, axis) in enumerate(tensors):
        value = values[name]
        assert value.shape is not None
        others = [other for other in range(len(value.shape)) if other != axis]
        for kind, suffix in (("ReduceMax", "max"), ("ReduceMin", "min"), ("ReduceMean", "mean")):
            inputs = [value]
            attributes: dict[str, int | Sequence[int]] = {"keepdims": 0, "axes": others}
            if axes_are_input:
                stored = ir.Value(name=f"channel_{index}_{suffix}_axes")
                stored.const_value = ir.tensor(np.asarray(others, np.int64), name=stored.name)
                graph.register_initializer(stored)
                inputs, attributes = [value, stored], {"keepdims": 0}
            node = ir.node(kind, inputs, attributes, name=f"channel_{index}_{suffix}")
            node.outputs[0].name, node.outputs[0].dtype = node.name, ir.DataType.FLOAT
            graph.append(node)
            graph.outputs.append(node.outputs[0])
    return replace(copy)
