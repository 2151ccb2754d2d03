"""How many samples a second the static quantiser watches: every float activation of a small trained model.

The engine runs in a process of its own, as in a compile, and its start is part of the time.
"""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
from pytest_benchmark.fixture import BenchmarkFixture

from edgewright.compiler.quantization.calibration import calibrate
from edgewright.compiler.site import Absent, Site
from edgewright.core.budget import Budget
from edgewright.core.data import open_data
from edgewright.core.model import OnnxModel
from edgewright.driver.reference import ReferenceExecutor
from edgewright.targets.load import load_targets

ROUNDS = 5
THREADS = 1


def test_range_finding(
    benchmark: BenchmarkFixture, digits_model: OnnxModel, digits_calibration: str, tmp_path: Path
) -> None:
    samples = open_data(digits_calibration, digits_model.inputs)
    target = next(one for one in load_targets("native") if one.runtime == "onnxruntime")
    run = ReferenceExecutor(target, tmp_path, THREADS).run
    absent = Absent("a micro-benchmark has no need of it")
    graph = digits_model.ir.graph
    values = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    names = [value.name for value in values if value.name and value.dtype == ir.DataType.FLOAT]

    def arguments() -> tuple[tuple[object, ...], dict[str, object]]:
        # A site of its own each time: one that has seen the samples remembers the ranges.
        site = Site(target, digits_model, samples, run, absent, absent, Budget(), 0, tmp_path)
        return (digits_model, names, site, len(samples)), {}

    benchmark.group = "calibration"
    found = benchmark.pedantic(calibrate, setup=arguments, rounds=ROUNDS)
    assert found.keys() == set(names)
    benchmark.extra_info.update(samples=len(samples), tensors=len(names))
    if benchmark.enabled:
        benchmark.extra_info["samples_per_second"] = round(len(samples) / benchmark.stats.stats.median, 1)
