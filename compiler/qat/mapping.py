"""Which node of a torch graph is which tensor of the ONNX form: found by their values on one sample.

Names alone do not do: torch.onnx (2.13) decomposes the graph before it writes it, and calls a BatchNorm ``getitem_3``,
an addition ``add_30`` and a product before its bias ``val_12``; what passes make has names of their own. So tensors are
compared by value, whatever their shape, and names decide among equals. What fits several places or none has no
counterpart: the operators that read it stay float in training, with a reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgewright.compiler.qat.program import IDENTITIES
from edgewright.compiler.qat.wanted import Wanted, WantedOp
from edgewright.core.tensors import Array

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

AGREEMENT = 1e-3
"""Largest difference of two tensors taken for one, relative to the largest value: float32 on two engines."""
_REACH = 32
"""Nodes of the torch graph that one operator of the ONNX form stands for at most."""
_PRODUCTS = {"aten.addmm.default": 1}
"""Operator -> the index of its activation, where it is not the first argument; the weight is the next one."""
_PRODUCT_KINDS = ("aten.conv", "aten.linear.", "aten.matmul.", "aten.mm.", "aten.addmm.", "aten.bmm.")


@dataclass(frozen=True, eq=False)
class Place:
    """Where one operator of the ONNX form is in the torch graph."""

    op: WantedOp
    edges: tuple[tuple[Node, Node, str], ...]
    """(from, to, tensor): where it reads activations as codes."""
    constants: tuple[tuple[Node, Node], ...]
    """(from, to): where it reads constants as codes."""
    weight: tuple[Node, Node] | None
    """(from, to): where an anchor reads its weight."""


@dataclass(frozen=True, eq=False)
class Located:
    """What is where."""

    places: tuple[Place, ...]
    nodes: dict[str, list[Node]]
    """Tensor -> the nodes that have its values, in the graph's order."""
    missing: dict[str, str] = field(default_factory=dict)
    """Operator of the ONNX form -> why it has no place."""


def locate(graph: GraphModule, wanted: Wanted, arrays: Mapping[str, Array]) -> Located:
    """Finds what ``wanted`` names in ``graph``, which is in evaluation mode.

    Args:
        graph: from ``program.exported``, split where ``wanted`` needs it.
        wanted: the decision.
        arrays: inputs and values on one sample, as ``wanted.save_values`` wrote them.
    """
    nodes = _nodes_of_tensors(graph, wanted, arrays)
    tensors_of: dict[Node, set[str]] = defaultdict(set)
    for name, found in nodes.items():
        for node in found:
            tensors_of[node].add(name)
    places: list[Place] = []
    missing: dict[str, str] = {}
    for op in wanted.ops:
        found_place = _place(op, nodes, tensors_of)
        if isinstance(found_place, str):
            missing[op.name] = found_place
        else:
            places.append(found_place)
    return Located(tuple(places), nodes, missing)


def split_operators(graph: GraphModule, wanted: Wanted) -> None:
    """Parts operators of torch between whose steps the ONNX form has tensors that are given codes.

    ``linear`` into product and sum, ``silu`` into sigmoid and product.
    """
    biases = any(op.kind == "MatMul" and op.biased != op.result for op in wanted.ops)
    sigmoids = any(op.kind == "Sigmoid" for op in wanted.ops)
    for node in list(graph.graph.nodes):
        if biases and str(node.target) == "aten.linear.default" and len(node.args) > 2 and node.args[2] is not None:
            _split_linear(graph, node)
        elif sigmoids and str(node.target) == "aten.silu.default":
            _split_silu(graph, node)
    graph.recompile()


def _split_linear(graph: GraphModule, node: Node) -> None:
    import torch

    with graph.graph.inserting_after(node):
        total = graph.graph.call_function(torch.ops.aten.add.Tensor, (node, node.args[2]))
    node.replace_all_uses_with(total, delete_user_cb=lambda one: one is not total)
    node.args = node.args[:2]
    total.meta = dict(node.meta)


def _split_silu(graph: GraphModule, node: Node) -> None:
    import torch

    with graph.graph.inserting_before(node):
        gate = graph.graph.call_function(torch.ops.aten.sigmoid.default, (node.args[0],))
        product = graph.graph.call_function(torch.ops.aten.mul.Tensor, (node.args[0], gate))
    gate.meta, product.meta = dict(node.meta), dict(node.meta)
    node.replace_all_uses_with(product)
    graph.graph.erase_node(node)


def _nodes_of_tensors(graph: GraphModule, wanted: Wanted, arrays: Mapping[str, Array]) -> dict[str, list[Node]]:
    names = [*wanted.inputs, *wanted.values]
    keys = [f"i{place}" for place in range(len(wanted.inputs))] + [f"v{place}" for place in range(len(wanted.values))]
    tensors = {name: np.asarray(arrays[key]) for name, key in zip(names, keys, strict=True)}
    inputs = [arrays[f"i{place}"] for place in range(len(wanted.inputs))]
    fits = _fits(graph, inputs, {name: one for name, one in tensors.items() if one.dtype == np.float32 and one.size})
    found: dict[str, list[Node]] = {}
    for members, nodes in _components(fits, names):
        found.update(_assigned(members, nodes, wanted))
    return found


def _fits(graph: GraphModule, inputs: Sequence[Array], tensors: Mapping[str, Array]) -> dict[Node, list[str]]:
    """For each node the tensors whose values it has, whatever their shape."""
    import torch

    by_size: dict[int, list[tuple[str, npt.NDArray[np.float32], float]]] = defaultdict(list)
    for name, array in tensors.items():
        flat = array.reshape(-1).astype(np.float32)
        by_size[flat.size].append((name, flat, max(float(np.abs(flat).max()), 1e-30)))
    fits: dict[Node, list[str]] = {}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, node: Node) -> object:
            result = super().run_node(node)
            made = node.op in ("call_function", "placeholder") and isinstance(result, torch.Tensor)
            if made and result.dtype == torch.float32 and (candidates := by_size.get(result.numel())):
                flat = result.detach().reshape(-1).numpy()
                same = [one for one, other, most in candidates if np.abs(flat - other).max() <= AGREEMENT * most]
                if same:
                    fits[node] = same
            return result

    with torch.no_grad():
        Recorder(graph).run(*(torch.from_numpy(np.array(one)) for one in inputs))
    return fits


def _components(fits: Mapping[Node, list[str]], order: Sequence[str]) -> list[tuple[list[str], list[Node]]]:
    """Tensors and nodes that have the same values, each in their graph's order."""
    owner: dict[str, str] = {}

    def root(name: str) -> str:
        while owner.setdefault(name, name) != name:
            name = owner[name]
        return name

    for names in fits.values():
        for name in names[1:]:
            owner[root(name)] = root(names[0])
    nodes: dict[str, list[Node]] = defaultdict(list)
    for node, names in fits.items():
        nodes[root(names[0])].append(node)
    members: dict[str, list[str]] = defaultdict(list)
    for name in order:
        if name in owner:
            members[root(name)].append(name)
    return [(members[key], found) for key, found in nodes.items()]


def _assigned(tensors: list[str], nodes: list[Node], wanted: Wanted) -> dict[str, list[Node]]:
    """Which of ``nodes`` is which of ``tensors``, all of the same values; nothing where that cannot be told."""
    groups = {wanted.tensors[name].group for name in tensors if name in wanted.tensors}
    if len(tensors) == 1 or (len(groups) <= 1 and not _crossed(tensors, wanted)):
        return {name: list(nodes) for name in tensors}
    leaders: list[list[Node]] = []
    for node in nodes:
        chain = next((one for one in leaders if str(node.target) in IDENTITIES and node.args[0] in one), None)
        if chain is None:
            leaders.append([node])
        else:
            chain.append(node)
    if len(leaders) == len(tensors):
        return dict(zip(tensors, leaders, strict=True))
    by_name = {chain[0].name: chain for chain in leaders}
    return {name: by_name[name] for name in tensors if name in by_name}


def _crossed(tensors: Sequence[str], wanted: Wanted) -> bool:
    """True when one of ``tensors`` has a grid and another has none: codes must not move from one to the other."""
    return 0 < sum(name in wanted.tensors for name in tensors) < len(tensors)


def _place(op: WantedOp, nodes: Mapping[str, list[Node]], tensors_of: Mapping[Node, set[str]]) -> Place | str:
    end = next((nodes[name][0] for name in (op.result, op.biased, op.output) if nodes.get(name)), None)
    if end is None:
        return "what it makes has no counterpart in the torch graph"
    if not op.anchor and set(op.reads) <= tensors_of.get(end, set()):
        return Place(op, (), (), None)  # it only gives a tensor another shape, which torch does elsewhere or not at all
    edges: list[tuple[Node, Node, str]] = []
    constants: list[tuple[Node, Node]] = []
    products: list[Node] = []
    waiting, seen = [end], {end}
    while waiting:
        node = waiting.pop()
        if str(node.target).startswith(_PRODUCT_KINDS):
            products.append(node)
        for source in node.all_input_nodes:
            read = sorted(tensors_of.get(source, set()) & set(op.reads))
            if read:
                edges.append((source, node, read[0]))
            elif source.op == "get_attr":
                constants.append((source, node))
            elif source.op != "placeholder" and source not in tensors_of and source not in seen:
                seen.add(source)
                waiting.append(source)
        if len(seen) > _REACH:
            return "too many nodes of the torch graph stand for it"
    found = {name for source, _, _ in edges for name in tensors_of[source]}
    if lost := [name for name in op.reads if name not in found]:
        return f"'{lost[0]:.100}', which it reads, has no counterpart in the torch graph"
    if not op.anchor:
        return Place(op, tuple(edges), tuple(constants) if op.constants else (), None)
    return _anchor(op, edges, products)


def _anchor(op: WantedOp, edges: Sequence[tuple[Node, Node, str]], products: Sequence[Node]) -> Place | str:
    import torch

    if len(products) != 1:
        return f"{len(products)} products of the torch graph stand for it"
    product = products[0]
    place = _PRODUCTS.get(str(product.target), 0)
    activation, weight = product.args[place], product.args[place + 1]
    # Zero is on every grid: what is padded with zeros behind the codes is what is padded before them.
    padded = isinstance(activation, torch.fx.Node) and _pads_zeros(activation)
    if any(reader is not (activation if padded else product) for _, reader, _ in edges) or (
        not padded and any(source is not activation for source, _, _ in edges)
    ):
        return "it reads its input through other operators in the torch graph"
    assert not isinstance(weight, str | int | float | None)
    if not _is_constant(weight):  # type: ignore[arg-type]
        return "its weight is computed from inputs in the torch graph"
    return Place(op, tuple(edges), (), (weight, product))  # type: ignore[arg-type]


def _pads_zeros(node: Node) -> bool:
    """As Keras-like convolutions do that pad more on one side."""
    if str(node.target) == "aten.constant_pad_nd.default":
        return not any(node.args[2:3])
    return str(node.target) == "aten.pad.default" and node.args[2:3] in ((), ("constant",)) and not any(node.args[3:4])


def _is_constant(node: Node) -> bool:
    """True when ``node`` depends on parameters and buffers alone."""
    waiting: list[Node] = [node]
    while waiting:
        one = waiting.pop()
        if one.op == "placeholder":
            return False
        waiting.extend(one.all_input_nodes)
    return True
