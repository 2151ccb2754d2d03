"""Starts the torch export in a process of its own, so that this one never imports torch nor runs a user's module."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from edgewright.compiler.intake.torch_request import ExportRequest
from edgewright.core import errors
from edgewright.core.errors import EngineError, UnavailableError
from edgewright.core.files_opened import heard_elsewhere, is_listened

DEADLINE_S = 3600.0
"""Longer than any export should take; a factory that waits for something must not hang a build for ever."""
_TAIL_LINES = 8


def export_in_child(request: ExportRequest, out: Path, *, deadline_s: float = DEADLINE_S) -> list[str]:
    """Writes ``out`` (ONNX) from what the request names, and gives the journal's lines.

    Raises:
        UsageError, BadInputError, UnavailableError: as the child found.
        EngineError: the child crashed or passed its deadline.
    """
    _check_torch()
    request = replace(request, listen=is_listened())
    with tempfile.TemporaryDirectory(prefix="export-", dir=out.parent) as folder:
        question, answer, talk = (Path(folder, name) for name in ("request.json", "answer.json", "talk.txt"))
        question.write_text(json.dumps(asdict(request)))
        module = "edgewright.compiler.intake.torch_export"
        # -P: a folder of the user's that happens to be called edgewright must not stand in for this package.
        command = [sys.executable, "-P", "-m", module, str(question), str(out), str(answer)]
        with talk.open("wb") as stream:
            try:
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, timeout=deadline_s, check=False
                )
            except subprocess.TimeoutExpired as error:
                raise EngineError(
                    f"exporting {request.text} took longer than {deadline_s:.0f} s",
                    "Export it to ONNX yourself and give that file.",
                    kind="timeout",
                ) from error
        if not answer.exists():
            raise _crashed(request, done.returncode, talk)
        found = json.loads(answer.read_text())
    heard_elsewhere(found["opened"])
    if found["error"] is not None:
        kind, problem, remedy = found["error"]
        raise getattr(errors, kind)(problem, remedy)
    return list(found["notes"])


def _check_torch() -> None:
    import importlib.util

    missing = [name for name in ("torch", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"reading a torch model needs {' and '.join(missing)}", "pip install 'edgewright[torch]'"
        )


def _crashed(request: ExportRequest, code: int, talk: Path) -> EngineError:
    tail = "\n".join(talk.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    kind = "memory" if code == -9 else "crashed"
    return EngineError(f"the export of {request.text} {how}", tail or "It said nothing.", kind=kind)
