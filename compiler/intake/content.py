"""Recognises what a model file is by its content; its suffix is only what somebody called it."""

from __future__ import annotations

import zipfile
from enum import Enum
from pathlib import Path
from typing import IO

from edgewright.core.errors import BadInputError
from edgewright.core.files import open_regular

_HEAD_BYTES = 512
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The magic number (a pickled long) that torch.save wrote before its zip format (torch/serialization.py)."""
_MAX_NAMES = 200_000


class Content(Enum):
    """The forms that can be read."""

    ONNX = "onnx"
    """A protobuf, as far as one can tell without parsing it."""
    EXPORTED = "pt2"
    """What torch.export.save writes."""
    PICKLE = "pickle"
    """What torch.save writes: code, to be run only where it is trusted."""

    @property
    def title(self) -> str:
        """What messages call it."""
        titles = {"onnx": "an ONNX file", "pt2": "an exported torch program", "pickle": "a pickle (torch.save)"}
        return titles[self.value]


_FOREIGN: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs", "a Git-LFS pointer, not the model itself", "Run 'git lfs pull' in its repository."),
    (4, b"TFL3", "a TensorFlow Lite model", "Convert it with 'tf2onnx --tflite'."),
    (4, b"ORTM", "a model in ONNX Runtime's own format", "Give the ONNX file it was made from."),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)", "Export the model to ONNX."),
    (0, b"GGUF", "a GGUF file", "Export the model to ONNX."),
    (0, b"\x93NUMPY", "a NumPy array", "Give the model, not its data."),
    (0, b"\x1f\x8b", "gzip-compressed", "Unpack it with 'gunzip' first."),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it first."),
    (0, b"BZh", "bzip2-compressed", "Unpack it with 'bunzip2' first."),
    (0, b"\xfd7zXZ\0", "xz-compressed", "Unpack it with 'unxz' first."),
    (0, b"(\xb5/\xfd", "zstd-compressed", "Unpack it with 'unzstd' first."),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image", "Give a model."),
    (0, b"\xff\xd8\xff", "a JPEG image", "Give a model."),
    (0, b"%PDF-", "a PDF document", "Give a model."),
    (0, b"\x7fELF", "a program or library", "Give a model."),
    (0, b"#!", "a script", "Give a model, or name its factory as file.py:function."),
    (
        257,
        b"ustar",
        "a tar archive (as torch.save wrote before 2018, among others)",
        "Save it again with a current torch.",
    ),
)


def recognise(path: Path) -> Content:
    """What kind of model the file is.

    Raises:
        UsageError: when there is nothing at ``path``.
        BadInputError: a folder, FIFO or device; an empty file; content that is known to be something else.
    """
    with open_regular(path, "model") as file:
        head = file.read(_HEAD_BYTES)
        if not head:
            raise BadInputError(f"{path} is empty", "Copy or export the model again.")
        for offset, magic, what, remedy in _FOREIGN:
            if head[offset : offset + len(magic)] == magic:
                raise BadInputError(f"{path} is {what}", remedy)
        if head.startswith((b"PK\3\4", b"PK\5\6")):
            return _recognise_zip(file, path)
    if head.startswith(_LEGACY_TORCH) or (head[0] == 0x80 and head[1:2] in b"\1\2\3\4\5" and len(head) > 1):
        return Content.PICKLE
    _refuse_text(head, path)
    return Content.ONNX


def _recognise_zip(file: IO[bytes], path: Path) -> Content:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError, OverflowError) as error:
        raise BadInputError(f"{path} is a broken zip archive: {error!s:.200}", "Copy it again.") from error
    leaves = {name.rpartition("/")[2] for name in names[:_MAX_NAMES]}
    if "archive_format" in leaves or "serialized_exported_program.json" in leaves:
        return Content.EXPORTED
    if "constants.pkl" in leaves:
        raise BadInputError(
            f"{path} is a TorchScript archive, which cannot be exported",
            "Give the module it was traced from as module:factory, or save it with torch.export.save as .pt2.",
        )
    if "data.pkl" in leaves:
        return Content.PICKLE
    if "manifest.json" in leaves and any(name.startswith("engine/") for name in names):
        raise BadInputError(f"{path} is a compiled bundle, not a model", "Give the model it was compiled from.")
    what = "a NumPy .npz file" if leaves and all(name.endswith(".npy") for name in leaves) else "a zip archive"
    onnx_inside = next((name for name in names if name.endswith(".onnx")), None)
    remedy = f"Unpack '{onnx_inside:.100}' from it first." if onnx_inside else "Give an ONNX file."
    raise BadInputError(f"{path} is {what}, not a model", remedy)


def _refuse_text(head: bytes, path: Path) -> None:
    """A web page, JSON, XML or other text that was saved under a model's name."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        raise BadInputError(f"{path} is an HTML page, not a model", "Download the file itself (its 'raw' link).")
    if start.startswith((b"<?xml", b"<net")):
        raise BadInputError(f"{path} is an XML file (an OpenVINO model?)", "Give the ONNX file it was made from.")
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 32:
        raise BadInputError(
            f"{path} is a safetensors file, weights without a graph", "Give a module as file.py:factory."
        )
    if len(head) >= 16 and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        raise BadInputError(f"{path} is a text file: {head[:40]!r}", "Give an ONNX file.")
