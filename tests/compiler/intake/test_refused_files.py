"""Files that are cut, garbled, or keep their weights where they should not be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgewright.compiler.pass_base import Note
from edgewright.core.errors import BadInputError

from .conftest import Read


def _weight(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(item for item in model.graph.initializer if item.name == name)


@pytest.mark.parametrize("cut", [1, 2, 10, 100, 500, 1000])
def test_truncation_is_refused(cut: int, small: onnx.ModelProto, tmp_path: Path) -> None:
    from edgewright.compiler.intake.onnx_file import read_onnx

    path = tmp_path / "model.onnx"
    path.write_bytes(small.SerializeToString()[:-cut])
    with pytest.raises(BadInputError, match=r"model\.onnx"):
        read_onnx(path)


def test_invalid_utf8_is_refused(small: onnx.ModelProto, tmp_path: Path) -> None:
    from edgewright.compiler.intake.onnx_file import read_onnx

    path = tmp_path / "model.onnx"
    whole = small.SerializeToString()
    for name in (b"gemm.y", b"conv.w", b"Relu.node", b"small", b"Conv", b"kernel_shape"):
        path.write_bytes(whole.replace(name, b"\xff\xfe" + name[2:]))
        with pytest.raises(BadInputError, match="not UTF-8"):
            read_onnx(path)


def _external(model: onnx.ModelProto, **entries: str) -> None:
    tensor = _weight(model, "conv.w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


EXTERNAL: dict[str, tuple[dict[str, str], str]] = {
    "traversal": ({"location": "../../etc/passwd"}, "leads out of the model's folder"),
    "inner traversal": ({"location": "a/../../x"}, "leads out"),
    "absolute": ({"location": "/etc/passwd"}, "absolute"),
    "windows": ({"location": "C:\\x"}, "absolute"),
    "missing": ({"location": "none"}, "No such file"),
    "no location": ({}, "not a file name"),
    "nul": ({"location": "data\0"}, "not a file name"),
    "itself": ({"location": "."}, "not a regular file"),
    "folder": ({"location": "folder"}, "not a regular file"),
    "link": ({"location": "link"}, "symbolic link"),
    "through a link": ({"location": "way/data"}, "symbolic link"),
    "hard link": ({"location": "twin"}, "hard links"),
    "fifo": ({"location": "fifo"}, "not a regular file"),
    "beyond": ({"location": "data", "offset": "1"}, "from byte 1 to 289, the file has 288"),
    "far beyond": ({"location": "data", "offset": "9223372036854775807"}, "the file has 288"),
    "too long": ({"location": "data", "length": "289"}, "of 289 bytes, its dims .* need 288"),
    "negative offset": ({"location": "data", "offset": "-1"}, "offset '-1', which is not a whole number"),
    "negative length": ({"location": "data", "length": "-288"}, "not a whole number"),
    "offset in words": ({"location": "data", "offset": "٣"}, "not a whole number"),
}


@pytest.mark.parametrize("name", EXTERNAL)
def test_external_data_that_is_not_plainly_there_is_refused(
    name: str, small: onnx.ModelProto, read: Read, tmp_path: Path
) -> None:
    (tmp_path / "data").write_bytes(bytes(288))
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "way").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    if name == "hard link":
        os.link(tmp_path / "data", tmp_path / "twin")
    entries, words = EXTERNAL[name]
    _external(small, **entries)
    with pytest.raises(BadInputError, match=words):
        read(small)


def test_nan_in_external_data_is_found(small: onnx.ModelProto, read: Read, tmp_path: Path) -> None:
    array = np.ones(72, np.float32)
    array[71] = np.nan
    (tmp_path / "data").write_bytes(array.tobytes())
    _external(small, location="data")
    with pytest.raises(BadInputError, match=r"'conv\.w'"):
        read(small)
    notes: list[Note] = []
    assert read(small, notes, allow_nonfinite=True).inputs
    assert "'conv.w'" in notes[0].text
