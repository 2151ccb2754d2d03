"""`python benchmarks/studies VERB ...`: what docs/measurement.md says of the harness, measured.

    sessions BUNDLE... --into FILE [--sessions 10] [--slowdown 10%] [--preset quick] [--threads N]
        real sessions of each bundle against itself, slowed down on purpose by so much
    simulate FILE [--into FILE] [--sessions 200]
        sessions drawn from the noise that real ones recorded, at several true slowdowns
    vendors BUNDLE... --into FILE [--rounds 12] [--threads N]
        the harness beside OpenVINO's benchmark_app, or a bare loop round ONNX Runtime, interleaved
    collapse MODEL... [--into FILE] [--cases DIR] [--seeds 2] [--widest 6]
        models (digits, or cases) whose channels were rescaled by powers of two, in int8: the usual way and ours
    scale [--into FILE] [--nodes N...] [--bytes N] [--repeats 3]
        how validation and graph passes grow with the nodes of a graph, and a compile with the bytes of its weights
    search MODEL... --cases DIR [--into FILE] [--max-drop 1%]
        the minutes, candidates and calibrations of `--precision auto`
    explain MODEL... --cases DIR [--into FILE]
        whether layers and overhead add up to the profiled run, and whose precision the engine does not say
    blame MODEL... --cases DIR [--into FILE] [--seeds 1]
        one layer broken behind one pass: whether both are named
    repeat MODEL... --cases DIR [--into FILE]
        the same compile with a warm cache, and what one changed option does again
    builds MODEL... --cases DIR [--into FILE]
        sixteen compiles at once, and one plan in unlike environments: what is computed twice, and what differs
    small BUNDLE... [--into FILE]
        what a device installs and pays: sizes, start, memory of verify, run, load; without bundles, the record's table
    tamper BUNDLE... [--into FILE] [--every N]
        signed copies altered in every known way, member by member: whether verify refuses each and loads nothing
    table, promises
        what the committed records say, as docs/measurement.md has it: of the harness, and of collapse and scale

Each prints its table and writes its record.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgewright.core.units import parse_share

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = made.add_subparsers(dest="verb", required=True)
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
    rescaled = verbs.add_parser("collapse")
    rescaled.add_argument("models", nargs="+")
    rescaled.add_argument("--into", type=Path, default=RESULTS / "collapse.json")
    rescaled.add_argument("--cases", type=Path, help="folder of built cases")
    rescaled.add_argument("--seeds", type=int, default=2)
    rescaled.add_argument("--widest", type=int, default=6)
    grown = verbs.add_parser("scale")
    grown.add_argument("--into", type=Path, default=RESULTS / "scale.json")
    grown.add_argument("--nodes", nargs="*", type=int, default=[1_000, 3_000, 10_000, 30_000, 100_000])
    grown.add_argument("--bytes", type=int, default=2 << 30)
    grown.add_argument("--repeats", type=int, default=3)
    for verb in ("search", "explain", "blame", "repeat", "builds"):
        one = verbs.add_parser(verb)
        one.add_argument("models", nargs="+")
        one.add_argument("--cases", type=Path, required=True, help="folder of built cases")
        one.add_argument("--into", type=Path, default=RESULTS / f"{verb}.json")
        if verb == "search":
            one.add_argument("--max-drop", default="1%")
        if verb == "blame":
            one.add_argument("--seeds", type=int, default=1)
    device = verbs.add_parser("small")
    device.add_argument("bundles", nargs="*", type=Path)
    device.add_argument("--into", type=Path, default=RESULTS / "small.json")
    tamper = verbs.add_parser("tamper")
    tamper.add_argument("bundles", nargs="+", type=Path)
    tamper.add_argument("--into", type=Path, default=RESULTS / "tamper.json")
    tamper.add_argument("--every", type=int, default=1, help="change one in so many bytes of signature and headers")
    verbs.add_parser("table")
    verbs.add_parser("promises")
    return made


def main() -> int:
    args = parser().parse_args()
    sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE] + [str(HERE)]
    if args.verb == "table":
        import table

        print("\n".join(table.lines()))
        return 0
    if args.verb == "sessions":
        import real_sessions

        return real_sessions.run(args.bundles, args.into, args.sessions, args.slowdown, args.preset, args.threads)
    if args.verb == "promises":
        import promises

        print("\n".join(promises.lines()))
        return 0
    if args.verb == "small":
        import small
        import small_table

        if args.bundles:
            return small.run(args.bundles, args.into)
        print("\n".join(small_table.table()))
        return 0
    if args.verb == "tamper":
        import tampered

        return tampered.run(args.bundles, args.into, args.every)
    if args.verb == "collapse":
        import collapse

        return collapse.run(args.models, args.into, args.cases, args.seeds, args.widest)
    if args.verb == "scale":
        import scale

        return scale.run(args.into, args.nodes, args.bytes, args.repeats)
    if args.verb in ("search", "explain", "blame", "repeat", "builds"):
        return held_to_promises(args)
    if args.verb == "simulate":
        import simulated_sessions

        return simulated_sessions.run(args.noise, args.into, args.sessions)
    import beside_vendors

    return beside_vendors.run(args.bundles, args.into, args.rounds, args.threads)


def held_to_promises(args: argparse.Namespace) -> int:
    """One of the studies that call the command on models of benchmarks/cases."""
    if args.verb == "search":
        import searched

        return searched.run(args.models, args.into, args.cases, args.max_drop)
    if args.verb == "explain":
        import explained

        return explained.run(args.models, args.into, args.cases)
    if args.verb == "blame":
        import blamed

        return blamed.run(args.models, args.into, args.cases, args.seeds)
    if args.verb == "builds":
        import builds

        return builds.run(args.models, args.into, args.cases)
    import repeated

    return repeated.run(args.models, args.into, args.cases)


if __name__ == "__main__":
    sys.exit(main())
