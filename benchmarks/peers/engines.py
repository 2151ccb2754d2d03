"""Opening what is compared: a model file as a user would who sets the thread count and nothing else, or a bundle."""

from __future__ import annotations

import runpy
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Feeds = dict[str, np.ndarray]
ENGINES = ("onnxruntime", "openvino", "edgewright")


@dataclass(frozen=True)
class OpenModel:
    """A loaded model: `run` takes feeds by input name, `ranks` says how many axes each input has."""

    run: Callable[[Feeds], Feeds]
    ranks: Mapping[str, int]


def open_model(path: Path, engine: str, threads: int = 2, properties: Mapping[str, str] | None = None) -> OpenModel:
    """Load `path` (`.onnx`, `.xml` for OpenVINO, or a bundle for Edgewright).

    Args:
        properties: OpenVINO properties, `{"INFERENCE_PRECISION_HINT": "f32"}`; its own choices where absent.
    """
    if engine == "edgewright":
        return _edgewright(path, threads)
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


def _edgewright(path: Path, threads: int) -> OpenModel:
    """A bundle's engine in this process, as its backend opens it with the bundle's properties.

    The session's checks of every input are left out: a loop round a bare runtime, as on the other side, has none.
    """
    from edgewright.backends import registry
    from edgewright.benchmarks.preparing import artifact_of
    from edgewright.core.bundle import open_bundle

    bundle = open_bundle(path)
    with tempfile.TemporaryDirectory(prefix="edgewright-peers-") as folder:
        bundle.extract_engine(Path(folder))
        artifact = artifact_of(bundle, Path(folder))
        session = registry().find(artifact.backend)().open(artifact, artifact.threads(threads))
    ranks = {spec.name: len(spec.shape or ()) for spec in artifact.inputs}
    return OpenModel(session._run, ranks)  # noqa: SLF001


def read_feeds(path: Path, ranks: Mapping[str, int], most: int | None = None) -> Iterator[Feeds]:
    """The samples of an `.npz` as feeds, labels left out; arrays one rank above the input's hold whole feeds."""
    with np.load(path) as archive:
        arrays = {name: archive[name][:most] for name in archive.files if name != "labels"}
    for i in range(len(next(iter(arrays.values())))):
        yield {
            name: array[i : i + 1] if array.ndim == ranks[name] else np.asarray(array[i])
            for name, array in arrays.items()
        }


def load_cases() -> object:
    """Loads the package of cases as `edgewright_cases`, from which its modules can be imported after this call."""
    main = Path(__file__).resolve().parents[1] / "cases" / "__main__.py"
    loaded: object = runpy.run_path(str(main), run_name="cases")["load_cases"]()
    return loaded
