"""What of a bundle goes into C, read and checked."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from edgewright.core.bundle import Bundle
from edgewright.core.errors import BadInputError, UnavailableError, UsageError
from edgewright.core.tensors import TensorSpec
from edgewright.driver.embed.c_text import LONGEST_LITERAL

DTYPES = {
    "float32": (1, 32), "uint8": (2, 8), "int8": (3, 8), "uint16": (4, 16), "int16": (5, 16), "int32": (6, 32),
    "int64": (7, 64), "string": (8, 0), "bool": (9, 8), "float16": (10, 16), "float64": (11, 64), "uint32": (12, 32),
    "uint64": (13, 64), "complex64": (14, 64), "complex128": (15, 128), "bfloat16": (16, 16),
    "float8_e4m3fn": (17, 8), "float8_e4m3fnuz": (18, 8), "float8_e5m2": (19, 8), "float8_e5m2fnuz": (20, 8),
    "uint4": (21, 4), "int4": (22, 4), "float4_e2m1fn": (23, 4),
}  # fmt: skip
"""Element type in NumPy's words -> its number in ONNX (TensorProto.DataType) and its bits, 0 where none are fixed."""
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LONGEST_IDENTIFIER = 40
_LARGEST_DIMENSION = 2**63 - 1


@dataclass(frozen=True)
class EngineFile:
    """One file of the engine, and the array that it becomes."""

    path: str
    """Relative to the bundle's ``engine/``."""
    symbol: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Tensor:
    """A specification as C has it: -1 where it is open."""

    spec: TensorSpec
    number: int
    bits: int
    dims: tuple[int, ...] | None
    elements: int
    size_bytes: int


def engine_files(bundle: Bundle, name: str) -> tuple[EngineFile, ...]:
    """The files that opening the engine takes, the one to open first.

    Raises:
        UnavailableError: where only the device can build the engine.
    """
    backend = bundle.manifest.backend
    if backend.pending:
        raise UnavailableError(
            f"{bundle.path} has no engine yet: {backend.pending}",
            f"On the device: edgewright finish {bundle.path.name} -o finished.ewb; then embed that.",
        )
    listed = {one.path.removeprefix("engine/"): one for one in bundle.manifest.files}
    provenance = backend.properties.get("typed")  # TensorRT's engine was built from it, and opens without it
    names = [one for one in sorted(bundle.engine_files) if one not in (backend.entry, provenance)]
    symbols = [f"{name}_engine", *(f"{name}_file_{index}" for index in range(1, len(names) + 1))]
    return tuple(
        EngineFile(path, symbol, listed[path].sha256, listed[path].bytes)
        for path, symbol in zip([backend.entry, *names], symbols, strict=True)
    )


def tensor_of(spec: TensorSpec) -> Tensor:
    """What firmware wants to know of ``spec``: element counts and bytes where they are fixed.

    Raises:
        BadInputError: a name that no C string holds, or a size beyond 64 bits.
    """
    require_text(spec.name, "the name of a tensor")
    number, bits = DTYPES.get(spec.dtype, (0, 0))
    if spec.shape is None:
        return Tensor(spec, number, bits, None, -1, -1)
    dims = tuple(dim if isinstance(dim, int) else -1 for dim in spec.shape)
    elements = -1 if -1 in dims else math.prod(dims)
    size = -1 if elements == -1 or not bits else (elements * bits + 7) // 8
    if max((*dims, elements, size)) > _LARGEST_DIMENSION:
        raise BadInputError(f"a tensor of shape {spec.shape_text:.200} is beyond 64 bits", "Compile the model again.")
    return Tensor(spec, number, bits, dims, elements, size)


def require_text(text: str, what: str) -> None:
    """Lets through what a C string literal holds.

    Raises:
        BadInputError: a NUL, at which C would end it, or more bytes than compilers promise to take.
    """
    if "\0" in text:
        raise BadInputError(f"{what} has a NUL, and C would end it there: {text:.80}", "Rename it in the model.")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LONGEST_LITERAL:
        raise BadInputError(f"{what} has {size} bytes, a C string takes {LONGEST_LITERAL}", "Rename it in the model.")


def identifier(wanted: str | None, bundle: Path) -> str:
    """What every name begins with: ``wanted``, or the bundle's file name with ``_`` for what C does not take.

    Raises:
        UsageError: a word that no C identifier begins with.
    """
    name = re.sub(r"[^A-Za-z0-9_]", "_", bundle.stem) if wanted is None else wanted
    if not _IDENTIFIER.fullmatch(name) or len(name) > _LONGEST_IDENTIFIER:
        raise UsageError(
            f"'{name:.80}' is no beginning of a C identifier",
            f"Give --name a letter, then letters, digits and _, {_LONGEST_IDENTIFIER} at most: --name model.",
        )
    return name
