"""ONNX Runtime's CPU provider. The artifact is the ONNX file itself; the engine optimises it each time it is opened."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.backends import _onnxruntime_session as session
from edgewright.backends._base import Artifact, Availability, Backend, LayerTime, Session, Unsupported, onnx_form
from edgewright.backends._isolation import call_isolated
from edgewright.backends._limits import Limits
from edgewright.backends._onnx_file import save_for_engine
from edgewright.backends._operators import located, operators_used, unfeedable
from edgewright.core.errors import EngineError, UnavailableError
from edgewright.core.model import Model
from edgewright.core.tensors import Feeds, Outputs
from edgewright.targets.schema import Target

if TYPE_CHECKING:
    pass

_PROVIDER = "CPUExecutionProvider"
_CHECK_LIMITS = Limits(deadline_s=120.0)


class OnnxRuntime(Backend):
    """Float32, float16 where a kernel exists, and the int8 that is written in the graph."""

    name = "onnxruntime"

    def probe(self) -> Availability:
        """Version, and the execution providers of this build as devices."""
        try:
            import onnxruntime
        except (ImportError, OSError) as error:
            return Availability(None, (), f"onnxruntime cannot be imported: {error}", "pip install onnxruntime")
        return Availability(onnxruntime.__version__, tuple(onnxruntime.get_available_providers()))

    def supports(self, model: Model, target: Target) -> list[Unsupported]:
        """Loads the model, unoptimised, in a child process: the engine's own word on every operator."""
        del target  # every target of this runtime is served by the CPU provider
        onnx_model = onnx_form(model, self.name)
        used = operators_used(onnx_model)
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            path = Path(folder) / "model.onnx"
            save_for_engine(onnx_model, path)
            found = call_isolated(
                "edgewright.backends._onnxruntime_check:unsupported",
                {"path": str(path), "operators": [list(operator) for operator in used]},
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
        import onnxruntime

        onnx_model = onnx_form(model, self.name)
        files = save_for_engine(onnx_model, workdir / "model.onnx")
        return Artifact(
            backend=self.name,
            folder=workdir,
            entry="model.onnx",
            files=tuple(file.name for file in files),
            inputs=onnx_model.inputs,
            outputs=onnx_model.outputs,
            properties={"execution": "sequential", "optimization": "all", "provider": _PROVIDER, "spinning": "1"},
            versions={"onnxruntime": onnxruntime.__version__},
        )

    def open(self, artifact: Artifact, threads: int) -> Session:
        """Loads the file with all of the engine's own optimisations, sequential, inter-op 1.

        Idle worker threads spin, as is the engine's default and what its users have: the next inference starts
        sooner, and whatever else runs within some tens of milliseconds after one is slowed down. The artifact's
        property ``spinning`` records it.

        Raises:
            EngineError: when the engine refuses the file.
        """
        return _Session(artifact, threads)


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

    def _profile(self, feeds: Feeds) -> list[LayerTime]:
        from edgewright.backends._onnxruntime_profile import layer_times

        return layer_times(self._artifact, self._threads, feeds)
