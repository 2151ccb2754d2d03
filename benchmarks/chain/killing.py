"""Stops a recovery the hard way, runs it again, and compares what comes out with a run that nobody stopped.

In the record:

    case, recipe
    killed_after       checkpoints there were when SIGKILL came
    resumed            the second run said that it goes on from where it was stopped
    same_engine        both bundles hold the same engines, byte for byte
    exit_codes         of the run nobody stopped, the killed one (minus the signal) and the one that went on
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import record
from edgewright_cases.case import Case
from edgewright_cases.console import find_case
from edgewright_cases.process_tree import Finished, run_measured
from edgewright_cases.proving import edgewright

from edgewright.core.bundle import open_bundle

CASE, RECIPE = "digits", "digits.toml"
STAGE = "distil-*"
CHECKPOINTS = 3
LONGEST_S = 600
WORDS = "goes on from"
Json = dict[str, Any]


def run(cases: Path, into: Path) -> int:
    """0 where the two runs come to the same."""
    case: Case = find_case(CASE).build(cases / CASE)
    with TemporaryDirectory(prefix="edgewright-chain-") as temporary:
        folder = Path(temporary)
        whole = run_measured(_command(case, folder / "whole.ewb", folder / "whole"))
        killed, seen = _killed(_command(case, folder / "halves.ewb", folder / "halves"), folder / "halves")
        second = run_measured(_command(case, folder / "halves.ewb", folder / "halves"))
        found: Json = {
            "case": CASE,
            "recipe": RECIPE,
            "killed_after": seen,
            "resumed": WORDS in second.stderr,
            "same_engine": _same(whole, second, folder),
            "exit_codes": [whole.exit_code, killed, second.exit_code],
        }
    record.write(into, kill=found)
    print(found)
    return 0 if found["resumed"] and found["same_engine"] and killed == -signal.SIGKILL else 1


def _command(case: Case, out: Path, work: Path) -> list[str]:
    words = [*edgewright(), "compile", str(case.folder / "factory.py:trained"), "-o", str(out), "--no-cache"]
    words += ["--target", "native/onnxruntime", "--precision", "fp32", "--work", str(work)]
    words += ["--shape", "image=1,1,8,8", "--metric", case.metric, "--max-drop", "0.1"]
    words += ["--data", str(case.data), "--eval-data", str(case.eval_data), "--train-data", str(case.train)]
    return [*words, "--recipe", str(Path(__file__).parent / "recipes" / RECIPE)]


def _killed(command: Sequence[str], work: Path) -> tuple[int, int]:
    """Its exit code, and how many times the checkpoint had been written when it and all it started were killed."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    written: set[tuple[str, int]] = set()
    begun = time.monotonic()
    while process.poll() is None and len(written) < CHECKPOINTS and time.monotonic() - begun < LONGEST_S:
        written |= {(path.name, path.stat().st_mtime_ns) for path in _checkpoints(work)}
        time.sleep(0.02)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait(), len(written)


def _checkpoints(work: Path) -> list[Path]:
    """Files that recovery leaves while it works; what is being replaced this moment is not there."""
    left = (path for path in work.glob(f"**/{STAGE}/*checkpoint*") if path.is_file())
    return [path for path in left if not path.name.endswith((".partial", ".tmp"))]


def _same(whole: Finished, second: Finished, folder: Path) -> bool:
    """Whether both are there and hold the same engines."""
    if whole.exit_code or second.exit_code:
        print(whole.stderr, second.stderr, sep="\n")
        return False
    digests = [
        {one.path: one.sha256 for one in open_bundle(folder / f"{name}.ewb").manifest.files if "engine/" in one.path}
        for name in ("whole", "halves")
    ]
    return bool(digests[0]) and digests[0] == digests[1]
