"""Examples in docstrings are run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import edgewright

SOURCE = Path(edgewright.__file__).parent
NOT_INSTALLED = ("benchmarks/cases", "benchmarks/peers", "benchmarks/records")  # run by path, in their own way


def modules_with_examples() -> list[str]:
    found = []
    folders = [SOURCE, *(path for path in SOURCE.iterdir() if path.is_symlink())]  # rglob does not enter links
    for path in [path for folder in folders for path in folder.rglob("*.py")]:
        name = path.relative_to(SOURCE).as_posix()
        if ">>> " in path.read_text("utf-8") and not name.startswith(NOT_INSTALLED):
            found.append(f"edgewright.{name.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}")
    return sorted(set(found))


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_are_true(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.attempted > 0
    assert results.failed == 0
