"""What is known so far of one stage's search, and what that says of its goal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgewright.compiler.pass_base import Note
from edgewright.compiler.pruning.blocks import Block
from edgewright.compiler.pruning.extents import Extents
from edgewright.compiler.pruning.goals import Limits
from edgewright.compiler.pruning.latency_model import LatencyModel
from edgewright.compiler.pruning.rounds import Narrowing, Recipe
from edgewright.compiler.torch_stage.context import StageContext
from edgewright.core.model import OnnxModel

MOST_UNDONE = 3
"""Rounds that may measure slower before nothing more is tried."""


@dataclass(eq=False)
class Search:
    """What is known so far of one stage's search."""

    context: StageContext
    recipe: Recipe
    extents: Extents
    state: Narrowing
    blocks: Mapping[str, Block] = field(default_factory=dict)
    """By path, what may be left out as a whole."""
    saves_ms: dict[str, Mapping[str, float]] = field(default_factory=dict)
    """By path, by target, what leaving out that block alone was timed to save; what was not timed is not in it."""
    template: OnnxModel | None = None
    """The module's ONNX form as it came in, where anything is timed."""
    latest: OnnxModel | None = None
    """The same of the last round that was kept."""
    full_ms: Mapping[str, float] = field(default_factory=dict)
    latest_ms: Mapping[str, float] = field(default_factory=dict)
    models: dict[str, LatencyModel] = field(default_factory=dict)
    barred: dict[str, frozenset[int]] = field(default_factory=dict)
    rounds: list[dict[str, int]] = field(default_factory=list)
    timings: list[dict[str, object]] = field(default_factory=list)
    undone: int = 0
    overshot: int = 0
    noise: float = 0.0
    """Relative, of a time."""
    notes: list[Note] = field(default_factory=list)

    def cost_without(self, limits: Limits, path: str) -> dict[str, float]:
        """What the model as it is would cost without that block, as shares of ``limits``: by what the block was timed
        to save when all else was whole, less as far as it was narrowed since."""
        now = {**widths_so_far(self), **self.state.widths}
        if not limits.latency_ms:
            return limits.exact({**now, path: 0})
        before, after = self.extents.macs(now), self.extents.macs({**now, path: 0})
        whole = self.extents.macs({}) - self.extents.macs({path: 0})
        left = (before - after) / max(whole, 1)
        costs = limits.costs(self.models)(now)
        saved = self.saves_ms[path]
        return {target: costs[target] - left * saved[target] / limit for target, limit in limits.latency_ms.items()}

    def without_blocks(self, limits: Limits) -> float:
        """What share of the cost would be left without any block."""
        shares = []
        whole = limits.costs(self.models)({})
        for name, cost in whole.items():
            gone = sum(
                cost - self.cost_without(limits, path)[name] for path in self.blocks if self.can_go(limits, path)
            )
            shares.append(max(1 - gone / cost, 0.0))
        return max(shares)

    def can_go(self, limits: Limits, path: str) -> bool:
        """Whether that block is still there, and known to save time where time is what counts."""
        gone = [other for other, units in widths_so_far(self).items() if other in self.blocks and units == 0]
        if any(path == other or path.startswith(f"{other}.") for other in gone) or 0 in self.barred.get(path, ()):
            return False
        return not limits.latency_ms or limits.latency_ms.keys() <= self.saves_ms.get(path, {}).keys()


def widths_so_far(search: Search) -> dict[str, int]:
    """Widths of groups that an earlier round narrowed so far that they are none any more."""
    return dict(search.rounds[-1]) if search.rounds else {}


def met(search: Search, limits: Limits) -> bool:
    """Whether what was measured last (or is counted) is within every limit."""
    if limits.latency_ms:
        costs = limits.timed(search.latest_ms)
        return len(costs) == len(limits.latency_ms) and max(costs.values()) <= 1
    return max(limits.exact({**widths_so_far(search), **search.state.widths}).values()) <= 1


def shortfall(search: Search, limits: Limits) -> str:
    """By how much the goal was missed, in words."""
    costs = limits.timed(search.latest_ms) if limits.latency_ms else limits.exact(search.state.widths)
    worst = max(costs, key=lambda name: costs[name], default="")
    what = f"latency on {worst}" if limits.latency_ms else worst
    reason = ", and each further cut measured slower" if search.undone > MOST_UNDONE else ""
    return f"the goal is missed: {what} is {costs.get(worst, float('nan')):.2f} times the limit{reason}"


def times_text(search: Search) -> str:
    """Before and after on every target, for a line of talk."""
    return "".join(
        f", {search.full_ms[target]:.3g} -> {ms:.3g} ms on {target}" for target, ms in search.latest_ms.items()
    )
