"""How far each layer of a compiled model is from its float twin when it alone is fed with the twin's tensors.

All layers are asked at once: the compiled graph is cut behind each of them, and whoever read its result reads an input
instead, which is fed with what the twin has there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import onnx_ir as ir

from edgewright.compiler.blame.extraction import behind, extracted, keep_only, reads
from edgewright.compiler.graphs import working_copy
from edgewright.compiler.layer_errors import ErrorSums, LayerError
from edgewright.compiler.layers import Layer
from edgewright.compiler.numeric_gate import exposed
from edgewright.compiler.site import Run
from edgewright.core.errors import EngineError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds, Outputs

_LAYERS_PER_RUN = 48
"""Layers asked at once; bounds memory."""


@dataclass(frozen=True, eq=False)
class Answered:
    """What layers made of one sample's tensors of the twin, and what the twin has; by the layer's name."""

    ours: Outputs
    theirs: Outputs


@dataclass(frozen=True, eq=False)
class Twins:
    """A compiled model beside the same in float.

    Args:
        model: the compiled model.
        twin: the same in float.
        layers: of ``model``; those without a counterpart in the twin are answered for by who reads them.
        feeds: the samples.
        run: runs a model.
    """

    model: OnnxModel
    twin: OnnxModel
    layers: Sequence[Layer]
    feeds: Sequence[Feeds]
    run: Run

    @cached_property
    def known(self) -> list[Layer]:
        """The layers that have a counterpart."""
        return [layer for layer in self.layers if layer.twin is not None]

    def errors(self) -> dict[str, LayerError]:
        """The error that each layer makes by itself, by its name.

        What has no counterpart, or cannot be run apart (a tensor of another shape than the twin's), is left out.
        """
        known = self.known
        found: dict[str, LayerError] = {}
        for start in range(0, len(known), _LAYERS_PER_RUN):
            found.update(self._errors(known[start : start + _LAYERS_PER_RUN]))
        return found

    def region(self, layer: Layer) -> list[str]:
        """The nodes whose error is that of ``layer``: it, and what is before it up to others with a counterpart."""
        pending, found = [layer.tensor], dict[ir.Node, None]()
        while pending:
            name = pending.pop()
            node = self._makers.get(name)
            between = name == layer.tensor or name not in self._tensors
            if node is not None and between and node not in found:
                found[node] = None
                pending.extend(value.name or "" for value in reads(node))
        return [node.name or "" for node in found]

    @cached_property
    def _makers(self) -> dict[str, ir.Node]:
        return {value.name or "": node for node in self.model.ir.graph for value in node.outputs}

    @cached_property
    def _tensors(self) -> frozenset[str]:
        return frozenset(layer.tensor for layer in self.known)

    def answers(self, wanted: Sequence[Layer]) -> list[Answered]:
        """For each sample, what each of ``wanted`` makes when it is fed with what the twin has.

        Raises:
            EngineError: when one of the two cannot be run.
        """
        cut = _cut(self.model, self.twin, self.known, wanted)
        tensors = list(dict.fromkeys([*cut.fed.values(), *(layer.twin or "" for layer in wanted)]))
        own = {spec.name for spec in cut.model.inputs}
        references = list(self.run(exposed(self.twin, tensors), self.feeds))
        given = []
        for feed, theirs in zip(self.feeds, references, strict=True):
            samples = {name: array for name, array in feed.items() if name in own}
            given.append(samples | {name: theirs[of] for name, of in cut.fed.items()})
        found = []
        for made, theirs in zip(self.run(cut.model, given), references, strict=True):
            ours = {layer.name: made[name] for layer, name in zip(wanted, cut.results, strict=True)}
            found.append(Answered(ours, {layer.name: theirs[layer.twin or ""] for layer in wanted}))
        return found

    def effects(self, wanted: Sequence[Layer]) -> dict[str, LayerError]:
        """How far the twin's outputs move when one of ``wanted`` alone answers as compiled, by its name.

        One behind which the twin cannot be run so is left out.

        Raises:
            EngineError: when one of the two models cannot be run.
        """
        if not wanted:
            return {}
        later = {layer.name: behind(self.twin, [layer.twin or ""]) for layer in wanted}
        read = dict.fromkeys(name for nodes in later.values() for name in _read_by(self.twin, nodes))
        answers = self.answers(wanted)
        references = list(self.run(exposed(self.twin, list(read)), self.feeds))
        found = {}
        for layer in wanted:
            with contextlib.suppress(EngineError):
                found[layer.name] = self._effect(layer, later[layer.name], answers, references)
        return found

    def _effect(
        self, layer: Layer, later: set[int], answers: Sequence[Answered], references: Sequence[Outputs]
    ) -> LayerError:
        assert layer.twin is not None
        total, tensors = ErrorSums(), []
        returned = [spec.name for spec in self.twin.outputs]
        wanted = [name for name in returned if name != layer.twin]
        for feed, theirs, answered in zip(self.feeds, references, answers, strict=True):
            right = answered.theirs[layer.name]
            made = answered.ours[layer.name].astype(right.dtype)
            if layer.twin in returned:
                total.add(made, right)
            tensors.append({**feed, **theirs, layer.twin: made})
        piece = extracted(self.twin, later, tensors[0], wanted) if wanted and tensors else None
        if piece is not None:
            given = [{name: one[name] for name in piece.feeds} for one in tensors]
            for answer, theirs in zip(self.run(piece.model, given), references, strict=True):
                for name, value in answer.items():
                    total.add(value, theirs[name])
        return total.error()

    def _errors(self, wanted: Sequence[Layer]) -> dict[str, LayerError]:
        """Of the ``wanted``; where they cannot be run together, of those that can be run apart."""
        try:
            answers = self.answers(wanted)
        except EngineError:
            if len(wanted) == 1:
                return {}
            middle = len(wanted) // 2
            return {**self._errors(wanted[:middle]), **self._errors(wanted[middle:])}
        found = {}
        for layer in wanted:
            total = ErrorSums()
            for answered in answers:
                total.add(answered.ours[layer.name], answered.theirs[layer.name])
            found[layer.name] = total.error()
        return found


@dataclass(frozen=True, eq=False)
class _Cut:
    """A compiled model cut behind layers: what some of them make of what the twin has."""

    model: OnnxModel
    fed: Mapping[str, str]
    """Input -> the twin's tensor that it is fed with."""
    results: tuple[str, ...]
    """The outputs that are the layers' results, in the layers' order."""


def _read_by(model: OnnxModel, nodes: set[int]) -> list[str]:
    """Tensors made by other nodes that these read."""
    graph = list(enumerate(model.ir.graph))
    made = {value for place, node in graph if place not in nodes for value in node.outputs}
    read = [value for place, node in graph if place in nodes for value in reads(node)]
    return list(dict.fromkeys(value.name or "" for value in read if value in made))


def _cut(model: OnnxModel, twin: OnnxModel, layers: Sequence[Layer], wanted: Sequence[Layer]) -> _Cut:
    whole = working_copy(model)
    graph = whole.graph
    values = {value.name: value for node in graph for value in node.outputs}
    kinds = {value.name: value.dtype for node in twin.ir.graph for value in node.outputs}
    graph.outputs.clear()
    fed: dict[str, str] = {}
    for layer in layers:
        value = values[layer.tensor]
        name = _free(f"{layer.tensor}.fed", values)
        if value.uses() and layer.twin is not None:
            graph.inputs.append(_fed_instead(graph, value, name, kinds[layer.twin]))
            fed[name] = layer.twin
    results = [_as_float(graph, values[layer.tensor]) for layer in wanted]
    graph.outputs.extend(dict.fromkeys(results))  # two layers may have one result
    _drop_unread(graph)
    present = {value.name for value in graph.inputs}
    names = tuple(value.name or "" for value in results)
    return _Cut(replace(model, ir=whole, sizes={}), {name: of for name, of in fed.items() if name in present}, names)


def _fed_instead(graph: ir.Graph, value: ir.Value, name: str, kind: ir.DataType | None) -> ir.Value:
    """An input of the twin's type in the place of ``value``, turned into the type that its readers take."""
    given = ir.Value(name=name, type=ir.TensorType(kind or value.dtype or ir.DataType.FLOAT), shape=value.shape)
    if value.dtype is None or given.dtype == value.dtype:
        value.replace_all_uses_with(given)
        return given
    cast = ir.node("Cast", [given], {"to": value.dtype.value})
    cast.outputs[0].name, cast.outputs[0].dtype = f"{name}.cast", value.dtype
    value.replace_all_uses_with(cast.outputs[0])
    graph.insert_before(graph[0], cast)
    return given


def _as_float(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """``value``, by way of a Cast where an engine could not return it: numpy has no bfloat16."""
    if value.dtype != ir.DataType.BFLOAT16:
        return value
    cast = ir.node("Cast", [value], {"to": ir.DataType.FLOAT.value})
    cast.outputs[0].name, cast.outputs[0].dtype = f"{value.name}.read", ir.DataType.FLOAT
    graph.append(cast)
    return cast.outputs[0]


def _drop_unread(graph: ir.Graph) -> None:
    """Leaves only what the outputs need."""
    needed, kept = set(graph.outputs), set[ir.Node]()
    for node in reversed(graph):
        if needed.intersection(node.outputs):
            kept.add(node)
            needed.update(reads(node))
    keep_only(graph, kept)
    for value in [value for value in graph.inputs if value not in needed]:
        graph.inputs.remove(value)


def _free(name: str, taken: Mapping[str | None, ir.Value]) -> str:
    while name in taken:
        name += "_"
    return name
