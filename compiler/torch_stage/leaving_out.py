"""Modules that were left out: what comes in goes out instead."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@cache
def _passing_class() -> type[torch.nn.Module]:
    import torch

    class Passing(torch.nn.Module):
        """Stands where a module was: takes whatever that took, and answers with the first of it."""

        def __init__(self, packed: bool) -> None:
            super().__init__()
            self._packed = packed

        def forward(self, first: object, *_others: object, **_named: object) -> object:
            return (first,) if self._packed else first

    return Passing


def leave_out(module: torch.nn.Module, paths: Mapping[str, bool]) -> None:
    """Takes the modules at ``paths`` out of ``module``, in place.

    Args:
        paths: path -> whether what it answers is packed into a tuple of one.
    """
    for path, packed in paths.items():
        owner, _, name = path.rpartition(".")
        setattr(module.get_submodule(owner), name, _passing_class()(packed).eval())


def left_out(module: torch.nn.Module) -> dict[str, bool]:
    """The paths that :func:`leave_out` was given for ``module`` so far."""
    kind = _passing_class()
    return {path: bool(one._packed) for path, one in module.named_modules() if isinstance(one, kind)}  # noqa: SLF001
