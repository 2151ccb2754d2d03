"""Which files beside an ONNX file hold its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

_KEY = b"location"
"""Every tensor whose data lies elsewhere has this word in it."""
_CHUNK_BYTES = 1 << 20


def files_beside(path: Path) -> list[str]:
    """Relative to the folder of ``path``, sorted; none for what is no ONNX file, or has all of its weights itself."""
    if path.suffix != ".onnx" or not _mentions(path, _KEY):
        return []
    model = onnx.load(path, load_external_data=False)
    tensors = [*_of_graph(model.graph), *(one for function in model.functions for one in _of_nodes(function.node))]
    entries = [entry for tensor in tensors for entry in tensor.external_data]
    return sorted({entry.value for entry in entries if entry.key == _KEY.decode()})


def _mentions(path: Path, word: bytes) -> bool:
    tail = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if word in tail + chunk:
                return True
            tail = chunk[-len(word) :]
    return False


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterator[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in (attribute.g, *attribute.graphs):
                yield from _of_graph(graph)
