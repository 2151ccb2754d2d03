from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from edgewright.benchmarks.gpu_check import arms, cell
from edgewright.benchmarks.gpu_check.arms import Arm, prepare
from edgewright.benchmarks.gpu_check.plan import Boundary, CellPlan, Effort
from edgewright.core.errors import UnavailableError
from edgewright.core.tensors import Array, Feeds

torch = pytest.importorskip("torch")
EFFORT = Effort(rounds=2, block_s=0.001, block_least=2, block_most=2, settle_s=0.0, warm_s=0.0)


class Answering(Arm):
    """Answers what it is told to, whatever it is asked; raises at its tenth run where it is told to."""

    def __init__(self, answer: Array, *, falls_over: bool = False) -> None:
        self.versions, self._answer, self._falls_over, self._runs = {"fake": "1"}, answer, falls_over, 0
        self.closed = False

    def run(self, boundary: Boundary, index: int) -> None:
        self._runs += 1
        if self._falls_over and self._runs == 10:
            raise RuntimeError("cannot map /usr/lib/libfake.so.1")

    def device_ns(self) -> int | None:
        return 7

    def answer(self, index: int) -> Array:
        return self._answer

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def torchs_switches() -> Iterator[None]:
    """A cell sets what is one switch for its whole process, here that of the tests."""
    threads, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = tf32


@pytest.fixture
def plan(tmp_path: Path) -> CellPlan:
    names = ("eager-fp32", "compile-fp32", "aotinductor-fp32", "onnxruntime-fp32", "tensorrt-fp32", "eager-fp16")
    out, place = str(tmp_path / "out.json"), str(tmp_path / "place")
    return CellPlan("tiny", 1, "cpu", names, time.monotonic() + 60, EFFORT, out, place, str(tmp_path / "work"))


def results(plan: CellPlan) -> dict[str, dict[str, object]]:
    return cast("dict[str, dict[str, object]]", cell.measure(plan)["arms"])


def test_each_way_of_not_being_measured_has_its_word(plan: CellPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, nothing = Answering(np.ones((1, 10), np.float32)), Answering(np.full((1, 10), np.nan, np.float32))

    def as_told(name: str, plan: CellPlan, samples: Sequence[Feeds]) -> Arm:
        if name == "onnxruntime-fp32":
            raise RuntimeError(f"{plan.work}/onnxruntime-fp32/model.onnx is broken\nand more")
        if name == "tensorrt-fp32":
            raise UnavailableError("TensorRT is not installed", "pip install tensorrt")
        return {"compile-fp32": wrong, "aotinductor-fp32": nothing}.get(name) or prepare(name, plan, samples)

    monkeypatch.setattr(cell, "prepare", as_told)
    found = results(replace(plan, skip={"eager-fp16": "took its process down (SIGSEGV)"}))
    assert {name: one["status"] for name, one in found.items()} == {
        "eager-fp32": "measured",
        "compile-fp32": "wrong",
        "aotinductor-fp32": "wrong",
        "onnxruntime-fp32": "failed",
        "tensorrt-fp32": "not run",
        "eager-fp16": "failed",
    }
    assert found["eager-fp32"]["error"] == 0.0
    assert "of the largest value, allowed is 0.0001" in str(found["compile-fp32"]["reason"])
    assert found["aotinductor-fp32"]["error"] is None  # infinity is no JSON
    assert found["onnxruntime-fp32"]["reason"] == "RuntimeError: onnxruntime-fp32/model.onnx is broken"
    assert found["tensorrt-fp32"]["reason"] == "TensorRT is not installed. pip install tensorrt"
    assert found["eager-fp16"]["reason"] == "took its process down (SIGSEGV)"
    assert [bool(one["wall_ns"]) for one in found.values()] == [True, False, False, False, False, False]
    assert wrong.closed
    assert nothing.closed


def test_an_arm_that_falls_over_while_it_is_timed_has_no_figures(
    plan: CellPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_told(name: str, plan: CellPlan, samples: Sequence[Feeds]) -> Arm:
        eager = prepare("eager-fp32", plan, samples)
        return eager if name == "eager-fp32" else Answering(eager.answer(0), falls_over=True)

    monkeypatch.setattr(cell, "prepare", as_told)
    monkeypatch.setattr(cell, "SAMPLES", 1)
    found = results(replace(plan, arms=("eager-fp32", "tensorrt-fp32")))
    assert found["tensorrt-fp32"]["status"] == "failed"
    assert found["tensorrt-fp32"]["reason"] == "RuntimeError: cannot map .../libfake.so.1"
    assert found["tensorrt-fp32"]["wall_ns"] == {} == found["tensorrt-fp32"]["device_ns"]
    assert len(cast("dict[str, list[object]]", found["eager-fp32"]["wall_ns"])["host"]) == 2


def test_without_time_nothing_is_built(plan: CellPlan) -> None:
    found = results(replace(plan, ends=time.monotonic() - 1))
    assert {(one["status"], one["reason"]) for one in found.values()} == {("not run", "no time left to build it")}


def test_a_package_is_timed_through_our_backend_from_host_to_host(monkeypatch: pytest.MonkeyPatch) -> None:
    class Product(Answering):
        runs: list[Boundary] = []  # noqa: RUF012 - read by the test

        def run(self, boundary: Boundary, index: int) -> None:
            self.runs.append(boundary)

    monkeypatch.setattr(arms, "SessionArm", lambda _opened, _samples: Product(np.zeros(1)))
    opened = type("Opened", (), {"remarks": ("a remark",)})()
    calls: list[object] = []

    def package(x: object) -> object:
        calls.append(x)
        return x

    arm = arms.PackageArm(package, opened, [{"x": np.zeros(3, np.float32)}], "cpu")  # type: ignore[arg-type]
    arm.run("host", 0)
    assert (Product.runs, calls, arm.device_ns()) == (["host"], [], 7)
    arm.run("device", 0)
    assert (Product.runs, len(calls), arm.device_ns()) == (["host"], 1, None)
    assert arm.remarks == ("a remark",)
