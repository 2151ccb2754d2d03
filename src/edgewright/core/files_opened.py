"""Every file that this process opens for reading, heard from Python's audit events: what a build must watch.

https://docs.python.org/3/library/audit_events.html. What native code opens by itself raises no event; the engines do
that in child processes, on copies of ours. A child that runs a user's code listens for itself and tells what it heard.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_SYSTEM = ("/proc", "/sys", "/dev", "/etc")
_OURS = "edgewright-"
"""How temporary folders of Edgewright begin."""
_listening: list[set[str]] = []
_hooked = False


def _heard(event: str, args: tuple[object, ...]) -> None:
    """An audit hook: called for everything the interpreter does, it must be quick and raise nothing."""
    if event != "open" or not _listening:
        return
    path, mode, flags = args
    if not isinstance(path, str | bytes | os.PathLike):
        return  # a descriptor that is open already
    if isinstance(mode, str):
        reads = "r" in mode or "+" in mode
    else:
        reads = isinstance(flags, int) and flags & os.O_ACCMODE != os.O_WRONLY
    if reads:
        with contextlib.suppress(ValueError, OSError):
            name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - cheaper than a Path, thousands of times
            for names in _listening:
                names.add(name)


@contextlib.contextmanager
def listening() -> Iterator[set[str]]:
    """Collects the absolute paths of all files that are opened for reading meanwhile; threads included."""
    global _hooked  # noqa: PLW0603 - an audit hook cannot be taken away again, so there is one
    if not _hooked:
        sys.addaudithook(_heard)
        _hooked = True
    names: set[str] = set()
    _listening.append(names)
    try:
        yield names
    finally:
        _listening[:] = [one for one in _listening if one is not names]


def is_listened() -> bool:
    """Whether anybody collects names now, so that a child should do so too."""
    return bool(_listening)


def heard_elsewhere(names: Iterable[str]) -> None:
    """Takes over what a child process has opened for this one.

    Args:
        names: absolute paths.
    """
    for listener in _listening:
        listener.update(names)


def inputs_among(names: Iterable[str], ignored: Iterable[Path] = ()) -> list[Path]:
    """The files of ``names`` that somebody may edit: none of Python's, of installed packages, of ours or the system's.

    A module that Python read from its byte code is given as its source.

    Args:
        names: absolute paths.
        ignored: folders and files besides that are no inputs, such as the cache.
    """
    roots = [os.path.realpath(one) for one in [*_installed(), *map(str, ignored)]]
    temporary = os.path.realpath(tempfile.gettempdir())
    found = set()
    for name in names:
        path = Path(_source(name))
        names_of_it = (str(path), os.path.realpath(path))  # /etc/os-release is a link into /usr
        if any(one == root or one.startswith(f"{root}{os.sep}") for one in names_of_it for root in (*roots, *_SYSTEM)):
            continue
        if not names_of_it[1].startswith(f"{temporary}{os.sep}{_OURS}") and path.is_file():
            found.add(path)
    return sorted(found)


def _source(name: str) -> str:
    if not name.endswith(".pyc"):
        return name
    try:
        return importlib.util.source_from_cache(name)
    except ValueError:
        return name


def _installed() -> list[str]:
    """Where Python, its packages and Edgewright lie: several folders where Edgewright is installed to be edited."""
    paths = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [os.path.dirname(os.__file__), *site.getsitepackages(), site.getusersitepackages()]  # noqa: PTH120
    if sys.prefix != sys.base_prefix:
        paths.append(sys.prefix)  # an environment of its own; a system's prefix is a place for data as well
    for name, module in list(sys.modules.items()):
        if name == "edgewright" or name.startswith("edgewright."):
            paths += list(getattr(module, "__path__", []))
    return paths
