"""What of a module is left whole without a trial, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from edgewright.compiler.pruning.tracing import Bundle


def left_whole(module: nn.Module) -> Iterator[tuple[str, str]]:
    """(path, reason) of layers whose insides cannot be cut."""
    from torch import nn

    for path, layer in module.named_modules():
        if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
            yield path, f"{type(layer).__name__} is left whole: all of its gates share their weights"
        if isinstance(layer, nn.MultiheadAttention):
            yield path, "MultiheadAttention is left whole: it derives the size of a head from the width it reads"


def whole_kind(layer: nn.Module) -> str | None:
    """Why channels that meet a parameter of ``layer`` stay; None where it may be cut with them."""
    from torch import nn

    kind = type(layer).__name__
    if isinstance(layer, nn.RMSNorm):
        return f"{kind} '%s' normalises over its channels"
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase | nn.MultiheadAttention | nn.Bilinear):
        return f"its channels pass {kind} '%s', which is left whole"
    return None


def entangled(module: nn.Module, bundle: Bundle) -> str | None:
    """Why a layer of ``bundle`` cannot be cut: its tensors are shared, or computed from others."""
    from torch import nn

    owners = Counter(id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False))
    for slot in bundle.units[0]:
        if slot.side == "parameter":
            continue
        layer = module.get_submodule(slot.path)
        own = dict(layer.named_parameters(recurse=False))
        if shared := [name for name, parameter in own.items() if owners[id(parameter)] > 1]:
            return f"'{slot.path}.{shared[0]}' is shared with another layer"
        if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear) and "weight" not in own:  # noqa: SLF001
            return f"'{slot.path}.weight' is computed from other tensors (weight_norm or another parametrization)"
    return None


def out_of_sight(module: nn.Module, bundles: Iterable[Bundle]) -> Iterator[tuple[str, str]]:
    """(path, reason) of layers that no bundle has."""
    from torch import nn

    seen = {slot.path for bundle in bundles for unit in bundle.units[:1] for slot in unit}
    for path, layer in module.named_modules():
        inside = [module.get_submodule(path.rpartition(".")[0])] if path else []
        if any(isinstance(one, nn.MultiheadAttention) for one in inside) or path in seen:
            continue
        if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear):  # noqa: SLF001 - the only common base
            yield path, "no output of the model depends on it by operators that have a gradient"
