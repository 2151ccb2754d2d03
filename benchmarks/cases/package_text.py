"""English sentences to train with: what Python's manual and the documentation strings of installed packages say.

The manual's topics are in the standard library (PSF licence); the packages are BSD. Other versions say a few sentences
in other words.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from .sources import package_file

PACKAGES = ("numpy==2.4.0", "scipy==1.17.0", "scikit-learn==1.9.1")
FOLDERS = ("numpy", "scipy", "sklearn")
FEWEST_WORDS, MOST_WORDS = 5, 40
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_PROSE = re.compile(r"[A-Z][A-Za-z0-9 ,;:'\"()/-]+[.!?]")


def sentences() -> list[str]:
    """Every sentence once, in a fixed order: of 5 to 40 words, without code, markup or tables."""
    found: dict[str, None] = {}
    for text in (*_manual(), *_documentation()):
        for paragraph in re.split(r"\n\s*\n", text):
            plain = " ".join(re.sub(r"[`*]+", "", paragraph).split())
            if ">>>" in plain or "::" in plain:
                continue
            for sentence in _SENTENCE.split(plain):
                if FEWEST_WORDS <= len(sentence.split()) <= MOST_WORDS and _PROSE.fullmatch(sentence):
                    found[sentence] = None
    return list(found)


def _manual() -> Iterator[str]:
    from pydoc_data.topics import topics

    yield from (cast(str, topics[name]) for name in sorted(topics))


def _documentation() -> Iterator[str]:
    for requirement, folder in zip(PACKAGES, FOLDERS, strict=True):
        root: Path = package_file(requirement, folder)
        for path in sorted(root.rglob("*.py")):
            if "tests" not in path.parts:
                yield from _docstrings(path)


def _docstrings(path: Path) -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        text = ast.get_docstring(node) if isinstance(node, documented) else None
        if text:
            yield text
