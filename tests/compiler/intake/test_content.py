from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest

from edgewright.compiler.intake.content import Content, recognise
from edgewright.core.errors import BadInputError, UsageError


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO(b""))
    return buffer.getvalue()


FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "html": (b"\n <!DOCTYPE html><html><body>404</body></html>", "HTML page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "git lfs pull"),
    "tflite": (b"\x1c\0\0\0TFL3" + b"\0" * 40, "TensorFlow Lite"),
    "ort": (b"\x1c\0\0\0ORTM" + b"\0" * 40, "ONNX Runtime's own format"),
    "tar": (_tar(), "tar archive"),
    "gzip": (b"\x1f\x8b\x08" + b"\0" * 20, "gzip"),
    "zip": (_zip("a.txt"), "zip archive"),
    "zip of onnx": (_zip("readme", "m/model.onnx"), "Unpack 'm/model.onnx'"),
    "npz": (_zip("x.npy"), "npz"),
    "bundle": (_zip("engine/model.onnx", "manifest.json"), "compiled bundle"),
    "broken zip": (_zip("a.txt")[:-5], "broken zip"),
    "torchscript": (_zip("m/data.pkl", "m/constants.pkl", "m/code/x.py"), "TorchScript"),
    "safetensors": ((60).to_bytes(8, "little") + b'{"w":{}}' + b" " * 60, "safetensors"),
    "xml": (b"<?xml version='1.0'?><net/>", "XML"),
    "text": (b"this is certainly not a model file\n", "text file"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_content_is_called_by_its_name_whatever_the_suffix(case: str, tmp_path: Path) -> None:
    content, words = FOREIGN[case]
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInputError) as caught:
        recognise(path)
    assert words in str(caught.value)
    assert str(path) in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (pickle.dumps({"a": 1}), Content.PICKLE),
        (pickle.dumps({"a": 1}, protocol=2), Content.PICKLE),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", Content.PICKLE),
        (_zip("m/data.pkl", "m/version"), Content.PICKLE),
        (_zip("m/archive_format", "m/models/model.json"), Content.EXPORTED),
        (b"\x08\x0a\x12\x00", Content.ONNX),
    ],
)
def test_forms_are_told_by_content(content: bytes, kind: Content, tmp_path: Path) -> None:
    path = tmp_path / "model.anything"
    path.write_bytes(content)
    assert recognise(path) is kind


def test_what_is_no_regular_file_never_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, word in ((tmp_path, "folder"), (tmp_path / "fifo", "FIFO"), (Path("/dev/zero"), "device")):
        with pytest.raises(BadInputError, match=word):
            recognise(path)
    with pytest.raises(UsageError, match="does not exist"):
        recognise(tmp_path / "none")
