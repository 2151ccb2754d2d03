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
        beside = [self.request.depfile, self.request.record, self.request.sbom]
        written = [*self.outputs, *(one for one in beside if one is not None)]
        named = [one for one in files_read(self.request) if not _holds(one, written)]
        known = {os.path.realpath(one) for one in named}
        work = [] if self.request.work is None else [self.request.work]
        ignored = [*self.ignored, *work, *written, *_beside(self.outputs)]
        others = inputs_among(sorted(self.opened), ignored)
        named += [one for one in others if os.path.realpath(one) not in known]
        write_depfile(self.request.depfile, self.outputs, named)


def _holds(folder: Path, outputs: Sequence[Path]) -> bool:
    """Whether outputs are written into ``folder``, which changes its time each time."""
    whole = os.path.realpath(folder)
    return any(os.path.realpath(one.parent) == whole for one in outputs)


def _beside(outputs: Sequence[Path]) -> list[Path]:
    """What is written beside an output: its record, and what missed a limit."""
    return [one.with_name(f"{one.stem}{end}") for one in outputs for end in (".record.json", f".missed{one.suffix}")]


def write_depfile(path: Path, outputs: Sequence[Path], inputs: Iterable[Path]) -> None:
    """Writes ``outputs: inputs`` in the form that make, Ninja and CMake read.

    Each input stands as a rule of its own too, as of gcc's ``-MP``: make would otherwise refuse to go on once one of
    them was deleted or renamed. The blank after its colon is for CMake 3.20 to 3.22, whose reader loses its place at a
    rule that ends there.

    Raises:
        CannotWriteError, IOFailureError: when ``path`` cannot be written.
    """
    names = [escaped(str(item)) for item in sorted(set(inputs))]
    targets = " ".join(escaped(str(item)) for item in outputs)
    lines = [" \\\n  ".join([f"{targets}:", *names]), *(f"{name}: " for name in names if not set(name) & set("%:"))]
    write_atomically(path, "\n".join([*lines, ""]).encode("utf-8", "surrogateescape"))


def files_read(request: CompileRequest) -> list[Path]:
    """The files that the request's words name: the model and what lies beside it, data, recipe, targets, plan.

    Of a folder its folders too: their times change when a file is added or taken away.
    """
    words = [request.model, request.data, request.eval_data, request.train_data, request.metric, *request.targets]
    named = [Path(word.rpartition(":")[0] if ".py:" in word else word) for word in words if word is not None]
    named += [path for path in (request.recipe, request.plan, request.golden) if path is not None]
    found = []
    for path in named:
        if path.is_dir():
            found += [path, *(item for item in sorted(path.rglob("*")) if item.is_file() or item.is_dir())]
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
