"""One cell in a process of its own: builds every arm, holds each to eager float32, and times them against each other.

Run by the package's main program as ``python -m edgewright.benchmarks.gpu_check.cell PLAN``.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edgewright.benchmarks.gpu_check.arms import Arm, TorchArm, prepare
from edgewright.benchmarks.gpu_check.models import NETWORKS, network
from edgewright.benchmarks.gpu_check.plan import ArmResult, CellPlan, precision_of
from edgewright.benchmarks.gpu_check.rounds import Interleaver, series_of
from edgewright.benchmarks.harness._subject import scrub_environment
from edgewright.benchmarks.harness.nvml import Clocks, this_gpu
from edgewright.core import jsontext
from edgewright.core.errors import EdgewrightError, UnavailableError
from edgewright.core.files import write_atomically
from edgewright.core.tensors import Array, Feeds

SAMPLES = 4
TIMING_SHARE = 0.4
"""Of a cell's time, what building leaves to timing: an arm that would be begun later is not built."""
TOLERANCES = {"cuda": {"fp32": 1e-2, "fp16": 3e-2, "bf16": 1e-1}, "cpu": {"fp32": 1e-4, "fp16": 3e-2, "bf16": 1e-1}}
"""By how much an arm may be off. On CUDA float32 may be TF32, whose mantissa has ten bits as float16's has; errors of
some fifty layers add up. An arm that computes something else is off by about 1."""
_PATH = re.compile(r"(?<![\w.:/])(?:/[\w.+@~-]+){2,}/?")


def main(argv: Sequence[str]) -> int:
    """Reads the plan in a file, writes the cell's JSON where the plan says."""
    plan = CellPlan.read(Path(argv[0]))
    scrub_environment()
    _configure(plan)
    warnings.simplefilter("ignore")  # of the exporter, about itself
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # after torch, which sets it when it is imported
    write_atomically(Path(plan.out), jsontext.canonical(measure(plan)))
    sys.stdout.flush()
    os._exit(0)  # an engine's destructors are one more thing that could crash


def measure(plan: CellPlan) -> dict[str, object]:
    """The cell's object of the record; see :mod:`edgewright.benchmarks.gpu_check.record`."""
    began = time.monotonic()
    samples = NETWORKS[plan.network].samples(plan.batch, SAMPLES, plan.seed + 1)
    expected = _reference(plan, samples)
    results: dict[str, ArmResult] = {}
    ready: dict[str, Arm] = {}
    until = plan.ends - TIMING_SHARE * (plan.ends - began)
    for name in plan.arms:
        Path(plan.place).write_text(name)
        if name in plan.skip:
            results[name] = ArmResult("failed", plan.skip[name])
        elif time.monotonic() > until:
            results[name] = ArmResult("not run", "no time left to build it")
        else:
            results[name], arm = _prepared(name, plan, samples, expected)
            if arm is not None:
                ready[name] = arm
            print(f"  {name}: {results[name].status} {results[name].reason}".rstrip(), file=sys.stderr, flush=True)
    _configure(plan)  # an engine may have set what is one switch for the whole process
    interleaver = Interleaver(
        ready,
        SAMPLES,
        plan.effort,
        plan.seed,
        read_clocks=_clocks(plan),
        at=lambda name: _note(plan.place, name),
        describe=lambda error: _told(error, plan),
    )
    found = interleaver.run(plan.ends)
    for name in ready:
        if name in found.failed:
            results[name].status, results[name].reason = "failed", found.failed[name]
        results[name].wall_ns = series_of(found.wall, name)
        results[name].device_ns = series_of(found.device, name)
    return {
        "network": plan.network,
        "batch": plan.batch,
        "device": plan.device,
        "seed": plan.seed,
        "threads": plan.threads,
        "effort": asdict(plan.effort),
        "tf32": _tf32(),
        "seconds": round(time.monotonic() - began, 1),
        "arms": {name: asdict(result) for name, result in results.items()},
        "order": found.order,
        "voided": found.voided,
        "clocks": found.clocks,
    }


def _prepared(
    name: str, plan: CellPlan, samples: Sequence[Feeds], expected: Sequence[Array]
) -> tuple[ArmResult, Arm | None]:
    """An arm that is built and right; or None, and what is to be said instead."""
    start = time.monotonic()
    try:
        arm = prepare(name, plan, samples)
        took = round(time.monotonic() - start, 2)
        answers = [arm.answer(index) for index in range(len(samples))]
    except UnavailableError as error:
        return ArmResult("not run", without_paths(f"{error.problem}. {error.remedy}", plan.work)), None
    except Exception as error:  # noqa: BLE001 - whatever an engine raises is a line of the record
        return ArmResult("failed", _told(error, plan)), None
    off = max(_error(answer, right) for answer, right in zip(answers, expected, strict=True))
    remarks = [without_paths(line, plan.work) for line in arm.remarks]
    result = ArmResult("measured", "", took, off if np.isfinite(off) else None, arm.versions, remarks)
    allowed = TOLERANCES[plan.device][precision_of(name)]
    if not off <= allowed:
        arm.close()
        result.status, result.reason = "wrong", f"off by {off:.3g} of the largest value, allowed is {allowed:g}"
        return result, None
    return result, arm


def _reference(plan: CellPlan, samples: Sequence[Feeds]) -> list[Array]:
    """Eager float32 on the same device, without TF32."""
    import torch

    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        arm = TorchArm(network(plan.network, "fp32", plan.seed).to(plan.device), samples, plan.device)
        return [arm.answer(index) for index in range(len(samples))]
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, convolution


def _error(answer: Array, right: Array) -> float:
    if answer.shape != right.shape or not np.isfinite(answer).all():
        return float("inf")
    wide = right.astype(np.float64)
    return float(np.abs(answer.astype(np.float64) - wide).max() / np.abs(wide).max())


def _configure(plan: CellPlan) -> None:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = plan.tf32
    torch.set_num_threads(plan.threads)


def _tf32() -> dict[str, object]:
    import torch

    return {
        "torch_matmul": torch.backends.cuda.matmul.allow_tf32,
        "torch_convolution": torch.backends.cudnn.allow_tf32,
        "engines": "as their backends set it",
    }


def _clocks(plan: CellPlan) -> Callable[[], Clocks | None]:
    return this_gpu().clocks if plan.device == "cuda" else lambda: None


def _note(place: str, name: str) -> None:
    Path(place).write_text(name)


def _told(error: Exception, plan: CellPlan) -> str:
    """The class and the first line of what an engine says, without folders: records travel."""
    text = f"{error.problem} {error.remedy}" if isinstance(error, EdgewrightError) else str(error)
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return without_paths(f"{type(error).__name__}: {line:.300}", plan.work)


def without_paths(text: str, work: str) -> str:
    """A text without the folders of this machine, the one it works in first of all.

    >>> without_paths("cannot open /usr/lib/libx.so: no such file in /tmp/w/tensorrt", "/tmp/w")
    'cannot open .../libx.so: no such file in tensorrt'
    """
    short = text.replace(f"{work}/", "")
    return _PATH.sub(lambda found: f".../{found[0].rstrip('/').rpartition('/')[2]}", short)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
