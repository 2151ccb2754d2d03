"""Dynamic int8 for matrix products: weights as codes, activations quantised by the runtime as they come by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from edgewright.compiler.pass_base import Effect, LayerDamage, Note, Outcome, Pass, Stage, Tunable
from edgewright.compiler.quantization.damage import rank_dynamic_damage
from edgewright.compiler.quantization.dynamic import DynamicWriter, place_dynamic
from edgewright.compiler.quantization.lint import describe
from edgewright.compiler.quantization.planning import scheme_of
from edgewright.compiler.quantization.prepare import prepare
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import Target


@dataclass(frozen=True)
class DynamicOptions:
    """How dynamic int8 is written."""

    scheme: str = ""
    """Name of one of the target's dynamic schemes; empty for the first of them."""
    keep_float: tuple[str, ...] = ()
    """Nodes, by name, to leave in float."""
    keep_kinds: tuple[str, ...] = ()
    """Operator kinds to leave in float."""


class DynamicQuantize(Pass[OnnxModel, OnnxModel], Tunable):
    """Quantises the weights of what the target's dynamic scheme names; needs no samples."""

    name: ClassVar[str] = "dynamic-quantize"
    effect: ClassVar[Effect] = Effect.LOSSY
    stage: ClassVar[Stage] = Stage.QUANTIZE
    options_type: ClassVar[type] = DynamicOptions
    options: DynamicOptions

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """Only for int8 on a target whose preferred scheme is dynamic."""
        if precision != "int8":
            return f"the precision is {precision}"
        if target.int8 is None or not target.int8.schemes:
            return f"{target.name} has no int8"
        first = target.int8.schemes[0]
        return None if first.kind == "dynamic" else f"{target.name} prefers the {first.kind} scheme '{first.name}'"

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """Quantises a copy of ``model``.

        Raises:
            UsageError: the target has no such scheme.
        """
        rule, scheme = scheme_of(site.target, "dynamic", self.options.scheme)
        prepared = prepare(model)
        graph = prepared.ir.graph
        keep = frozenset(self.options.keep_float), frozenset(self.options.keep_kinds)
        placement = place_dynamic(graph, scheme, *keep)
        notes: tuple[Note, ...] = describe(graph, frozenset(placement.nodes), placement.refused, scheme)
        if not placement.nodes:
            return Outcome(model, 0, notes)
        writer = DynamicWriter(graph, rule)
        for node in placement.nodes:
            writer.write(node)
        return Outcome(replace(prepared), len(placement.nodes), notes)

    def alternatives(self) -> tuple[Mapping[str, object], ...]:
        """None: the runtime finds the ranges, only layers can be spared."""
        return ()

    def damage(self, model: OnnxModel, site: Site) -> list[LayerDamage]:
        """The layers that would be quantised, worst first; see :func:`rank_dynamic_damage`."""
        rule, scheme = scheme_of(site.target, "dynamic", self.options.scheme)
        prepared = prepare(model)
        keep = frozenset(self.options.keep_float), frozenset(self.options.keep_kinds)
        placement = place_dynamic(prepared.ir.graph, scheme, *keep)
        return rank_dynamic_damage(prepared, placement.nodes, rule, site)

    def float_twin(self, model: OnnxModel, site: Site) -> OnnxModel:
        """In float, its nodes named as those of the result are."""
        del site
        return prepare(model)
