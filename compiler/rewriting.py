"""Changing a graph: names that are free, new constants and nodes, safe replacement of values, and notes that add up."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import (
    STANDARD_DOMAINS,
    all_graphs,
    all_values,
    captured_values,
    opset_of,
    working_copy,
)
from edgewright.compiler.opset import OpsetError, raise_opset
from edgewright.compiler.pass_base import Note, Outcome
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array

Attribute: TypeAlias = int | float | str | Sequence[int] | Sequence[float]
_NOTES_PER_TEXT = 3
"""A text that applies to more subjects than this becomes one note with their number."""


class Rewriting:
    """One rewriting of one model: the copy worked on, the names taken, and what was done and what was not."""

    def __init__(self, original: OnnxModel) -> None:
        self.original = original
        self.tally = Tally()
        self.changed = 0
        self._orphans: list[ir.Value] = []
        self._spare: dict[ir.Value, None] = {}
        self.adopt(working_copy(original))

    def adopt(self, model: ir.Model) -> None:
        """Goes on with ``model``, such as one of a higher opset."""
        self.model = model
        self._counts: dict[str, int] = {}
        self._names = {value.name for value in all_values(model) if value.name}
        self._names.update(node.name for graph in all_graphs(model) for node in graph if node.name)

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators that the model imports."""
        return opset_of(self.model)

    def reach_opset(self, wanted: int, highest: int) -> str:
        """Raises the opset to ``wanted`` where the model has less; says why that cannot be, or nothing.

        Graph, nodes and values are other objects afterwards: look for patterns anew.
        """
        if self.opset >= wanted:
            return ""
        if wanted > highest:
            return f"it needs opset {wanted}, the target takes {highest} at most"
        self._drop_spare()
        try:
            self.adopt(raise_opset(self.model.clone(), wanted))
        except OpsetError as problem:
            return f"it needs opset {wanted}, and the model cannot be raised from {self.opset}: {problem}"
        return ""

    def nodes(self, *op_types: str) -> list[ir.Node]:
        """The nodes of ONNX's own domain of these kinds, in every graph and body, in order; not of local functions."""
        graphs = [self.model.graph, *self.model.graph.subgraphs()]
        wanted = frozenset(op_types)
        return [
            node for graph in graphs for node in graph if node.op_type in wanted and node.domain in STANDARD_DOMAINS
        ]

    def unique(self, hint: str) -> str:
        """A name nobody has yet."""
        name = hint
        while name in self._names or not name:
            # Counting goes on where it stopped: thousands of values may share a hint.
            self._counts[hint] = self._counts.get(hint, 0) + 1
            name = f"{hint}_{self._counts[hint]}"
        self._names.add(name)
        return name

    def constant(self, near: ir.Node, hint: str, array: Array, dtype: ir.DataType | None = None) -> ir.Value:
        """A new initializer in the graph of ``near``."""
        name = self.unique(hint)
        tensor = ir.tensor(np.ascontiguousarray(array) if array.ndim else array, dtype=dtype, name=name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        assert near.graph is not None
        near.graph.register_initializer(value)
        return value

    def insert(
        self,
        before: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Attribute] | Sequence[ir.Attr] = (),
        *,
        domain: str = "",
        hint: str = "",
        like: ir.Value | None = None,
    ) -> ir.Value:
        """Puts a node of one output before ``before`` and returns that output, typed and shaped as ``like``."""
        hint = hint or before.name or before.op_type
        output = ir.Value(name=self.unique(f"{hint}.{op_type}"))
        if like is not None:
            output.type, output.shape = copy.copy(like.type), like.shape.copy() if like.shape is not None else None
        given = (
            ir.convenience.convert_attributes(dict(attributes)) if isinstance(attributes, Mapping) else list(attributes)
        )
        node = ir.Node(domain, op_type, list(inputs), given, outputs=[output], name=self.unique(hint))
        assert before.graph is not None
        before.graph.insert_before(before, node)
        if domain and domain not in self.model.graph.opset_imports:
            self.model.graph.opset_imports[domain] = 1
        return output

    def redirect(self, old: ir.Value, new: ir.Value) -> None:
        """Makes every reader of ``old`` read ``new``; a graph output keeps its name, by an Identity where need be."""
        if old.is_graph_output():
            self._hand_over(old, new)
        else:
            old.replace_all_uses_with(new)
        self._orphans.append(old)

    def _hand_over(self, old: ir.Value, new: ir.Value) -> None:
        producer = old.producer()
        graph = producer.graph if producer is not None else old.graph
        assert isinstance(graph, ir.Graph)
        maker = new.producer()
        name = old.name or ""
        for use in list(old.uses()):
            use.node.replace_input_with(use.idx, new)
        if maker is None or maker.graph is not graph or new.is_graph_output():
            output = ir.Value(name=name, type=copy.copy(old.type), shape=old.shape)
            identity = ir.node("Identity", [new], outputs=[output], name=self.unique(f"{name}.identity"))
            graph.append(identity)
        else:
            output = new
        old.name = self.unique(f"{name}.replaced")
        if output is new:
            new.name = name
            new.type, new.shape = copy.copy(old.type), old.shape
        for index, value in enumerate(graph.outputs):
            if value is old:
                graph.outputs[index] = output

    def drop_unused(self) -> None:
        """Removes the nodes that redirecting left without readers, and whatever only those needed.

        Constants among it go with :meth:`outcome`: thousands of nodes may share one, and asking it for its readers
        each time one of them leaves would take the square of their number.
        """
        pending = dict.fromkeys(self._orphans)
        self._orphans = []
        while pending:
            value, _ = pending.popitem()
            if value.is_initializer():
                self._spare[value] = None
                continue
            if value.uses() or value.is_graph_output() or value.is_graph_input():
                continue
            node = value.producer()
            if node is None or node.graph is None or any(out.uses() or out.is_graph_output() for out in node.outputs):
                continue
            pending.update(dict.fromkeys(item for item in node.inputs if item is not None))
            pending.update(dict.fromkeys(captured_values(node)))
            node.graph.remove(node, safe=True)

    def _drop_spare(self) -> None:
        """Removes what nothing reads any more, constants too."""
        self.drop_unused()
        for value in self._spare:
            graph, name = value.graph, value.name
            if value.uses() or value.is_graph_output() or value.is_graph_input() or name is None:
                continue
            if isinstance(graph, ir.Graph) and graph.initializers.get(name) is value:
                del graph.initializers[name]
        self._spare = {}

    def orphan(self, *values: ir.Value | None) -> None:
        """Says that ``values`` lost a reader: they go at the end if it was their last."""
        self._orphans.extend(value for value in values if value is not None)

    def did(self, subject: str | None, text: str, count: int = 1) -> None:
        """Counts rewrites and notes them."""
        self.changed += count
        self.tally.add("did", subject, text)

    def skipped(self, subject: str | None, text: str) -> None:
        """Notes a near miss."""
        self.tally.add("skipped", subject, text)

    def outcome(self) -> Outcome[OnnxModel]:
        """The new handle, or the original one when nothing was rewritten."""
        self._drop_spare()
        model = replace(self.original, ir=self.model) if self.changed else self.original
        return Outcome(model, self.changed, self.tally.notes())


class Tally:
    """Notes collected by kind and text, so that hundreds of like rewrites are one line."""

    def __init__(self) -> None:
        self._subjects: dict[tuple[str, str], dict[str, int]] = {}

    def add(self, kind: str, subject: str | None, text: str) -> None:
        """Adds one subject to the note of this kind and text; what was done is counted, a miss may be met twice."""
        subjects = self._subjects.setdefault((kind, text), {})
        subjects[subject or ""] = subjects.get(subject or "", 0) + 1 if kind == "did" else 1

    def notes(self) -> tuple[Note, ...]:
        """One note per subject with how often it was added, or one for all where they are many."""
        found: list[Note] = []
        for (kind, text), subjects in self._subjects.items():
            names = list(subjects)
            if len(names) > _NOTES_PER_TEXT:
                found.append(Note(kind, names[0], f"{text} (and {len(names) - 1} others)"))
                continue
            for name, count in subjects.items():
                found.append(Note(kind, name, f"{text}: {count} times" if count > 1 else text))
        return tuple(found)
