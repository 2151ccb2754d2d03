"""The module as an exported program that can be trained: torch's training IR, made functional, its switches in hand.

torchao 0.18 has functions for the switches (``move_exported_model_to_train``), but they write a dropout of 0.5, and a
BatchNorm epsilon of 1e-5 and momentum of 0.1, whatever the module had; so the literals are set here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgewright.core.tensors import Array

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

_TRAINING_ARGUMENT = {"aten.batch_norm.default": 5, "aten.dropout.default": 2, "aten.feature_dropout.default": 2}
"""Operator -> the index of its argument that says whether it trains."""
IDENTITIES = frozenset(
    {
        "aten.dropout.default",
        "aten.feature_dropout.default",
        "aten.clone.default",
        "aten.contiguous.default",
        "aten.alias.default",
        "aten.detach.default",
        "aten.lift_fresh_copy.default",
    }
)
"""Operators that pass their first argument on, in evaluation mode."""


def exported(module: torch.nn.Module, example_inputs: tuple[torch.Tensor, ...], sample: Sequence[Array]) -> GraphModule:
    """``module`` as a graph of ATen operators in evaluation mode, its parameters under their own names.

    The first axis of every input is left open where the module allows it; where not, sizes are those of ``sample``.
    """
    import torch

    graph = module if isinstance(module, torch.fx.GraphModule) else _traced(module.eval(), example_inputs, sample)
    for node in list(graph.graph.nodes):
        if node.op == "call_module" and node.target == "_guards_fn":
            # It asks that sizes are those of the export, and compares them in Python on every call.
            graph.graph.erase_node(node)
    _make_functional(graph)
    set_training(graph, dropout=False, batch_norm=False)
    return graph


def fixed_batch(graph: GraphModule) -> int | None:
    """The first size of the inputs where the graph takes no other; None where it is open."""
    import torch

    for node in graph.graph.nodes:
        value = node.meta.get("val") if node.op == "placeholder" else None
        if isinstance(value, torch.Tensor) and value.dim() and isinstance(value.shape[0], int):
            return value.shape[0]
    return None


def set_training(graph: GraphModule, *, dropout: bool, batch_norm: bool) -> None:
    """Lets dropout drop, and BatchNorm use the batch's statistics (and move its own towards them), or not."""
    changed = False
    for node in graph.graph.nodes:
        place = _TRAINING_ARGUMENT.get(str(node.target)) if node.op == "call_function" else None
        if place is None:
            continue
        wanted = batch_norm if "batch_norm" in str(node.target) else dropout
        if node.args[place] is not wanted:
            node.args = (*node.args[:place], wanted, *node.args[place + 1 :])
            changed = True
    if changed:
        graph.recompile()


def batch_norms(graph: GraphModule) -> Iterator[tuple[str, Node]]:
    """Each BatchNorm with the name of the buffer that holds its running variance."""
    for node in graph.graph.nodes:
        if node.op == "call_function" and str(node.target) == "aten.batch_norm.default" and node.args[4] is not None:
            yield str(node.args[4].target), node


def _traced(module: torch.nn.Module, example_inputs: tuple[torch.Tensor, ...], sample: Sequence[Array]) -> GraphModule:
    import torch

    batch = torch.export.Dim("batch")
    tensors = [isinstance(one, torch.Tensor) and one.dim() > 0 for one in example_inputs]
    dynamic = tuple({0: batch} if tensor else None for tensor in tensors)
    # Torch takes an axis of size 1 for one that is always 1.
    several = [
        one.repeat(2, *[1] * (one.dim() - 1)) if tensor and len(one) == 1 else one
        for one, tensor in zip(example_inputs, tensors, strict=True)
    ]
    try:
        program = torch.export.export(module, tuple(several), dynamic_shapes=dynamic)
    except Exception:  # noqa: BLE001 - torch refuses in many types; what a fixed size cannot mend is raised below
        program = torch.export.export(module, tuple(torch.from_numpy(np.array(one)) for one in sample))
    graph = program.module()
    assert isinstance(graph, torch.fx.GraphModule)
    return graph


def _make_functional(graph: GraphModule) -> None:
    """``relu_`` and its like become ``relu``: what follows the change reads the new tensor, not the changed one.

    Exported graphs keep operators that write into their input. A pair of codes between such an operator and the tensor
    would hide the change from later readers of the tensor.
    """
    import torch

    for node in list(graph.graph.nodes):
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001
            continue
        namespace, _, name = node.target._schema.name.partition("::")  # noqa: SLF001
        if not name.endswith("_") or name.endswith("__") or not node.args:
            continue
        packet = getattr(getattr(torch.ops, namespace), name[:-1], None)
        overload = getattr(packet, node.target._overloadname, None)  # noqa: SLF001
        source = node.args[0]
        if overload is None or not isinstance(source, torch.fx.Node) or source.op == "get_attr":
            continue
        node.target = overload
        for user in [one for one in source.users if one is not node and node < one]:
            user.replace_input_with(source, node)
    graph.graph.lint()
    graph.recompile()
