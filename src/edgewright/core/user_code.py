"""A user's own functions, named as ``package.module:function`` or ``path/to/file.py:function``."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from edgewright.core.errors import EdgewrightError, UsageError


def is_reference(text: str) -> bool:
    """True when ``text`` names a user's function rather than something of ours.

    >>> is_reference("task.py:accuracy"), is_reference("top1")
    (True, False)
    """
    module, colon, name = text.rpartition(":")
    return bool(module and colon and name)


def load_function(text: str, purpose: str) -> Callable[..., object]:
    """The callable that ``module:function`` or ``file.py:function`` names; the current folder is looked in first.

    Args:
        text: what the user typed.
        purpose: the word used in messages, such as ``metric``.

    Raises:
        UsageError: when the module, file or name is missing, its import raises, or it cannot be called.
    """
    source, _, name = text.rpartition(":")
    if not is_reference(text):
        raise UsageError(f"{purpose} '{text}' names no function", "Write it as module:function or file.py:function.")
    with blaming_user(f"importing {source} for the {purpose}"):
        module = _load_file(Path(source), purpose) if source.endswith(".py") else _load_module(source, purpose)
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        public = [item for item in vars(module) if not item.startswith("_") and callable(getattr(module, item))]
        raise UsageError(f"{source} has no '{name}'", f"It has {', '.join(public[:10]) or 'no functions'}.")
    if not callable(found):
        raise UsageError(f"{text} is a {type(found).__name__}, not a function", f"Name a function for the {purpose}.")
    return found


@contextlib.contextmanager
def blaming_user(action: str) -> Iterator[None]:
    """Turns whatever the user's code raises inside the block into one message with the frames that are theirs.

    Raises:
        UsageError: ``action`` failed; EdgewrightError passes through.
    """
    try:
        yield
    except EdgewrightError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{action} failed: {type(error).__name__}: {error}", their_frames(error)) from error


def their_frames(error: BaseException) -> str:
    """The frames of ``error`` in the user's files, innermost last, one a line, or a word that there are none."""
    return "\n".join(user_frames(error)) or "Nothing of yours was on the way: check the name."


def user_frames(error: BaseException) -> list[str]:
    """As :func:`their_frames`, a list; ours, Python's own and those of installed packages are left out."""
    ours = (str(Path(__file__).resolve().parents[1]), sysconfig.get_path("stdlib"))
    lines = []
    for frame in traceback.extract_tb(error.__traceback__):
        name = frame.filename
        # Installed packages (torch has sixty frames) say nothing about the user's code; "<string>" is generated.
        if not name.startswith(("<", *ours)) and "site-packages" not in name and "dist-packages" not in name:
            lines.append(f"{name}:{frame.lineno} in {frame.name}: {frame.line}")
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(f"{error.filename}:{error.lineno}: {(error.text or '').strip()}")
    return lines


def _load_file(path: Path, purpose: str) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {path} for the {purpose}", "Check the path before the colon.")
    name = f"_user_{path.stem}_{abs(hash(str(path.resolve())))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file", "Name a .py file before the colon.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _load_module(name: str, purpose: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                f"there is no module '{name}' for the {purpose}", "Check the name, or give the path of a .py file."
            ) from error
        raise
