"""A torchao quantiser that annotates exactly what was located, and the prepared graph in hand.

Facts of torchao 0.18 that matter here: its patterns for convolution and BatchNorm match whatever epsilon the module
has and write 1e-5 and a momentum of 0.1 into the graph that trains, divide by the BatchNorm's weight even where that is
zero, and read a node's annotation in the order input, weight. Which fake quantiser an edge gets can be set in
``prepare_obs_or_fq_callback``; grids are shared that way, by the group of the tensor, which no other rule can undo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from edgewright.compiler.qat.fake_quant import ActivationQuantizer, Start, activation_class, constant_class
from edgewright.compiler.qat.mapping import Located, Place
from edgewright.compiler.qat.program import batch_norms, set_training
from edgewright.compiler.qat.wanted import Wanted
from edgewright.compiler.quantization.grid import LIMITS

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node
    from torchao.quantization.pt2e.quantizer import QuantizationSpec, Quantizer

_SMALLEST_GAMMA = 1e-12
"""A BatchNorm's weight is kept from zero by so much where a weight is divided by it."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A graph that computes with codes, ready to be trained."""

    graph: GraphModule
    grids: dict[str, ActivationQuantizer]
    """Group -> what quantises its tensors."""
    tensors: dict[str, str]
    """Each node of ``graph`` (by name) that quantises an activation -> the tensor it makes codes of."""
    quantised: frozenset[str]
    """The tensors that got a grid."""


def prepare(graph: GraphModule, located: Located, wanted: Wanted, ranges: str) -> Prepared:
    """``graph``, rewritten in place, with fake quantisers where ``located`` says; in evaluation mode."""
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    literals = {name: cast("tuple[float, float]", node.args[6:8]) for name, node in batch_norms(graph)}
    made: dict[object, str] = {}
    prepared = prepare_qat_pt2e(graph, _quantizer(located, wanted, ranges, made))
    # torchao puts a refusal in place of these two; the loop calls them, and the switches are in ``program``.
    for name in ("train", "eval"):
        prepared.__dict__.pop(name, None)
    _mend_batch_norms(prepared, literals)
    set_training(prepared, dropout=False, batch_norm=False)
    grids: dict[str, ActivationQuantizer] = {}
    tensors: dict[str, str] = {}
    modules = dict(prepared.named_modules(remove_duplicate=False))
    for node in prepared.graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], activation_class()):
            continue
        source = node.args[0]
        quantiser = cast("ActivationQuantizer", modules[node.target])
        readers = [made[source, reader] for reader in node.users if (source, reader) in made]
        name = made.get(source) or (readers or [quantiser.start.tensor])[0]
        tensors[node.name] = name
        grids[quantiser.start.group] = quantiser
    return Prepared(prepared, grids, tensors, frozenset(tensors.values()))


def _quantizer(located: Located, wanted: Wanted, ranges: str, made: dict[object, str]) -> Quantizer:
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, Quantizer

    class Placed(Quantizer):  # type: ignore[misc]
        """Annotates what was located; ``made`` is told which edge or node is which tensor."""

        def annotate(self, model: GraphModule) -> GraphModule:
            specs = _Specs(wanted, ranges)
            inputs: dict[Node, dict[Node, QuantizationSpec | None]] = {}
            outputs: dict[Node, QuantizationSpec] = {}
            for place in located.places:
                for source, reader, tensor in place.edges:
                    inputs.setdefault(reader, {})[source] = specs.activation(tensor)
                    if place.weight is not None and reader is not place.weight[1]:
                        # It only pads; torchao takes the product's first entry for what it reads.
                        inputs.setdefault(place.weight[1], {})[reader] = None
                for source, reader in place.constants:
                    inputs.setdefault(reader, {}).setdefault(source, specs.constant())
                if place.weight is not None:
                    source, reader = place.weight
                    inputs.setdefault(reader, {})[source] = specs.weight(place)
            for tensor, one in wanted.tensors.items():
                for node in located.nodes.get(tensor, ()) if one.produced else ():
                    outputs[node] = specs.activation(tensor)
            for node in dict.fromkeys([*inputs, *outputs]):
                node.meta["quantization_annotation"] = QuantizationAnnotation(
                    inputs.get(node, {}), outputs.get(node), _annotated=True
                )
            return model

        def validate(self, model: GraphModule) -> None:
            """Nothing: what was annotated was found in this very graph."""

        def prepare_obs_or_fq_callback(
            self, model: GraphModule, edge_or_node_to_obs_or_fq: dict[object, torch.nn.Module]
        ) -> None:
            groups: dict[str, torch.nn.Module] = {}
            for key, module in edge_or_node_to_obs_or_fq.items():
                if isinstance(module, activation_class()):
                    quantiser = cast("ActivationQuantizer", module)
                    made[key] = quantiser.start.tensor
                    edge_or_node_to_obs_or_fq[key] = groups.setdefault(quantiser.start.group, module)

    return Placed()


class _Specs:
    """What torchao is told of each tensor."""

    def __init__(self, wanted: Wanted, ranges: str) -> None:
        self._wanted, self._ranges = wanted, ranges

    def activation(self, tensor: str) -> QuantizationSpec:
        one = self._wanted.tensors[tensor]
        maker = activation_class().with_args(  # type: ignore[attr-defined]
            start=Start(tensor, one.group, one.scale, one.zero_point, self._wanted.symmetric, self._ranges)
        )
        return self._spec(self._wanted.dtype, maker)

    def constant(self) -> QuantizationSpec:
        maker = constant_class().with_args(  # type: ignore[attr-defined]
            most=None, axis=None, symmetric=self._wanted.symmetric, scales=self._wanted.scales
        )
        return self._spec(self._wanted.dtype, maker)

    def weight(self, place: Place) -> QuantizationSpec:
        maker = constant_class().with_args(  # type: ignore[attr-defined]
            most=2 ** (self._wanted.bits - 1) - 1, axis=_axis(place), symmetric=True, scales=self._wanted.scales
        )
        return self._spec("int8", maker)

    def _spec(self, dtype: str, maker: object) -> QuantizationSpec:
        import torch
        from torchao.quantization.pt2e.quantizer import QuantizationSpec

        low, high = LIMITS[dtype]
        scheme = torch.per_tensor_symmetric if self._wanted.symmetric else torch.per_tensor_affine
        return QuantizationSpec(getattr(torch, dtype), maker, low, high, scheme)


def _axis(place: Place) -> int | None:
    """The axis of torch's weight that ONNX has at ``place.op.axis``: a linear layer's is transposed."""
    if place.op.axis is None or place.weight is None:
        return None
    if place.op.kind in ("Conv", "ConvTranspose"):
        return place.op.axis
    return 0 if str(place.weight[1].target) == "aten.linear.default" else 1


def _mend_batch_norms(graph: GraphModule, literals: Mapping[str, tuple[float, float]]) -> None:
    """Gives each BatchNorm the momentum and epsilon it had, and keeps what is divided by its weight finite."""
    import torch

    for name, node in list(batch_norms(graph)):
        momentum, epsilon = literals[name]
        gamma, variance = cast("tuple[Node | None, Node]", (node.args[1], node.args[4]))
        node.args = (*node.args[:6], momentum, epsilon, *node.args[8:])
        for user in list(variance.users):
            if str(user.target) == "aten.add.Tensor":
                user.args = (variance, epsilon)
        for user in list(gamma.users) if gamma is not None else ():
            if str(user.target) != "aten.div.Tensor":
                continue
            with graph.graph.inserting_before(user):
                size = graph.graph.call_function(torch.ops.aten.abs.default, (gamma,))
                small = graph.graph.call_function(torch.ops.aten.lt.Scalar, (size, _SMALLEST_GAMMA))
                kept = graph.graph.call_function(torch.ops.aten.masked_fill.Scalar, (gamma, small, _SMALLEST_GAMMA))
            user.args = (kept, *user.args[1:])
    graph.recompile()
