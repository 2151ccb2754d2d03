"""A Makefile rule that names every file a compile read, for build systems that rebuild when one changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from edgewright.core.files import write_atomically
from edgewright.driver.request import CompileRequest


def write_depfile(path: Path, outputs: Sequence[Path], inputs: Iterable[Path]) -> None:
    """Writes ``outputs: inputs`` in the form that make, Ninja and CMake read.

    Raises:
        CannotWriteError, IOFailureError: when ``path`` cannot be written.
    """
    names = " \\\n  ".join(escaped(str(item)) for item in sorted(set(inputs)))
    targets = " ".join(escaped(str(item)) for item in outputs)
    write_atomically(path, f"{targets}: \\\n  {names}\n".encode("utf-8", "surrogateescape"))


def files_read(request: CompileRequest) -> list[Path]:
    """The files that the request's words name: the model and what lies beside it, data, recipe, targets, plan."""
    words = [request.model, request.data, request.eval_data, request.train_data, request.metric, *request.targets]
    named = [Path(word.rpartition(":")[0] if ".py:" in word else word) for word in words if word is not None]
    named += [path for path in (request.recipe, request.plan, request.golden) if path is not None]
    found = []
    for path in named:
        if path.is_dir():
            found += [item for item in sorted(path.rglob("*")) if item.is_file()]
        elif path.is_file():
            found.append(path)
            # Weights that an ONNX file keeps outside of itself lie beside it, under the exporters' usual names.
            found += [beside for beside in (path.with_name(f"{path.name}.data"),) if beside.is_file()]
    return found


def escaped(name: str) -> str:
    r"""A file name as make's prerequisites want it.

    >>> escaped("my model#1$.onnx")
    'my\\ model\\#1$$.onnx'
    """
    return name.replace("\\", "\\\\").replace(" ", "\\ ").replace("#", "\\#").replace("$", "$$").replace("\n", "\\n")
