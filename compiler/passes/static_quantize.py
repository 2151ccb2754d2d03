"""Static int8 and fp8: activations on grids fixed by calibration, weights as codes, written as Q/DQ pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from edgewright.compiler.pass_base import Effect, LayerDamage, Outcome, Pass, Stage, Tunable
from edgewright.compiler.quantization.damage import rank_damage
from edgewright.compiler.quantization.insertion import insert
from edgewright.compiler.quantization.lint import describe
from edgewright.compiler.quantization.planning import StaticOptions, float_form, make_plan
from edgewright.compiler.quantization.saturation import find_saturation, saturation_notes
from edgewright.compiler.quantization.tables import store_tables
from edgewright.compiler.quantization.trained import strip_grids
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import Target


class StaticQuantize(Pass[OnnxModel, OnnxModel], Tunable):
    """Quantises what the target's scheme names, from ranges observed on the calibration samples."""

    name: ClassVar[str] = "static-quantize"
    effect: ClassVar[Effect] = Effect.LOSSY
    stage: ClassVar[Stage] = Stage.QUANTIZE
    options_type: ClassVar[type] = StaticOptions
    options: StaticOptions

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """Only for int8 and fp8 on a target whose preferred scheme is static."""
        if precision not in ("int8", "fp8"):
            return f"the precision is {precision}"
        rule = target.fp8 if precision == "fp8" else target.int8
        if rule is None or not rule.schemes:
            return f"{target.name} has no {precision}"
        first = rule.schemes[0]
        return None if first.kind == "static" else f"{target.name} prefers the {first.kind} scheme '{first.name}'"

    @classmethod
    def options_for(cls, target: Target, precision: str) -> StaticOptions:
        """Which of the target's rules the precision names."""
        del target
        return StaticOptions(codes="fp8" if precision == "fp8" else "int8")

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """Quantises a copy of ``model``.

        Raises:
            UsageError: the target has no such scheme, or there are no calibration samples.
            BadInputError: an activation is not finite on a sample.
        """
        plan = make_plan(model, self.options, site)
        notes = describe(plan.graph, plan.placement.nodes, plan.placement.refused, plan.scheme, self.options.codes)
        notes += plan.notes
        if not plan.placement.ops:
            return Outcome(model, 0, notes)
        notes += saturation_notes(find_saturation(plan, site), plan.policy.rule)
        insert(plan.graph, plan.placement, plan.grids, plan.policy)
        notes += store_tables(plan.graph, plan.scheme, plan.policy, frozenset(self.options.keep_float))
        strip_grids(plan.model.ir)
        # A new handle: the old one may have computed the digest of the graph as it was.
        return Outcome(replace(plan.model), len(plan.placement.ops), notes)

    def alternatives(self) -> tuple[Mapping[str, object], ...]:
        """Weights as they are, ranges that clip nothing, ranges that clip tails: each helps some models."""
        if self.options.codes == "fp8":  # its range is all that was seen already
            return ({"smooth": 0.0}, {"ranges": "percentile", "percentile": 99.99}, {"bias_correction": False})
        return (
            {"smooth": 0.0},
            {"ranges": "minmax"},
            {"ranges": "percentile", "percentile": 99.99},
            {"bias_correction": False},
        )

    def damage(self, model: OnnxModel, site: Site) -> list[LayerDamage]:
        """The layers that would be quantised, worst first; see :func:`rank_damage`."""
        return rank_damage(make_plan(model, self.options, site), site)

    def float_twin(self, model: OnnxModel, site: Site) -> OnnxModel:
        """In float, its channels evened out as those of the result are."""
        return float_form(model, self.options, site)
