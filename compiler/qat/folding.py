"""BatchNorm that stays as it is, folded into the convolution before it, in the graph that is trained.

Lowering folds it too, so training sees the very weights that will be given codes. torchao's own pattern computes the
same and divides and normalises activations on the way: it must be able to hand BatchNorm the unscaled product.
The user's parameters stay what is trained: weight, and BatchNorm's weight and bias, are combined on each call.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from edgewright.compiler.qat.mapping import Located, Place
from edgewright.compiler.qat.program import batch_norms

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

_OUTPUTS = {"aten.conv1d.default": 0, "aten.conv2d.default": 0, "aten.conv3d.default": 0}
"""Operator -> the axis of its weight that its outputs are of."""
_GAMMA, _BETA, _MEAN, _VARIANCE, _EPSILON = 1, 2, 3, 4, 7


def fold_batch_norms(graph: GraphModule, located: Located) -> Located:
    """Rewrites ``graph`` in place, in evaluation mode, and gives ``located`` as things are then.

    A BatchNorm whose product is read elsewhere too, or whose convolution shares its weight, stays.
    """
    uses = Counter(str(node.target) for node in graph.graph.nodes if node.op == "get_attr" for _ in node.users)
    replaced: dict[Node, Node] = {}
    weights: dict[Node, Node] = {}
    for _, norm in list(batch_norms(graph)):
        product = norm.args[0]
        if _foldable(product, norm, uses):
            weights[cast("Node", product)] = _fold(graph, cast("Node", product), norm)
            replaced[norm] = cast("Node", product)
    for norm, product in replaced.items():
        norm.replace_all_uses_with(product)
        graph.graph.erase_node(norm)
    graph.graph.lint()
    graph.recompile()
    return _moved(located, replaced, weights)


def _foldable(product: object, norm: Node, uses: Counter[str]) -> bool:
    import torch

    if not isinstance(product, torch.fx.Node) or str(product.target) not in _OUTPUTS or len(product.users) != 1:
        return False
    weight = product.args[1]
    return isinstance(weight, torch.fx.Node) and weight.op == "get_attr" and uses[str(weight.target)] == 1


def _fold(graph: GraphModule, product: Node, norm: Node) -> Node:
    """Gives ``product`` the weight and the bias of both; returns the node of that weight."""
    import torch

    aten = torch.ops.aten
    gamma, beta, mean, variance = (cast("Node | None", norm.args[place]) for place in range(_GAMMA, _VARIANCE + 1))
    source = cast("Node", product.args[1])
    bias = cast("Node | None", product.args[2]) if len(product.args) > 2 else None
    axis, rank = _OUTPUTS[str(product.target)], source.meta["val"].dim()
    new = graph.graph.call_function
    # Parameters may stand behind the product in the graph: what is computed from them stands before their reader.
    with graph.graph.inserting_before(product):
        for one in (gamma, beta, mean, variance):
            if one is not None:
                product.prepend(one)
        gain = new(aten.rsqrt.default, (new(aten.add.Tensor, (variance, norm.args[_EPSILON])),))
        if gamma is not None:
            gain = new(aten.mul.Tensor, (gain, gamma))
        shape = [-1 if place == axis else 1 for place in range(rank)]
        weight = new(aten.mul.Tensor, (source, new(aten.reshape.default, (gain, shape))))
        centred = new(aten.neg.default, (mean,)) if bias is None else new(aten.sub.Tensor, (bias, mean))
        total = new(aten.mul.Tensor, (centred, gain))
        if beta is not None:
            total = new(aten.add.Tensor, (total, beta))
    weight.meta = dict(source.meta)
    product.args = (product.args[0], weight, total, *product.args[3:])
    product.meta = dict(norm.meta)
    return weight


def _moved(located: Located, replaced: dict[Node, Node], weights: dict[Node, Node]) -> Located:
    def now(node: Node) -> Node:
        return replaced.get(node, node)

    def place_now(place: Place) -> Place:
        weight = place.weight
        if weight is not None and weight[1] in weights:
            weight = (weights[weight[1]], weight[1])
        return replace(
            place,
            edges=tuple((now(source), now(reader), tensor) for source, reader, tensor in place.edges),
            weight=weight,
        )

    nodes = {name: list(dict.fromkeys(now(node) for node in found)) for name, found in located.nodes.items()}
    return Located(tuple(place_now(place) for place in located.places), nodes, located.missing)
