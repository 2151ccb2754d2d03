"""``edgewright finish``: on the device, builds the engine that could not be built elsewhere."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli import _console
from edgewright.cli._arguments import add_key, parsed
from edgewright.core.errors import ExitCode
from edgewright.core.units import parse_milliseconds, show_bytes

if TYPE_CHECKING:
    from edgewright.driver.executed import Executed
    from edgewright.driver.finish import FinishReport

SUMMARY = "on the device, build, prove and measure the engine of a bundle that was compiled elsewhere"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares BUNDLE and its options."""
    from edgewright.benchmarks.harness.protocol import PRESETS

    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="a bundle whose engine is still to be built")
    parser.add_argument("-o", "--out", required=True, type=Path, help="the new bundle; it names BUNDLE as its parent")
    parser.add_argument(
        "--max-latency", type=parsed(parse_milliseconds), metavar="8ms", help="limit of the median on this device"
    )
    parser.add_argument(
        "--preset", choices=tuple(PRESETS), default="rapid", help="how long to measure (default: rapid)"
    )
    parser.add_argument(
        "--trust-native-code",
        action="store_true",
        help="build from what can run code when it is read (aotinductor)",
    )
    add_key(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> ExitCode:
    """Builds, and says what came out."""
    from edgewright.driver.finish import finish_bundle

    report = finish_bundle(
        args.bundle,
        args.out,
        key=args.key,
        max_latency_ms=args.max_latency,
        preset=args.preset,
        trust_native_code=args.trust_native_code,
        log=lambda line: _console.say(_console.escape_lines(line)),
    )
    if args.json:
        _console.result(json.dumps(report.to_json(), indent=2, sort_keys=True))
    else:
        _show(report)
    if report.problem:
        _console.fail(_console.escape_lines(report.problem), _console.escape_lines(report.remedy), report.exit_code)
    return report.exit_code


def _show(report: FinishReport) -> None:
    for note in report.notes:
        _console.say(f"  {_console.escape_lines(note)}")
    parts = [f"{report.out}: {show_bytes(report.size_bytes)}", f"{report.error:.2g} off the original's golden answers"]
    if report.executed.unknown:
        parts.append(f"executed precision unknown ({_console.escape_lines(report.executed.unknown)})")
    else:
        parts += _executed(report.executed)
    if report.record is not None:
        parts.append(f"p50 {report.record.summary.percentiles['p50'].value / 1e6:.3g} ms ({report.record.status})")
    _console.result(", ".join(parts))


def _executed(found: Executed) -> list[str]:
    shares = ", ".join(f"{share:.0%} in {name}" for name, share in sorted(found.shares.items()))
    layers = ", ".join(f"{number} in {name}" for name, number in sorted(found.layers.items()))
    return [f"the engine computes {shares} of the multiplications"] * bool(shares) + [f"layers: {layers}"] * bool(
        layers
    )
