"""Computes once what depends on constants only, within bounds.

1. A node whose inputs are all constant is evaluated by onnx's reference evaluator, when its output's size is known
   beforehand and small enough.
2. Integer tensors made of known sizes (``Shape``, and ``Gather``, ``Concat``, arithmetic on it) become constants where
   every element is known, though the tensor they were asked of is not.
3. An If whose condition is constant gives way to the branch that is taken.

Never folded: random operators; Loop, Scan and everything recurrent; QuantizeLinear, DequantizeLinear and integer
arithmetic of quantised models, which must stay quantised; convolutions, which the reference evaluator is too slow for.
``max_bytes`` bounds every tensor made, and also by how much all of them together may make the model grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from edgewright.compiler.evaluation import UNFOLDABLE, evaluate, predicted_bytes
from edgewright.compiler.graphs import constant, constant_tensor, is_standard, rename
from edgewright.compiler.known_sizes import KnownSizes
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array

MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class FoldConstantsOptions:
    """``max_bytes``: the largest tensor made, and the most by which the model may grow; at most 64 MiB."""

    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        if not 0 < self.max_bytes <= MAX_BYTES:
            raise ValueError(f"max_bytes: {self.max_bytes} is not within 1..{MAX_BYTES}")


class FoldConstants(Pass[OnnxModel, OnnxModel]):
    """Replaces what depends on constants only by its value."""

    name: ClassVar[str] = "fold-constants"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.FOLD
    order: ClassVar[int] = 10
    options_type: ClassVar[type] = FoldConstantsOptions

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation with its constant part done."""
        del site
        options = self.options
        assert isinstance(options, FoldConstantsOptions)
        return _Folding(model, options.max_bytes).outcome()


class _Folding:
    def __init__(self, model: OnnxModel, max_bytes: int) -> None:
        self.work = Rewriting(model)
        self.max_bytes = max_bytes
        self.growth = 0
        self.sizes = KnownSizes(self.work.opset)

    def outcome(self) -> Outcome[OnnxModel]:
        self._graph(self.work.model.graph)
        self.work.drop_unused()
        return self.work.outcome()

    def _graph(self, graph: ir.Graph, *, repeated: bool = False) -> None:
        """``repeated``: a body whose tensors may change their shape from one iteration to the next."""
        for node in list(graph):
            if node.graph is not None:
                self._node(node, repeated=repeated)

    def _node(self, node: ir.Node, *, repeated: bool) -> None:
        if is_standard(node, "If") and self._take_branch(node, repeated=repeated):
            return
        if self._fold(node, repeated=repeated):
            return
        repeated = repeated or node.op_type != "If"
        for attribute in node.attributes.values():
            if not attribute.is_ref() and attribute.type == ir.AttributeType.GRAPH:
                self._graph(attribute.as_graph(), repeated=repeated)

    def _fold(self, node: ir.Node, *, repeated: bool) -> bool:
        if not is_standard(node, node.op_type) or node.op_type == "Constant":
            return False
        if node.op_type == "Identity" and node.outputs[0].is_graph_output():
            return False  # what makes a graph output of a constant
        known = None if repeated else self.sizes.visit(node)
        if known is not None:
            self._replace(node, [known], "made constants of known sizes")
            return True
        if not node.inputs or any(value is not None and constant_tensor(value) is None for value in node.inputs):
            return False
        if node.op_type in UNFOLDABLE:
            self.work.skipped(node.name, f"{node.op_type} of constants was kept: {UNFOLDABLE[node.op_type]}")
            return False
        made = predicted_bytes(node, self.work.opset)
        if made is None:
            self.work.skipped(node.name, f"{node.op_type} of constants was kept: its size cannot be told beforehand")
            return False
        growth = made - sum(_freed(value) for value in set(node.inputs) if value is not None)
        if made > self.max_bytes or self.growth + growth > self.max_bytes:
            self.work.skipped(node.name, f"{node.op_type} of constants was kept: it would make {made} bytes")
            return False
        arrays = evaluate(node, self.work.opset)
        if isinstance(arrays, str):
            self.work.skipped(node.name, f"{node.op_type} of constants was kept: {arrays}")
            return False
        self.growth += growth
        self._replace(node, arrays, f"folded {node.op_type} nodes")
        return True

    def _replace(self, node: ir.Node, arrays: list[Array], text: str) -> None:
        for output, array in zip(node.outputs, arrays, strict=True):
            if output.name and (output.uses() or output.is_graph_output()):
                self.work.redirect(output, self.work.constant(node, f"{output.name}.folded", array))
            else:
                self.work.orphan(output)
        self.work.did("graph", text)
        self.work.drop_unused()

    def _take_branch(self, node: ir.Node, *, repeated: bool) -> bool:
        condition = constant(node.inputs[0], largest=1)
        outer = node.graph
        if condition is None or condition.size != 1 or not isinstance(outer, ir.Graph):
            return False
        graph = node.attributes["then_branch" if bool(condition.reshape(()).item()) else "else_branch"].as_graph()
        outputs, nodes = list(graph.outputs), list(graph)
        for name, value in list(graph.initializers.items()):
            del graph.initializers[name]
            rename(value, self.work.unique(name))
            outer.register_initializer(value)
        graph.outputs.clear()
        graph.remove(nodes)
        for inner in nodes:
            # Two bodies may use the same names; here they come into one scope.
            inner.name = self.work.unique(inner.name or inner.op_type)
            for value in inner.outputs:
                if value.name:
                    rename(value, self.work.unique(value.name))
        outer.insert_before(node, nodes)
        for old, new in zip(node.outputs, outputs, strict=True):
            self.work.redirect(old, new)
        self.work.did(node.name, "took the branch that a constant condition always takes")
        self.work.drop_unused()
        for inner in nodes:
            if inner.graph is not None:
                self._node(inner, repeated=repeated)
        return True


def _freed(value: ir.Value) -> int:
    tensor = constant_tensor(value)
    return tensor.nbytes if tensor is not None and len(list(value.uses())) == 1 and not value.is_graph_output() else 0
