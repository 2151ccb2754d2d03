"""New constants and nodes under names that are free: what every writer of this folder builds on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir


class GraphBuilder:
    """Adds to one graph in place."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self._values = {value.name for value in graph.inputs} | set(graph.initializers)
        self._values |= {output.name for node in graph.all_nodes() for output in node.outputs}
        self._nodes = {node.name for node in graph.all_nodes()}

    def constant(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        """A new initializer called ``name`` or nearly so."""
        free = self.free_name(name)
        tensor = ir.tensor(array, name=free)
        value = ir.Value(name=free, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def node(
        self,
        kind: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        attributes: Sequence[ir.Attr] = (),
        outputs: int = 1,
    ) -> ir.Node:
        """A node of ONNX's own domain, not yet placed; its outputs are called after it."""
        node = ir.Node("", kind, inputs, attributes, num_outputs=outputs, name=self._free_node_name(name))
        for index, output in enumerate(node.outputs):
            output.name = self.free_name(name if outputs == 1 else f"{name}_{index}")
        return node

    def before(
        self,
        place: ir.Node,
        kind: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        attributes: Sequence[ir.Attr] = (),
    ) -> ir.Value:
        """Puts a node of one output in front of ``place`` and returns that output."""
        node = self.node(kind, inputs, name, attributes)
        self.graph.insert_before(place, node)
        return node.outputs[0]

    def behind(self, value: ir.Value, nodes: Sequence[ir.Node]) -> None:
        """Places ``nodes`` right behind what makes ``value``, in front of everything for an input of the graph."""
        producer = value.producer()
        if producer is None:
            self.graph.insert_before(self.graph[0], nodes)
        else:
            self.graph.insert_after(producer, nodes)

    def hand_over(self, old: ir.Value, new: ir.Value) -> None:
        """The graph's output ``old`` becomes ``new``, under the name callers know."""
        name, old.name = old.name, self.free_name(f"{old.name}_float")
        new.name, new.type, new.shape = name, old.type, old.shape
        self.graph.outputs[:] = [new if item is old else item for item in self.graph.outputs]

    def free_name(self, name: str) -> str:
        """``name``, or a longer one where a value has that already."""
        return _claim(name, self._values)

    def _free_node_name(self, name: str) -> str:
        return _claim(name, self._nodes)


def _claim(name: str, taken: set[str | None] | set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
