"""Tensors: that their data are there, all of them, and where they belong."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx

from edgewright.compiler.intake.validate.report import node_text, quoted, refuse
from edgewright.compiler.intake.validate.scopes import Scope

_T = onnx.TensorProto
_MAX_ELEMENTS = (1 << 63) - 1
_MAX_RANK = 64
_DECIMAL = re.compile(r"[0-9]{1,19}")
_BITS: dict[int, int] = {
    **dict.fromkeys((_T.INT64, _T.UINT64, _T.DOUBLE, _T.COMPLEX64), 64),
    **dict.fromkeys((_T.INT32, _T.UINT32, _T.FLOAT), 32),
    **dict.fromkeys((_T.INT16, _T.UINT16, _T.FLOAT16, _T.BFLOAT16), 16),
    **dict.fromkeys((_T.INT8, _T.UINT8, _T.BOOL, _T.FLOAT8E4M3FN, _T.FLOAT8E4M3FNUZ), 8),
    **dict.fromkeys((_T.FLOAT8E5M2, _T.FLOAT8E5M2FNUZ, _T.FLOAT8E8M0), 8),
    **dict.fromkeys((_T.INT4, _T.UINT4, _T.FLOAT4E2M1), 4),
    **dict.fromkeys((_T.INT2, _T.UINT2), 2),
    _T.COMPLEX128: 128,
    _T.STRING: 0,
}
"""Bits of one element (onnx/onnx.proto, TensorProto.DataType)."""
_TYPED_FIELD: dict[int, str] = {
    **dict.fromkeys((_T.FLOAT, _T.COMPLEX64), "float_data"),
    **dict.fromkeys((_T.DOUBLE, _T.COMPLEX128), "double_data"),
    **dict.fromkeys((_T.UINT32, _T.UINT64), "uint64_data"),
    _T.INT64: "int64_data",
    _T.STRING: "string_data",
}
"""Where elements stand when not in ``raw_data``; everything else is in ``int32_data``."""
_ALL_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


def known_type(data_type: int) -> bool:
    """True for the element types that can be read."""
    return data_type in _BITS


def tensors_of(scope: Scope) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Every tensor of one scope with the words that messages call it by."""
    for tensor in scope.initializers:
        yield f"initializer {quoted(tensor.name)}", tensor
    for node in scope.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield f"attribute {quoted(attribute.name)} of {node_text(node)}", attribute.t
            for tensor in attribute.tensors:
                yield f"attribute {quoted(attribute.name)} of {node_text(node)}", tensor


def check_tensors(scope: Scope, folder: Path, source: str) -> None:
    """Checks type, dims and the length of the data of every tensor of one scope.

    Args:
        scope: whose tensors are checked, without those of the graphs inside of it.
        folder: where the model lies; external data must lie in it too.
        source: what messages call the model.

    Raises:
        BadInputError: naming the tensor and the rule.
    """
    if isinstance(scope.graph, onnx.GraphProto) and scope.graph.sparse_initializer:
        name = scope.graph.sparse_initializer[0].values.name
        refuse(source, f"initializer {quoted(name)} is sparse", "Export the model again with dense weights.")
    for what, tensor in tensors_of(scope):
        check_tensor(tensor, what, folder, source)


def check_tensor(tensor: onnx.TensorProto, what: str, folder: Path, source: str) -> None:
    """Checks one tensor; arguments and errors as :func:`check_tensors`."""
    if tensor.data_type not in _BITS:
        refuse(source, f"{what} has the unknown data type {tensor.data_type}")
    if tensor.HasField("segment"):
        refuse(source, f"{what} is split into segments, which nobody reads")
    count = _element_count(tensor, what, source)
    wanted = (count * _BITS[tensor.data_type] + 7) // 8
    fields = [name for name in _ALL_FIELDS if len(getattr(tensor, name))]
    if tensor.HasField("raw_data"):
        fields.append("raw_data")
    if tensor.data_location == _T.EXTERNAL:
        if any(name != "raw_data" or tensor.raw_data for name in fields):
            refuse(source, f"{what} has its data both in the file and outside of it")
        _check_external(tensor, what, wanted, folder, source)
    elif len(fields) > 1:
        refuse(source, f"{what} has its data twice: {' and '.join(fields)}")
    elif fields == ["raw_data"]:
        _check_raw(tensor, what, wanted, source)
    else:
        _check_typed(tensor, what, count, fields, source)


def _element_count(tensor: onnx.TensorProto, what: str, source: str) -> int:
    dims: list[int] = list(tensor.dims)
    if len(dims) > _MAX_RANK:
        refuse(source, f"{what} has {len(dims)} dimensions, more than {_MAX_RANK}")
    if negative := [dim for dim in dims if dim < 0]:
        refuse(source, f"{what} has the dims {dims}: {negative[0]} is negative")
    count = math.prod(dims)
    if count * max(1, _BITS[tensor.data_type]) // 8 > _MAX_ELEMENTS:
        refuse(source, f"{what} has the dims {dims}, whose product overflows 63 bits")
    return count


def _check_raw(tensor: onnx.TensorProto, what: str, wanted: int, source: str) -> None:
    if tensor.data_type == _T.STRING:
        refuse(source, f"{what} is of strings, which cannot be in raw_data")
    have = len(tensor.raw_data)
    if have != wanted:
        dims, kind = list(tensor.dims), _T.DataType.Name(tensor.data_type)
        refuse(source, f"{what} has {have} bytes of data, its dims {dims} of {kind} need {wanted}")


def _check_typed(tensor: onnx.TensorProto, what: str, count: int, fields: list[str], source: str) -> None:
    field = _TYPED_FIELD.get(tensor.data_type, "int32_data")
    kind = _T.DataType.Name(tensor.data_type)
    if fields and fields != [field]:
        refuse(source, f"{what} is of {kind} but has its data in {fields[0]}, not in {field}")
    per_element = 2 if tensor.data_type in (_T.COMPLEX64, _T.COMPLEX128) else 1
    bits = _BITS[tensor.data_type]
    wanted = (count * bits + 7) // 8 if 0 < bits < 8 else count * per_element
    have = len(getattr(tensor, field))
    if have != wanted:
        refuse(source, f"{what} has {have} values in {field}, its dims {list(tensor.dims)} of {kind} need {wanted}")


def _check_external(tensor: onnx.TensorProto, what: str, wanted: int, folder: Path, source: str) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    where = f"{what} has external data in {quoted(entries.get('location', ''))}"
    if tensor.data_type == _T.STRING:
        refuse(source, f"{what} is of strings, which cannot be external data")
    size = _external_size(entries.get("location", ""), folder, where, source)
    offset = _decimal(entries.get("offset", "0"), "offset", where, source)
    length = _decimal(entries.get("length", str(wanted)), "length", where, source)
    if length != wanted:
        refuse(source, f"{where} of {length} bytes, its dims {list(tensor.dims)} need {wanted}")
    if offset + length > size:
        refuse(
            source,
            f"{where} from byte {offset} to {offset + length}, the file has {size} bytes",
            "The data file is truncated or another model's: copy both files again.",
        )


def _decimal(text: str, key: str, where: str, source: str) -> int:
    if not _DECIMAL.fullmatch(text):
        refuse(source, f"{where} with the {key} {quoted(text)}, which is not a whole number from 0 up")
    return int(text)


def _external_size(location: str, folder: Path, where: str, source: str) -> int:
    """Size of the data file in bytes, after making sure that it is a plain file inside of the model's folder."""
    remedy = "Keep external data in a plain file beside the model."
    parts = PurePosixPath(location).parts
    if not location or "\0" in location:
        refuse(source, f"{where}, which is not a file name", remedy)
    if location.startswith("/") or "\\" in location or re.match(r"[A-Za-z]:", location):
        refuse(source, f"{where}: an absolute path", remedy)
    if ".." in parts:
        refuse(source, f"{where}, which leads out of the model's folder", remedy)
    found = _status(folder, parts)
    if isinstance(found, str):
        refuse(source, f"{where}, {found}", remedy)
    return found


def _status(folder: Path, parts: tuple[str, ...]) -> int | str:
    """The size of the file, or what is wrong with it."""
    path = folder
    status = None
    for index, part in enumerate(parts):
        path /= part
        try:
            status = path.lstat()
        except OSError as error:
            return f"which cannot be read: {error.strerror}"
        if stat.S_ISLNK(status.st_mode):
            return "which is a symbolic link"
        if index < len(parts) - 1 and not stat.S_ISDIR(status.st_mode):
            return "which is inside of something that is not a folder"
    if status is None or not stat.S_ISREG(status.st_mode):
        return "which is not a regular file"
    if status.st_nlink > 1:
        return "which has several hard links"
    return status.st_size if os.access(path, os.R_OK) else "which may not be read"
