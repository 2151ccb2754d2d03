"""Magika, which tells a file's type from its bytes: accuracy on local files, labelled by their extension.

Model: PyPI magika 1.0.3 (Apache-2.0). Data: files of this Python's standard library and of its installed packages, read
where they are and never copied elsewhere; so the set, and the float figure, belong to the machine that built it.
Extensions that name no one format (`.txt`, templates) are left out, and so are folders of tests, whose files are often
broken on purpose. All files of one package are on one side of the split.
"""

from __future__ import annotations

import json
import shutil
import sysconfig
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .case import Case, Plan, write_arrays
from .sources import model_file

NAME = "magika"
PLAN = Plan(
    name=NAME,
    metric="top1",
    max_drop=0.01,
    shapes="bytes=1,2048",
    source="PyPI magika 1.0.3 (Apache-2.0)",
    note="int32 input; files of the local Python by extension, so the set differs between machines",
)
TYPES = {
    "py": "python", "pyi": "python", "pyc": "pythonbytecode", "rst": "rst", "json": "json", "gz": "gzip",
    "so": "elf", "toml": "toml", "xml": "xml", "c": "c", "cpp": "cpp", "cc": "cpp", "hpp": "cpp", "csv": "csv",
    "wav": "wav", "pem": "pem", "css": "css", "npz": "npz", "npy": "npy", "png": "png", "gif": "gif",
    "md": "markdown", "zip": "zip", "html": "html", "exe": "pebin", "onnx": "onnx", "cmake": "cmake", "bz2": "bzip",
    "pkl": "pickle", "js": "javascript", "jpg": "jpeg", "svg": "svg", "yaml": "yaml", "yml": "yaml", "sh": "shell",
    "f90": "fortran", "f": "fortran", "bat": "batch", "ps1": "powershell", "ini": "ini", "tif": "tiff",
    "ico": "ico", "xz": "xz", "xlsx": "xlsx",
}  # fmt: skip
TEST_FOLDERS = {"test", "tests", "testing", "test_data"}
HALF = 1024
BLOCK = 4096
PADDING = 256
SHORTEST = 8  # bytes that must be left after stripping; the package itself does not ask the model about shorter files
EVALUATED_PER_TYPE = 40
CALIBRATED_PER_TYPE = 10


def build(folder: Path) -> Case:
    """One package in four calibrates, the others evaluate."""
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    packaged = "magika/models/standard_v3_3"
    model = model_file("magika_standard_v3_3.onnx", "magika==1.0.3", f"{packaged}/model.onnx")
    config = model_file("magika_config.min.json", "magika==1.0.3", f"{packaged}/config.min.json")
    names = json.loads(config.read_text(encoding="utf-8"))["target_labels_space"]
    PLAN.start(folder)
    shutil.copyfile(model, folder / "model.onnx")
    by_split: dict[bool, dict[str, list[Path]]] = {True: {}, False: {}}
    for package, path in local_files():
        calibrates = zlib.crc32(package.encode()) % 4 == 0
        by_split[calibrates].setdefault(TYPES[path.suffix[1:]], []).append(path)
    for name, calibrates, limit in (
        ("calibration", True, CALIBRATED_PER_TYPE),
        ("evaluation", False, EVALUATED_PER_TYPE),
    ):
        rng = np.random.default_rng(2048)
        rows, labels = [], []
        for kind, paths in sorted(by_split[calibrates].items()):
            for i in rng.permutation(len(paths))[:limit]:
                row = features(paths[i].read_bytes())
                if row[SHORTEST - 1] != PADDING:
                    rows.append(row)
                    labels.append(names.index(kind))
        write_arrays(folder / f"{name}.npz", bytes=np.stack(rows), labels=np.array(labels))
    return PLAN.finish(folder)


def local_files() -> Iterator[tuple[str, Path]]:
    """Package and path of every file with a known extension and less than 4 MB, in a fixed order."""
    paths = sysconfig.get_paths()
    for key in ("stdlib", "purelib"):
        root = Path(paths[key])
        for path in sorted(root.rglob("*.*")):
            inside = path.relative_to(root).parts
            if path.suffix[1:] not in TYPES or (key == "stdlib" and inside[0] == "site-packages"):
                continue
            if TEST_FOLDERS.intersection(inside):
                continue
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 4_000_000:
                yield inside[0], path


def features(content: bytes) -> np.ndarray:
    """`(2048,)` int32: first and last 1,024 bytes, white space stripped, padded with 256 (the package's own rule)."""
    row = np.full(2 * HALF, PADDING, np.int32)
    first = np.frombuffer(content[:BLOCK].lstrip()[:HALF], np.uint8)
    last = np.frombuffer(content[-BLOCK:].rstrip()[-HALF:], np.uint8)
    row[: len(first)] = first
    row[2 * HALF - len(last) :] = last
    return row
