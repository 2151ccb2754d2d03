"""``edgewright sbom``: a bundle's bill of materials, CycloneDX 1.6 with a model card."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgewright.cli import _console
from edgewright.cli._arguments import add_key
from edgewright.core.errors import ExitCode

SUMMARY = "print or write a bundle's bill of materials: CycloneDX 1.6, with a model card"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares BUNDLE and its options."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="a bundle, or its unzipped folder")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="where to (default: stdout)")
    add_key(parser)


def run(args: argparse.Namespace) -> ExitCode:
    """Prints or writes one document."""
    from edgewright.core.bundle import open_bundle
    from edgewright.core.files import require_apart, write_atomically
    from edgewright.driver.sbom import sbom_bytes

    require_apart({"-o": args.out}, [args.bundle, args.key])
    data = sbom_bytes(open_bundle(args.bundle, args.key))
    if args.out is None:
        _console.result(data.decode("ascii").rstrip("\n"))
    else:
        write_atomically(args.out, data)
        _console.say(f"{_console.escape(str(args.out))}: CycloneDX 1.6")
    return ExitCode.OK
