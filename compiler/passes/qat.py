"""Quantisation-aware training: the module learns to live with the very codes that lowering will write.

What is quantised, and on which grids training starts, is decided on the ONNX form as static quantisation decides it; a
child process finds those tensors in the torch module, trains it with them (see ``compiler.qat``), and leaves weights
and grids. When it is through, the trained graph and the ONNX form quantised from it are compared layer by layer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from edgewright.compiler.pass_base import Effect, Note, Outcome, Pass, Stage
from edgewright.compiler.pipeline import default_pipeline, run_pipeline
from edgewright.compiler.qat.exactness import compare
from edgewright.compiler.qat.extraction import LAYERS
from edgewright.compiler.qat.options import QatOptions
from edgewright.compiler.qat.wanted import save_values, wanted_of
from edgewright.compiler.quantization.planning import QuantizationPlan, StaticOptions, make_plan
from edgewright.compiler.site import Absent, Site
from edgewright.compiler.torch_stage.parent import export_source, run_stage
from edgewright.core.errors import UsageError
from edgewright.core.model import OnnxModel, TorchSource
from edgewright.targets.schema import Target


class Qat(Pass[TorchSource, TorchSource]):
    """Trains the module with the codes that the target's preferred static scheme asks for."""

    name: ClassVar[str] = "qat"
    effect: ClassVar[Effect] = Effect.LOSSY
    stage: ClassVar[Stage] = Stage.TRAIN_QUANTIZED
    options_type: ClassVar[type] = QatOptions
    options: QatOptions

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """Only where a recipe or a goal asks for it."""
        del target, precision
        return "it trains, which takes a recipe or a goal to ask for"

    def __call__(self, model: TorchSource, site: Site) -> Outcome[TorchSource]:
        """``model`` with trained weights, and grids for the tensors that were trained as codes.

        Raises:
            UsageError: the target has no static int8 scheme, or there are no calibration samples.
            UnavailableError: torch or torchao is not installed, or the module cannot be exported.
            EngineError: the training process crashed.
        """
        if isinstance(site.run, Absent) or isinstance(site.samples, Absent):
            reason = site.run.reason if isinstance(site.run, Absent) else site.samples.reason  # type: ignore[union-attr]
            raise UsageError(f"training with codes needs calibration samples: {reason}", "Give --data.")
        clean = self._clean(model, site)
        plan = self._plan(clean, site, smooth=0.0)
        if not plan.placement.ops:
            return Outcome(model, 0, (Note("skipped", "graph", "the target's scheme quantises nothing in it"),))
        wanted = wanted_of(plan, self._plan(clean, site, StaticOptions.smooth) if self.options.even else None)
        decision, values = site.workdir / "qat-wanted.json", site.workdir / "qat-values.npz"
        wanted.save(decision)
        save_values(plan, wanted, site.samples, site.run, values)
        outcome = run_stage("qat", model, self.options, site, extra={"wanted": decision, "values": values})
        layers = None if outcome.model.state is None else outcome.model.state / LAYERS
        if not outcome.changed or layers is None or not layers.exists():
            return outcome
        trained = self._plan(self._clean(outcome.model, site), site, smooth=0.0)
        agreement = compare(trained, layers, site.run)
        return replace(
            outcome,
            notes=(*outcome.notes, *agreement.notes),
            figures={**outcome.figures, "agreement": agreement.figures},
        )

    def _clean(self, model: TorchSource, site: Site) -> OnnxModel:
        """``model`` as static quantisation will be given it."""
        passes = [one for one in default_pipeline(site.target, "int8").passes if one.stage < Stage.QUANTIZE]
        clean, _ = run_pipeline(passes, export_source(model, site.workdir), site)
        assert isinstance(clean, OnnxModel)
        return clean

    def _plan(self, clean: OnnxModel, site: Site, smooth: float) -> QuantizationPlan:
        """How static quantisation will quantise it, with no bias corrected: that is left to training."""
        options = StaticOptions(
            scheme=self.options.scheme,
            keep_float=self.options.keep_float,
            keep_kinds=self.options.keep_kinds,
            smooth=smooth,
            bias_correction=False,
            samples=self.options.calibration,
        )
        return make_plan(clean, options, site)
