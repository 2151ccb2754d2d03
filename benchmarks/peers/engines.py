"""Opening a model file with ONNX Runtime or OpenVINO, each as a user who sets the thread count and nothing else."""

from __future__ import annotations

import os
import platform
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

Feeds = dict[str, np.ndarray]
ENGINES = ("onnxruntime", "openvino")


@dataclass(frozen=True)
class OpenModel:
    """A loaded model: `run` takes feeds by input name, `ranks` says how many axes each input has."""

    run: Callable[[Feeds], Feeds]
    ranks: Mapping[str, int]


def open_model(path: Path, engine: str, threads: int = 2, properties: Mapping[str, str] | None = None) -> OpenModel:
    """Load `path` (`.onnx`, or `.xml` for OpenVINO).

    Args:
        properties: OpenVINO properties, `{"INFERENCE_PRECISION_HINT": "f32"}`; its own choices where absent.
    """
    if engine == "onnxruntime":
        return _onnxruntime(path, threads)
    if engine == "openvino":
        return _openvino(path, threads, properties or {})
    raise ValueError(f"no engine named {engine}; there are: {', '.join(ENGINES)}")


def _onnxruntime(path: Path, threads: int) -> OpenModel:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(feeds: Feeds) -> Feeds:
        return dict(zip(names, session.run(names, feeds), strict=True))

    return OpenModel(run, {entry.name: len(entry.shape) for entry in session.get_inputs()})


def _openvino(path: Path, threads: int, properties: Mapping[str, str]) -> OpenModel:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", **properties}
    compiled = core.compile_model(core.read_model(path), "CPU", settings)
    request = compiled.create_infer_request()
    outputs = [(port, sorted(port.get_names())[0]) for port in compiled.outputs]

    def run(feeds: Feeds) -> Feeds:
        found = request.infer(feeds)
        return {name: found[port] for port, name in outputs}

    ranks = {name: len(port.partial_shape) for port in compiled.inputs for name in port.get_names()}
    return OpenModel(run, ranks)


def load_cases() -> object:
    """Loads the package of cases as `edgewright_cases`, from which its modules can be imported after this call."""
    main = Path(__file__).resolve().parents[1] / "cases" / "__main__.py"
    loaded: object = runpy.run_path(str(main), run_name="cases")["load_cases"]()
    return loaded


def machine() -> dict[str, str | int]:
    """What a figure needs to be understood, and nothing that names the machine."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "os": platform.system()}


def versions(*packages: str) -> dict[str, str]:
    found = {name: metadata.version(name) for name in packages if _installed(name)}
    return {"python": platform.python_version(), **found}


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
