"""``edgewright verify``: is this bundle whole, and does it compute here what it computed when it was proven?"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edgewright.cli import _console
from edgewright.cli._arguments import add_key
from edgewright.core.errors import ExitCode, UsageError

SUMMARY = "check a bundle on this machine: signature, digests, numbers, hardware"
_COLOURS = {"ok": "32", "failed": "31", "skipped": "33", "note": "33"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares BUNDLE and its options."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="a bundle, or its unzipped folder")
    parser.add_argument("--threads", type=int, help="compute threads (default: the target's)")
    parser.add_argument(
        "--trust-native-code", action="store_true", help="open an engine that is machine code, which runs when opened"
    )
    add_key(parser)
    parser.add_argument("--signature", type=Path, metavar="FILE", help="its signatures (default: BUNDLE.sig)")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> ExitCode:
    """Prints one line per check; exit 77 where the target is not on this machine."""
    from edgewright.driver.verify import verify_bundle

    if args.signature is not None and args.key is None:
        raise UsageError("--signature is checked with a key", "Give --key FILE, the signer's public key.")
    report = verify_bundle(
        args.bundle,
        args.threads,
        key=args.key,
        signature=args.signature,
        trust_native_code=args.trust_native_code,
    )
    if args.json:
        _console.result(json.dumps(report.to_json(), indent=2, sort_keys=True))
        return report.exit_code
    for check in report.checks:
        state = _console.paint(f"{check.state:<7}", _COLOURS[check.state], sys.stdout)
        _console.result(f"{state} {check.name}: {_console.escape_lines(check.text)}")
    return report.exit_code
