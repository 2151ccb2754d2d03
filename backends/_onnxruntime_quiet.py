"""ONNX Runtime's telemetry, switched off before the library is loaded: its Linux builds write a device's identity and a
queue of events into HOME and TMPDIR as soon as they are imported, and a call to disable them comes too late."""

from __future__ import annotations

import os

SWITCH = "ORT_DISABLE_TELEMETRY"


def keep_quiet() -> None:
    """To be called before every ``import onnxruntime``; child processes inherit it."""
    os.environ[SWITCH] = "1"
