"""The model after each pass of a candidate: its passes run again, one at a time, without the proofs they had before."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgewright.compiler.numeric_gate import Gate
from edgewright.compiler.pass_base import Effect
from edgewright.compiler.pipeline import AnyPass, run_pipeline
from edgewright.core.errors import EngineError
from edgewright.core.model import OnnxModel
from edgewright.driver.workshop import Built, Workshop, narrowed

_UNPROVEN = Gate(samples=0, worst_layer=False)


@dataclass(frozen=True)
class Waypoint:
    """A pass that changed the model and stands."""

    pass_: AnyPass
    before: OnnxModel
    after: OnnxModel

    @property
    def name(self) -> str:
        """The pass's."""
        return self.pass_.name

    @property
    def lossy(self) -> bool:
        """Whether the pass narrows numbers."""
        return self.pass_.effect is Effect.LOSSY


def waypoints(workshop: Workshop, built: Built) -> list[Waypoint]:
    """What each pass of ``built`` that changed something made, in order; the last is the model that was lowered.

    Raises:
        EngineError: the passes make another model than before.
    """
    site = replace(workshop.site, target=narrowed(workshop.target, built.choice), log=lambda _line: None)
    model, found = site.original, []
    for one, entry in zip(built.passes, built.journal, strict=True):
        if not entry.changed or entry.rejected:
            continue
        after, _ = run_pipeline([one], model, site, _UNPROVEN)
        assert isinstance(after, OnnxModel)
        found.append(Waypoint(one, model, after))
        model = after
    if model.digest != built.model.digest:
        raise EngineError(
            "the passes, run again one at a time, make another model than the one that is shipped",
            "This is a fault of ours; please report the model.",
        )
    return found
