"""In which precision an engine really computes, as the engine itself tells it; what was written is another matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgewright.backends import Artifact, IsolatedSession, open_isolated
from edgewright.core.errors import UnavailableError
from edgewright.core.tensors import Feeds

_CODES = frozenset({"int8", "fp8"})
_WORTH_A_WORD = 0.02
"""So much less of the multiplications in 8 bits than was written is told."""


@dataclass(frozen=True)
class Executed:
    """What the engine's own information says; or why that is unknown."""

    layers: Mapping[str, int] = field(default_factory=dict)
    """Precision -> how many of the engine's (fused) layers compute in it; empty where it times none."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Precision -> share of the model's multiplications that are computed in it, ``unknown`` among them; empty where
    the engine does not name the operators behind its layers."""
    unknown: str = ""

    def to_json(self) -> dict[str, object]:
        """The journal's form."""
        if self.unknown:
            return {"source": "unknown", "reason": self.unknown}
        shares = {name: round(share, 6) for name, share in sorted(self.shares.items())}
        return {"source": "engine", "layers": dict(sorted(self.layers.items())), "shares": shares}

    def shortfall(self, precision: str, written: float) -> str | None:
        """The warning for an engine that computes less in 8 bits than the model says.

        Args:
            precision: what the model was compiled to.
            written: share of the multiplications that is written in it.
        """
        if self.unknown or precision not in _CODES:
            return None
        if self.shares and self.shares.get(precision, 0.0) < written - _WORTH_A_WORD:
            have = ", ".join(f"{share:.0%} in {name}" for name, share in sorted(self.shares.items()))
            return f"{written:.0%} of the multiplications are written in {precision}, the engine computes {have}"
        if self.shares or self.layers.get(precision):
            return None
        have = ", ".join(f"{number} in {name}" for name, number in sorted(self.layers.items())) or "none at all"
        return f"{precision} is written in the model and the engine computes none of its layers in it: {have}"


def executed(artifact: Artifact, feeds: Feeds, threads: int, products: Mapping[str, int]) -> Executed:
    """Asks the engine, in a child process: for the operators behind its layers, and by profiling one inference.

    Args:
        products: name of an operator -> its multiply-accumulates, as the journal has them.

    Raises:
        EngineError: when the engine fails.
    """
    with open_isolated(artifact.backend, artifact, threads) as session:
        shares, why = _shares(session, products)
        try:
            layers = Counter(layer.precision for layer in session.profile(feeds))
        except UnavailableError as error:
            layers, why = Counter(), why or error.problem
    return Executed(layers, shares) if layers or shares else Executed(unknown=why)


def _shares(session: IsolatedSession, products: Mapping[str, int]) -> tuple[dict[str, float], str]:
    """Precision -> share of the multiplications; or why that cannot be told."""
    total = sum(products.values())
    if not total:
        return {}, "the journal counts no multiplications"
    try:
        found = session.precisions(list(products))
    except UnavailableError as error:
        return {}, error.problem
    macs: Counter[str] = Counter()
    for name, precision in found.items():
        macs[precision] += products[name]
    return {name: count / total for name, count in macs.items()}, ""
