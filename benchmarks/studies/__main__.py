"""`python benchmarks/studies VERB ...`: what docs/measurement.md says of the harness, measured.

    sessions BUNDLE... --into FILE [--sessions 10] [--slowdown 10%] [--preset quick] [--threads N]
        real sessions of each bundle against itself, slowed down on purpose by so much
    simulate FILE [--into FILE] [--sessions 200]
        sessions drawn from the noise that real ones recorded, at several true slowdowns
    vendors BUNDLE... --into FILE [--rounds 12] [--threads N]
        the harness beside OpenVINO's benchmark_app, or a bare loop round ONNX Runtime, interleaved
    table
        what the committed records say, as docs/measurement.md has it

Each prints its table and writes its record.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgewright.core.units import parse_share

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    real = verbs.add_parser("sessions")
    real.add_argument("bundles", nargs="+", type=Path)
    real.add_argument("--into", type=Path, required=True)
    real.add_argument("--sessions", type=int, default=10)
    real.add_argument("--slowdown", type=parse_share, default=0.0)
    real.add_argument("--preset", default="quick")
    real.add_argument("--threads", type=int)
    drawn = verbs.add_parser("simulate")
    drawn.add_argument("noise", type=Path)
    drawn.add_argument("--into", type=Path)
    drawn.add_argument("--sessions", type=int, default=200)
    vendors = verbs.add_parser("vendors")
    vendors.add_argument("bundles", nargs="+", type=Path)
    vendors.add_argument("--into", type=Path, required=True)
    vendors.add_argument("--rounds", type=int, default=12)
    vendors.add_argument("--threads", type=int)
    verbs.add_parser("table")
    args = parser.parse_args()
    sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE] + [str(HERE)]
    if args.verb == "table":
        import table

        print("\n".join(table.lines()))
        return 0
    if args.verb == "sessions":
        import real_sessions

        return real_sessions.run(args.bundles, args.into, args.sessions, args.slowdown, args.preset, args.threads)
    if args.verb == "simulate":
        import simulated_sessions

        return simulated_sessions.run(args.noise, args.into, args.sessions)
    import beside_vendors

    return beside_vendors.run(args.bundles, args.into, args.rounds, args.threads)


if __name__ == "__main__":
    sys.exit(main())
