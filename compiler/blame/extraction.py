"""A piece of a model as a model of its own, fed with what the whole model computed at the cuts.

Pieces are sets of nodes of the main graph, by their places in it; the body of an If or Loop goes with its node.
Constant nodes and initializers go with whoever reads them, so that what was a constant stays one.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import captured_values, is_standard, working_copy
from edgewright.compiler.numeric_gate import exposed
from edgewright.compiler.site import Run
from edgewright.core.errors import EngineError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array, Feeds

_TENSORS_PER_RUN = 64
"""Made visible at once; bounds memory."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Part of a model, and what to feed it."""

    model: OnnxModel
    feeds: Feeds


def node_names(model: OnnxModel, nodes: Iterable[int]) -> list[str]:
    """What the nodes at these places are called, with their operators; names are untrusted text."""
    graph = list(model.ir.graph)
    return [f"{graph[place].name or graph[place].outputs[0].name or '?'} ({graph[place].op_type})" for place in nodes]


def working_nodes(model: OnnxModel) -> list[int]:
    """The places of all nodes that a piece is made of: all but constants."""
    return [place for place, node in enumerate(model.ir.graph) if not is_standard(node, "Constant")]


def recorded(model: OnnxModel, feeds: Feeds, run: Run) -> dict[str, Array]:
    """Every tensor that nodes of the main graph make of ``feeds``, and ``feeds``; what cannot be looked at is left out.

    Raises:
        EngineError: the model cannot be run at all.
    """
    found = {**feeds, **next(iter(run(model, [feeds])))}
    values = [value for node in model.ir.graph for value in node.outputs]
    wanted = [value.name for value in values if value.name and value.name not in found and _is_tensor(value)]
    for start in range(0, len(wanted), _TENSORS_PER_RUN):
        found.update(_looked_at(model, wanted[start : start + _TENSORS_PER_RUN], feeds, run))
    return found


def extracted(
    model: OnnxModel, nodes: Collection[int], tensors: Mapping[str, Array], outputs: Sequence[str] = ()
) -> Piece | None:
    """The nodes at these places as a model that is fed from ``tensors``; None where a tensor it needs is not there.

    Args:
        outputs: what it returns; by default what the rest of the model reads of it, or the model returns.
    """
    whole = working_copy(model)
    graph = whole.graph
    order = list(graph)
    kept = {order[place] for place in nodes}
    kept |= {maker for node in list(kept) for maker in _constants_of(node)}
    returned = _returned(graph, kept, outputs)
    fed = _boundary(graph, kept)
    known = (tensors.get(value.name or "") for value in fed)
    if not returned or not all(array is not None and _is_storable(array) for array in known):
        return None
    graph.outputs.clear()
    inputs = [_fed_instead(value, tensors[value.name or ""]) for value in fed]
    for value in returned:
        _describe(value, tensors.get(value.name or ""))
    graph.outputs.extend(returned)
    graph.inputs.clear()
    graph.inputs.extend(inputs)
    keep_only(graph, kept)
    feeds = {value.name or "": _stored(tensors[value.name or ""]) for value in inputs}
    return Piece(replace(model, ir=whole, sizes={}), feeds)


def keep_only(graph: ir.Graph, kept: Collection[ir.Node]) -> None:
    """Takes all other nodes out of ``graph``, and the initializers that only they read."""
    # Not `safe`: the body of an If that goes still reads what stays, and goes with it.
    graph.remove([node for node in graph if node not in kept])
    read = {value for node in graph for value in reads(node)}
    for name, value in list(graph.initializers.items()):
        if value not in read and not value.is_graph_output():
            graph.initializers.pop(name)


def before(model: OnnxModel, names: Collection[str]) -> set[int]:
    """The places of all nodes that these tensors are made by, at any distance."""
    return _reach(model, names, forwards=False)


def behind(model: OnnxModel, names: Collection[str]) -> set[int]:
    """The places of all nodes that these tensors have an effect on, at any distance."""
    return _reach(model, names, forwards=True)


def _reach(model: OnnxModel, names: Collection[str], *, forwards: bool) -> set[int]:
    touched, found = set(names), set[int]()
    nodes = list(enumerate(model.ir.graph))
    for place, node in nodes if forwards else reversed(nodes):
        read = {value.name or "" for value in reads(node)}
        made = {value.name or "" for value in node.outputs} - {""}
        if touched & (read if forwards else made):
            found.add(place)
            touched |= made if forwards else read
    return found


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """What ``node`` and its bodies read, of whatever graph."""
    yield from (value for value in node.inputs if value is not None)
    yield from captured_values(node)


def _constants_of(node: ir.Node) -> Iterator[ir.Node]:
    for value in reads(node):
        maker = value.producer()
        if maker is not None and maker.graph is node.graph and is_standard(maker, "Constant"):
            yield maker


def _boundary(graph: ir.Graph, kept: set[ir.Node]) -> list[ir.Value]:
    """What ``kept`` read and neither make nor hold as a constant, in the order in which it is read."""
    own = {value for node in graph for value in node.outputs} | set(graph.inputs)
    made = {value for node in kept for value in node.outputs}
    read = dict.fromkeys(value for node in graph if node in kept for value in reads(node))
    return [value for value in read if value in own and value not in made and not value.is_initializer()]


def _returned(graph: ir.Graph, kept: set[ir.Node], outputs: Sequence[str]) -> list[ir.Value]:
    made = [value for node in graph if node in kept and not is_standard(node, "Constant") for value in node.outputs]
    if outputs:
        by_name = {value.name: value for value in made}
        return [by_name[name] for name in outputs if name in by_name]
    others = {value for node in graph if node not in kept for value in reads(node)}
    wanted = [value for value in made if value.name and (value in others or value.is_graph_output())]
    # What nothing reads at all ends a piece too: a graph may compute what it does not return.
    return wanted or [value for value in made if value.name and not value.uses()]


def _fed_instead(value: ir.Value, array: Array) -> ir.Value:
    """An input in the place of ``value``, which a node made that is going to be left out."""
    if value.producer() is None:
        return value
    shape = None if value.shape is None else value.shape.copy()
    fresh = ir.Value(name=value.name, type=copy.copy(value.type), shape=shape)
    _describe(fresh, array)
    value.replace_all_uses_with(fresh)
    value.name = None
    return fresh


def _describe(value: ir.Value, array: Array | None) -> None:
    """Gives ``value`` the type and shape it was seen to have, where the model does not say: files have to."""
    if array is None:
        return
    if value.type is None:
        value.type = ir.TensorType(ir.DataType.from_numpy(_stored(array).dtype))
    if value.shape is None:
        value.shape = ir.Shape(array.shape)


def _is_tensor(value: ir.Value) -> bool:
    return value.type is None or isinstance(value.type, ir.TensorType)


def _is_storable(array: Array) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "biufcUO"


def _stored(array: Array) -> Array:
    """As an ``.npz`` takes it: text is no object there."""
    return array.astype(np.str_) if array.dtype.kind == "O" else array


def _looked_at(model: OnnxModel, names: Sequence[str], feeds: Feeds, run: Run) -> dict[str, Array]:
    """The tensors of these names; one that the engine does not return costs itself alone."""
    try:
        found = next(iter(run(exposed(model, names), [feeds])))
    except EngineError:
        if len(names) == 1:
            return {}
        middle = len(names) // 2
        return {
            **_looked_at(model, names[:middle], feeds, run),
            **_looked_at(model, names[middle:], feeds, run),
        }
    return {name: found[name] for name in names if isinstance(found[name], np.ndarray)}
