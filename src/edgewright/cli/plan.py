"""``edgewright plan``: what a compile with the same words would do, in seconds and without doing it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgewright.cli import _console
from edgewright.cli._outputs import require_writable
from edgewright.cli._plan_text import print_plan
from edgewright.cli._progress import ProgressLine
from edgewright.cli.compile import add_shared, request_of
from edgewright.core.errors import ExitCode, UsageError

SUMMARY = "say what a compile would try, what that takes, and what is cached, without doing it"
_NOWHERE = Path("bundles")
"""Stands for where bundles would go; nothing is written there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``compile``; ``-o`` is where the plan goes."""
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="PLAN.json",
        help="write the plan here, to be edited and given to compile --plan",
    )
    add_shared(parser)


def run(args: argparse.Namespace) -> ExitCode:
    """Prints the plan, and writes it where that is asked for."""
    from edgewright.core.files import replacing
    from edgewright.driver.plan import plan

    if args.out is not None and args.out.suffix != ".json":
        raise UsageError(
            f"-o {args.out} is no .json file, and a plan is one",
            "Name the plan with -o plan.json; where the bundle goes is for compile to be told.",
        )
    require_writable(args.out)
    options = (("--trace", args.trace), ("--depfile", args.depfile), ("--record", args.record), ("--sbom", args.sbom))
    for option, given in options:
        if given:
            _console.say(f"{option} is left out: nothing is compiled")
    found = plan(request_of(args, _NOWHERE, ProgressLine(args.model, eager=False)))
    if args.out is not None:
        with replacing(args.out) as file:
            file.write(json.dumps(found.to_json(), indent=2).encode() + b"\n")
    print_plan(found, as_json=args.json)
    return found.exit_code
