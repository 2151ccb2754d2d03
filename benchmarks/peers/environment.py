"""The peers' own environment: made once, made again when `requirements.txt` changes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
MARK = ".peers-ready"
PACKAGES = ("nncf", "olive-ai", "onnx", "onnxruntime", "openvino", "torch")
_ASK = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"


def ensure(venv: Path) -> Path:
    """The interpreter of the environment at `venv`, after making it or installing what is missing.

    Raises:
        SystemExit: pip failed; its last lines are the message.
    """
    python, mark = venv / "bin" / "python", venv / MARK
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
        return python
    if not python.exists():
        print(f"making {venv.name}", file=sys.stderr)
        _succeed([sys.executable, "-m", "venv", str(venv)])
    print(f"installing the peers into {venv.name}: minutes, once", file=sys.stderr)
    _succeed([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)])
    mark.write_text(wanted, encoding="utf-8")
    return python


def versions(python: Path) -> dict[str, str]:
    """What is installed there."""
    found: dict[str, str] = json.loads(_succeed([str(python), "-c", _ASK, *PACKAGES]))
    return found


def _succeed(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{Path(command[0]).name} failed:\n" + "\n".join(done.stderr.splitlines()[-12:]))
    return done.stdout
