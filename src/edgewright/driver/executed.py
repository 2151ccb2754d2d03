"""In which precision an engine really computes, as the engine itself tells it; what was written is another matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgewright.backends import Artifact, open_isolated
from edgewright.core.errors import UnavailableError
from edgewright.core.tensors import Feeds

_CODES = frozenset({"int8", "fp8"})


@dataclass(frozen=True)
class Executed:
    """Layers by precision, from the engine's own information; or why that is unknown."""

    layers: Mapping[str, int] = field(default_factory=dict)
    """Precision -> how many of the engine's (fused) layers compute in it."""
    unknown: str = ""

    def to_json(self) -> dict[str, object]:
        """The journal's form."""
        if self.unknown:
            return {"source": "unknown", "reason": self.unknown}
        return {"source": "engine", "layers": dict(sorted(self.layers.items()))}

    def shortfall(self, precision: str) -> str | None:
        """The warning for an engine that was written in ``precision`` (int8, fp8) and computes no layer in it."""
        if self.unknown or precision not in _CODES or self.layers.get(precision):
            return None
        have = ", ".join(f"{number} in {name}" for name, number in sorted(self.layers.items())) or "none at all"
        return f"{precision} is written in the model and the engine computes none of its layers in it: {have}"


def executed(artifact: Artifact, feeds: Feeds, threads: int) -> Executed:
    """Asks the engine, by profiling one inference in a child process.

    Raises:
        EngineError: when the engine fails.
    """
    try:
        with open_isolated(artifact.backend, artifact, threads) as session:
            layers = session.profile(feeds)
    except UnavailableError as error:
        return Executed(unknown=error.problem)
    return Executed(Counter(layer.precision for layer in layers))
