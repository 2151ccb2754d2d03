"""Where bundles go: one output per ``--target``, checked before any long work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgewright.core.errors import CannotWriteError, UsageError
from edgewright.core.files import require_apart
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
        _check_beside(request, groups)
    return groups


def record_of(request: CompileRequest, bundle: Path) -> Path:
    """Where what is timed of ``bundle`` is written: where the request says, else beside it."""
    from edgewright.benchmarks.record import record_path  # as slow to import as all that measures

    return request.record or record_path(bundle)


def _check_beside(request: CompileRequest, groups: list[Group]) -> None:
    """Lets through files beside the bundles that can be written, and that are no others of this compile's.

    Raises:
        UsageError: one file for two things.
        CannotWriteError: saying what stands in the way.
    """
    if request.record is not None and len(groups) > 1:
        raise UsageError(
            f"--record names one file, and there are {len(groups)} targets",
            "Leave it out, each record lies beside its bundle; or compile for one target at a time.",
        )
    if request.sbom is not None and len(groups) > 1:
        raise UsageError(
            f"--sbom names one file, and there are {len(groups)} targets", "Type edgewright sbom for each bundle."
        )
    beside = {"--depfile": request.depfile, "--record": request.record, "--sbom": request.sbom}
    for option, path in beside.items():
        if path is not None:
            check_output(path, folder=False, option=option)
    words = (request.model, request.data, request.eval_data, request.train_data)
    named = [Path(word) for word in words if word is not None and Path(word).is_file()]
    require_apart({"-o": request.out, **beside}, [*named, request.recipe, request.golden])


def check_output(out: Path, *, folder: bool, option: str = "-o") -> None:
    """Lets through an output that can be written.

    Args:
        folder: it is to be a folder, which is made.
        option: what named it, for the message.

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
        if option != "-o":
            raise CannotWriteError(f"{option} {out} is a folder", "Give a file.")
        raise CannotWriteError(
            f"{out} is a folder; with one target -o names a file", f"Try -o {out / ('model' + SUFFIX)}."
        )
    elif not out.parent.is_dir():
        raise CannotWriteError(f"the folder {out.parent} does not exist", f"Type: mkdir -p {out.parent}")
