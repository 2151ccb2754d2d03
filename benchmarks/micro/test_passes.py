"""How long each graph pass takes on 5,000 nodes: ``pytest benchmarks/micro``. A new pass is picked up by name.

Passes that need calibration data are left out: their time is the engine's, not theirs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from edgewright.compiler.pass_base import Stage, registry
from edgewright.compiler.site import Absent, Site
from edgewright.core.budget import Budget
from edgewright.core.model import OnnxModel
from edgewright.targets.load import load_targets

NODES = 5000
_BLOCK = 10
_CHANNELS = 4
_MODULE_STAGES = (Stage.EXPORT, Stage.QUANTIZE)
ROUNDS = 5


def graph_passes() -> list[str]:
    """The passes that take an ONNX graph and nothing else."""
    return [name for name in registry().names() if registry().find(name).stage not in _MODULE_STAGES]


@pytest.fixture(scope="module")
def model() -> OnnxModel:
    """A chain of 500 residual blocks of ten nodes: Conv, BatchNormalization, Relu, Conv, Add, and things to tidy up."""
    rng = np.random.default_rng(0)
    entry = ir.val("x", ir.DataType.FLOAT, [1, _CHANNELS, 8, 8])
    graph = ir.Graph([entry], [], nodes=[], opset_imports={"": 20}, name="blocks")
    value: ir.Value = entry
    for block in range(NODES // _BLOCK):
        value = _block(graph, value, f"b{block}", rng)
    graph.outputs.append(value)
    assert len(graph) == NODES
    return OnnxModel(ir.Model(graph, ir_version=10), "blocks")


@pytest.mark.parametrize("name", graph_passes())
def test_pass_on_5000_nodes(benchmark: BenchmarkFixture, model: OnnxModel, name: str, tmp_path: Path) -> None:
    target = replace(next(one for one in load_targets("onnx")), fused_ops=frozenset())
    absent = Absent("a micro-benchmark has no data")
    site = Site(target, model, absent, absent, absent, absent, Budget(), 0, tmp_path)
    one = registry().find(name)()
    benchmark.group = "passes"
    outcome = benchmark.pedantic(
        lambda copy: one(copy, site), setup=lambda: ((model.copy(),), {}), rounds=ROUNDS, iterations=1
    )
    benchmark.extra_info["changed"] = outcome.changed


def _block(graph: ir.Graph, value: ir.Value, name: str, rng: np.random.Generator) -> ir.Value:
    entry = value
    for step in ("one", "two"):
        weight = rng.normal(size=(_CHANNELS, _CHANNELS, 1, 1)).astype(np.float32)
        value = _node(graph, "Conv", [value, _constant(graph, f"{name}.{step}.w", weight)], f"{name}.{step}.conv")
        parts = [
            _constant(graph, f"{name}.{step}.{part}", rng.uniform(0.5, 1.5, _CHANNELS).astype(np.float32))
            for part in ("scale", "b", "mean", "var")
        ]
        value = _node(graph, "BatchNormalization", [value, *parts], f"{name}.{step}.bn")
    value = _node(graph, "Add", [value, entry], f"{name}.add")
    value = _node(graph, "Relu", [value], f"{name}.relu")
    value = _node(graph, "Identity", [value], f"{name}.identity")
    sigmoid = _node(graph, "Sigmoid", [value], f"{name}.sigmoid")
    value = _node(graph, "Mul", [value, sigmoid], f"{name}.swish")
    return _node(graph, "Identity", [value], f"{name}.out")


def _node(graph: ir.Graph, kind: str, inputs: list[ir.Value], name: str) -> ir.Value:
    node = ir.Node("", kind, inputs, name=name)
    node.outputs[0].name = f"{name}.y"
    graph.append(node)
    return node.outputs[0]


def _constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    value = ir.val(name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(value)
    return value
