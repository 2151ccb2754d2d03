"""Static int8: activations on grids fixed by calibration, weights as int8 codes, written as Q/DQ pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import onnx_ir as ir

from edgewright.compiler.pass_base import Effect, Note, Outcome, Pass, Stage
from edgewright.compiler.quantization.calibration import Observation, calibrate, merged
from edgewright.compiler.quantization.grid import Grid
from edgewright.compiler.quantization.insertion import WeightPolicy, insert
from edgewright.compiler.quantization.placement import place
from edgewright.compiler.quantization.prepare import prepare
from edgewright.compiler.quantization.ranges import choose_grid
from edgewright.compiler.site import Site
from edgewright.core.errors import UsageError
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import QuantRule, QuantScheme, Target


@dataclass(frozen=True)
class StaticQuantizeOptions:
    """How int8 is written; the defaults are what the target prefers."""

    scheme: str = ""
    """Name of one of the target's static schemes; empty for the first of them."""
    ranges: Literal["mse", "minmax", "percentile"] = "mse"
    percentile: float = 99.99
    """Of each activation's values that its range keeps, with ``ranges = "percentile"``."""
    keep_float: tuple[str, ...] = ()
    """Nodes, by name, to leave in float."""
    keep_kinds: tuple[str, ...] = ()
    """Operator kinds to leave in float."""
    samples: int = 256
    """At most so many calibration samples are used."""

    def __post_init__(self) -> None:
        if self.ranges not in ("mse", "minmax", "percentile"):
            raise ValueError(f"ranges: '{self.ranges}' is none of mse, minmax, percentile")
        if not 90.0 < self.percentile <= 100.0:
            raise ValueError(f"percentile: {self.percentile} is not in (90, 100]")
        if self.samples < 1:
            raise ValueError(f"samples: {self.samples} is not positive")


class StaticQuantize(Pass[OnnxModel, OnnxModel]):
    """Quantises what the target's scheme names, from ranges observed on the calibration samples."""

    name: ClassVar[str] = "static-quantize"
    effect: ClassVar[Effect] = Effect.LOSSY
    stage: ClassVar[Stage] = Stage.QUANTIZE
    options_type: ClassVar[type] = StaticQuantizeOptions
    options: StaticQuantizeOptions

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """Only for int8 on a target whose preferred scheme is static."""
        if precision != "int8":
            return f"the precision is {precision}"
        if target.int8 is None or not target.int8.schemes:
            return f"{target.name} has no int8"
        first = target.int8.schemes[0]
        return None if first.kind == "static" else f"{target.name} prefers the {first.kind} scheme '{first.name}'"

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """Quantises a copy of ``model``.

        Raises:
            UsageError: the target has no such scheme, or there are no calibration samples.
            BadInputError: an activation is not finite on a sample.
        """
        options, rule = self.options, site.target.int8
        if rule is None:
            raise UsageError(f"{site.target.name} has no int8", "Choose another precision or target.")
        scheme = static_scheme(rule, options.scheme, site.target.name)
        prepared = prepare(model)
        graph = prepared.ir.graph
        placement = place(graph, scheme, frozenset(options.keep_float), frozenset(options.keep_kinds))
        if not placement.ops:
            return Outcome(model, 0, tuple(_refusals(placement.refused)))
        sources = {group: placement.sources(group) for group in dict.fromkeys(placement.grids.values())}
        wanted = [value.name or "" for members in sources.values() for value in members]
        observed = calibrate(prepared, wanted, site, options.samples)
        chosen = {group: self._grid(members, observed, rule) for group, members in sources.items()}
        grids = {value: chosen[group] for value, group in placement.grids.items()}
        insert(graph, placement, grids, WeightPolicy(rule))
        notes = (Note("did", "", f"{len(placement.ops)} operators on int8"), *_refusals(placement.refused))
        return Outcome(replace(prepared), len(placement.ops), notes)

    def _grid(self, members: list[ir.Value], observed: Mapping[str, Observation], rule: QuantRule) -> Grid:
        options = self.options
        observation = merged([observed[value.name or ""] for value in members])
        symmetric = rule.activation_symmetric
        return choose_grid(observation, rule.activation, symmetric, options.ranges, options.percentile)


def static_scheme(rule: QuantRule, name: str, target: str) -> QuantScheme:
    """The static scheme called ``name``, or the first one when that is empty.

    Raises:
        UsageError: when there is none; the message lists those there are.
    """
    schemes = {scheme.name: scheme for scheme in rule.schemes if scheme.kind == "static"}
    if name == "" and schemes:
        return next(iter(schemes.values()))
    if name not in schemes:
        listed = ", ".join(schemes) or "none"
        raise UsageError(f"{target} has no static int8 scheme '{name}'", f"There are: {listed}.")
    return schemes[name]


def _refusals(refused: Mapping[str, str]) -> list[Note]:
    reasons: dict[str, list[str]] = {}
    for node, reason in refused.items():
        reasons.setdefault(reason, []).append(node)
    return [
        Note("skipped", nodes[0], f"{len(nodes)} operators stay float: {reason}")
        for reason, nodes in sorted(reasons.items())
    ]
