"""Distillation: a changed model learns again to answer as the original does, with labels or without any."""

from __future__ import annotations

from typing import ClassVar

from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.recovery.options import DistilOptions
from edgewright.compiler.site import Site
from edgewright.compiler.torch_stage.parent import run_stage
from edgewright.core.model import TorchSource
from edgewright.targets.schema import Target


class Distil(Pass[TorchSource, TorchSource]):
    """Trains the module after the original one; see ``compiler/recovery``."""

    name: ClassVar[str] = "distil"
    effect: ClassVar[Effect] = Effect.LOSSY
    stage: ClassVar[Stage] = Stage.RECOVER
    options_type: ClassVar[type] = DistilOptions
    options: DistilOptions

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """Only where a recipe or a goal asks for it: it trains."""
        del target, precision
        return "nothing is to be trained"

    def __call__(self, model: TorchSource, site: Site) -> Outcome[TorchSource]:
        """What training makes of ``model``, in a child process.

        Raises:
            EdgewrightError: there is nothing to train on, torch is missing, or the child failed.
        """
        return run_stage("distil", model, self.options, site)
