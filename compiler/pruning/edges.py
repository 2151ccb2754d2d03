"""Where channels go at ``cat``, ``chunk`` and ``split``: which piece each reader has, told by the edges of autograd.

The tracer infers sizes from neighbouring layers, and counts the readers of a split as if each had a piece of its own;
where one piece is read twice and joined with its own results, as in the blocks of many detectors, both go wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from edgewright.compiler.pruning.dependencies import PIECES, Graph, Index, Node, Pieces

_LARGEST_AXIS = 64
"""Autograd keeps a negative axis as an unsigned number."""


@dataclass(frozen=True)
class _Into:
    """Channels of the whole from ``start`` to ``end``, as channels of the piece."""

    start: int
    end: int

    def __call__(self, indices: list[Index]) -> list[Index]:
        inside = [index for index in indices if self.start <= index.idx < self.end]
        return [index._replace(idx=index.idx - self.start) for index in inside]


@dataclass(frozen=True)
class _OutOf:
    """Channels of a piece that begins at ``start``, as channels of the whole."""

    start: int

    def __call__(self, indices: list[Index]) -> list[Index]:
        return [index._replace(idx=index.idx + self.start) for index in indices]


def mend_edges(graph: Graph) -> None:
    """Gives every operand of a concatenation along channels, and every reader of a split, its own piece."""
    nodes = tuple(graph.module2node.values())
    for node in nodes:
        pieces = cast("Pieces | None", getattr(node.grad_fn, "metadata", {}).get(PIECES))
        if _is(node, "_ConcatOp") and pieces is not None and _along_channels(pieces.axis, pieces.rank, joined=True):
            _mend_concatenation(node, pieces.sizes)
    for node in nodes:
        sizes = _split_sizes(node)
        if sizes is not None:
            _mend_split(node, sizes)


def equal_pieces(node: Node) -> int | None:
    """Channels of each piece of a split into equal ones, which must lose the same channels; None for other nodes."""
    sizes = _split_sizes(node)
    if sizes is None or not hasattr(node.grad_fn, "_saved_split_size"):
        return None
    return sizes[0] if len(set(sizes)) == 1 else None


def _mend_concatenation(node: Node, sizes: Sequence[int]) -> None:
    edges = _edges(node)
    starts = [sum(sizes[:place]) for place, (function, _) in enumerate(edges) if function is not None]
    widths = [size for size, (function, _) in zip(sizes, edges, strict=True) if function is not None]
    if len(starts) != len(node.inputs):
        return
    for operand in dict.fromkeys(node.inputs):
        places = [place for place, one in enumerate(node.inputs) if one is operand]
        backward = [dependency for dependency in node.dependencies if dependency.target is operand]
        forward = [dependency for dependency in operand.dependencies if dependency.target is node]
        if not len(places) == len(forward) == len(backward):
            continue
        for place, there, back in zip(places, forward, backward, strict=True):
            there.index_mapping[1] = _OutOf(starts[place])
            # First out of the concatenation, then into what the operand was taken from.
            back.index_mapping[:] = [_Into(starts[place], starts[place] + widths[place]), back.index_mapping[0]]


def _mend_split(node: Node, sizes: Sequence[int]) -> None:
    for reader in dict.fromkeys(node.outputs):
        places = [place for function, place in _edges(reader) if function is node.grad_fn]
        forward = [dependency for dependency in node.dependencies if dependency.target is reader]
        backward = [dependency for dependency in reader.dependencies if dependency.target is node]
        if not len(places) == len(forward) == len(backward):
            continue  # a layer that is used twice: the tracer's own guess stays, and the trial judges it
        for place, there, back in zip(places, forward, backward, strict=True):
            start = sum(sizes[:place])
            there.index_mapping[0] = _Into(start, start + sizes[place])
            back.index_mapping[1 if _is(reader, "_ConcatOp") else 0] = _OutOf(start)


def _split_sizes(node: Node) -> Sequence[int] | None:
    function = node.grad_fn
    if not _is(node, "_SplitOp") or not hasattr(function, "_saved_self_sym_sizes"):
        return None
    shape = cast("Sequence[int]", function._saved_self_sym_sizes)  # noqa: SLF001 - where autograd keeps it
    axis = cast("int", function._saved_dim)  # type: ignore[attr-defined]  # noqa: SLF001 - as above
    axis = axis - 2**64 + len(shape) if axis > _LARGEST_AXIS else axis
    if not _along_channels(axis, len(shape), joined=False):
        return None
    if hasattr(function, "_saved_split_sizes"):
        return tuple(function._saved_split_sizes)  # noqa: SLF001 - as above
    size = int(function._saved_split_size)  # type: ignore[attr-defined]  # noqa: SLF001 - as above
    return [min(size, shape[axis] - start) for start in range(0, shape[axis], size)]


def _along_channels(axis: int, rank: int, *, joined: bool) -> bool:
    """Axis 1 of images and rows, the last of tokens; axis 1 of three may be tokens, which are often joined."""
    return (axis == 1 and (rank != 3 or not joined)) or (rank == 3 and axis == 2)


def _is(node: Node, kind: str) -> bool:
    return type(node.module).__name__ == kind


def _edges(node: Node) -> Sequence[tuple[object, int]]:
    return cast("Sequence[tuple[object, int]]", getattr(node.grad_fn, "next_functions", ()))
