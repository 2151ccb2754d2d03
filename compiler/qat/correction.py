"""Takes out of the biases what codes add to the mean of each channel, before training starts.

Codes of a layer's weights and inputs move the mean of its outputs, and the layers behind it add to that: training would
spend its first epochs on it. This is the empirical correction of Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction", https://arxiv.org/abs/1906.04721 (appendix D): layer by layer in the graph's order,
each on inputs from layers that are corrected already. Lowering need not know of it: it is in what is trained.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from edgewright.compiler.pruning.answers import answers_of, output_error
from edgewright.compiler.qat.fake_quant import activation_class, constant_class

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

    from edgewright.compiler.pruning.answers import Batches, Error

_CHANNELS = {"aten.conv1d.default": 1, "aten.conv2d.default": 1, "aten.conv3d.default": 1, "aten.linear.default": -1}
"""Operator whose third argument is a bias -> the axis of its output that the bias is added along."""


def correct_biases(
    graph: GraphModule, batch: tuple[torch.Tensor, ...], judged: Batches, error: Error = output_error
) -> int:
    """Changes biases of ``graph``, in place, so that codes shift no channel's mean.

    Args:
        graph: from ``quantizer.prepare``, in evaluation mode. Where BatchNorm is folded it is its bias that changes.
        batch: inputs that means are taken over.
        judged: inputs that answers are judged on.
        error: of answers with codes from those without. Unless that becomes smaller, all stays as it was.

    Returns:
        How many layers were corrected. Layers without a bias, or whose bias others share, are not.
    """
    import torch

    biases = _biases(graph)
    if not biases:
        return 0
    before = {node: bias.detach().clone() for node, bias in biases.items()}
    with torch.no_grad():
        reference = answers_of(_interpreter(graph, exact=True).run, judged)
        was = error(reference, answers_of(graph, judged))
        _correct(graph, biases, batch)
        if error(reference, answers_of(graph, judged)) < was:
            return len(biases)
        for node, bias in biases.items():
            bias.copy_(before[node])
    return 0


def _correct(graph: GraphModule, biases: dict[Node, torch.nn.Parameter], batch: tuple[torch.Tensor, ...]) -> None:
    means: dict[Node, torch.Tensor] = {}

    def remember(node: Node, result: torch.Tensor) -> torch.Tensor:
        means[node] = _means(node, result)
        return result

    def shift(node: Node, result: torch.Tensor) -> torch.Tensor:
        moved = _means(node, result) - means[node]
        biases[node].sub_(moved)
        axis = _CHANNELS[str(node.target)] % result.dim()
        return result - moved.reshape([-1 if place == axis else 1 for place in range(result.dim())])

    _interpreter(graph, exact=True, visit=dict.fromkeys(biases, remember)).run(*batch)
    _interpreter(graph, exact=False, visit=dict.fromkeys(biases, shift)).run(*batch)


def _interpreter(graph: GraphModule, *, exact: bool, visit: Any = None) -> torch.fx.Interpreter:
    """Runs ``graph``; where it is ``exact`` without codes. ``visit``: node -> what makes another result of its own."""
    import torch

    fakes = (activation_class(), constant_class())

    class Visiting(torch.fx.Interpreter):
        def run_node(self, node: Node) -> object:
            result = super().run_node(node)
            return visit[node](node, result) if visit and node in visit else result

        def call_module(self, target: Any, args: Any, kwargs: Any) -> object:
            if exact and isinstance(self.fetch_attr(target), fakes):
                return args[0]
            return super().call_module(target, args, kwargs)

    return Visiting(graph)


def _means(node: Node, result: torch.Tensor) -> torch.Tensor:
    return result.movedim(_CHANNELS[str(node.target)], -1).flatten(0, -2).mean(0)


def _biases(graph: GraphModule) -> dict[Node, torch.nn.Parameter]:
    """Product -> the parameter that is added to it, and to nothing else."""
    parameters = dict(graph.named_parameters(remove_duplicate=False))
    uses = Counter(str(node.target) for node in graph.graph.nodes if node.op == "get_attr" for _ in node.users)
    found: dict[Node, torch.nn.Parameter] = {}
    for node in graph.graph.nodes:
        if str(node.target) not in _CHANNELS:
            continue
        bias = node.args[2] if len(node.args) > 2 else None
        if bias is not None and str(bias.target) == "aten.add.Tensor":  # a folded BatchNorm's bias comes last
            bias = bias.args[1]
        if bias is None or bias.op != "get_attr" or uses[str(bias.target)] != 1:
            continue
        if (parameter := parameters.get(str(bias.target))) is not None:
            found[node] = parameter
    return found
