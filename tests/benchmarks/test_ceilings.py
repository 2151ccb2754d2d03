"""The machine's ceilings: the small models are valid, the roofline's arithmetic, and a measurement in small."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from edgewright.benchmarks import ceilings
from edgewright.benchmarks._tiny_onnx import TinyModel
from edgewright.benchmarks.ceilings import Bandwidth, Ceilings, measure_ceilings

OPENVINO = pytest.param(
    "openvino",
    {"device": "CPU", "INFERENCE_PRECISION_HINT": "bf16", "ENABLE_CPU_PINNING": "NO"},
    marks=pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed"),
)
ONNXRUNTIME = pytest.param("onnxruntime", {"provider": "CPUExecutionProvider", "spinning": "1"})


@pytest.mark.parametrize(
    "build", [ceilings.real_products, ceilings.half_products, ceilings.coded_products, ceilings.passes]
)
def test_what_is_written_without_onnx_is_valid(build: Callable[[], TinyModel]) -> None:
    proto = onnx.load_from_string(build().to_bytes())
    onnx.checker.check_model(proto, full_check=True)
    assert {node.op_type for node in proto.graph.node} & {"MatMul", "Abs"}


def test_the_products_are_those_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values too: what is multiplied are the numbers that were meant, in the right order."""
    monkeypatch.setattr(ceilings, "SIDE", 8)
    proto = onnx.load_from_string(ceilings.real_products().to_bytes())
    x = np.random.default_rng(5).normal(0, 1, (8, 8)).astype(np.float32)
    (found,) = ReferenceEvaluator(proto).run(None, {"x": x})
    weight = ceilings._weight()
    assert found.item() == pytest.approx((x @ weight @ weight @ weight).max(), rel=1e-5)  # float32, 24 sums of 8


def test_the_roofline_is_the_slower_of_counting_and_moving() -> None:
    found = Ceilings(1, {"fp32": 1e9, "int8": 4e9}, (Bandwidth(1000, 1e9), Bandwidth(100_000, 1e8)))
    assert found.least_us("fp32", 5_000, 0) == pytest.approx(5)
    assert found.least_us("int8", 5_000, 0) == pytest.approx(1.25)
    assert found.least_us("fp32", 5_000, 500) == pytest.approx(5), "0.5 us to move, 5 to count"
    assert found.least_us("int8", 100, 50_000) == pytest.approx(500), "what is larger than a cache moves slower"
    assert found.least_us("anything", 0, 1_000_000) == pytest.approx(10_000), "beyond the largest probe: as the largest"
    assert found.least_us("bf16", 5_000, 10) is None
    assert found.least_us("fp32", 0, 0) is None
    assert Ceilings(1, {"fp32": 1e9}).least_us("fp32", 5, 5) is None


def test_what_fits_in_a_cache_is_not_judged_by_the_start_of_a_pass() -> None:
    found = Ceilings(1, {}, (Bandwidth(1000, 1e8), Bandwidth(10_000, 1e9), Bandwidth(100_000, 5e8)))
    assert found.least_us("fp32", 0, 1000) == pytest.approx(1)


@pytest.mark.parametrize(("backend", "properties"), [ONNXRUNTIME, OPENVINO])
def test_a_measurement(backend: str, properties: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "SIDE", 128)
    monkeypatch.setattr(ceilings, "ELEMENTS", (1 << 17, 1 << 20))
    found = measure_ceilings(backend, properties, 1)
    assert {"fp32", "int8"} <= found.macs_per_s.keys(), found.absent
    assert ("bf16" in found.macs_per_s) != ("bf16" in found.absent)
    for speed in found.macs_per_s.values():
        assert 1e8 < speed < 1e14  # one thread: below any, above what a core has; a wrong unit is off by 1000
    assert len(found.bandwidths) >= 2, found.absent
    assert {one.size_bytes for one in found.bandwidths} <= {1 << 19, 1 << 20, 1 << 22, 1 << 23}
    assert all(1e8 < one.bytes_per_s < 1e13 for one in found.bandwidths)


def test_what_cannot_be_had_is_absent_with_a_reason() -> None:
    found = measure_ceilings("onnxruntime", {"provider": "CPUExecutionProvider", "optimization": "none"}, 1)
    assert "fp32" in found.absent["int8"], "without fusing, pairs of Q and DQ are computed in float32"
    assert found.to_json()["absent"] == dict(sorted(found.absent.items()))
