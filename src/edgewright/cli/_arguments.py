"""How the words of several verbs are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def parsed(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Lets argparse show the parser's own words; it swallows those of a plain ValueError."""

    def read(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def add_key(parser: argparse.ArgumentParser, what: str = "the bundle") -> None:
    """Declares ``--key``, with which nothing of a bundle is loaded before its signature was good."""
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help=f"a public key that must have signed {what}: see edgewright sign"
    )
