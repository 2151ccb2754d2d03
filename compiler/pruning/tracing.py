"""Which channels of which layers belong together: every channel is followed through the dependency graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from edgewright.compiler.pruning.cutting import channels_of
from edgewright.compiler.pruning.dependencies import Graph, Handler, Index, Node, dependency_graph
from edgewright.compiler.pruning.edges import equal_pieces, mend_edges
from edgewright.compiler.pruning.refusals import whole_kind
from edgewright.compiler.pruning.slots import CutError, Slot, Unit

if TYPE_CHECKING:
    import torch
    from torch import nn

_Atom: TypeAlias = tuple[Slot, int]


@dataclass(frozen=True)
class Bundle:
    """Units that are alike: each has as many channels in the same slots. ``blocked`` says why none may go."""

    units: tuple[Unit, ...]
    blocked: str | None

    @property
    def leader(self) -> Slot:
        """The slot whose outputs come first."""
        return next(iter(self.units[0]))


def trace(module: nn.Module, example_inputs: Sequence[torch.Tensor]) -> list[Bundle]:
    """The bundles of ``module``, in the order of its modules. ``module`` itself is not touched.

    Raises:
        CutError: the module cannot be traced; says what stands in the way.
    """
    import copy

    from torch import nn

    try:
        copied = copy.deepcopy(module).eval().requires_grad_()
        graph = dependency_graph(copied, example_inputs)
        mend_edges(graph)
        walk = _Walk(copied, graph)
        for layer in copied.modules():
            if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear) and layer in graph.module2node:  # noqa: SLF001
                walk.spread(layer)
        order = {path: place for place, (path, _) in enumerate(copied.named_modules())}
        found = list(_bundles(walk, order))
    except CutError:
        raise
    except Exception as error:  # the tracer guesses at operators it does not know, and may stumble over its guess
        raise CutError(f"the model cannot be traced: {type(error).__name__}: {error!s:.200}") from error
    return sorted(found, key=lambda bundle: (order.get(bundle.leader.path, -1), bundle.units[0][bundle.leader]))


@dataclass(eq=False)
class _Walk:
    """Joins channels that can only go together: a union-find over (slot, channel)."""

    module: nn.Module
    graph: Graph
    parent: dict[_Atom, _Atom] = field(default_factory=dict)
    blocked: dict[_Atom, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.paths: dict[object, str] = {layer: path for path, layer in self.module.named_modules()}
        self.parameters = {id(parameter): path for path, parameter in self.module.named_parameters()}
        self.groups = {path: _groups(layer) for path, layer in self.module.named_modules()}

    def spread(self, root: nn.Module) -> None:
        """Follows each output channel of ``root`` to everything that goes with it."""
        from torch_pruning._helpers import _HybridIndex

        node = self.graph.module2node[root]
        handler = self.graph.get_pruner_of_module(root).prune_out_channels
        slot = self._slot(node, handler)
        if slot is None:
            return
        count = channels_of(self.module, slot)
        seen: dict[tuple[Node, Handler], set[Index]] = defaultdict(set)
        start: list[Index] = [_HybridIndex(idx=channel, root_idx=channel) for channel in range(count)]
        queue = [(node, handler, start)]
        while queue:
            node, handler, indices = queue.pop()
            known = seen[node, handler]
            new = [index for index in dict.fromkeys(indices) if index not in known]
            known.update(new)
            self._record(slot, node, handler, new)
            for dependency in node.dependencies if new else ():
                if dependency.is_triggered_by(handler):
                    mapped = new
                    for mapping in dependency.index_mapping:
                        mapped = _mapped(mapping, mapped) if mapping is not None else mapped
                    queue.append((dependency.target, dependency.handler, mapped))

    def _record(self, root: Slot, node: Node, handler: Handler, indices: Sequence[Index]) -> None:
        slot = self._slot(node, handler)
        if size := equal_pieces(node):
            for index in indices:
                self.join((root, index.root_idx), (Slot(str(id(node)), "tie"), index.idx % size))
        if slot is None and type(node.module).__name__ != "_OutputOp":
            return
        reason = self._obstacle(slot) if slot else "its channels reach an output of the model"
        count = channels_of(self.module, slot) if slot and not reason else 0
        if slot and slot.side == "parameter" and not reason and any(index.idx >= count for index in indices):
            return  # it has no place for each channel: the trial shows whether it has one for each head
        for index in indices:
            anchor = (root, index.root_idx)
            if not reason and slot and not 0 <= index.idx < count:
                reason = f"its channels reach '{slot.path}' by an operator that orders them anew"
            if reason:
                self._block(anchor, reason)
            elif slot:
                self._join_layer(anchor, slot, index.idx)

    def _join_layer(self, anchor: _Atom, slot: Slot, channel: int) -> None:
        """A group of a grouped convolution or norm goes as a whole: all it reads and all it gives."""
        inputs, outputs = self.groups.get(slot.path, (1, 1))
        if slot.side == "in" and (inputs, outputs) != (1, 1):
            slot, channel = slot._replace(side="both"), channel // inputs * outputs
        self.join(anchor, (slot, channel))
        if slot.side == "both" and outputs > 1:
            self.join((slot, channel), (slot, channel // outputs * outputs))

    def _slot(self, node: Node, handler: Handler) -> Slot | None:
        """The axis that ``handler`` cuts at ``node``; None for operators, which have no tensors of their own."""
        import torch
        from torch import nn

        layer = node.module
        if isinstance(layer, torch.nn.Parameter):
            return Slot(self.parameters[id(layer)], "parameter", node.pruning_dim)
        path = self.paths.get(layer)
        if path is None:
            return None
        inwards = handler == self.graph.get_pruner_of_module(layer).prune_in_channels
        if isinstance(layer, nn.Linear):
            return Slot(path, "in" if inwards else "out")
        if isinstance(layer, nn.modules.conv._ConvNd):  # noqa: SLF001 - the only common base of convolutions
            if layer.groups == 1:
                return Slot(path, "in" if inwards else "out")
            apart = layer.groups == layer.in_channels == layer.out_channels
            return Slot(path, "in" if inwards and not apart else "both")
        return Slot(path, "both")

    def _obstacle(self, slot: Slot) -> str | None:
        from torch import nn

        if slot.side == "parameter":
            owner = slot.path.rpartition(".")[0]
            reason = whole_kind(self.module.get_submodule(owner))
            return reason % owner if reason else None
        layer = self.module.get_submodule(slot.path)
        kind = type(layer).__name__
        if isinstance(layer, nn.LayerNorm):
            return f"{kind} '{slot.path}' normalises over its channels"
        if isinstance(layer, nn.GroupNorm) and layer.num_groups == 1:
            return f"{kind} '{slot.path}' normalises over all of its channels"
        if isinstance(layer, nn.PReLU) and layer.num_parameters == 1:
            return None
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
            return f"its channels are those of {kind} '{slot.path}'"
        try:
            channels_of(self.module, slot)
        except CutError:
            return f"its channels pass {kind} '{slot.path}', which is left whole"
        return None

    def _block(self, atom: _Atom, reason: str) -> None:
        self.blocked.setdefault(self._find(atom), reason)

    def join(self, one: _Atom, other: _Atom) -> None:
        """Makes the two go together."""
        one, other = self._find(one), self._find(other)
        if one != other:
            self.parent[other] = one
            reason = self.blocked.pop(other, None)
            if reason:
                self.blocked.setdefault(one, reason)

    def _find(self, atom: _Atom) -> _Atom:
        self.parent.setdefault(atom, atom)
        root = atom
        while self.parent[root] != root:
            root = self.parent[root]
        while self.parent[atom] != root:
            self.parent[atom], atom = root, self.parent[atom]
        return root

    def components(self) -> Iterator[tuple[list[_Atom], str | None]]:
        """Sets of channels that go together, and what keeps them."""
        members: dict[_Atom, list[_Atom]] = defaultdict(list)
        for atom in list(self.parent):
            members[self._find(atom)].append(atom)
        for root, atoms in members.items():
            yield atoms, self.blocked.get(root)


def _mapped(mapping: Callable[[list[Index]], list[Index]], indices: list[Index]) -> list[Index]:
    """``mapping`` of each; some of the tracer's forget the root of what they map."""
    found = mapping(indices)
    if all(index.root_idx is not None for index in found):
        return found
    return [other._replace(root_idx=one.root_idx) for one in indices for other in mapping([one])]


def _groups(layer: nn.Module) -> tuple[int, int]:
    """Channels of one group of a grouped layer, read and given; (1, 1) where channels are apart or not grouped."""
    from torch import nn

    if isinstance(layer, nn.modules.conv._ConvNd) and layer.groups > 1:  # noqa: SLF001 - the only common base
        return layer.in_channels // layer.groups, layer.out_channels // layer.groups
    if isinstance(layer, nn.GroupNorm):
        each = layer.num_channels // layer.num_groups
        return each, each
    return 1, 1


def _bundles(walk: _Walk, order: Mapping[str, int]) -> Iterator[Bundle]:
    """Components with the same signature are units of one bundle."""
    alike: dict[tuple[tuple[tuple[Slot, int], ...], str | None], list[Unit]] = defaultdict(list)
    for atoms, reason in walk.components():
        unit = _unit(atoms, order)
        alike[tuple((slot, len(channels)) for slot, channels in unit.items()), reason].append(unit)
    for (signature, reason), units in alike.items():
        leader = signature[0][0]
        yield Bundle(tuple(sorted(units, key=lambda unit: unit[leader])), reason)


def _unit(atoms: Iterable[_Atom], order: Mapping[str, int]) -> Unit:
    channels: dict[Slot, list[int]] = defaultdict(list)
    for slot, channel in atoms:
        if slot.side != "tie":
            channels[slot].append(channel)
    slots = sorted(channels, key=lambda slot: (slot.side in ("in", "parameter"), order.get(slot.path, -1), slot.side))
    return {slot: tuple(sorted(channels[slot])) for slot in slots}
