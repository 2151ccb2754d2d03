"""A record as the program writes it, made of figures that are easy to check."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from edgewright.benchmarks.gpu_check.plan import ArmResult, Effort
from edgewright.benchmarks.gpu_check.record import SCHEMA, Document, with_cell

ROUNDS = 8


def blocks(nanoseconds: int) -> list[list[int]]:
    """Rounds whose level rises and falls for every arm alike, as a machine's does."""
    return [[nanoseconds * (10 + round_ % 3)] * 3 for round_ in range(ROUNDS)]


@pytest.fixture
def cell() -> dict[str, object]:
    """Eager takes 100 us (times ten and a bit), torch.compile half, a backend a quarter; fp16 is by eager alone."""
    eager = ArmResult("measured", "", 0.1, 0.0, {"torch": "2"}, [])
    eager.wall_ns = {"host": blocks(100_000), "device": blocks(80_000)}
    eager.device_ns = {"host": blocks(70_000)}
    compiled = ArmResult("measured", "", 20.0, 1e-6)
    compiled.wall_ns = {"host": blocks(50_000), "device": blocks(20_000)}
    ours = ArmResult("measured", "", 3.0, 2e-6, {"onnxruntime": "1"}, ["made for somebody else"])
    ours.wall_ns = {"host": blocks(25_000)}
    half = ArmResult("measured", "", 0.1, 1e-3)
    half.wall_ns = {"host": blocks(10_000)}
    arms = {"onnxruntime-fp32": ours, "eager-fp16": half, "compile-fp32": compiled, "eager-fp32": eager}
    arms["tensorrt-fp16"] = ArmResult("not run", "TensorRT is not installed. pip install tensorrt")
    return {
        "machine": {"gpu": "NVIDIA Test", "driver": "600.1", "cpu": "x", "cores": 4}, "date": "2026-01-31",
        "versions": {"torch": "2"},
        "network": "minilm", "batch": 32, "device": "cuda", "seed": 0, "threads": 1, "effort": asdict(Effort()),
        "tf32": {}, "seconds": 60.0, "arms": {name: asdict(arm) for name, arm in arms.items()}, "order": [],
        "voided": ["round 3 made again: it was hot"], "clocks": [],
    }  # fmt: skip


@pytest.fixture
def record(cell: dict[str, object]) -> Document:
    """With that one cell."""
    empty: Document = {"schema": SCHEMA, "cells": []}
    return with_cell(empty, cell)
