"""What is written in 8 bits and computed in float all the same: nothing of it would show in the typed model."""

from __future__ import annotations

from collections.abc import Mapping

from edgewright.backends._tensorrt_flavours import TITLES, FlavourFound
from edgewright.backends._tensorrt_layers import QUANTISED, counted
from edgewright.targets.schema import Target

_NAMED = 5


def float_after_all(planned: Mapping[str, str], builder: FlavourFound, capability: tuple[int, int]) -> list[str]:
    """A line for the layers that the builder has laid out in float, and one for those it says nothing of.

    Args:
        planned: the layers written in 8 bits, and what each is built to compute in.
    """
    where = f"{TITLES[builder.name]} {builder.version} for sm_{capability[0]}{capability[1]}"
    unknown = [name for name, precision in planned.items() if precision == "unknown"]
    floats = {name: precision for name, precision in planned.items() if precision not in {*QUANTISED, "unknown"}}
    told = []
    for names, what in ((floats, f"computes in {counted(floats)}"), (unknown, "does not say in what it computes")):
        if names:
            listed = ", ".join(list(names)[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            told.append(f"{where} {what}, of {len(planned)} layers written in 8 bits: {listed}")
    return told


def documented(products: Mapping[str, str], planned: Mapping[str, str], flavour: str, target: Target) -> list[str]:
    """What a flavour is documented not to do with the precisions of a model, beside what it has planned for it.

    Args:
        products: the layers written in 8 bits, and in which.
        planned: what each of them is built to compute in; empty where nothing has been built.
    """
    told = []
    for precision in sorted(set(products.values())):
        names = [name for name, kind in products.items() if kind == precision]
        kept = sum(planned.get(name) == precision for name in names)
        built = (
            f"; of this model's {len(names)} layers in {precision} its builder has kept {kept} so" if planned else ""
        )
        told += [f"{limit.text}{built}" for limit in target.limits_of(flavour, precision)]
    return told
