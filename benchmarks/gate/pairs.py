"""Folders of bundles, paired by file name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgewright.benchmarks.gate.findings import Failure
from edgewright.benchmarks.gate.limits import Gate, name_of
from edgewright.core.errors import ExitCode, UsageError


@dataclass(frozen=True)
class Paired:
    """One gate per bundle, and what has no counterpart."""

    gates: tuple[Gate, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    fresh: frozenset[str] = frozenset()
    """Names of gates that the other folder has no counterpart for."""


def paired(gates: Sequence[Gate]) -> Paired:
    """Gates whose ``bundle`` is a folder of bundles become one gate for each in it, called as its file.

    A bundle that the other folder alone has is a failure: what was shipped is missing. One that only the new folder has
    is judged by its own limits alone, and a note says so.

    Raises:
        UsageError: a folder without bundles, one held against a single bundle, or two bundles of one name.
    """
    found: list[Gate] = []
    failures: list[Failure] = []
    fresh: dict[str, str] = {}
    for gate in gates:
        if not is_folder_of_bundles(gate.bundle):
            if gate.against is not None and is_folder_of_bundles(gate.against):
                gate = replace(gate, against=_in_folder(gate))  # noqa: PLW2901 - the same gate, its path spelt out
            found.append(gate)
            continue
        if gate.against is not None and not is_folder_of_bundles(gate.against):
            raise UsageError(
                f"{gate.bundle} is a folder of bundles and {gate.against} is not", "Give two bundles or two folders."
            )
        new = bundles_in(gate.bundle)
        base = {} if gate.against is None else bundles_in(gate.against)
        for name, path in new.items():
            found.append(replace(gate, name=name, bundle=path, against=base.get(name)))
            if gate.against is not None and name not in base:
                own = "held against its own limits alone" if gate.limits.has_own else "held against nothing"
                fresh[name] = f"{name}: not in {gate.against.resolve().name}, so {own}"
        failures += [_missing(gate, name) for name in base if name not in new]
    names = [gate.name for gate in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two bundles are called {twice[0]!r}", "Rename one, or give each a name in gates.toml.")
    return Paired(tuple(found), tuple(failures), tuple(fresh.values()), frozenset(fresh))


def is_folder_of_bundles(path: Path) -> bool:
    """True for a folder that is no unzipped bundle itself."""
    return path.is_dir() and not (path / "manifest.json").exists()


def bundles_in(folder: Path) -> dict[str, Path]:
    """The bundles of a folder, zipped or unzipped, by name.

    Raises:
        UsageError: there are none, or two of one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if (path.is_file() and path.suffix == ".ewb") or (path.is_dir() and (path / "manifest.json").exists()):
            if name_of(path) in found:
                raise UsageError(
                    f"{folder} has {path.name} both zipped and unzipped", "Take one of the two out of the folder."
                )
            found[name_of(path)] = path
    if not found:
        raise UsageError(f"{folder} is a folder without bundles", "Give a bundle, or a folder that has NAME.ewb files.")
    return found


def _in_folder(gate: Gate) -> Path:
    assert gate.against is not None
    base = bundles_in(gate.against)
    name = name_of(gate.bundle)
    if name not in base:
        raise UsageError(f"{gate.against} has no {name}.ewb", "Name the bundle itself with --against.")
    return base[name]


def _missing(gate: Gate, name: str) -> Failure:
    assert gate.against is not None
    return Failure(
        subject=name,
        kind="unavailable",
        problem=f"{gate.against.resolve().name} has {name}.ewb, and {gate.bundle.resolve().name} has no counterpart",
        remedy="Compile it, or take it out of the folder it is held against.",
        exit_code=ExitCode.UNAVAILABLE,
    )
