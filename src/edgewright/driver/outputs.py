"""Where bundles go: one output per ``--target``, checked before any long work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgewright.core.errors import CannotWriteError, UsageError
from edgewright.driver.request import SUFFIX, CompileRequest
from edgewright.targets.load import load_targets
from edgewright.targets.schema import Target


@dataclass(frozen=True)
class Group:
    """What becomes one bundle: the targets that compete for it, and where it goes."""

    name: str
    targets: tuple[Target, ...]
    out: Path


def output_groups(request: CompileRequest, *, create: bool = True) -> list[Group]:
    """One group per ``--target``, with its output checked before any long work (and its folder made, if ``create``).

    Raises:
        UsageError: unknown targets, or the same output twice.
        CannotWriteError: an output folder that cannot be used.
    """
    several = len(request.targets) > 1
    groups = []
    for text in request.targets:
        targets = load_targets(text)
        name = targets[0].name if len(targets) == 1 else targets[0].hardware
        out = request.out / f"{name.replace('/', '-')}{SUFFIX}" if several else request.out
        groups.append(Group(name, targets, out))
    names = [group.name for group in groups]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"target {', '.join(sorted(twice))} is given twice", "Name each target once.")
    if create:
        check_output(request.out, folder=several)
    return groups


def check_output(out: Path, *, folder: bool) -> None:
    """Lets through an output that can be written.

    Raises:
        CannotWriteError: saying what stands in the way.
    """
    if folder:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWriteError(
                f"cannot use {out} as a folder: {error.strerror}", "Give -o another name."
            ) from error
    elif out.is_dir():
        raise CannotWriteError(
            f"{out} is a folder; with one target -o names a file", f"Try -o {out / ('model' + SUFFIX)}."
        )
    elif not out.parent.is_dir():
        raise CannotWriteError(f"the folder {out.parent} does not exist", f"Type: mkdir -p {out.parent}")
