"""``edgewright embed``: a bundle's engine and what it takes and gives, as C that firmware links."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgewright.cli import _console
from edgewright.core.errors import ExitCode
from edgewright.core.units import show_bytes

SUMMARY = "write a bundle's engine and its specification as C, to be linked into firmware"
_FORMS = ("array", "string", "incbin")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares BUNDLE and its options."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="a bundle, or its unzipped folder")
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="DIR", help="where NAME.h and NAME.c go")
    parser.add_argument("--name", help="a C identifier that every name begins with (default: the bundle's file name)")
    parser.add_argument(
        "--form",
        choices=_FORMS,
        help="how the engine is written: numbers, string literals, or an assembler file that includes it "
        "(default: numbers up to 64 kB, string literals beyond)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> ExitCode:
    """Writes the files, and says which; a file whose bytes are the same already is left alone."""
    from edgewright.driver.embed import embed_bundle

    report = embed_bundle(args.bundle, args.out, args.name, args.form)
    if args.json:
        _console.result(json.dumps({**report.to_json(), **ExitCode.OK.to_json()}, indent=2, sort_keys=True))
        return ExitCode.OK
    for one in report.engine:
        _console.say(f"  {one.symbol}[]: {one.path}, {show_bytes(one.size_bytes)}")
    unchanged = "" if any(report.written.values()) else ", unchanged"
    _console.result(f"{', '.join(str(args.out / name) for name in report.written)}{unchanged}")
    return ExitCode.OK
