"""All decisions about one model before anything is written: what is quantised, on which grids, and what it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import onnx_ir as ir

from edgewright.compiler.half_precision import written_half
from edgewright.compiler.pass_base import Note
from edgewright.compiler.quantization.calibration import Observation, calibrate, merged
from edgewright.compiler.quantization.correction import correct_biases
from edgewright.compiler.quantization.existing import own_pair
from edgewright.compiler.quantization.grid import Grid
from edgewright.compiler.quantization.insertion import WeightPolicy
from edgewright.compiler.quantization.placement import Placement, place
from edgewright.compiler.quantization.prepare import FIRST_OPSET, TYPED_OPSET, prepare
from edgewright.compiler.quantization.ranges import choose_grid
from edgewright.compiler.quantization.sensitivity import unfit
from edgewright.compiler.quantization.smoothing import Evened, smooth
from edgewright.compiler.quantization.trained import TrainedGrids, kept_float, read_grids, read_unfit, use_grids
from edgewright.compiler.site import Site
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import QuantRule, QuantScheme, Target


@dataclass(frozen=True)
class StaticOptions:
    """How static codes are written; the defaults are what the target prefers."""

    scheme: str = ""
    """Name of one of the target's static schemes; empty for the first of them."""
    ranges: Literal["mse", "minmax", "percentile"] = "mse"
    percentile: float = 99.99
    """Of each activation's values that its range keeps, with ``ranges = "percentile"``."""
    keep_float: tuple[str, ...] = ()
    """Nodes, by name, to leave in float."""
    keep_kinds: tuple[str, ...] = ()
    """Operator kinds to leave in float."""
    smooth: float = 0.5
    """How far channels are evened out between producer and reader, 0 (not at all) to 1 (wholly)."""
    bias_correction: bool = True
    """Take the mean error that rounding the weights makes out of the bias."""
    samples: int = 256
    """At most so many calibration samples are used."""
    codes: Literal["int8", "fp8"] = "int8"
    """Which of the target's rules is followed."""

    def __post_init__(self) -> None:
        if self.ranges not in ("mse", "minmax", "percentile"):
            raise ValueError(f"ranges: '{self.ranges}' is none of mse, minmax, percentile")
        if self.codes not in ("int8", "fp8"):
            raise ValueError(f"codes: '{self.codes}' is neither int8 nor fp8")
        if not 90.0 < self.percentile <= 100.0:
            raise ValueError(f"percentile: {self.percentile} is not in (90, 100]")
        if not 0.0 <= self.smooth <= 1.0:
            raise ValueError(f"smooth: {self.smooth} is not in [0, 1]")
        if self.samples < 1:
            raise ValueError(f"samples: {self.samples} is not positive")


@dataclass(frozen=True, eq=False)
class QuantizationPlan:
    """A prepared model and what is to be done to it."""

    model: OnnxModel
    """In float; a copy of its own that may be rewritten."""
    scheme: QuantScheme
    placement: Placement
    grids: Mapping[ir.Value, Grid]
    """For each tensor of the placement."""
    policy: WeightPolicy
    notes: tuple[Note, ...] = ()
    """What became of trained grids."""
    evened: tuple[Evened, ...] = ()
    """The tensors whose channels were evened out in ``model``."""
    unfit: Mapping[str, str] = field(default_factory=dict)
    """Operators found unfit for int8, and why."""

    @property
    def graph(self) -> ir.Graph:
        """The main graph."""
        return self.model.ir.graph


def make_plan(model: OnnxModel, options: StaticOptions, site: Site) -> QuantizationPlan:
    """Decides how ``model`` is quantised for ``site.target``; calibrates where something is.

    Raises:
        UsageError: the target has no such scheme, or there are no calibration samples.
        BadInputError: an activation is not finite on a sample.
    """
    rule, scheme = scheme_of(site.target, "static", options.scheme, options.codes)
    scales = written_half(site.target, scheme) or "float32"
    prepared, evened = _evened_form(model, options, site)
    given = _trained(model, options)
    keep = frozenset(options.keep_float), frozenset(options.keep_kinds)
    # What was float in training stays float, or its weights would be rounded as they never were.
    found_unfit = read_unfit(model) if given else {}
    placement = place(prepared.ir.graph, scheme, *keep, found_unfit)
    trained = TrainedGrids()
    grids: dict[ir.Value, Grid] = {}
    while placement.ops:
        trained = use_grids(given, placement, prepared.ir.graph, rule, scales)
        observed = _observed(prepared, placement, site, options.samples, frozenset(trained.groups))
        grids = _grids(placement, observed, rule, options, scales=scales, trained=trained.groups)
        more = unfit(placement, observed, grids, scales)
        if not more:
            break
        found_unfit.update(more)
        placement, grids = place(prepared.ir.graph, scheme, *keep, found_unfit), {}
    policy = WeightPolicy(rule, scales=scales)
    if options.bias_correction and not given:
        correct_biases(prepared, placement, grids, policy, site=site, limit=options.samples)
        prepared = replace(prepared)
    refused = (node for node in prepared.ir.graph if node.name in placement.refused)
    notes = (*trained.notes, *kept_float(given, refused))
    return QuantizationPlan(prepared, scheme, placement, grids, policy, notes, tuple(evened), found_unfit)


def float_form(model: OnnxModel, options: StaticOptions, site: Site) -> OnnxModel:
    """``model`` as :func:`make_plan` prepares it and evens out its channels, all in float: what codes are rounded from.

    Raises:
        UsageError, UnavailableError: as :func:`make_plan`.
    """
    return _evened_form(model, options, site)[0]


def _evened_form(model: OnnxModel, options: StaticOptions, site: Site) -> tuple[OnnxModel, list[Evened]]:
    rule, scheme = scheme_of(site.target, "static", options.scheme, options.codes)
    scales = written_half(site.target, scheme) or "float32"
    least = TYPED_OPSET if options.codes == "fp8" else FIRST_OPSET
    opset = TYPED_OPSET if scales != "float32" and site.target.opset[1] >= TYPED_OPSET else least
    prepared = prepare(model, opset=opset, least=least)
    # As if nothing were kept in float: that way all trials with other layers kept share one calibration.
    everything = place(prepared.ir.graph, scheme, frozenset(), frozenset())
    evened: list[Evened] = []
    # What was trained with codes was trained on its channels as they are.
    if everything.ops and not _trained(model, options):
        kinds = frozenset(rule.per_channel_axes)
        evened = smooth(prepared, everything, site, per_channel=kinds, strength=options.smooth, limit=options.samples)
        prepared = replace(prepared)  # the digest, if it was computed, is of the weights as they were
    return prepared, evened


def _trained(model: OnnxModel, options: StaticOptions) -> dict[str, Grid]:
    """The grids that ``model`` was trained with, where these are the codes it was trained for."""
    return read_grids(model) if options.codes == "int8" else {}


def _observed(
    model: OnnxModel, placement: Placement, site: Site, limit: int, known: frozenset[ir.Value]
) -> dict[ir.Value, Observation]:
    """For each group of tensors that share a grid, what they were seen to hold together; not for those ``known``."""
    sources = {
        group: placement.sources(group) for group in dict.fromkeys(placement.grids.values()) if group not in known
    }
    if not sources:
        return {}
    wanted = [value.name or "" for members in sources.values() for value in members]
    observed = calibrate(model, wanted, site, limit)
    return {
        group: _seen([observed[value.name or ""] for value in members], group.name or "")
        for group, members in sources.items()
    }


def _grids(
    placement: Placement,
    observed: Mapping[ir.Value, Observation],
    rule: QuantRule,
    options: StaticOptions,
    *,
    scales: str,
    trained: Mapping[ir.Value, Grid],
) -> dict[ir.Value, Grid]:
    """The grid of each tensor of ``placement``: where the model brought one its own, written as a pair or trained, else
    the observed range's."""
    form = rule.activation, rule.activation_symmetric
    chosen = {
        group: choose_grid(seen, *form, options.ranges, options.percentile, scales=scales)
        for group, seen in observed.items()
    }
    chosen |= trained
    for value, group in placement.grids.items():
        if (pair := own_pair(value)) is not None:
            chosen[group] = pair.grid
    return {value: chosen[group] for value, group in placement.grids.items()}


def _seen(observations: Sequence[Observation], name: str) -> Observation:
    """What the tensors of a group held together.

    Raises:
        BadInputError: nothing, on every sample.
    """
    together = merged(observations)
    if together.minimum > together.maximum:
        raise BadInputError(
            f"activation '{name}' is empty in every calibration sample, so no range can be found for it",
            "Add samples in which it holds something, or leave its readers in float (keep_float).",
        )
    return together


def scheme_of(target: Target, kind: str, name: str, codes: str = "int8") -> tuple[QuantRule, QuantScheme]:
    """The target's rule for ``codes`` and its scheme of ``kind`` called ``name``, or the first one when that is empty.

    Raises:
        UsageError: when there is none; the message lists those there are.
    """
    rule = target.fp8 if codes == "fp8" else target.int8
    if rule is None:
        raise UsageError(f"{target.name} has no {codes}", "Choose another precision or target.")
    schemes = {scheme.name: scheme for scheme in rule.schemes if scheme.kind == kind}
    if name == "" and schemes:
        return rule, next(iter(schemes.values()))
    if name not in schemes:
        listed = ", ".join(schemes) or "none"
        raise UsageError(f"{target.name} has no {kind} {codes} scheme '{name}'", f"There are: {listed}.")
    return rule, schemes[name]
