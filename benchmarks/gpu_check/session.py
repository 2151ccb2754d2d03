"""Measures a cell in a process of its own; when it crashes or hangs, it is tried again without the arm to blame."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

from edgewright.benchmarks.gpu_check.plan import ArmResult, CellPlan

_MODULE = "edgewright.benchmarks.gpu_check.cell"
_GRACE_S = 20.0
"""What a process may take beyond its seconds: it looks at the clock between blocks only."""
_WORTH_TRYING_S = 20.0
"""Less time than this builds nothing."""


def run_cell(plan: CellPlan) -> Mapping[str, object]:
    """The cell's object; an arm that takes its process down is named, and the others are measured without it."""
    skip = dict(plan.skip)
    while True:
        Path(plan.out).unlink(missing_ok=True)
        Path(plan.place).write_text("")
        why = _attempt(replace(plan, skip=skip))
        if why is None:
            return cast("Mapping[str, object]", json.loads(Path(plan.out).read_text()))
        blamed = Path(plan.place).read_text()
        _say(f"  {blamed or 'the process'}: {why}")
        nobody_new = not blamed or blamed in skip  # the next try would end in the same way
        if not nobody_new:
            skip[blamed] = why
        if nobody_new or plan.ends - time.monotonic() < _WORTH_TRYING_S:
            return _lost(plan, skip, why)


def _attempt(plan: CellPlan) -> str | None:
    """Runs the process; None when it has answered, else why it has not."""
    path = Path(plan.work) / "plan.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    plan.write(path)
    seconds = max(0.0, plan.ends - time.monotonic()) + _GRACE_S
    process = subprocess.Popen(
        [sys.executable, "-m", _MODULE, str(path)], stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"did not finish within {seconds:.0f} s"
    finally:
        # It leads a group of its own: compilers that it started go with it.
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code == 0 and Path(plan.out).is_file():
        return None
    return f"took its process down ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"


def _lost(plan: CellPlan, skip: Mapping[str, str], why: str) -> dict[str, object]:
    """The object of a cell that nothing was measured of: every arm with its reason."""
    arms = {
        name: asdict(ArmResult("failed", skip[name]) if name in skip else ArmResult("not run", f"the process {why}"))
        for name in plan.arms
    }
    described = {"network": plan.network, "batch": plan.batch, "device": plan.device, "seed": plan.seed}
    nothing: dict[str, object] = {"tf32": {}, "seconds": None, "order": [], "voided": [], "clocks": []}
    return {**described, **nothing, "threads": plan.threads, "effort": asdict(plan.effort), "arms": arms}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
