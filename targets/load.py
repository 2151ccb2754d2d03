"""Finds target files by name or path and reads them; ``native`` is made from the description this machine resembles."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from edgewright.core.errors import UsageError
from edgewright.core.registry import load_plugin
from edgewright.core.toml import Table, read_toml
from edgewright.targets.detect import Host, is_present, this_host
from edgewright.targets.parse import KNOWN_ISA, parse_targets
from edgewright.targets.schema import Target

GROUP = "edgewright.targets"
"""Entry points of third parties: the name is the hardware's, the value loads to the path of its TOML file."""
_SUFFIX = ".toml"


def load_targets(text: str) -> tuple[Target, ...]:
    """The targets that take part where ``text`` is asked for, in the order of their file.

    Args:
        text: ``hardware/runtime`` (one), ``hardware`` (its runtimes that compete), ``path.toml`` or
            ``path.toml/runtime``.

    Raises:
        UsageError: an unknown name, with the nearest ones; a file with mistakes, with all of them; hardware of which no
            runtime competes.
    """
    targets = described_targets(text)
    if _split(text)[1] is not None:
        return targets
    competing = tuple(target for target in targets if target.competes)
    if not competing:
        names = ", ".join(target.name for target in targets)
        raise UsageError(f"no runtime of {text} takes part without being named", f"Name one: {names}.")
    return competing


def described_targets(text: str) -> tuple[Target, ...]:
    """Like :func:`load_targets`, with the runtimes that take part only when they are named.

    Raises:
        UsageError: as there, except the last.
    """
    hardware, runtime = _split(text)
    targets = _of_file(Path(hardware)) if hardware.endswith(_SUFFIX) else _of_name(hardware)
    if runtime is None:
        return targets
    found = tuple(target for target in targets if target.runtime == runtime)
    if not found:
        names = [target.runtime for target in targets]
        raise UsageError(f"{hardware} has no runtime '{runtime}'", _hint(runtime, names, f"{hardware}/"))
    return found


def hardware_names() -> tuple[str, ...]:
    """The hardware that has a file here or in an installed package, sorted."""
    return tuple(sorted(_files()))


def _split(text: str) -> tuple[str, str | None]:
    if text.endswith(_SUFFIX):
        return text, None
    head, slash, tail = text.rpartition("/")
    return (head, tail) if slash else (text, None)


@cache
def _files() -> Mapping[str, Path]:
    found = {path.stem: path for path in Path(__file__).parent.glob(f"*{_SUFFIX}")}
    for point in entry_points(group=GROUP):
        if point.name in found:
            raise UsageError(f"two target files are called '{point.name}': one is {point.value}", "Uninstall one.")
        found[point.name] = Path(cast("str", load_plugin(point, "target")))
    return found


def _of_name(hardware: str) -> tuple[Target, ...]:
    if hardware not in _files():
        raise UsageError(f"unknown target '{hardware}'", _hint(hardware, list(hardware_names()), ""))
    return _targets(_files()[hardware], hardware, f"target file {hardware}{_SUFFIX}")


def _of_file(path: Path) -> tuple[Target, ...]:
    return _targets(path, path.stem, f"target file {path}")


def _targets(path: Path, hardware: str, where: str) -> tuple[Target, ...]:
    document = _merged(path, ())
    if "resembles" not in document:
        return parse_targets(document, hardware, where)
    table = Table(document, "", [])
    title, resembles = table.text("title"), table.words("resembles", known=hardware_names())
    table.close()
    if table.problems:
        raise UsageError("\n  ".join([f"{where} has mistakes:", *table.problems]), "Mend the file and try again.")
    return native_targets(hardware, title, resembles, this_host())


def native_targets(hardware: str, title: str, resembles: tuple[str, ...], host: Host) -> tuple[Target, ...]:
    """The runtimes of the first hardware of ``resembles`` that ``host`` satisfies, with the host's own figures.

    Raises:
        UsageError: when it satisfies none.
    """
    for name in resembles:
        candidates = _of_name(name)
        if is_present(candidates[0], host) is not None:
            continue
        document = dict(_merged(_files()[name], ()))
        if host.arch in KNOWN_ISA:
            isa = set(candidates[0].isa) | (host.isa & set(KNOWN_ISA[host.arch]))
            document |= {"arch": host.arch, "isa": sorted(isa)}
        document |= {"title": f"{title} ({host.cpu or host.arch})", "threads": host.cores}
        if host.memory_bytes is not None:
            document["memory_bytes"] = host.memory_bytes
        detected = "detected: /proc/cpuinfo, sched_getaffinity(2), cgroup limits, /proc/meminfo"
        found = parse_targets(document, hardware, f"target file {name}{_SUFFIX}")
        figures = dict.fromkeys(("isa", "threads", "memory_bytes"), detected)
        return tuple(
            replace(target, detected=True, resembles=name, sources={**target.sources, **figures}) for target in found
        )
    raise UsageError(
        f"this machine ({host.arch}) is like none of {', '.join(resembles)}",
        "Describe it in a TOML file of your own and give its path as the target.",
    )


def _merged(path: Path, seen: tuple[str, ...]) -> Mapping[str, object]:
    """The document in ``path``, laid over the one it is ``like``."""
    document = dict(read_toml(path, "target"))
    like = document.pop("like", None)
    if like is None:
        return document
    if not isinstance(like, str) or like not in _files():
        hint = _hint(str(like), list(hardware_names()), "")
        raise UsageError(f"target file {path} has 1 mistake:\n  like: {like!r} is no target", hint)
    if like in seen:
        raise UsageError(f"target file {path}: like goes round in a circle: {' -> '.join((*seen, like))}", "Break it.")
    return _overlaid(_merged(_files()[like], (*seen, like)), document)


def _overlaid(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Tables are merged field by field; anything else, lists included, is replaced."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _overlaid(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _hint(name: str, names: list[str], prefix: str) -> str:
    near = difflib.get_close_matches(name, names, n=3)
    shown = [f"{prefix}{item}" for item in near or names]
    return f"Did you mean {' or '.join(shown)}?" if near else f"There are: {', '.join(shown)}."
