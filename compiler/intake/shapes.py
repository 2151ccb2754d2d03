"""``--shape x=1,3,224,224`` or ``x=1..8,3,48,32..640``: fixes dynamic sizes, or bounds them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import onnx_ir as ir

from edgewright.compiler.intake.declared import infer
from edgewright.compiler.intake.normalise import correct_types
from edgewright.core.errors import UsageError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Dim, TensorSpec

_LARGEST = (1 << 31) - 1
_RANGE = re.compile(r"([0-9]{1,10})(?:\.\.([0-9]{1,10}))?")


@dataclass(frozen=True)
class Bound:
    """A size, or the range one may take: ``low <= size <= high``."""

    low: int
    high: int

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}..{self.high}"


Bounds: TypeAlias = Mapping[str, tuple[Bound, ...]]
"""Input name -> what each of its sizes may be."""


@dataclass(frozen=True)
class ShapedModel:
    """A model whose sizes are as the user wishes, and the bounds of those that stay dynamic."""

    model: OnnxModel
    bounds: Bounds


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[Bound, ...]]:
    """Reads ``name=size,size,...`` where a size is a number or ``low..high``; several may stand in one text.

    >>> {name: [str(item) for item in dims] for name, dims in parse_shapes(["x=1..8,3 y="]).items()}
    {'x': ['1..8', '3'], 'y': []}

    Raises:
        UsageError: naming the text and what it should look like.
    """
    found: dict[str, tuple[Bound, ...]] = {}
    for text in texts:
        for word in text.split():
            name, equals, sizes = word.rpartition("=")
            if not equals or not name:
                raise UsageError(f"shape '{word:.200}' has no 'name='", "Write it as x=1,3,224,224.")
            if name in found:
                raise UsageError(f"two shapes for input '{name:.200}'", "Give each input one shape.")
            found[name] = tuple(_bound(item, word) for item in sizes.split(",")) if sizes else ()
    return found


def fix_shapes(model: OnnxModel, texts: Sequence[str]) -> ShapedModel:
    """Gives the model's inputs the sizes of ``texts``; ranges keep their dimension dynamic.

    Args:
        model: stays as it is.
        texts: as :func:`parse_shapes` takes them.

    Raises:
        UsageError: an unknown input, another rank, a size the model has fixed otherwise, or one symbol with two
            sizes; the message lists the inputs.
    """
    wanted = parse_shapes(texts)
    if not wanted:
        return ShapedModel(model, {})
    listing = "The model takes " + ", ".join(f"{spec.name:.100}: {spec.shape_text:.200}" for spec in model.inputs) + "."
    specs = {spec.name: spec for spec in model.inputs}
    symbols: dict[str, Bound] = {}
    for name, bounds in wanted.items():
        if name not in specs:
            raise UsageError(f"shape for '{name:.200}', but there is no such input", listing)
        _bind(specs[name], bounds, symbols, listing)
    changed = model.copy()
    _apply(changed.ir, wanted, symbols)
    return ShapedModel(changed, wanted)


def _bound(text: str, word: str) -> Bound:
    form = _RANGE.fullmatch(text.strip())
    if form is None:
        raise UsageError(
            f"shape '{word:.200}': '{text:.50}' is not a size", "Write a number, or a range such as 32..640."
        )
    low, high = int(form[1]), int(form[2] or form[1])
    if low > high or high > _LARGEST or low < 1:
        raise UsageError(f"shape '{word:.200}': '{text:.50}' is no size from 1 to {_LARGEST}", "Write 1, 3 or 32..640.")
    return Bound(low, high)


def _bind(spec: TensorSpec, bounds: tuple[Bound, ...], symbols: dict[str, Bound], listing: str) -> None:
    """Checks one input's bounds against its declared shape and the symbols bound so far."""
    shown = ",".join(map(str, bounds))
    if spec.shape is None:
        return
    if len(spec.shape) != len(bounds):
        raise UsageError(
            f"shape {spec.name:.100}={shown} has {len(bounds)} sizes, the input has {len(spec.shape)}", listing
        )
    for axis, (dim, bound) in enumerate(zip(spec.shape, bounds, strict=True)):
        if isinstance(dim, int) and (bound.low, bound.high) != (dim, dim):
            raise UsageError(f"shape {spec.name:.100}={shown}: size {axis} is fixed to {dim} in the model", listing)
        if isinstance(dim, str) and symbols.setdefault(dim, bound) != bound:
            raise UsageError(
                f"shape {spec.name:.100}={shown}: '{dim:.100}' is {bound} here and {symbols[dim]} elsewhere", listing
            )


def _apply(model: ir.Model, wanted: Bounds, symbols: Mapping[str, Bound]) -> None:
    fixed = {name: bound.low for name, bound in symbols.items() if bound.low == bound.high}
    for value in model.graph.inputs:
        sizes = wanted.get(value.name or "")
        if sizes is not None and value.shape is None:
            value.shape = ir.Shape([_dim(bound) for bound in sizes])
        elif sizes is not None and value.shape is not None:
            pairs = zip(value.shape, sizes, strict=True)
            value.shape = ir.Shape([bound.low if bound.low == bound.high else dim for dim, bound in pairs])
        _replace_symbols(value, fixed)
    for graph in (model.graph, *model.graph.subgraphs()):
        for node in graph:
            for value in node.outputs:
                _replace_symbols(value, fixed)
    # Sizes computed from the fixed ones (H/2 and the like) become known too, and with them what no longer fits.
    try:
        correct_types(model, infer(model, strict=True))
    except ValueError as error:
        shown = " ".join(f"{name}={','.join(map(str, sizes))}" for name, sizes in wanted.items())
        raise UsageError(
            f"the model cannot have the shapes {shown:.300}: {error!s:.400}", "Leave the sizes dynamic, or give others."
        ) from error


def _dim(bound: Bound) -> Dim:
    return bound.low if bound.low == bound.high else None


def _replace_symbols(value: ir.Value, fixed: Mapping[str, int]) -> None:
    if value.shape is not None and any(not isinstance(dim, int) and dim.value in fixed for dim in value.shape):
        value.shape = ir.Shape(
            [dim if isinstance(dim, int) else fixed.get(dim.value or "", dim) for dim in value.shape]
        )
