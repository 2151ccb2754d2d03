"""OpenVINO on CPU, GPU and NPU. The artifact is its intermediate representation: ``model.xml`` and ``model.bin``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from edgewright.backends import _openvino_session as session
from edgewright.backends._base import Artifact, Availability, Backend, LayerTime, Session, Unsupported
from edgewright.backends._isolation import call_isolated
from edgewright.backends._limits import Limits
from edgewright.backends._onnx_file import onnx_form, save_for_engine
from edgewright.backends._openvino_profile import precision, profiled_runs, settled
from edgewright.backends._openvino_wrong import wrong
from edgewright.backends._operators import located, operators_used, unfeedable
from edgewright.backends._profiles import Profiles, wall_times
from edgewright.backends._threads import fewer_threads
from edgewright.core.errors import EngineError, UnavailableError
from edgewright.core.model import Model
from edgewright.core.tensors import Feeds, Outputs
from edgewright.targets.schema import Target

_BUILD_LIMITS = Limits(deadline_s=600.0)
_PROFILED_RUNS = 3
"""Their mean is reported, without the ones before them, which allocate and compile kernels."""


class OpenVino(Backend):
    """Converts ONNX to OpenVINO's own form; what is quantised stays so, the rest runs in what was asked for."""

    name = "openvino"

    def probe(self) -> Availability:
        """Version, and the devices it sees on this machine."""
        remedy = 'pip install "edgewright[openvino]"'
        try:
            module = session.import_openvino()
            return Availability(_version(), tuple(module.Core().available_devices))
        except Exception as error:  # noqa: BLE001 - a broken driver or library must not break a listing
            return Availability(None, (), f"openvino cannot be used: {session.gist(error)}", remedy)

    def supports(self, model: Model, target: Target) -> list[Unsupported]:
        """Converts the model, and compiles it where the device is present, in a child process."""
        onnx_model = onnx_form(model, self.name)
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            path = Path(folder) / "model.onnx"
            save_for_engine(onnx_model, path)
            found = call_isolated(
                "edgewright.backends._openvino_build:unsupported",
                {"path": str(path), "device": target.device},
                engine=self.name,
                doing="reading the model",
                limits=_BUILD_LIMITS,
            )
        assert isinstance(found, list)
        refused = located(found, operators_used(onnx_model))
        return [*refused, *wrong(onnx_model), *unfeedable(onnx_model, session.FOREIGN)]

    def lower(self, model: Model, target: Target, workdir: Path, precision: str = "fp32") -> Artifact:
        """Writes ``model.xml`` and ``model.bin`` in a child process; the same bytes for the same model and version.

        Weights stay in the types of the graph. The precision is a property that :meth:`open` passes to the engine.
        """
        if precision != "fp32" and (precision not in target.hinted_precisions or precision not in session.PRECISIONS):
            raise UnavailableError(
                f"{target.name} does not compute a float32 model in {precision} on request",
                f"Choose one of: {', '.join(sorted({'fp32', *target.hinted_precisions}))}.",
            )
        onnx_model = onnx_form(model, self.name)
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            path = Path(folder) / "model.onnx"
            save_for_engine(onnx_model, path)
            names = call_isolated(
                "edgewright.backends._openvino_build:build",
                {"path": str(path), "folder": str(workdir.absolute())},
                engine=self.name,
                doing="building the model",
                limits=_BUILD_LIMITS,
            )
        assert isinstance(names, dict)
        for kind, specs in (("inputs", onnx_model.inputs), ("outputs", onnx_model.outputs)):
            session.positions(cast("list[list[str]]", names[kind]), specs, kind)
        return Artifact(
            backend=self.name,
            folder=workdir,
            entry="model.xml",
            files=("model.bin", "model.xml"),
            inputs=onnx_model.inputs,
            outputs=onnx_model.outputs,
            properties={
                "device": target.device,
                "INFERENCE_PRECISION_HINT": session.PRECISIONS[precision],
                "ENABLE_CPU_PINNING": "YES",
                "PERFORMANCE_HINT": "LATENCY",
            },
            versions={"openvino": _version()},
        )

    def executions(self, target: Target, threads: int) -> tuple[Mapping[str, str], ...]:
        """On a CPU fewer threads."""
        return fewer_threads(threads) if target.device == "CPU" else ()

    def on_cpu(self, artifact: Artifact) -> Artifact:
        """For the CPU device, in float32 where the graph says so: a CPU has no float16, bfloat16 is less precise."""
        return replace(artifact, properties={**artifact.properties, "device": "CPU", "INFERENCE_PRECISION_HINT": "f32"})

    def open(self, artifact: Artifact, threads: int) -> Session:
        """Compiles for latency: one stream, ``threads`` threads pinned to cores, and strictly the artifact's precision.

        Raises:
            TargetAbsentError: when the device is not on this machine.
            UnavailableError: when the device does not compute in the artifact's precision.
            EngineError: when the engine refuses the artifact.
        """
        return _Session(artifact, threads)


class _Session(Session):
    def __init__(self, artifact: Artifact, threads: int) -> None:
        self.inputs, self.outputs = artifact.inputs, artifact.outputs
        self._artifact, self._config = artifact, session.config(artifact, threads)
        self._engine: session.Engine | None = session.Engine(artifact, self._config)

    def close(self) -> None:
        self._engine = None

    def _run(self, feeds: Feeds) -> Outputs:
        if self._engine is None:
            raise EngineError("openvino is closed", "Open it again.")
        return self._engine.run(feeds)

    def _profiles(self, feeds: Feeds, runs: int) -> Profiles:
        before = wall_times(lambda: self._run(feeds), runs)
        profiled = profiled_runs(self._artifact, self._config, feeds, runs)
        return Profiles((*before, *wall_times(lambda: self._run(feeds), runs)), profiled)

    def _profile(self, feeds: Feeds) -> list[LayerTime]:
        """In a model compiled with counters, so that they cost nothing elsewhere."""
        engine = session.Engine(self._artifact, {**self._config, "PERF_COUNT": True})
        _, took = settled(engine, feeds, _PROFILED_RUNS)
        executed = [item for item in engine.request.profiling_info if item.status.name == "EXECUTED"]
        return [
            LayerTime(item.node_name, item.node_type, precision(item.exec_type), took[item.node_name])
            for item in executed
        ]


def _version() -> str:
    """The release, without the build's number and branch."""
    return str(session.import_openvino().__version__).partition("-")[0]
