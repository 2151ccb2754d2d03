"""``edgewright sign``: vouches for a bundle with an Ed25519 key, in a file beside it; also makes a pair of keys."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgewright.cli import _console
from edgewright.core.errors import ExitCode, UsageError

SUMMARY = "sign a bundle, so that a device can demand that signature; --new-key makes a pair of keys"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares BUNDLE and its options."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, nargs="?", help="a bundle, or its unzipped folder")
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the private key; EDGEWRIGHT_KEY_PASSWORD has its password, if any"
    )
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="where to (default: BUNDLE.sig)")
    parser.add_argument(
        "--new-key", type=Path, metavar="NAME", help="make NAME.pem, which signs, and NAME.pub.pem, which checks"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> ExitCode:
    """Signs, or makes keys."""
    if args.new_key is not None:
        return _new_key(args)
    if args.bundle is None or args.key is None:
        raise UsageError(
            "a signature takes a bundle and a private key",
            "Type: edgewright sign BUNDLE --key FILE; edgewright sign --new-key NAME makes a pair of keys.",
        )
    from edgewright.driver.sign import sign_bundle

    report = sign_bundle(args.bundle, args.key, args.out)
    for note in report.notes:
        _console.warn(_console.escape_lines(note))
    if args.json:
        _console.result(json.dumps({**report.to_json(), **ExitCode.OK.to_json()}, indent=2, sort_keys=True))
        return ExitCode.OK
    others = len(report.signers) - 1
    beside = f", beside {others} other{'s' * (others > 1)}" if others else ""
    _console.result(f"{_console.escape(str(report.signature))}: signed with key {report.key_id}{beside}")
    return ExitCode.OK


def _new_key(args: argparse.Namespace) -> ExitCode:
    from edgewright.core.bundle.keys import PASSWORD_VARIABLE, new_keys

    if args.bundle is not None or args.key is not None or args.out is not None:
        raise UsageError("--new-key makes keys and signs nothing", "Leave BUNDLE, --key and -o out, and sign next.")
    private, public, key = new_keys(args.new_key)
    if args.json:
        found = {"private": str(private), "public": str(public), "key_id": key.key_id, **ExitCode.OK.to_json()}
        _console.result(json.dumps({"schema": "edgewright.new-key/1", **found}, indent=2, sort_keys=True))
        return ExitCode.OK
    _console.result(f"{_console.escape(str(private))}: the private key, which signs; keep it secret")
    _console.result(f"{_console.escape(str(public))}: the public key {key.key_id}, for whoever checks")
    if b"ENCRYPTED" not in private.read_bytes():
        _console.say(f"the private key has no password; set {PASSWORD_VARIABLE} before to give it one")
    return ExitCode.OK
