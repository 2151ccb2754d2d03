"""Evens out channels of the torch module before it is trained, as static quantisation would do in the ONNX form.

Factors are powers of two and stand between operators that commute with them, so answers stay as they are; a module
whose answers do not is put back. What is trained, saved and exported afterwards has its channels even.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgewright.compiler.qat.mapping import AGREEMENT, Located, Place
from edgewright.compiler.qat.wanted import Evening, Wanted

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

    Change = tuple[torch.nn.Parameter, torch.Tensor]


def even_out(graph: GraphModule, located: Located, wanted: Wanted, sample: Sequence[torch.Tensor]) -> Wanted:
    """Changes parameters of ``graph`` in place, and gives ``wanted`` with the grids that belong to what was changed.

    Args:
        graph: where ``located`` found things, before it is prepared, in evaluation mode.
        wanted: its ``evenings`` are done where they can be.
        sample: inputs that answers are compared on.
    """
    import torch

    if not wanted.evenings:
        return wanted
    uses = Counter(str(node.target) for node in graph.graph.nodes if node.op == "get_attr" for _ in node.users)
    before = {name: value.detach().clone() for name, value in graph.named_parameters()}
    starts: dict[str, Evening] = {}
    with torch.no_grad():
        answers = _answers(graph, sample)
        for one in wanted.evenings:
            changes = _changes(graph, located, one, uses)
            for parameter, value in changes:
                parameter.copy_(value)
            if changes:
                starts[wanted.tensors[one.tensor].group] = one
        if not all(_close(old, new) for old, new in zip(answers, _answers(graph, sample), strict=True)):
            for name, parameter in graph.named_parameters():
                parameter.copy_(before[name])
            starts = {}
    tensors = {
        name: replace(tensor, scale=start.scale, zero_point=start.zero_point)
        if (start := starts.get(tensor.group)) is not None
        else tensor
        for name, tensor in wanted.tensors.items()
    }
    return replace(wanted, tensors=tensors, evenings=tuple(starts.values()))


def _answers(graph: GraphModule, sample: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    import torch

    leaves = torch.utils._pytree.tree_leaves(graph(*sample))  # noqa: SLF001 - torch has no public way
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()]


def _close(old: torch.Tensor, new: torch.Tensor) -> bool:
    return bool((old - new).abs().max() <= AGREEMENT * old.abs().max().clamp(min=1e-30))


def _changes(graph: GraphModule, located: Located, one: Evening, uses: Mapping[str, int]) -> list[Change]:
    """What ``one`` makes of which parameters; nothing where one of them is not to be had, or serves elsewhere too."""
    import torch

    def own(node: object) -> torch.nn.Parameter | None:
        if not isinstance(node, torch.fx.Node) or node.op != "get_attr" or uses[str(node.target)] != 1:
            return None
        return dict(graph.named_parameters()).get(str(node.target))

    places = {place.op.name: place for place in located.places}
    factor = torch.tensor(one.factor, dtype=torch.float32)
    changes = _divided(places.get(one.producer), located.nodes.get(one.tensor, []), factor, own)
    for name in one.readers if changes else ():
        place = places.get(name)
        weight = own(place.weight[0]) if place is not None and place.weight is not None else None
        if place is None or place.weight is None or weight is None:
            return []
        changes.append((weight, _multiplied(weight, place.weight[1], factor)))
    return changes


def _divided(
    place: Place | None,
    nodes: Sequence[Node],
    factor: torch.Tensor,
    own: Callable[[object], torch.nn.Parameter | None],
) -> list[Change]:
    """The producer's parameters divided by ``factor``: those of the BatchNorm behind it, else its own."""
    sources: list[object] = []
    if place is None:  # a LayerNorm, which no scheme quantises
        norms = [node for node in nodes if str(node.target) == "aten.layer_norm.default"]
        sources = list(norms[0].args[2:4]) if norms else []
    elif place.weight is not None and str(place.weight[1].target).startswith("aten.conv"):
        product = place.weight[1]
        readers = list(product.users)
        normed = len(readers) == 1 and str(readers[0].target) == "aten.batch_norm.default"
        sources = list(readers[0].args[1:3] if normed else product.args[1:3])
    found = [own(source) for source in sources if source is not None]
    changes = [(one, one / factor.reshape(-1, *[1] * (one.dim() - 1))) for one in found if one is not None]
    return changes if len(changes) == len(found) else []


def _multiplied(weight: torch.Tensor, product: Node, factor: torch.Tensor) -> torch.Tensor:
    """``weight`` with its input channels multiplied by ``factor``."""
    if str(product.target).startswith("aten.conv"):
        groups = len(factor) // weight.shape[1]
        per_group = factor.reshape(groups, 1, weight.shape[1], 1)
        grouped = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        return (grouped * per_group).reshape(weight.shape)
    return weight * factor if str(product.target) == "aten.linear.default" else weight * factor[:, None]
