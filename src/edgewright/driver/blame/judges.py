"""Who says whether a piece of a model still fails: a command of the user's, or the pass that it was cut from."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgewright.compiler.blame.extraction import Piece
from edgewright.compiler.pipeline import AnyPass, PassError, run_pipeline
from edgewright.compiler.site import Site
from edgewright.core import jsontext
from edgewright.core.errors import EdgewrightError, EngineError, UsageError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array, Feeds
from edgewright.driver.blame.scene import Scene, moved
from edgewright.driver.blame.steps import UNPROVEN

MODEL, INPUTS, AFTER = "model.onnx", "inputs.npz", "after.onnx"
_SAID = 2000


class TooLateError(UsageError):
    """The check did not end within its time."""


@dataclass(frozen=True)
class Verdict:
    """What the command said of one piece."""

    fails: bool
    said: str
    """The end of its output."""


@dataclass
class CheckJudge:
    """A command that is called with a model and its inputs: 0 is good, anything else fails."""

    command: str
    seconds: float
    folder: Path
    words: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.words = tuple(shlex.split(self.command))
        except ValueError as error:
            raise UsageError(
                f"--check {self.command!r} cannot be split into words: {error}", "Mend its quotes."
            ) from error

    def verdict(self, piece: Piece) -> Verdict:
        """Asks the command.

        Raises:
            UsageError: there is no such command, or it may not be run.
            TooLateError: it did not end in time, and was ended.
        """
        with tempfile.TemporaryDirectory(prefix="piece-", dir=self.folder) as text, tempfile.TemporaryFile() as said:
            folder = Path(text)
            piece.model.save(folder / MODEL)
            write_feeds(folder / INPUTS, piece.feeds)
            try:
                child = subprocess.Popen(
                    [*self.words, str(folder / MODEL), str(folder / INPUTS)],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise UsageError(
                    f"the check '{self.words[0]}' cannot be run: {error.strerror}",
                    "Give a command that is on the PATH, or the path of an executable file.",
                ) from error
            with _ended(child):
                try:
                    code = child.wait(self.seconds)
                except subprocess.TimeoutExpired as error:
                    raise TooLateError(
                        f"the check did not end within {self.seconds:g} s",
                        "Give it more with --check-seconds; if not to end is the failure, let the check itself say so.",
                    ) from error
            said.seek(max(0, said.seek(0, os.SEEK_END) - _SAID))
            return Verdict(code != 0, said.read().decode("utf-8", "replace").strip())

    def fails(self, piece: Piece) -> bool:
        """Whether a part fails; one that the check does not end with proves nothing."""
        try:
            return self.verdict(piece).fails
        except TooLateError:
            return False


@contextlib.contextmanager
def _ended(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever the check has started ends with the block."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@dataclass(frozen=True)
class _One:
    """The one sample of a piece, as passes take samples."""

    feeds: Feeds

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Feeds]:
        return iter([self.feeds])

    @property
    def digest(self) -> str:
        """Of names and bytes."""
        return jsontext.digest([[name, array.tobytes().hex()] for name, array in sorted(self.feeds.items())])


@dataclass(frozen=True)
class PassJudge:
    """A pass: what it makes of a piece answers otherwise than the piece, by more than it allows, or it raises."""

    pass_: AnyPass
    scene: Scene
    raises: bool
    """Whether raising is the failure that is looked for."""

    def after(self, piece: Piece) -> OnnxModel | None:
        """What the pass makes of ``piece``; None where it raises."""
        site: Site = replace(self.scene.site, original=piece.model, samples=_One(piece.feeds), memo={})
        try:
            after, (entry,) = run_pipeline([self.pass_], piece.model, site, UNPROVEN)
        except PassError:
            return None
        assert isinstance(after, OnnxModel)
        return None if entry.rejected else after

    def fails(self, piece: Piece) -> bool:
        """Whether it still does."""
        try:
            after = self.after(piece)
            if after is None or self.raises:
                return self.raises and after is None
            if after is piece.model:
                return False
            run = self.scene.run
            before = list(run(piece.model, [piece.feeds]))
        except EdgewrightError:
            return False
        try:
            return moved(list(run(after, [piece.feeds])), before).largest > self.pass_.tolerance
        except EngineError:
            return True


def write_feeds(path: Path, feeds: Feeds) -> None:
    """An ``.npz`` with an array for each input; whatever the inputs are called (``numpy.savez`` takes no ``file``)."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in feeds.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                stored: Array = np.ascontiguousarray(array).reshape(array.shape)
                np.lib.format.write_array(member, stored, allow_pickle=False)
