"""ONNX Runtime on CPUs and CUDA. The artifact is the ONNX file itself; the engine optimises it at each opening."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from edgewright.backends import _onnxruntime_cuda as cuda
from edgewright.backends import _onnxruntime_session as session
from edgewright.backends._base import Artifact, Availability, Backend, LayerTime, Session, Unsupported
from edgewright.backends._isolation import call_isolated
from edgewright.backends._limits import Limits
from edgewright.backends._onnx_file import onnx_form, save_for_engine
from edgewright.backends._onnxruntime_quiet import keep_quiet
from edgewright.backends._operators import located, operators_used, unfeedable
from edgewright.backends._profiles import Profiles, wall_times
from edgewright.backends._threads import fewer_threads
from edgewright.core.errors import EdgewrightError, EngineError, UnavailableError
from edgewright.core.model import Model
from edgewright.core.tensors import Feeds, Outputs
from edgewright.targets.detect import is_present
from edgewright.targets.schema import Target

_CHECK_LIMITS = Limits(deadline_s=120.0)
_SHOWN = 5


class OnnxRuntime(Backend):
    """Float32, float16 where a kernel exists, and the int8 that is written in the graph."""

    name = "onnxruntime"

    def probe(self) -> Availability:
        """Version, and the execution providers of this build as devices."""
        try:
            keep_quiet()
            import onnxruntime
        except (ImportError, OSError) as error:
            return Availability(None, (), f"onnxruntime cannot be imported: {error}", "pip install onnxruntime")
        return Availability(onnxruntime.__version__, tuple(onnxruntime.get_available_providers()))

    def installed(self) -> Availability:
        """The version that the package's own file says: loading it costs 20 MB that the child process needs again."""
        version = session.version_unloaded()
        return self.probe() if version is None else Availability(version)

    def available_for(self, target: Target) -> Availability:
        """As :meth:`installed`; on a machine that has the GPU, the engine must have its CUDA provider too.

        Elsewhere it need not: lowering is writing the file.
        """
        if target.device != "CUDA":
            return self.installed()
        found = self.probe()
        if found.present and is_present(target) is None:
            problem = cuda.missing(found.devices)
            return found if problem is None else Availability(None, found.devices, problem, cuda.INSTALL)
        return found

    def supports(self, model: Model, target: Target) -> list[Unsupported]:
        """Loads the model, unoptimised, in a child process: the engine's own word on every operator.

        Without CUDA here the CPU provider speaks for CUDA: it takes what CUDA has no kernel for.
        """
        on_cuda = target.device == "CUDA" and cuda.PROVIDER in self.probe().devices
        onnx_model = onnx_form(model, self.name)
        used = operators_used(onnx_model)
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            path = Path(folder) / "model.onnx"
            save_for_engine(onnx_model, path)
            found = call_isolated(
                "edgewright.backends._onnxruntime_check:unsupported",
                {
                    "path": str(path),
                    "operators": [list(operator) for operator in used],
                    "provider": cuda.PROVIDER if on_cuda else session.CPU_PROVIDER,
                },
                engine=self.name,
                doing="reading the model",
                limits=_CHECK_LIMITS,
            )
        assert isinstance(found, list)
        return [*located(found, used), *unfeedable(onnx_model, session.FOREIGN)]

    def lower(self, model: Model, target: Target, workdir: Path, precision: str = "fp32") -> Artifact:
        """Writes ``model.onnx`` (and ``model.onnx.data`` beyond a protobuf's reach); the same bytes for the same model.

        Raises:
            UnavailableError: for a precision other than fp32: this runtime computes in what the graph says.
        """
        if precision != "fp32":
            raise UnavailableError(
                f"onnxruntime on {target.device} computes in the types of the graph, not in {precision}",
                "Have the model itself cast (the half-precision pass), or choose fp32.",
            )
        keep_quiet()
        import onnxruntime

        onnx_model = onnx_form(model, self.name)
        files = save_for_engine(onnx_model, workdir / "model.onnx")
        on_cuda = target.device == "CUDA"
        artifact = Artifact(
            backend=self.name,
            folder=workdir,
            entry="model.onnx",
            files=tuple(file.name for file in files),
            inputs=onnx_model.inputs,
            outputs=onnx_model.outputs,
            properties={
                "execution": "sequential",
                "optimization": "all",
                "provider": cuda.PROVIDER if on_cuda else session.CPU_PROVIDER,
                "spinning": "1",
                **(cuda.OPTIONS if on_cuda else {}),
            },
            versions={"onnxruntime": onnxruntime.__version__},
        )
        return replace(artifact, remarks=self._fallen_back(artifact)) if on_cuda else artifact

    def executions(self, target: Target, threads: int) -> tuple[Mapping[str, str], ...]:
        """On a CPU fewer threads, and tensors as they are: laying them out anew for small convolutions costs more."""
        if target.device != "CPU":
            return ()
        return ({"optimization": "extended"}, *fewer_threads(threads))

    def on_cpu(self, artifact: Artifact) -> Artifact:
        """The same file with the CPU provider, which may compute float16 in float32."""
        properties = {name: value for name, value in artifact.properties.items() if name not in cuda.OPTIONS}
        return replace(artifact, properties={**properties, "provider": session.CPU_PROVIDER})

    def unfit(self, artifact: Artifact) -> str | None:
        """As every backend's; what is for CUDA needs a build with that provider."""
        problem = super().unfit(artifact)
        if problem is None and cuda.is_for(artifact) and (lacks := cuda.missing(self.probe().devices)):
            return f"{lacks}; {cuda.INSTALL}"
        return problem

    def open(self, artifact: Artifact, threads: int) -> Session:
        """Loads the file with all of the engine's own optimisations, sequential, inter-op 1.

        Idle worker threads spin, as is the engine's default and what its users have: the next inference starts
        sooner, and whatever else runs within some tens of milliseconds after one is slowed down. The artifact's
        property ``spinning`` records it.

        On CUDA a run includes the copies to the device and back and waits for the results; the engine has no clock of
        the device's. Float32 is float32 there, not TF32.

        Raises:
            TargetAbsentError: it is for CUDA, and there is no GPU.
            UnavailableError: it is for CUDA, and the engine's CUDA provider is missing or does not load.
            EngineError: when the engine refuses the file.
        """
        return _Session(artifact, threads)

    def _fallen_back(self, artifact: Artifact) -> tuple[str, ...]:
        """What CUDA leaves to the CPU, in a line, where the engine can be asked: on a machine with a GPU."""
        if cuda.missing(self.probe().devices):
            return ()
        try:
            nodes = call_isolated(
                "edgewright.backends._onnxruntime_check:left_to_cpu",
                {"artifact": artifact.to_json()},
                engine=self.name,
                doing="placing the model's operators",
                limits=_CHECK_LIMITS,
            )
        except EdgewrightError as error:
            return (f"which operators CUDA leaves to the CPU is not known: {error.problem}",)
        names = cast("list[str]", nodes)
        if not names:
            return ()
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return (f"CUDA leaves {len(names)} operators to the CPU: {', '.join(names[:_SHOWN])}{more}",)


class _Session(Session):
    def __init__(self, artifact: Artifact, threads: int) -> None:
        self.inputs, self.outputs = artifact.inputs, artifact.outputs
        self._artifact, self._threads = artifact, threads
        self._engine: session.Engine | None = session.Engine(artifact, session.options(artifact, threads))

    def close(self) -> None:
        self._engine = None

    def _run(self, feeds: Feeds) -> Outputs:
        if self._engine is None:
            raise EngineError("onnxruntime is closed", "Open it again.")
        return self._engine.run(feeds)

    def _profiles(self, feeds: Feeds, runs: int) -> Profiles:
        from edgewright.backends._onnxruntime_profile import profiled_runs

        before = wall_times(lambda: self._run(feeds), runs)
        profiled = profiled_runs(self._artifact, self._threads, feeds, runs)
        return Profiles((*before, *wall_times(lambda: self._run(feeds), runs)), profiled)

    def _profile(self, feeds: Feeds) -> list[LayerTime]:
        from edgewright.backends._onnxruntime_profile import layer_times

        return layer_times(self._artifact, self._threads, feeds)
