"""Opens the files torch writes: pickles where they are trusted, and exported programs without running their content."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edgewright.core.errors import BadInputError, EdgewrightError
from edgewright.core.user_code import blaming_user

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_ARITHMETIC = re.compile(r"[A-Za-z0-9_+\-*/%(), <>=!&|~.']*")
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")
_FUNCTIONS = frozenset({"floor", "ceiling", "sqrt", "log", "exp"})


def load_pickle(path: Path) -> object:
    """Runs the pickle: only called where the user said that it is trusted."""
    import torch

    with blaming_user(f"loading {path}"):
        return torch.load(path, map_location="cpu", weights_only=False)


def load_exported(path: Path, *, trust: bool) -> ExportedProgram:
    """The program in a ``.pt2`` file; without ``trust`` nothing in it is run.

    Raises:
        BadInputError: it is damaged, or holds what would have to be run.
    """
    import torch

    with contextlib.nullcontext() if trust else _no_code(path):
        try:
            return torch.export.load(path)
        except EdgewrightError:
            raise
        except Exception as error:
            raise BadInputError(
                f"{path} is not a readable exported program: {first_lines(error)}",
                "Save it again with torch.export.save, with a torch of the same version.",
            ) from error


@contextlib.contextmanager
def _no_code(path: Path) -> Iterator[None]:
    """Keeps ``torch.export.load`` (2.13) from what runs code of the file's: pickles, and symbols read by ``eval``.

    It falls back to full pickles by itself, for weights, constants and sample inputs, and hands expressions to
    ``sympy.sympify``.
    """
    import pickle

    import sympy  # type: ignore[import-untyped]
    import torch

    def refuse(*_args: object, **_options: object) -> object:
        raise BadInputError(
            f"{path} holds pickled objects, which can run any code when read",
            "Pass --trust-pickle if you trust where it comes from.",
        )

    load, sympify = torch.load, sympy.sympify

    def safe_load(file: object, *_args: object, weights_only: bool = True, **_options: object) -> object:
        if not weights_only:
            refuse()
        return load(cast("str", file), weights_only=True, map_location="cpu")

    def safe_sympify(value: object, *args: object, **options: object) -> object:
        if isinstance(value, str) and not _is_arithmetic(value):
            raise BadInputError(f"{path} has the symbol {value!r:.80}, which is no arithmetic", "Export it again.")
        return sympify(value, *args, **options)

    replaced = [
        (torch, "load", safe_load),
        (torch._C, "_pickle_load_obj", refuse),  # noqa: SLF001 - the very function to be kept from the file
        (pickle, "loads", refuse),
        (sympy, "sympify", safe_sympify),
    ]
    before = [(owner, name, getattr(owner, name, None)) for owner, name, _ in replaced]
    for owner, name, function in replaced:
        setattr(owner, name, function)
    try:
        yield
    finally:
        for owner, name, old in before:
            setattr(owner, name, old)


def _is_arithmetic(text: str) -> bool:
    """True for what an expression of sizes can be: no attributes, no texts but names, no calls but of sympy's classes
    (which begin with a capital) and a few functions."""
    if not _ARITHMETIC.fullmatch(text) or "__" in text or re.search(r"\.\s*[A-Za-z_]", text):
        return False
    return all(name[0].isupper() or name in _FUNCTIONS for name in _CALL.findall(text))


def first_lines(error: BaseException) -> str:
    """The class and the first three lines of what a library says, for a message of ours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:3]):.400}"
