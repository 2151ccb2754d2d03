"""How the answers of an engine are shown, and written to files."""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from edgewright.cli import _console
from edgewright.core import jsontext
from edgewright.core.errors import CannotWriteError, IOFailureError, UsageError
from edgewright.core.files import replacing, write_atomically

if TYPE_CHECKING:
    from edgewright.core.tensors import Array
    from edgewright.driver.run import Answers, RunReport

_SAMPLES_SHOWN, _VALUES_SHOWN = 8, 6
_PLAIN_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def require_form(out: Path | None) -> None:
    """Lets through ``.npz``, ``.json``, a folder that is not there or is empty, and None.

    Raises:
        UsageError: a file of another kind, or a folder with something in it.
        CannotWriteError: the folder around it is missing or closed.
    """
    if out is None:
        return
    if out.suffix in (".npz", ".json"):
        if out.is_dir():
            raise CannotWriteError(f"{out} is a folder", "Give a file.")
    elif out.suffix and not out.is_dir():
        raise UsageError(f"-o {out} is no .npz, no .json and no folder", "Give one of these.")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"-o {out} is there already, and not an empty folder", "Give a new one.")
    if not out.absolute().parent.is_dir():
        raise CannotWriteError(f"cannot write {out}: there is no folder {out.parent}", "Make it first.")


def write(report: RunReport, out: Path) -> None:
    """Writes ``out`` whole or not at all: ``.json``, ``.npz``, or a folder of ``.npy`` files.

    Raises:
        CannotWriteError, IOFailureError: the disk is full, or closed to us.
    """
    if out.suffix == ".json":
        write_atomically(out, jsontext.canonical(report.to_json()))
    elif out.suffix == ".npz":
        import numpy as np

        with replacing(out) as file:
            np.savez(file, **_arrays(report.outputs))  # type: ignore[arg-type] # names are foreign, all are arrays
    else:
        _write_folder(_arrays(report.outputs), out)


def _arrays(outputs: Sequence[Answers]) -> dict[str, Array]:
    """By output; where shapes differ from sample to sample, ``NAME.0``, ``NAME.1``, ..."""
    found: dict[str, Array] = {}
    for one in outputs:
        name = one.name if _PLAIN_FILE.fullmatch(one.name) else quote(one.name, safe=" ").replace("..", "%2E%2E")
        if one.whole is not None:
            found[name] = _storable(one.whole)
        else:
            found |= {f"{name}.{index}": _storable(sample) for index, sample in enumerate(one.samples)}
    return found


def _storable(array: Array) -> Array:
    """What ``.npy`` can hold: texts as such, and types that numpy lacks (bfloat16) as float32."""
    if array.dtype.kind == "O":
        return array.astype("U")
    return array.astype("float32") if array.dtype.kind == "V" else array


def _write_folder(arrays: dict[str, Array], out: Path) -> None:
    import numpy as np

    target = out.absolute()
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{target.name[:64]}.", suffix=".tmp", dir=target.parent))
    except OSError as error:
        raise CannotWriteError(f"cannot write {out}: {error.strerror}", "Choose a folder you may write to.") from error
    try:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            write_atomically(made / f"{name}.npy", buffer.getvalue())
        made.chmod(0o755 & ~_umask())
        made.rename(target)  # takes the place of an empty folder
    except OSError as error:
        raise IOFailureError(f"writing {out} failed: {error.strerror}", "Run the command again.") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def show(report: RunReport) -> None:
    """Each output: its form, and of the first samples the first values, the largest one named."""
    for one in report.outputs:
        shape = "of several shapes" if one.whole is None else "x".join(map(str, one.whole.shape)) or "scalar"
        _console.result(f"{_console.escape(one.name)}: {one.dtype} {shape}")
        for index, sample in enumerate(one.samples[:_SAMPLES_SHOWN]):
            _console.result(f"  {index}: {_sample_text(sample)}")
        if (more := len(one.samples) - _SAMPLES_SHOWN) > 0:
            _console.result(f"  and {more} more; -o FILE or --json has all")


def _sample_text(sample: Array) -> str:
    flat = sample.reshape(-1)
    if not flat.size:
        return "empty"
    if flat.dtype.kind not in "fiub":
        texts = [_console.escape(str(value)) for value in flat[:_VALUES_SHOWN].tolist()]
        return " ".join(texts) + _rest(flat.size)
    values = " ".join(f"{value:.4g}" for value in flat[:_VALUES_SHOWN].tolist()) + _rest(flat.size)
    row = sample.ndim >= 1 and sample.shape[-1] == flat.size > 1 and flat.dtype.kind == "f"
    best = int(flat.argmax())  # of a NaN, where there is one
    if not row or math.isnan(flat[best]):
        return values
    return f"{values}, largest {flat[best]:.4g} at {best}"


def _rest(size: int) -> str:
    return f" ... ({size} values)" if size > _VALUES_SHOWN else ""
