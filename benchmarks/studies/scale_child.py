"""What reading a model and each default graph pass take, in a process of its own: `python scale_child.py MODEL`.

Prints JSON: for each step its processor seconds and the most memory it held beyond what was held before it, in bytes.
Memory is what Linux counts as the peak of resident pages, which is reset before each step. The cycle collector is off
during a step, as it is in the pipeline, and runs between them.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Steps:
    """Runs steps and keeps what each took."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}
        self.highest = 0

    def take(self, name: str, step: Callable[[], T]) -> T:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what earlier steps freed would hide what this one takes
        gc.freeze()
        gc.disable()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before, begun = memory("VmRSS"), time.process_time()
        result = step()
        seconds = time.process_time() - begun
        peak = memory("VmHWM")
        self.highest = max(self.highest, peak)
        self.found[name] = {"seconds": seconds, "peak_bytes": max(0, peak - before)}
        gc.enable()
        gc.unfreeze()
        return result


def memory(key: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def main(path: str) -> None:
    from edgewright.compiler.intake.onnx_file import read_onnx
    from edgewright.compiler.journal import ModelCounts
    from edgewright.compiler.pipeline import default_pipeline
    from edgewright.compiler.site import Absent, Site
    from edgewright.core.budget import Budget
    from edgewright.core.model import OnnxModel
    from edgewright.targets.load import load_targets

    target = load_targets("x86-avx512-vnni/onnxruntime")[0]
    passes = default_pipeline(target, "fp32").passes
    absent = Absent("a study of growth has no data")

    def run(path: Path) -> dict[str, object]:
        steps = Steps()
        start = memory("VmRSS")
        model = steps.take("read and validate", lambda: read_onnx(path))
        nodes = len(model.ir.graph)
        site = Site(target, model, absent, absent, absent, absent, Budget(), 0, path.parent)
        for one in passes:
            outcome = steps.take(one.name, lambda one=one, model=model: one(model, site))  # type: ignore[misc]
            assert isinstance(outcome.model, OnnxModel)
            model = outcome.model
        steps.take("count", lambda: ModelCounts.of(model))
        steps.take("digest", lambda: model.digest)
        steps.take("save", lambda: model.save(path.with_name("saved.onnx")))
        return {"nodes": nodes, "left": len(model.ir.graph), "peak_bytes": steps.highest - start, "steps": steps.found}

    run(Path(path).with_name("small.onnx"))  # what is imported late is not the model's
    print(json.dumps(run(Path(path))))


if __name__ == "__main__":
    main(sys.argv[1])
