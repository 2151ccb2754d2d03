"""``.npz`` files: read by slice, never unpickled, never wholly in memory."""

from __future__ import annotations

import difflib
import lzma
import math
import shutil
import struct
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from edgewright.core.data.cutting import common_count, cut_for, label_cut
from edgewright.core.data.rows import FileRows, Rows
from edgewright.core.data.stored import StoredDataSet
from edgewright.core.errors import BadInputError, IOFailureError, UsageError
from edgewright.core.tensors import Array, TensorSpec

LABELS = "labels"
GROUPS = "groups"
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LARGEST_HEADER_BYTES = 10_000
_CHUNK_BYTES = 1 << 20
_SMALL_BYTES = 1 << 20
"""Arrays up to here are kept in memory."""


def open_npz(path: Path, specs: tuple[TensorSpec, ...]) -> StoredDataSet:
    """The samples of an ``.npz`` file whose arrays are named after the model's inputs.

    Optional arrays: ``labels``, and ``groups`` (the source of each sample). Members stored as they are stay in the
    file and are read by slice; compressed ones are unpacked once into an unnamed temporary file.

    Raises:
        BadInputError: naming the file, the array and the rule.
    """
    name = path.name
    arrays = members(path)
    by_name = {spec.name: spec for spec in specs}
    extra = {key: arrays.pop(key) for key in (LABELS, GROUPS) if key in arrays and key not in by_name}
    check_names(name, arrays, by_name)
    cuts = {}
    for key, spec in by_name.items():
        array = arrays[key]
        where = f"{name}: array '{key}'"
        if problem := dtype_problem(spec, array):
            raise BadInputError(f"{where} {problem}", f"Save it with .astype('{spec.dtype}').")
        cut = cut_for(spec, array.shape)
        if cut is None:
            raise BadInputError(
                f"{where} has shape {array.shape}; the model takes {spec.shape_text}",
                "Stack samples along the first axis, or whole feeds along an axis before the input's own.",
            )
        cuts[key] = cut
    count = common_count(cuts, name)
    rows = max(cut.rows for cut in cuts.values())
    left_over = tuple(
        f"{name}: the last {cut.left_over} rows of '{key}' fill no batch of {cut.rows} and are left out"
        for key, cut in cuts.items()
        if cut.left_over
    )
    labels = extra.get(LABELS)
    label_how = None if labels is None else (labels, label_cut(labels.shape, count, rows, name))
    return StoredDataSet(
        name=name,
        specs=specs,
        arrays=arrays,
        cuts=cuts,
        count=count,
        labels=label_how,
        groups=_groups(name, extra.get(GROUPS), count, rows),
        warnings=left_over,
    )


def _groups(name: str, array: Rows | None, count: int, rows: int) -> list[str] | None:
    """One group for each feed; a batch belongs to the group of its first row."""
    if array is None:
        return None
    if len(array.shape) != 1 or array.shape[0] not in (count, count * rows):
        raise BadInputError(
            f"{name}: array '{GROUPS}' has shape {array.shape} for {count} samples", "Give one group for each sample."
        )
    return [str(group) for group in array[: array.shape[0]][:: array.shape[0] // count].tolist()]


def check_names(name: str, arrays: Mapping[str, Rows], by_name: Mapping[str, TensorSpec]) -> None:
    """Lets through arrays that are the model's inputs, each once.

    Raises:
        BadInputError: naming those that are missing, and those that are no inputs.
    """
    missing = [key for key in by_name if key not in arrays]
    unknown = [key for key in arrays if key not in by_name]
    if not missing and not unknown:
        return
    problems = [f"no array '{key}' for the model's input" for key in missing]
    for key in unknown:
        near = difflib.get_close_matches(key, by_name, n=1)
        problems.append(f"array '{key}' is no input of the model{f'; did you mean {near[0]}?' if near else ''}")
    takes = ", ".join(f"{spec.name} ({spec.dtype} {spec.shape_text})" for spec in by_name.values())
    raise BadInputError(f"{name}: {'; '.join(problems)}", f"Name the arrays after the inputs: {takes}.")


def dtype_problem(spec: TensorSpec, array: Rows) -> str | None:
    """Says that the elements of ``array`` are not what the input takes, or None when they are."""
    if spec.dtype == "string":
        return None if array.dtype.kind in "SU" else f"is {array.dtype.name}; the model takes text"
    return None if array.dtype.name == spec.dtype else f"is {array.dtype.name}; the model takes {spec.dtype}"


def members(path: Path) -> dict[str, Rows]:
    """Every array of the file by name; the large ones stay there.

    Raises:
        UsageError: no such file.
        BadInputError: not an ``.npz``, damaged, or with an array that cannot be read without unpickling.
    """
    if not path.is_file():
        what = "is not a regular file" if path.exists() else "is not there"
        raise UsageError(f"data file {path} {what}", "Give the path of an .npz file.")
    if path.stat().st_size == 0:
        raise BadInputError(f"{path.name} is empty", "Write it with numpy.savez.")
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if not infos:
                raise BadInputError(f"{path.name} holds no array", "Write it with numpy.savez.")
            arrays: dict[str, Rows] = {}
            for info in infos:
                key = info.filename.removesuffix(".npy")
                if key == info.filename or key in arrays:
                    what = "stands there twice" if key in arrays else "is no array"
                    raise BadInputError(f"{path.name}: member '{info.filename}' {what}", "Write it with numpy.savez.")
                arrays[key] = _member(path, archive, info)
            return arrays
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, EOFError, struct.error) as error:
        raise BadInputError(
            f"{path.name} is no .npz file, or damaged: {error}", "Write it with numpy.savez."
        ) from error
    except OSError as error:
        raise IOFailureError(f"cannot read {path}: {error.strerror}", "Check its permissions and the disk.") from error


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Rows:
    where = f"{path.name}: array '{info.filename.removesuffix('.npy')}'"
    if info.flag_bits & 1:
        raise BadInputError(f"{where} is encrypted", "Write it with numpy.savez.")
    with archive.open(info) as member:
        shape, fortran, dtype, offset = read_header(member, where)
        size = math.prod(shape) * dtype.itemsize
        if info.file_size != offset + size:
            raise BadInputError(
                f"{where} has {info.file_size - offset} bytes, its header says {size}", "Write it anew."
            )
        if size == 0:
            return np.empty(shape, dtype)
        if size <= _SMALL_BYTES or not shape:
            return np.frombuffer(bytearray(member.read()), dtype).reshape(shape, order="F" if fortran else "C")
        if info.compress_type == zipfile.ZIP_STORED:
            while member.read(_CHUNK_BYTES):  # to the end, where zipfile compares the checksum
                pass
            with path.open("rb") as file:
                return rows_of(file, _data_offset(path, info) + offset, shape, dtype, fortran=fortran)
        with _unnamed_file(size, where) as unpacked:
            shutil.copyfileobj(member, unpacked, _CHUNK_BYTES)
            unpacked.flush()
            return rows_of(unpacked, 0, shape, dtype, fortran=fortran)


def rows_of(
    file: IO[bytes], offset: int, shape: tuple[int, ...], dtype: np.dtype[np.generic], *, fortran: bool
) -> Rows:
    """The array at an offset of a file, which stays there."""
    if not fortran:
        return FileRows(file, offset, shape, dtype)
    # Its rows are scattered over the file, which only a mapping can gather.
    mapped: Array = np.memmap(file, dtype, "r", offset, shape, "F")
    return mapped


def read_header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Shape, Fortran order, element type and the offset of the data of a ``.npy`` stream.

    Raises:
        BadInputError: not ``.npy``, or elements that would have to be unpickled.
    """
    try:
        counting = _Counting(file)
        version = np.lib.format.read_magic(counting)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a header was written by Python 2
            shape, fortran, dtype = read(counting, max_header_size=_LARGEST_HEADER_BYTES)
    except (ValueError, SyntaxError, TypeError, EOFError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise BadInputError(f"{where} is no .npy data: {error}", "Write it with numpy.save or numpy.savez.") from error
    if any(not isinstance(dim, int) or dim < 0 for dim in shape):
        raise BadInputError(f"{where} has shape {shape} in its header", "Write it with numpy.save or numpy.savez.")
    if dtype.hasobject:
        raise BadInputError(
            f"{where} holds Python objects, which only unpickling could read", "Save numbers or text of one dtype."
        )
    if dtype.kind not in "biufcSU":
        raise BadInputError(f"{where} has elements of type {dtype}", "Save numbers or text.")
    return shape, fortran, dtype, counting.count


class _Counting:
    """A stream that counts what is read through it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.count = file, 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data


def _unnamed_file(size: int, where: str) -> IO[bytes]:
    """A temporary file that no crash can leave behind, on a disk that has ``size`` bytes left.

    Raises:
        IOFailureError: when it has not.
    """
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise IOFailureError(
            f"{where} unpacks to {size:,} bytes, and {folder} has {free:,} free", "Free some space, or set TMPDIR."
        )
    return tempfile.TemporaryFile(dir=folder)


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: behind its local header, whose name and extra field have lengths of their own."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if signature != b"PK\3\4":
        raise zipfile.BadZipFile(f"no local header for {info.filename}")
    return int(info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes)
