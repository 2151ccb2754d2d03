"""Keeps one of everything that is there twice.

1. Initializers of one graph with the same type, shape and bytes become one.
2. Nodes of one graph with the same operator, attributes and inputs become one (common subexpressions).

Left alone: operators of other domains and random ones, which need not answer alike twice; If, Loop and Scan;
QuantizeLinear and DequantizeLinear, because runtimes look for a pair of its own at each layer.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

import onnx_ir as ir

from edgewright.compiler.graphs import STANDARD_DOMAINS
from edgewright.compiler.numeric_gate import RANDOM_OPS
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel, tensor_digest

_UNIQUE = RANDOM_OPS | {"Dropout", "QuantizeLinear", "DequantizeLinear", "Identity"}
"""``Identity`` stays where tidy left it: it gives a graph output a name of its own."""
_LARGEST_ATTRIBUTE = 1024


class Deduplicate(Pass[OnnxModel, OnnxModel]):
    """Merges equal initializers and equal nodes."""

    name: ClassVar[str] = "deduplicate"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.CLEAN
    order: ClassVar[int] = 30

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation without repetition."""
        del site
        work = Rewriting(model)
        graphs = [work.model.graph, *work.model.graph.subgraphs()]
        saved = [size for graph in graphs for size in _merge_initializers(graph)]
        if saved:
            work.did("graph", f"merged {len(saved)} equal initializers, {sum(saved)} bytes", len(saved))
        for graph in graphs:
            _merge_nodes(work, graph)
        return work.outcome()


def _merge_initializers(graph: ir.Graph) -> list[int]:
    """Bytes of each initializer that gave way to an equal one."""
    alike: dict[Hashable, list[ir.Value]] = {}
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor is None or value.is_graph_input() or value.is_graph_output() or tensor.dtype == ir.DataType.STRING:
            continue
        alike.setdefault((tensor.dtype, tuple(tensor.shape.numpy())), []).append(value)
    saved: list[int] = []
    for group in alike.values():
        if len(group) < 2:
            continue  # the bytes of most weights need not be looked at
        kept: dict[bytes, ir.Value] = {}
        for value in group:
            tensor = value.const_value
            assert tensor is not None
            first = kept.setdefault(tensor_digest(tensor), value)
            if first is value:
                continue
            value.replace_all_uses_with(first)
            assert value.name is not None
            del graph.initializers[value.name]
            saved.append(tensor.nbytes)
    return saved


def _merge_nodes(work: Rewriting, graph: ir.Graph) -> None:
    seen: dict[Hashable, ir.Node] = {}
    for node in list(graph):
        key = _key(node)
        if key is None:
            continue
        first = seen.setdefault(key, node)
        if first is node or not _covers(first, node):
            continue
        for old, new in zip(node.outputs, first.outputs, strict=True):
            if old.uses() or old.is_graph_output():
                work.redirect(old, new)
            else:
                work.orphan(old)
        work.did("graph", f"merged equal {node.op_type} nodes")
        work.drop_unused()


def _covers(first: ir.Node, node: ir.Node) -> bool:
    """Whether ``first`` makes every output that is read of ``node``: optional ones may have been left out."""
    return all(
        new.name or not (old.uses() or old.is_graph_output())
        for old, new in zip(node.outputs, first.outputs, strict=True)
    )


def _key(node: ir.Node) -> Hashable | None:
    if node.domain not in STANDARD_DOMAINS or node.op_type in _UNIQUE:
        return None
    attributes: list[Hashable] = []
    for name, attribute in sorted(node.attributes.items()):
        if attribute.is_ref():
            return None
        value = attribute.value
        if attribute.type == ir.AttributeType.TENSOR:
            tensor = attribute.as_tensor()
            if tensor.size > _LARGEST_ATTRIBUTE or tensor.dtype == ir.DataType.STRING:
                return None
            value = (tensor.dtype, tuple(tensor.shape.numpy()), tensor.tobytes())
        elif attribute.type in {ir.AttributeType.INTS, ir.AttributeType.FLOATS, ir.AttributeType.STRINGS}:
            value = tuple(value)
        elif attribute.type not in {ir.AttributeType.INT, ir.AttributeType.FLOAT, ir.AttributeType.STRING}:
            return None
        attributes.append((name, attribute.type, value))
    return (node.op_type, len(node.outputs), tuple(node.inputs), tuple(attributes))
