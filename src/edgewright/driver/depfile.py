"""A Makefile rule that names every file a compile read, for build systems that rebuild when one changes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgewright.core.files import write_atomically
from edgewright.core.files_opened import inputs_among
from edgewright.driver.request import CompileRequest


@dataclass(frozen=True)
class Depfile:
    """The rule of one compile; it is written anew before each output appears, so that none is ever there without it."""

    request: CompileRequest
    outputs: Sequence[Path]
    opened: set[str] = field(default_factory=set)
    """Absolute paths of what was opened for reading up to now."""
    ignored: Sequence[Path] = ()

    def write(self) -> None:
        """Names what the request names, and what was opened besides; nothing where no rule was asked for.

        Raises:
            CannotWriteError, IOFailureError: when the file cannot be written.
        """
        if self.request.depfile is None:
            return
        named = files_read(self.request)
        known = {os.path.realpath(one) for one in named}
        work = [] if self.request.work is None else [self.request.work]
        record = self.request.record or self.request.depfile
        ignored = [*self.ignored, *work, self.request.depfile, record, *self.outputs, *_beside(self.outputs)]
        others = inputs_among(sorted(self.opened), ignored)
        named += [one for one in others if os.path.realpath(one) not in known]
        write_depfile(self.request.depfile, self.outputs, named)


def _beside(outputs: Sequence[Path]) -> list[Path]:
    """What is written beside an output: its record, and what missed a limit."""
    return [one.with_name(f"{one.stem}{end}") for one in outputs for end in (".record.json", f".missed{one.suffix}")]


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
