"""Edgewright compiles a trained model to the fastest artifact that is proven, on data, to keep its accuracy.

PYTEST_DONT_REWRITE: pytest warns of a plugin's package that was imported before it, as by a program that then starts
pytest, unless its first lines have this word.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgewright.core.budget import Budget
    from edgewright.core.errors import EdgewrightError
    from edgewright.driver.face import Bundle, compile  # noqa: A004 - see its definition
    from edgewright.driver.load import load

__version__ = "0.1.0"
__all__ = ["Budget", "Bundle", "EdgewrightError", "__version__", "compile", "load"]

_HOMES = {
    "Budget": "edgewright.core.budget",
    "Bundle": "edgewright.driver.face",
    "EdgewrightError": "edgewright.core.errors",
    "compile": "edgewright.driver.face",
    "load": "edgewright.driver.load",
}


def __getattr__(name: str) -> object:
    """Imports the public names on first use: ``import edgewright`` itself loads no engine."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edgewright' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
