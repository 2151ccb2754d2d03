"""ONNX's own evaluator, in numpy: there wherever models can be compiled, slow, and what the others are tested by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.backends._base import Artifact, Availability, Backend, LayerTime, Session, Unsupported
from edgewright.backends._onnx_file import onnx_form
from edgewright.backends._operators import located, operators_used
from edgewright.core.errors import EngineError, UnavailableError
from edgewright.core.model import Model
from edgewright.core.tensors import Array, Feeds, Outputs
from edgewright.targets.schema import Target

if TYPE_CHECKING:
    import onnx.reference


class Reference(Backend):
    """Computes in the types of the graph, node by node, without any optimisation. Threads mean nothing to it."""

    name = "reference"

    def probe(self) -> Availability:
        """The version of ``onnx``."""
        try:
            import onnx.reference
        except ImportError as error:
            return Availability(None, (), f"onnx cannot be imported: {error}", 'pip install "edgewright[compile]"')
        return Availability(onnx.__version__, ("CPU",))

    def supports(self, model: Model, target: Target) -> list[Unsupported]:
        """Looks every operator up in the evaluator's own table; nothing is run."""
        del target
        from edgewright.backends._reference_check import has_operator

        onnx_model = onnx_form(model, self.name)
        used = operators_used(onnx_model)
        opsets = onnx_model.ir.opset_imports
        missing = [op for op in used if not has_operator(op, opsets.get(op[0], 1))]
        return located(
            [[f"{domain}::{name}", "", "onnx's evaluator does not have it"] for domain, name in missing], used
        )

    def lower(self, model: Model, target: Target, workdir: Path, precision: str = "fp32") -> Artifact:
        """Writes ``model.onnx`` (and ``model.onnx.data`` beyond a protobuf's reach)."""
        if precision != "fp32":
            raise UnavailableError(
                f"{target.name} computes in the types of the graph, not in {precision}", "Choose fp32."
            )
        import onnx

        onnx_model = onnx_form(model, self.name)
        files = onnx_model.save(workdir / "model.onnx")
        return Artifact(
            backend=self.name,
            folder=workdir,
            entry="model.onnx",
            files=tuple(file.name for file in files),
            inputs=onnx_model.inputs,
            outputs=onnx_model.outputs,
            versions={"onnx": onnx.__version__},
        )

    def open(self, artifact: Artifact, threads: int) -> Session:
        """Loads the graph; ``threads`` is ignored: numpy decides.

        Raises:
            EngineError: when the evaluator refuses the file.
        """
        del threads
        return _Session(artifact)


class _Session(Session):
    def __init__(self, artifact: Artifact) -> None:
        import onnx

        from edgewright.backends._reference_check import evaluator

        self.inputs, self.outputs = artifact.inputs, artifact.outputs
        try:
            loaded = onnx.load(str(artifact.path))
            self._engine: onnx.reference.ReferenceEvaluator | None = evaluator(loaded)
        except Exception as error:
            raise EngineError(f"onnx's evaluator refuses {artifact.entry}: {error}") from error

    def close(self) -> None:
        self._engine = None

    def _run(self, feeds: Feeds) -> Outputs:
        import numpy as np

        if self._engine is None:
            raise EngineError("onnx's evaluator is closed", "Open it again.")
        try:
            with np.errstate(all="ignore"):  # it overflows, and divides by zero, where the graph does
                results = self._engine.run(None, dict(feeds))
        except Exception as error:
            raise EngineError(f"onnx's evaluator failed: {type(error).__name__}: {error}") from error
        return {spec.name: _array(value) for spec, value in zip(self.outputs, results, strict=True)}

    def _profile(self, feeds: Feeds) -> list[LayerTime]:
        raise UnavailableError("onnx's evaluator does not time its layers", "Profile with another backend.")


def _array(value: object) -> Array:
    """Some of its operators return numpy scalars."""
    import numpy as np

    return np.asarray(value)
