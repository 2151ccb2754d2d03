"""The parts of torch_pruning's dependency graph that are used here, as types, and how it is built."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from edgewright.compiler.pruning.slots import CutError

if TYPE_CHECKING:
    import torch
    from torch import nn


class Index(Protocol):
    """A channel, and the channel of the root that it came from."""

    @property
    def idx(self) -> int:
        """The channel."""
        ...

    @property
    def root_idx(self) -> int:
        """The root's channel that leads to it."""
        ...

    def _replace(self, *, idx: int = ..., root_idx: int = ...) -> Index: ...


Handler: TypeAlias = Callable[..., object]
"""A bound ``prune_in_channels`` or ``prune_out_channels``; never called here, it tells the two sides apart."""


class Dependency(Protocol):
    """An edge: what cutting on one side of a node asks of another node."""

    target: Node
    handler: Handler
    index_mapping: MutableSequence[Callable[[list[Index]], list[Index]] | None]

    def is_triggered_by(self, pruning_fn: Handler) -> bool:
        """Whether cutting by ``pruning_fn`` asks for ``handler``."""
        ...


class Node(Protocol):
    """A layer or an operator between layers."""

    module: object
    grad_fn: object
    inputs: Sequence[Node]
    outputs: Sequence[Node]
    dependencies: Sequence[Dependency]
    pruning_dim: int


class Pruner(Protocol):
    """Stands for a kind of layer."""

    prune_out_channels: Handler
    prune_in_channels: Handler


class Graph(Protocol):
    """All nodes of one traced module."""

    module2node: Mapping[object, Node]

    def get_pruner_of_module(self, module: object) -> Pruner:
        """What stands for layers of the kind of ``module``."""
        ...


PIECES = "edgewright.pieces"
"""Where the autograd node of a concatenation keeps its :class:`Pieces`."""


@dataclass(frozen=True)
class Pieces:
    """What was joined: the axis, its size in each operand, and how many axes there are."""

    axis: int
    rank: int
    sizes: tuple[int, ...]


def tensors_in(value: object) -> list[torch.Tensor]:
    """Every tensor in what a module answered: a tensor, or any nesting of tuples, lists and dicts."""
    import torch
    from torch.utils import _pytree

    return [leaf for leaf in _pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def dependency_graph(module: nn.Module, example_inputs: Sequence[torch.Tensor]) -> Graph:
    """The graph of ``module``, whose parameters must want gradients: the tracer follows those.

    Raises:
        CutError: the module cannot be traced; says what stands in the way.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch_pruning.dependency import DependencyGraph

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = func(*args, **(kwargs or {}))
            if func in (torch.cat, torch.concat, torch.concatenate) and result.grad_fn is not None:
                _note_pieces(result, *args, **(kwargs or {}))
            return result

    def forward(model: nn.Module, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        with Watch():
            answers = [value for value in tensors_in(model(*inputs)) if value.grad_fn is not None]
        return [value * 1.0 for value in answers]  # so that the last operator is seen as what it is

    graph = DependencyGraph()
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        try:
            reached = bool(forward(module, example_inputs))
            if reached:
                graph.build_dependency(module, list(example_inputs), forward_fn=forward, verbose=False)
        except Exception as error:  # whatever a user's module or the tracer meets is one refusal
            text = (str(error).splitlines() or [""])[0]
            raise CutError(f"the model cannot be traced: {type(error).__name__}: {text:.200}") from error
    if not reached:
        raise CutError("no output of the model depends on its weights by operators that have a gradient")
    return cast("Graph", graph)


def _note_pieces(
    joined: torch.Tensor, tensors: Sequence[torch.Tensor], dim: int = 0, *, axis: int | None = None
) -> None:
    place = (dim if axis is None else axis) % joined.ndim
    sizes = tuple(int(tensor.shape[place]) if tensor.ndim == joined.ndim else 0 for tensor in tensors)
    assert joined.grad_fn is not None
    cast("dict[str, Pieces]", joined.grad_fn.metadata)[PIECES] = Pieces(place, joined.ndim, sizes)
