"""Structured pruning: takes channels, heads, hidden units and whole blocks out of a torch module until it is as fast as
asked for."""

from __future__ import annotations

from typing import ClassVar

from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.pruning.options import PruneOptions
from edgewright.compiler.site import Site
from edgewright.compiler.torch_stage.parent import run_stage
from edgewright.core.model import TorchSource
from edgewright.targets.schema import Target


class Prune(Pass[TorchSource, TorchSource]):
    """Narrows what costs most latency for the least damage, and checks each round's real latency."""

    name: ClassVar[str] = "prune"
    effect: ClassVar[Effect] = Effect.NEEDS_RECOVERY
    stage: ClassVar[Stage] = Stage.PRUNE
    options_type: ClassVar[type] = PruneOptions
    options: PruneOptions

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """Never by itself: only where a recipe or a goal asks for it."""
        del target, precision
        return "neither a recipe nor a goal asks for it"

    def __call__(self, model: TorchSource, site: Site) -> Outcome[TorchSource]:
        """The model with fewer channels and blocks; what it was is untouched.

        Raises:
            UsageError: there is no data, or the options name groups that the model does not have.
            EngineError: the process that prunes crashed.
        """
        return run_stage(self.name, model, self.options, site)
