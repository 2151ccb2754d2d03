"""Which operators of a model stand behind the layers that an engine made of it, and what their constants weigh.

An engine calls a fused layer after one of its operators. The others are known by elimination: what was not executed by
itself is part of the layer that makes its latest input, and a DequantizeLinear part of the layer that reads it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from edgewright.compiler.layers import made_for, operator_names
from edgewright.compiler.quantization.operators import OPERATORS, Role
from edgewright.core.model import OnnxModel

ADDED = re.compile(r"/.*|_token_\d+|_nchwc|_quant", re.DOTALL)
"""What runtimes put behind the name of the operator that they made a layer of."""


@dataclass(frozen=True)
class Behind:
    """What one executed layer is made of; nothing where the engine added it."""

    operators: tuple[str, ...] = ()
    """Names, in the model's order, but DequantizeLinear after the others."""
    kinds: tuple[str, ...] = ()
    constant_bytes: int = 0


def operators_behind(path: Path, executed: Sequence[tuple[str, str]]) -> list[Behind]:
    """For each layer that the engine calls so, what of the model at ``path`` it computes.

    Args:
        path: the model that the engine was given.
        executed: the engine's names of its layers, each with its kind, in the order of execution.
    """
    model = OnnxModel(ir.load(path), path.stem)
    nodes = list(model.ir.graph)
    owners = _named(model, executed)
    makers = {value: node for node in nodes for value in node.outputs}
    for node in nodes:
        if node not in owners and node.op_type != "DequantizeLinear":
            found = [owners[maker] for maker in _makers(node, makers) if maker in owners]
            if found:
                owners[node] = max(found)
    for node in reversed(nodes):
        if node not in owners:
            found = [owners[use.node] for value in node.outputs for use in value.uses() if use.node in owners]
            if found:
                owners[node] = min(found)
    members: dict[int, list[ir.Node]] = defaultdict(list)
    for node in nodes:
        if node in owners:
            members[owners[node]].append(node)
    return [_behind(members[index]) for index in range(len(executed))]


def _behind(nodes: list[ir.Node]) -> Behind:
    nodes = sorted(nodes, key=lambda node: node.op_type == "DequantizeLinear")
    constants = {value: value.const_value for node in nodes for value in node.inputs if value is not None}
    size = sum(tensor.nbytes for tensor in constants.values() if tensor is not None)
    return Behind(tuple(node.name or "" for node in nodes), tuple(node.op_type for node in nodes), size)


def _named(model: OnnxModel, executed: Sequence[tuple[str, str]]) -> dict[ir.Node, int]:
    """The operators that layers are called after, directly or with something behind the name.

    A layer may be called after the last of its operators: then the one of its kind before that is its first.
    """
    known = operator_names(model)
    nodes = {node.name: node for node in model.ir.graph if node.name}
    found: dict[ir.Node, int] = {}
    for index, (name, kind) in enumerate(executed):
        called = known.get(name)
        if called is None:
            starts = [one for one in known if name.startswith(one) and ADDED.fullmatch(name[len(one) :])]
            called = known[max(starts, key=len)] if starts else None
        if called is None:
            continue
        operator = OPERATORS.get(nodes[called].op_type)
        first = called if operator is not None and operator.role is Role.ANCHOR else made_for(model, called, kind)
        for node in (nodes[called], nodes[first]):
            found.setdefault(node, index)
    return found


def _makers(node: ir.Node, makers: dict[ir.Value, ir.Node]) -> list[ir.Node]:
    """What makes the inputs of ``node``, seen through their DequantizeLinear."""
    found = []
    for value in node.inputs:
        maker = makers.get(value) if value is not None else None
        if maker is not None and maker.op_type == "DequantizeLinear" and maker.inputs[0] is not None:
            maker = makers.get(maker.inputs[0], maker)
        if maker is not None:
            found.append(maker)
    return found
