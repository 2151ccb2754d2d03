"""Brings a graph into the form every other pass expects.

1. Calls of local functions are inlined and unused functions removed.
2. Initializers leave the list of graph inputs: what looks overridable cannot be folded, and no target overrides it.
3. Constant nodes become initializers.
4. Identity, and Dropout that does nothing in inference, give way to their input; a graph output that must have a node
   of its own keeps its Identity.
5. Nodes and initializers that nothing reads are removed, in bodies of If and Loop too.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, RemoveUnusedFunctionsPass, RemoveUnusedNodesPass

from edgewright.compiler.graphs import (
    constant,
    input_at,
    int_attribute,
    opset_of,
    retitled,
)
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel

_FIRST_WITH_CONSTANT_INITIALIZERS = 4
_FIRST_WITH_TRAINING_INPUT = 12
"""From this opset on Dropout's third input says whether it is training; before, opset 7 and later never are."""


class Tidy(Pass[OnnxModel, OnnxModel]):
    """Inlines functions, lifts constants, drops what does nothing or is never read."""

    name: ClassVar[str] = "tidy"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.CLEAN
    order: ClassVar[int] = 10

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation with fewer nodes."""
        del site
        work = Rewriting(model)
        _inline_functions(work)
        _close_initializers(work)
        _lift_constants(work)
        _bypass_identities(work)
        _remove_unused(work)
        # Before IR version 4 every initializer must also be a graph input.
        work.model.ir_version = max(work.model.ir_version, _FIRST_WITH_CONSTANT_INITIALIZERS)
        return work.outcome()


def _inline_functions(work: Rewriting) -> None:
    functions = work.model.functions
    if not functions:
        return
    calls = sum(1 for node in work.model.graph.all_nodes() if node.op_identifier() in functions)
    count = len(functions)
    InlinePass()(work.model)
    RemoveUnusedFunctionsPass()(work.model)  # type: ignore[no-untyped-call]
    work.adopt(work.model)
    work.did("graph", f"inlined {calls} calls of {count} local functions", calls + count - len(work.model.functions))


def _close_initializers(work: Rewriting) -> None:
    graph = work.model.graph
    both = [value for value in graph.inputs if value.name in graph.initializers]
    if both:
        kept = [value for value in graph.inputs if value.name not in graph.initializers]
        graph.inputs[:] = kept
        work.did("graph", f"made {len(both)} initializers constant that were also listed as graph inputs", len(both))


def _lift_constants(work: Rewriting) -> None:
    lifted = 0
    for node in work.nodes("Constant"):
        output = node.outputs[0]
        tensor = _tensor_of(node)
        if tensor is None:
            work.skipped(node.name, "a Constant without a dense tensor stays a node")
            continue
        if output.is_graph_output() or output.name is None or node.graph is None:
            work.skipped(node.name, "a Constant that is a graph output stays a node")
            continue
        value = ir.Value(
            name=output.name,
            shape=ir.Shape(tensor.shape.numpy()),
            type=ir.TensorType(tensor.dtype),
            const_value=retitled(tensor, output.name),
        )
        graph = node.graph
        output.replace_all_uses_with(value)
        graph.remove(node, safe=True)
        graph.register_initializer(value)
        lifted += 1
    if lifted:
        work.did("graph", f"lifted {lifted} Constant nodes to initializers", lifted)


def _tensor_of(node: ir.Node) -> ir.TensorProtocol | None:
    if len(node.attributes) != 1 or next(iter(node.attributes.values())).is_ref():
        return None
    name, attribute = next(iter(node.attributes.items()))
    if name == "value":
        return attribute.as_tensor()
    kinds = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    if name in kinds:
        return ir.tensor(np.array(attribute.value, dtype=kinds[name]))
    if name in {"value_string", "value_strings"}:
        texts = [attribute.as_string()] if name == "value_string" else list(attribute.as_strings())
        shape = [] if name == "value_string" else [len(texts)]
        return ir.StringTensor([text.encode("utf-8", "surrogateescape") for text in texts], shape=ir.Shape(shape))
    return None


def _bypass_identities(work: Rewriting) -> None:
    opset = opset_of(work.model)
    for node in work.nodes("Identity", "Dropout"):
        source, output = node.inputs[0], node.outputs[0]
        assert source is not None
        if node.op_type == "Dropout" and (problem := _dropout_problem(node, opset)):
            work.skipped(node.name, f"Dropout was kept: {problem}")
        elif output.is_graph_output() and _must_stay(node, source):
            if node.op_type == "Dropout":
                work.skipped(node.name, "Dropout was kept: it makes a graph output of a value that has its own name")
        else:
            work.redirect(output, source)
            work.did("graph", f"bypassed {node.op_type} nodes")
    work.drop_unused()


def _must_stay(node: ir.Node, source: ir.Value) -> bool:
    """Whether a graph output could only be had by another Identity."""
    maker = source.producer()
    return maker is None or maker.graph is not node.graph or source.is_graph_output()


def _dropout_problem(node: ir.Node, opset: int) -> str:
    if len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output()):
        return "its mask is read"
    if opset < 7:
        return "" if int_attribute(node, "is_test", 0) else "it is in training mode"
    training = input_at(node, 2)
    if opset < _FIRST_WITH_TRAINING_INPUT or training is None:
        return ""
    flag = constant(training, largest=1)
    if flag is None:
        return "whether it is training is known only at run time"
    return "it is in training mode" if bool(flag.any()) else ""


def _remove_unused(work: Rewriting) -> None:
    before = _sizes(work.model)
    RemoveUnusedNodesPass()(work.model)
    for graph in work.model.graph.subgraphs():
        for name, value in list(graph.initializers.items()):
            if not (value.uses() or value.is_graph_output() or value.is_graph_input()):
                del graph.initializers[name]
    after = _sizes(work.model)
    for what, old, new in zip(("nodes", "initializers"), before, after, strict=True):
        if old > new:
            work.did("graph", f"removed {old - new} {what} that nothing reads", old - new)


def _sizes(model: ir.Model) -> tuple[int, int]:
    graphs = [model.graph, *model.graph.subgraphs()]
    return sum(len(graph) for graph in graphs), sum(len(graph.initializers) for graph in graphs)
