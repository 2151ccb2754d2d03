"""``edgewright cmake-dir``: where CMake finds this package, for ``-DEdgewright_DIR=$(edgewright cmake-dir)``."""

from __future__ import annotations

import argparse
from pathlib import Path

import edgewright
from edgewright.cli import _console
from edgewright.core.errors import ExitCode

SUMMARY = "print the folder of EdgewrightConfig.cmake, for -DEdgewright_DIR=$(edgewright cmake-dir)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""
    del parser


def run(args: argparse.Namespace) -> ExitCode:
    """Prints one path, absolute and without links."""
    del args
    _console.result(str(Path(edgewright.__file__).resolve().parent / "cmake"))
    return ExitCode.OK
