"""The small trained model of ``examples/`` as micro-benchmarks need it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgewright.compiler.intake.source import load_model
from edgewright.core.model import OnnxModel

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits.py"


@pytest.fixture(scope="session")
def digits_calibration() -> str:
    """Its calibration data, 200 samples, as the command line names it."""
    return f"{DIGITS}:calibration"


@pytest.fixture(scope="session")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    """As the compiler reads it."""
    return load_model(f"{DIGITS}:model", workdir=tmp_path_factory.mktemp("digits")).model


@pytest.fixture(scope="session")
def digits_bundle(tmp_path_factory: pytest.TempPathFactory, digits_calibration: str) -> Path:
    """Compiled for this machine's ONNX Runtime, in float."""
    out = tmp_path_factory.mktemp("bundle") / "digits.ewb"
    words = ("--target", "native/onnxruntime", "--precision", "fp32", "--data", digits_calibration)
    command = [sys.executable, "-m", "edgewright", "compile", f"{DIGITS}:model", *words, "-o", str(out)]
    subprocess.run(command, capture_output=True, check=True)
    return out
