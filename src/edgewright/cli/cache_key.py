"""``edgewright cache-key``: under which name a CI service keeps what a compile leaves in the cache."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgewright.cli import _console
from edgewright.cli._progress import ProgressLine
from edgewright.cli.compile import add_shared, request_of
from edgewright.core.errors import ExitCode

SUMMARY = "name everything a compile depends on, for a CI service to keep the cache under"
_NOWHERE = Path("bundles")
"""Stands for where bundles would go; nothing is written there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``compile``; ``-o`` is taken and changes nothing."""
    parser.add_argument("-o", "--out", type=Path, help="taken, so that the words of a compile can be given as they are")
    add_shared(parser)


def run(args: argparse.Namespace) -> ExitCode:
    """Prints the name alone."""
    from edgewright.driver.cache_key import cache_key

    found = cache_key(request_of(args, _NOWHERE, ProgressLine(args.model, eager=False)))
    if found.reason:
        _console.warn(_console.escape_lines(f"what the code itself reads is not in the name: {found.reason}"))
    _console.result(json.dumps(found.to_json(), indent=2, sort_keys=True) if args.json else found.digest)
    return ExitCode.OK
