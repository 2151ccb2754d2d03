"""Records, traces and bundles to report on: made up, small, the same every time."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewright.benchmarks import record as records
from edgewright.benchmarks import trace as traces
from edgewright.benchmarks.harness.machine import Machine
from edgewright.benchmarks.record import Record
from edgewright.benchmarks.statistics import Outliers, percentile, percentiles
from edgewright.benchmarks.trace import Trace
from edgewright.core.bundle import (
    Accuracy,
    BackendRecord,
    Golden,
    Limits,
    Manifest,
    ModelRecord,
    TargetRecord,
    Tolerances,
    write_bundle,
)
from edgewright.core.tensors import TensorSpec

MACHINE = Machine("Some CPU", 4, ("avx2",), 8_000_000_000, "performance", "Linux 6", virtual=False)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def make_record(
    digest: str = sha("net int8"),
    model: str = "net",
    target: str = "native/onnxruntime",
    precision: str = "int8",
    *,
    median_ns: float = 2e6,
    ratio: float | None = None,
    baseline: str = sha("net fp32"),
    verdict: records.Verdict = "pass",
    status: records.Status = "ok",
    pairs: int = 8,
    samples: int = 120,
    created: str = "2026-05-04T03:02:01Z",
    notes: tuple[str, ...] = (),
    flag: str = "drift",
    seed: int = 0,
) -> Record:
    """One record; with a ``ratio`` it is of a paired session."""
    rng = random.Random(seed)
    runs = []
    for order in range(pairs * 2 if ratio else pairs):
        new = not ratio or (order % 2 == 1) != (order // 2 % 2 == 1)
        middle = median_ns / (1 if new else ratio or 1) * math.exp(rng.gauss(0, 0.005))
        ns = tuple(int(middle * math.exp(abs(rng.gauss(0, 0.02)))) for _ in range(samples))
        windows = tuple(percentile(ns[at : at + 20], 0.5) for at in range(0, samples, 20))
        flags = (flag,) if order == 3 else ()
        runs.append(records.Run("new" if new else "base", order, ns, windows, 1, 2, 3, 0.0, 1, 0.0, flags))
    own = [value for run in runs if run.arm == "new" for value in run.ns]
    mean = sum(own) / len(own)
    comparison = None
    if ratio is not None:
        base = records.Subject(baseline, sha("recipe"), sha("plan"), model, "fp32", 4000)
        comparison = records.Comparison(
            base, "base", pairs, ratio, (ratio * 0.98, ratio * 1.02), 0.5, 0.02, verdict, 0.017
        )
    return Record(
        subject=records.Subject(digest, sha("recipe"), sha("plan"), model, precision, 1000),
        target=records.Target(target, "onnxruntime", 2, host_proxy=False),
        machine=MACHINE,
        versions={"onnxruntime": "1.31.1"},
        protocol=records.ProtocolUsed(
            "quick", "single-stream", "session.run", "inference", 1, 50, True, 0, 32, sha("inputs"), "x.npz", True, ()
        ),
        runs=tuple(runs),
        voided=(records.VoidedRun(4, "clock fell by 7 %"),),
        summary=records.Summary(
            percentiles(own), mean, 0.02, len(own), percentile(own, 0.5), 0.005, 1e9 / mean, 5e6, 6e6, 7e6,
            Outliers(0, 0, 1, 0), 0.1, 1.5,
        ),
        memory=records.Memory(1, 2, 3, 50_000_000),
        accuracy=records.AccuracyFound("top1", 0.91, (0.89, 0.93), 500, True, sha("data")),
        status=status,
        notes=notes,
        comparison=comparison,
        side=tuple(records.SideReading(float(order), 2500.0 - order, 50.0, None, order) for order in range(4)),
        created=created,
    )  # fmt: skip


def make_trace(
    digest: str = sha("net int8"),
    word: str = "",
    layers: int = 30,
    classes: int = 12,
    target: str = "native/onnxruntime",
) -> Trace:
    """A trace of six steps; ``word`` is part of every name in it."""
    steps = (
        traces.TraceStep("original", "original", 4000, 0.92, 4e6, (3.9e6, 4.1e6)),
        traces.TraceStep(f"prune{word}", "pass", None, None, None, None, f"it does not run alone{word}"),
        traces.TraceStep("static-quantize", "pass", 1000, 0.91, 2e6, (1.9e6, 2.1e6)),
        traces.TraceStep("engine", "engine", 1010, 0.91, 2e6, (1.9e6, 2.1e6)),
    )
    rows = tuple(
        traces.LayerTrace(
            f"layer.{at}{word}", f"Conv{word}", "float32" if at == 2 else "int8",
            at / 1000, None if at == 5 else 1e4 + at,
            f"it cost too much{word}" if at == 2 else f"no time of its own: it is fused{word}" if at == 5 else "",
            at / 5000,
        )
        for at in range(layers)
    )  # fmt: skip
    deltas = tuple(traces.ClassDelta(f"class {at}{word}", 100, 0.9, 0.9 - at / 1000) for at in range(classes))
    return Trace(
        digest, "net", target, "int8", "top1", True, MACHINE.identity, steps, rows, deltas,
        traces.Flips(500, 9, 4, 2, (3, 7)), (f"traced quickly{word}",), 8, "2026-05-04T00:00:00Z",
    )  # fmt: skip


@pytest.fixture
def records_at(tmp_path: Path) -> Callable[..., Path]:
    """``records_at(record, trace, ..., name="x")``: the path of a file of records that holds them."""

    def write(*entries: Record | Trace, name: str = "some") -> Path:
        path = tmp_path / f"{name}.record.json"
        for one in entries:
            if isinstance(one, Trace):
                traces.append_trace(path, one)
            else:
                records.append_record(path, one)
        return path

    return write


@pytest.fixture
def bundle_at(tmp_path: Path) -> Callable[..., tuple[Path, str]]:
    """``bundle_at(name="net", precision="int8", ...)``: a bundle's path and digest; its engine is a few bytes."""

    def write(
        name: str = "net",
        precision: str = "int8",
        *,
        model: str = "net",
        weights: str = "",
        layer: str = "head.gemm",
        mark: str = "measured",
        drop: float = 0.004,
        met: bool = True,
        bytes_met: bool | None = None,
        pending: str | None = None,
    ) -> tuple[Path, str]:
        engine = tmp_path / f"{name}.engine"
        engine.write_bytes(b"engine" + precision.encode())
        measured = mark != "unmeasured"
        manifest = Manifest(
            model=ModelRecord(model, sha(weights or model)),
            target=TargetRecord("native/onnxruntime", {"hardware": "native"}),
            backend=BackendRecord("onnxruntime", {"onnxruntime": "1.31.1"}, "model.onnx", {}, pending),
            precision=precision,
            inputs=(TensorSpec("x", "float32", (1, 2)),),
            outputs=(TensorSpec("y", "float32", (1, 2)),),
            passes=(),
            accuracy=Accuracy(
                "top1", 0.92 if measured else None, 0.92 - drop if measured else None, drop if measured else None,
                400, sha("data"), mark,  # type: ignore[arg-type]
            ),
            limits=Limits(0.01, met, None if bytes_met is None else 8_000, bytes_met),
            size_bytes=engine.stat().st_size,
            recipe_digest=sha("recipe"),
            plan_digest=sha("plan"),
            tolerances=Tolerances(1e-4, 1e-2),
        )  # fmt: skip
        note = {"kind": "skipped", "subject": layer, "text": "the scheme leaves Gemm in float"}
        journal = {
            "schema": "edgewright.journal/1",
            "passes": [
                {"pass": "static-quantize", "notes": [note], "rejected": "", "stage": "quantize"},
                {"pass": "fuse-gelu", "notes": [], "rejected": "it moved the outputs by 0.3", "worst_layer": layer},
            ],
            "plan": {"choice": {"scheme": "integer", "options": {"keep_float": [layer]}}, "because": []},
        }
        arrays = [{"x": np.zeros((1, 2), np.float32)}] * 4
        answers = [{"y": np.zeros((1, 2), np.float32)}] * 4
        path = tmp_path / f"{name}.ewb"
        golden = Golden(arrays, answers, answers)
        return path, write_bundle(path, manifest.to_json(), journal, {"model.onnx": engine}, golden)

    return write
