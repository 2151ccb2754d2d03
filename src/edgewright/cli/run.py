"""``edgewright run``: what does this bundle answer to these inputs?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgewright.cli import _answers, _console
from edgewright.cli._arguments import add_key
from edgewright.core.errors import ExitCode
from edgewright.core.files import require_apart

SUMMARY = "run a bundle on inputs, and print or write what it answers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares BUNDLE and its options."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="a bundle, or its unzipped folder")
    parser.add_argument(
        "--input",
        metavar="[NAME=]FILE",
        action="append",
        required=True,
        help="x.npy, NAME=x.npy for each of several inputs, file.npz with an array for each, or a folder of them"
        " (or of images)",
    )
    parser.add_argument(
        "-o", "--out", type=Path, metavar="OUT", help="write answers to OUT.npz, OUT.json, or a folder of .npy files"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="compute threads (default: what it was fastest with)")
    add_key(parser)
    parser.add_argument(
        "--trust-native-code", action="store_true", help="open an engine that is machine code, which runs when opened"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> ExitCode:
    """Prints the answers, or writes them."""
    from edgewright.driver.run import run_bundle

    _answers.require_form(args.out)
    files = [Path(text.partition("=")[2] or text) for text in args.input]
    require_apart({"-o": args.out}, [args.bundle, args.key, *files, *(Path(text) for text in args.input)])
    report = run_bundle(args.bundle, args.input, args.threads, key=args.key, trust_native_code=args.trust_native_code)
    for note in report.notes:
        _console.warn(_console.escape_lines(note))
    if args.out is not None:
        _answers.write(report, args.out)
    if args.json:
        document = report.to_json(values=args.out is None)
        written = {} if args.out is None else {"out": str(args.out)}
        _console.result(json.dumps({**document, **written, **ExitCode.OK.to_json()}, indent=2, sort_keys=True))
    elif args.out is None:
        _answers.show(report)
    else:
        _console.result(str(args.out))
    return ExitCode.OK
