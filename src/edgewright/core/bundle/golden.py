"""Golden samples: inputs with what the original model and the engine answered, kept in ``.npz`` files.

Arrays are named by numbers (``0002/000`` is sample 2, first tensor in the manifest's order), because tensor names are
foreign text. Element types that numpy lacks (bfloat16, float8) are kept as unsigned integers of the same width.
numpy is imported inside the functions: a bundle is opened, and its engine taken out, where there is none.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from edgewright.core.bundle.archive import REMEDY, add_member, open_archive
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import Array, Feeds, Outputs, TensorSpec

_NUMPY_KINDS = "biufcSU"
_HEADER = re.compile(
    rb"\{'descr': '([<|][biufcSU]\d{1,9})', 'fortran_order': False, 'shape': \(((?:\d{1,18},? ?){0,64})\), \} *\n"
)


@dataclass(frozen=True, eq=False)
class Golden:
    """Samples that prove an engine again elsewhere; three lists of the same length."""

    inputs: Sequence[Feeds]
    original: Sequence[Outputs]
    engine: Sequence[Outputs]
    """Empty where the engine was never run (``unmeasured``)."""

    def __post_init__(self) -> None:
        counts = (len(self.inputs), len(self.original), len(self.engine))
        if counts[0] != counts[1] or counts[2] not in (0, counts[0]):
            raise ValueError(f"golden samples: {counts[0]} inputs, {counts[1]} original and {counts[2]} engine answers")


def write_samples(file: IO[bytes], samples: Sequence[Mapping[str, Array]], specs: Sequence[TensorSpec]) -> None:
    """Writes an ``.npz`` whose bytes depend on the arrays alone.

    Raises:
        ValueError: a sample that lacks a tensor of ``specs``, or one of Python objects.
    """
    with zipfile.ZipFile(file, "w") as archive:
        for number, sample in enumerate(samples):
            for place, spec in enumerate(specs):
                if spec.name not in sample:
                    raise ValueError(f"golden sample {number} has no tensor '{spec.name:.200}'")
                data = _npy_bytes(sample[spec.name])
                add_member(archive, f"{_key(number, place)}.npy", [data], len(data))


def read_samples(file: IO[bytes], specs: Sequence[TensorSpec], source: str) -> list[Outputs]:
    """Reads what :func:`write_samples` wrote; nothing is unpickled and no array is larger than its bytes.

    Raises:
        BadInputError: naming the array that is missing, broken, or not of its spec's type and shape.
    """
    with open_archive(file, source) as archive:
        names = {entry.filename for entry in archive.infolist()}
        count, rest = divmod(len(names), len(specs)) if specs else (0, len(names))
        wanted = [f"{_key(number, place)}.npy" for number in range(count) for place in range(len(specs))]
        if rest or set(wanted) != names:
            raise BadInputError(f"{source} does not hold the arrays of whole samples", REMEDY)
        return [
            {spec.name: _read(archive, number, place, spec, source) for place, spec in enumerate(specs)}
            for number in range(count)
        ]


def _key(number: int, place: int) -> str:
    return f"{number:04d}/{place:03d}"


def _npy_bytes(array: Array) -> bytes:
    import numpy as np
    from numpy.lib import format as npy

    plain = np.ascontiguousarray(array).reshape(array.shape)
    if plain.dtype.kind == "O":
        plain = plain.astype(np.str_)
    if plain.dtype.kind not in _NUMPY_KINDS:
        plain = plain.view(np.dtype(f"u{plain.dtype.itemsize}"))
    buffer = io.BytesIO()
    npy.write_array(buffer, plain.astype(plain.dtype.newbyteorder("<"), copy=False), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _read(archive: zipfile.ZipFile, number: int, place: int, spec: TensorSpec, source: str) -> Array:
    name = f"{_key(number, place)}.npy"
    data = archive.read(name)
    what = f"{source}: array '{name}'"
    try:
        array = _parse(data)
    except (ValueError, TypeError) as error:
        raise BadInputError(f"{what} is not a plain array: {error!s:.200}", REMEDY) from error
    array = _typed(array, spec, what)
    if problem := spec.problem_with(array):
        raise BadInputError(f"{what}: {problem}", REMEDY)
    return array


def _parse(data: bytes) -> Array:
    """The array of one ``.npy`` as :func:`_npy_bytes` writes it, after checking that its bytes are all there.

    numpy's own reader evaluates the header as Python, allocates before it looks, and warns; so the one form that is
    written here is read by a pattern.
    """
    import numpy as np

    header_bytes = int.from_bytes(data[8:10], "little")
    if data[:8] != b"\x93NUMPY\1\0" or len(data) < 10 + header_bytes:
        raise ValueError("not version 1.0 of the npy format")
    header = _HEADER.fullmatch(data[10 : 10 + header_bytes])
    if header is None:
        raise ValueError("its header is not one of a plain array")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(dim) for dim in header[2].replace(b" ", b"").split(b",") if dim)
    payload = len(data) - 10 - header_bytes
    if dtype.itemsize == 0 or math.prod(shape) * dtype.itemsize != payload:
        raise ValueError(f"shape {shape} of {dtype} does not fit {payload} bytes")
    return np.frombuffer(data, dtype, offset=10 + header_bytes).reshape(shape).copy()


def _typed(array: Array, spec: TensorSpec, what: str) -> Array:
    """Gives an array that numpy knows as integers its own type back, where the package that knows it is installed."""
    if spec.dtype in ("string", array.dtype.name) or array.dtype.kind != "u":
        return array
    try:
        import ml_dtypes
        import numpy as np

        dtype = np.dtype(getattr(ml_dtypes, spec.dtype))
    except (ImportError, AttributeError, TypeError) as error:
        raise BadInputError(f"{what} needs the element type '{spec.dtype}'", "pip install ml-dtypes") from error
    return array.view(dtype) if dtype.itemsize == array.dtype.itemsize else array
