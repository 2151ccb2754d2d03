"""onnx's shape inference under a memory limit of its own.

Data propagation in onnx 1.23 makes a list as long as a one-dimensional tensor is declared to be, so a model of a
hundred bytes that names 2^40 elements would take the whole machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

EXTRA_BYTES = 512 << 20
"""What inference may take beyond what the process has: ten times what a graph of 5,000 nodes takes."""


def infer_shapes(model: onnx.ModelProto, *, strict: bool = False, check_types: bool = False) -> onnx.ModelProto:
    """``model`` with inferred types and shapes, by data propagation too unless that exceeds the memory limit.

    Raises:
        onnx.shape_inference.InferenceError: with ``strict``, where shapes or types do not fit each other.
    """
    _spell_out_onesided(model)
    try:
        with _limited_memory():
            return onnx.shape_inference.infer_shapes(model, check_types, strict, data_prop=True)
    except MemoryError:
        return onnx.shape_inference.infer_shapes(model, check_types, strict, data_prop=False)


def _spell_out_onesided(model: onnx.ModelProto) -> None:
    """Writes STFT's default of 1 out: inference in onnx 1.23.2 takes an absent ``onesided`` for 0."""
    for node in model.graph.node:
        if node.op_type == "STFT" and not any(item.name == "onesided" for item in node.attribute):
            node.attribute.append(onnx.helper.make_attribute("onesided", 1))


@contextmanager
def _limited_memory() -> Iterator[None]:
    """Caps the address space of this process while the block runs; does nothing where the system has no such limit."""
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + EXTRA_BYTES
    known = [item for item in (soft, hard) if item != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([limit, *known]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
