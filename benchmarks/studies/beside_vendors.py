"""The harness beside what the engines' own people use: OpenVINO's benchmark_app, and a bare loop round ONNX Runtime.

Same engine file, same threads, same cores, same inputs, a process each, in turn (ABBA); what is compared are medians.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edgewright.backends._onnxruntime_session import SLOWER_FUSIONS
from edgewright.benchmarks.bench import now
from edgewright.benchmarks.harness.machine import this_machine
from edgewright.benchmarks.harness.measuring import Children, Question
from edgewright.benchmarks.harness.protocol import Preset, Protocol
from edgewright.benchmarks.harness.timing_lock import timing_lock
from edgewright.benchmarks.preparing import Prepared, inputs_of, prepare
from edgewright.benchmarks.statistics import paired_ratio
from edgewright.benchmarks.summary import run_medians
from edgewright.core import jsontext
from edgewright.core.bundle import open_bundle
from edgewright.core.files import write_atomically
from edgewright.core.tensors import Feeds
from edgewright.core.workdir import working_folder

SCHEMA = "edgewright.study-vendors/1"
SECONDS = 3.0
HERE = Path(__file__).resolve().parent


def run(bundles: Sequence[Path], into: Path, rounds: int, threads: int | None) -> int:
    """Prints a line for each bundle and writes the record."""
    rows = []
    for path in bundles:
        rows.append(_row(path, rounds, threads))
        row = rows[-1]
        print(
            f"{row['bundle']:<28} {row['target']:<20} {row['beside']:<14} ours {row['ours_ms']:.4g} ms,"
            f" theirs {row['theirs_ms']:.4g} ms, ratio {row['ratio']:.4f} {row['ci95']}"
        )
        document = {"schema": SCHEMA, "created": now(), "machine": asdict(this_machine()), "rows": rows}
        write_atomically(into, jsontext.pretty(document))
    return 0


def _row(path: Path, rounds: int, threads: int | None) -> dict[str, object]:
    bundle = open_bundle(path)
    ready = prepare(bundle, threads, trust_native_code=False)
    samples, expected, _ = inputs_of(bundle, None)
    protocol = Protocol(Preset("study", 64 * rounds, SECONDS * rounds, rounds))
    with working_folder() as folder, timing_lock(ready.device):
        artifact = ready.extracted(folder / "engine")
        tolerance = bundle.manifest.tolerances.engine
        question = Question(artifact, samples, expected, tolerance, ready.target.threads, protocol)
        children = Children(question, folder)
        warmth = children.warm_up()
        command = _command(ready, artifact.path, samples, folder)
        ours, theirs = [], []
        for number in range(rounds):
            for arm in ("ours", "theirs") if number % 2 == 0 else ("theirs", "ours"):
                if arm == "ours":
                    ours += run_medians([children.run(number, warmth)], warmth.inner)
                else:
                    theirs.append(_median_ns(command, children.plan.cpus))
    ratio, interval = paired_ratio(ours, theirs)
    return {
        "bundle": path.stem,
        "model": bundle.manifest.model.name,
        "precision": bundle.manifest.precision,
        "target": ready.target.name,
        "threads": ready.target.threads,
        "beside": "benchmark_app" if ready.backend.name == "openvino" else "bare loop",
        "versions": dict(ready.versions),
        "ours_ms": float(np.median(ours)) / 1e6,
        "theirs_ms": float(np.median(theirs)) / 1e6,
        "ratio": round(ratio, 5),
        "ci95": None if interval is None else [round(end, 5) for end in interval],
        "ours_ns": [round(value, 1) for value in ours],
        "theirs_ns": [round(value, 1) for value in theirs],
    }


def _command(ready: Prepared, engine: Path, samples: Sequence[Feeds], folder: Path) -> list[str]:
    """How the other is called, its inputs written where it finds them."""
    threads = str(ready.target.threads)
    if ready.backend.name == "onnxruntime":
        inputs = folder / "inputs.npz"
        np.savez(inputs, **{f"{name}/{n}": array for n, one in enumerate(samples) for name, array in one.items()})  # type: ignore[arg-type]
        how = ready.bundle.manifest.backend.properties
        settings = [how.get("optimization", "all"), how.get("spinning", "1"), ",".join(SLOWER_FUSIONS)]
        return [sys.executable, str(HERE / "bare_loop.py"), str(engine), str(inputs), threads, str(SECONDS), *settings]
    for number, one in enumerate(samples):
        for name, array in one.items():
            place = folder / "inputs" / name
            place.mkdir(parents=True, exist_ok=True)
            np.save(place / f"{number:03d}.npy", array)
    given = ",".join(f"{name}:{folder / 'inputs' / name}" for name in samples[0])
    hint = ready.bundle.manifest.backend.properties.get("INFERENCE_PRECISION_HINT", "f32")
    shapes = ",".join(f"{name}[{','.join(map(str, array.shape))}]" for name, array in samples[0].items())
    return [
        *(str(Path(sys.executable).with_name("benchmark_app")), "-m", str(engine), "-i", given, "-d", "CPU"),
        *("-api", "sync", "-hint", "none", "-nstreams", "1", "-nthreads", threads, "-t", str(math.ceil(SECONDS))),
        *("-infer_precision", hint, "-data_shape", shapes, "-op", "f32"),
        # Without a word benchmark_app takes images to be bytes; inputs of whole numbers it takes as they are.
        *(("-ip", "f32") if all(array.dtype.kind == "f" for array in samples[0].values()) else ()),
    ]


def _median_ns(command: Sequence[str], cpus: tuple[int, ...] | None) -> float:
    pin = None if cpus is None else (lambda: os.sched_setaffinity(0, cpus))
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=pin)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    found = re.search(r"Median:\s+([\d.]+) ms", done.stdout)
    return 1e6 * float(found.group(1) if found else done.stdout.strip().splitlines()[-1])
